"""Plans made by hand, as planning would make them, and a leader that works at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
from runlab import Lab

from headrace.acts.command_context import CommandContext
from headrace.plan.backfills import Backfill, BackfillSpan, BackfillStep, Chosen, Mode, Publishes
from headrace.project.session import ProjectSession
from headrace.runtime.leader import Leader
from headrace.runtime.leadership import Leadership, hold
from headrace.runtime.overlays import backfill as overlays_backfill
from headrace.runtime.overlays.backfill import Backfilling
from headrace.runtime.runs import RunRequest, RunResult
from headrace.scheduler import Target
from headrace.security.audit import Actor, ActorType
from headrace.store.queries import backfill_plans

PERSON = Actor(ActorType.PERSON, "tester")
Spans = Mapping[str, tuple[str, str]]
SECONDS_MAX = 150.0


@contextmanager
def leading(lab: Lab) -> Iterator[tuple[Leader, Leadership]]:
    """A leader over what is applied."""
    session: ProjectSession = lab.session()
    with hold(session.root, session.settings, actor=PERSON, now=session.now_given) as held:
        yield CommandContext(session, held).leader(), held


def planned(
    spans: Spans,
    *more: Spans,
    taken: Spans | None = None,
    after: Spans | None = None,
    mode: Mode = Mode.ALL,
    allow_partial: bool = False,
) -> Backfill:
    """A plan in one step, or in several."""
    chosen = [_chosen(node, span, "taken_in") for node, span in (taken or {}).items()]
    for step in (spans, *more):
        chosen += [_chosen(node, span, "staged") for node, span in step.items()]
    chosen += [_chosen(node, span, "afterwards") for node, span in (after or {}).items()]
    steps = tuple(
        BackfillStep(
            spans={node: (BackfillSpan(first=a, last=b),) for node, (a, b) in step.items()}
        )
        for step in (spans, *more)
    )
    return Backfill(
        mode=mode,
        chosen=tuple(chosen),
        skipped=(),
        steps=steps,
        publishes=Publishes.IN_STEPS if more else Publishes.ATOMICALLY,
        allow_partial=allow_partial,
    )


def _chosen(node: str, span: tuple[str, str], how: str) -> Chosen:
    return Chosen(
        node=node,
        spans=(BackfillSpan(first=span[0], last=span[1]),),
        partitions=1,
        why="by hand",
        how=how,
    )


def keep(held: Leadership, leader: Leader, backfill: Backfill) -> int:
    """Keep a plan; its id."""
    with held.store.write(held.lease.epoch) as tx:
        return backfill_plans.add(
            tx,
            state="planned",
            actor="tester",
            reason="to see",
            request="{}",
            version=leader.applied.id,
            content=msgspec.msgpack.encode(backfill),
            estimate=None,
            needs=None,
            now=held.clock.now_us(),
        )


def order(number: int, backfill: Backfill) -> RunRequest:
    taken = [item for item in backfill.chosen if item.how == "taken_in"]
    targets = tuple(
        Target(item.node, span.first, span.last) for item in taken for span in item.spans
    )
    return RunRequest(kind="backfill", targets=targets, actor=PERSON, plan=number, reason="to see")


def resume(leader: Leader, number: int, reason: str) -> int:
    """Goes on with a backfill; the number of the run that does."""
    with leader.store.read() as tx:
        row = backfill_plans.get(tx, number)
    assert row is not None
    request = overlays_backfill.run_request_of(Backfilling(row), row)
    return leader.begin(msgspec.structs.replace(request, actor=PERSON, reason=reason))


def work(leader: Leader, run: int, until: Callable[[], bool] = lambda: False) -> RunResult | None:
    """Turn after turn until the run has ended, or something holds."""
    while (result := leader.result(run)) is None and not until():
        leader.step(0.2)
    return result


def do(lab: Lab, backfill: Backfill) -> tuple[int, RunResult]:
    """Keep a plan and work at it to its end."""
    with leading(lab) as (leader, held):
        number = keep(held, leader, backfill)
        result = work(leader, leader.begin(order(number, backfill)))
        assert result is not None
        return number, result
