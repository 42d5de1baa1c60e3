"""What came of a repair, written in the incident's timeline where its end doesn't say it: a repair that
failed didn't end an incident that is over later."""

from __future__ import annotations

import msgspec

from headrace.observe.incidents.commands import ACT, FAILED, REPAIR_BEGUN, REPAIRED
from headrace.operations.performing import CommandContext, leader_command
from headrace.operations.progress import Progress
from headrace.operations.responses import Response
from headrace.store import Transaction
from headrace.store.queries import incidents, trail
from headrace.store.queries.incidents import Happened


class FixEnded(msgspec.Struct, frozen=True):
    """What came of the repair of an incident, in a line; whether it, or a part of it, failed."""

    number: int
    said: str
    failed: bool


class FixEndNoted(Response, frozen=True, kw_only=True):
    """That it is written down."""

    number: int


@leader_command("fix_ended", FixEnded, FixEndNoted)
def fix_ended(context: CommandContext, arguments: FixEnded, progress: Progress) -> FixEndNoted:
    """Write down what came of the repair that was begun last, and which commands it consisted of."""
    del progress

    def write(tx: Transaction, now: int) -> None:
        lines = incidents.timeline_of(tx, arguments.number)
        begun = [line.act for line in lines if line.what.startswith(REPAIR_BEGUN) and line.act is not None]
        if begun and begun[-1].startswith(ACT):
            span = f"{begun[-1].removeprefix(ACT)}-{trail.last_seq(tx)}"
            act = f"{FAILED if arguments.failed else REPAIRED}{span}"
            line = Happened(now, arguments.said, context.actor.id, act)
            incidents.happened(tx, arguments.number, [line])

    context.tell(write=write)
    return FixEndNoted(number=arguments.number)
