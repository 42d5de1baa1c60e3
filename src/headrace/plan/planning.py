"""From a selection, a range and a mode to the plan of a backfill."""

from __future__ import annotations

from headrace.model.errors import UsageError
from headrace.plan.backfills import Backfill, BackfillStep, Chosen, Mode, Publishes, Skipped
from headrace.plan.choosing import STAGED, BackfillRequest, Choice, Picked, choose
from headrace.plan.extents import NOTHING, key_of, spans
from headrace.plan.stepping import steps
from headrace.plan.timeline import Timeline
from headrace.plan.values import Compiled


def plan_backfill(timeline: Timeline, compiled: Compiled, request: BackfillRequest, *, allow_partial: bool = False) -> Backfill:
    """What a backfill does, in ranges. UsageError for a range in which there is nothing of what was named."""
    choice = choose(timeline, compiled, request)
    if not choice.picked and not choice.passed and request.mode is not Mode.FAILED:
        _refuse(timeline, request, choice)
    staged = {item.node: item.extent for item in choice.picked if item.how == STAGED}
    stepped = steps(timeline, staged)
    return Backfill(
        mode=request.mode,
        chosen=tuple(_chosen(timeline, item) for item in choice.picked),
        skipped=tuple(Skipped(node=item.node, partitions=len(item.extent), why=item.why) for item in choice.passed),
        steps=stepped,
        publishes=_publishes(choice, stepped),
        only=request.only,
        allow_partial=allow_partial,
    )


def _chosen(timeline: Timeline, item: Picked) -> Chosen:
    known = timeline.standing(item.node).known
    node = timeline.nodes[item.node]
    return Chosen(node=item.node, spans=spans(node, item.extent, known), partitions=len(item.extent), why=item.why, how=item.how)


def _publishes(choice: Choice, stepped: tuple[BackfillStep, ...]) -> Publishes:
    if choice.picked and not stepped:
        return Publishes.PER_PARTITION
    return Publishes.IN_STEPS if len(stepped) > 1 else Publishes.ATOMICALLY


def _refuse(timeline: Timeline, request: BackfillRequest, choice: Choice) -> None:
    """Of a range outside of the data: say what there is."""
    for name in request.limits:
        times = choice.candidates.get(name, NOTHING).times
        if times:
            first, last = key_of(timeline.nodes[name], times[0]), key_of(timeline.nodes[name], times[-1] - 1)
            raise UsageError(f"there is nothing in that range: {name} has {first} … {last}", hint="both ends are included")
    raise UsageError("there is nothing in that range: nothing has been delivered yet", hint="headrace status")
