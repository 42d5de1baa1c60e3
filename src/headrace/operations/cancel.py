"""`cancel`: a run that is under way isn't wanted any more."""

from __future__ import annotations

import msgspec

from headrace.model import Refused, UnknownName
from headrace.operations.interventions import CancelResponse
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.runs import number_of, unknown_run
from headrace.operations.session import ProjectSession
from headrace.store.clock import instant
from headrace.store.lease import holder
from headrace.store.queries import runs
from headrace.store.queries.runs import Run

BY_ITSELF = "serve"
"""The kind of the runs that are waves of a server's own work: nobody asked for them, so nobody can take them back."""


class CancelArguments(msgspec.Struct, frozen=True):
    """What was typed."""

    run: int
    reason: str


def cancel(session: ProjectSession, run: str, *, reason: str | None, progress: Progress) -> CancelResponse:
    """End a run: what is published stays, what it alone wanted isn't started, and its attempts are ended.

    One that isn't under way is only told about. UsageError for a run that there isn't."""
    number = number_of(run)
    if session.store is None:
        raise unknown_run(run)
    with session.store.read() as tx:
        result, led = runs.get(tx, number), holder(tx) is not None
    if result is None:
        raise unknown_run(run)
    if result.finished_at is not None or not led:
        return CancelResponse(
            now=session.now(), clock=session.clock.kind, run_id=str(number), by=result.cancelled_by, reason=result.reason,
            state="lost" if result.finished_at is None else result.shown_state,
            ended_at=None if result.finished_at is None else session.instant(result.finished_at),
        )  # fmt: skip
    return perform(session, "cancel", CancelArguments(number, (reason or "").strip()), progress)  # type: ignore[no-any-return]


@leader_command("cancel", CancelArguments, CancelResponse)
def _cancel(context: CommandContext, arguments: CancelArguments, progress: Progress) -> CancelResponse:
    del progress
    leader = context.working
    if leader is not None and leader.under_way(arguments.run) is not None:
        leader.cancel(arguments.run, context.actor, arguments.reason)
    with context.store.read() as tx:
        run = runs.get(tx, arguments.run)
    if run is None:
        raise UnknownName(f"there is no run {arguments.run}", hint="headrace runs lists them")
    if run.kind == BY_ITSELF and run.finished_at is None:
        raise Refused(
            f"run {arguments.run} is what the server does by itself: it would begin anew",
            hint="headrace pause SELECT --reason TEXT keeps what hasn't begun from it; stopping the server ends all",
        )
    return _response(context, run)


def _response(context: CommandContext, run: Run) -> CancelResponse:
    ended = None if run.finished_at is None else instant(run.finished_at).astimezone(context.session.zone)
    return CancelResponse(
        now=context.now(), clock=context.clock.kind, run_id=str(run.id), state=run.shown_state, by=run.cancelled_by, reason=run.reason,
        ended_at=ended,
    )  # fmt: skip
