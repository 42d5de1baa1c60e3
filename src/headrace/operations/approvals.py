"""A run asks for the approvals that a backfill would (`[policy]` in headrace.toml)."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import Refused
from headrace.model.policy import APPROVAL
from headrace.model.zones import to_us
from headrace.operations import policy, standings
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.plan.backfills import Mode
from headrace.plan.choosing import BackfillRequest, Choice, choose
from headrace.plan.limits import limits_of
from headrace.plan.timeline import Timeline
from headrace.run.graph import graph_of


def check_run(
    session: ProjectSession,
    compiled: Compiled,
    names: Sequence[str],
    *,
    partitions: Sequence[str],
    first: str | None,
    last: str | None,
    again: bool,
) -> None:
    """Whether policy lets a run of these nodes begin. Refused, with the line that asks for an approval, where it doesn't."""
    if APPROVAL not in session.settings.policy:
        return
    graph = graph_of(compiled)
    timeline = Timeline(graph, standings.of_session(session, session.store, graph, compiled.project, session.version), to_us(session.now()))
    nodes = [timeline.nodes[name] for name in names if name in timeline.nodes]
    spans: list[tuple[str | None, str | None]] = [(key, key) for key in partitions] or [(first, last)]
    mode = Mode.ALL if again else Mode.MISSING
    wanted = (BackfillRequest(mode=mode, limits=limits_of(nodes, item, other), only=True) for item, other in spans)
    choices = [choose(timeline, compiled, request) for request in wanted]
    made = {item.node for choice in choices for item in choice.picked}
    count = sum(map(_count, choices))
    approval = policy.needed(session.root, session.settings, compiled.project, made, partitions=count)
    if approval is not None:
        raise Refused(
            f"this run makes {count:,} partitions, and that needs an approval: {approval}",
            hint="headrace backfill … keeps a plan for whoever approves",
        )


def _count(choice: Choice) -> int:
    return sum(len(item.extent) for item in choice.picked)
