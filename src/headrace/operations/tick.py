"""`tick`: one pass over everything that is due."""

from __future__ import annotations

import msgspec

from headrace.lake.intact import DataCorrupted
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.request_handler import PendingRun
from headrace.operations.responses import RunResponse
from headrace.operations.run_response import run_response
from headrace.operations.session import ProjectSession
from headrace.run.orders import RunRequest, RunResult


class TickArguments(msgspec.Struct, frozen=True):
    """A tick takes nothing."""


def tick(session: ProjectSession, *, progress: Progress) -> RunResponse:
    """Look at the sources, run what is due until nothing is, judge who is served, and say what was done."""
    return perform(session, "tick", TickArguments(), progress)  # type: ignore[no-any-return]


@leader_command("tick", TickArguments, RunResponse)
def _tick(context: CommandContext, arguments: TickArguments, progress: Progress) -> PendingRun:
    del arguments
    leader = context.leader(progress)
    damaged = leader.look_at_files()

    def response(result: RunResult) -> RunResponse:
        if (wrong := leader.maintain()) is not None:
            progress.note(wrong)
        found = run_response(context.store, context.clock, context.session.zone, result)
        opened = [*damaged, *found.incidents_opened]
        if any(attempt.error is not None and attempt.error.code == DataCorrupted.code for attempt in found.attempts):
            opened += leader.look_at_files()  # the rotation may not have come to what an attempt couldn't read
        return msgspec.structs.replace(found, incidents_opened=opened)

    return PendingRun(leader, RunRequest(kind="tick", targets=leader.everything, actor=context.actor), "tick", response)
