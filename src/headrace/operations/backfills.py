"""`backfills`: those that there are, one of them, and what people do about one that goes on."""

from __future__ import annotations

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import UnknownName, UsageError
from headrace.operations import estimates, reasons
from headrace.operations.backfill import kept, order, working
from headrace.operations.backfill_planning import BackfillArguments, content, estimate_row
from headrace.operations.backfill_responses import BackfillResponse, BackfillsResponse, EstimateRow
from headrace.operations.backfill_showing import ingested, line_of, of_row, published_of, with_attempts
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.request_handler import PendingRun
from headrace.operations.session import ProjectSession
from headrace.plan.project_plan import PLAN_ID
from headrace.store import Transaction
from headrace.store.queries import plans
from headrace.store.queries.plans import PlanRecord

SHOWN_MAX = 50
OPEN = ("running", "paused")
AWAITING = "awaiting_approval"
UNBEGUN = ("planned", AWAITING)
UNMADE = ("failed", "partial")
"""What has ended so can be gone on with: what couldn't be made is tried again, nothing else."""
PAUSE, RESUME, CANCEL = "pause", "resume", "cancel"
DIGITS_MAX = 18


class BackfillsArguments(msgspec.Struct, frozen=True):
    """What is done to which plan."""

    action: str
    plan: int
    reason: str


def backfills(session: ProjectSession) -> BackfillsResponse:
    """The newest backfills, newest first."""
    lines, now_us = [], session.clock.now_us()  # asked before: a store reads one transaction at a time
    if session.store is not None and session.compiled is not None:
        with session.store.read() as tx:
            lines = [line_of(session, row, ingested(tx, row), _remaining(session, tx, row, now_us)) for row in plans.newest(tx, SHOWN_MAX)]
    return BackfillsResponse(now=session.now(), clock=session.clock.kind, backfills=lines)


def one(session: ProjectSession, text: str) -> BackfillResponse:
    """One backfill as it stands. UsageError if there is none of that number."""
    number = number_of(session, text)
    if session.store is None or session.compiled is None:
        raise unknown(text)
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        row = plans.get(tx, number)
        if row is None:
            raise unknown(text)
        remaining, published = _remaining(session, tx, row, now_us), published_of(tx, row)
    now, clock = session.now(), session.clock.kind
    response = of_row(session, row, session.compiled, now=now, clock=clock, published=published, remaining=remaining)
    with session.store.read() as tx:
        return with_attempts(tx, session.compiled.project, response)


def act(session: ProjectSession, action: str, text: str, *, reason: str | None, progress: Progress) -> BackfillResponse:
    """Pause, resume or cancel a backfill. UsageError for one that there isn't, or that has ended; Refused without a reason."""
    number = number_of(session, text)
    said = reasons.given(reason, f"backfills {action}", "it stands in the audit trail")
    return perform(session, "backfills", BackfillsArguments(action, number, said), progress)  # type: ignore[no-any-return]


@leader_command("backfills", BackfillsArguments, BackfillResponse)
def _act(context: CommandContext, arguments: BackfillsArguments, progress: Progress) -> BackfillResponse | PendingRun:
    number = arguments.plan
    with context.store.read() as tx:
        row = plans.get(tx, number)
    if row is None:
        raise unknown(str(number))
    if row.state not in (*OPEN, *UNBEGUN, *(UNMADE if arguments.action == RESUME else ())):
        raise UsageError(f"backfill {number} has ended: it is {row.state}", hint=f"headrace backfills {number}")
    leader = context.leader(progress)
    if row.state == AWAITING or (row.state in UNBEGUN and arguments.action != RESUME):
        _drop(context, arguments, row)
    elif arguments.action == RESUME:
        return _resumed(context, arguments, row)
    elif arguments.action == PAUSE:
        leader.pause_plan(number, context.actor, arguments.reason)
    else:
        leader.cancel_plan(number, context.actor, arguments.reason)
    return kept(context, leader.applied.compiled, number)


def _resumed(context: CommandContext, arguments: BackfillsArguments, row: PlanRecord) -> PendingRun:
    """Go on with a plan, here, to its end."""
    if row.state == "running":
        raise UsageError(f"backfill {row.id} isn't paused: it is running", hint=f"headrace backfills {row.id}")
    backfill_arguments = msgspec.json.decode(row.request, type=BackfillArguments)
    backfill = content(row)
    return working(
        context, order(context, msgspec.structs.replace(backfill_arguments, reason=arguments.reason), backfill, row.id), backfill
    )


def _drop(context: CommandContext, arguments: BackfillsArguments, row: PlanRecord) -> None:
    """Cancel a plan of which nothing has begun; there is nothing else to do about it."""
    if arguments.action != CANCEL:
        raise UsageError(
            f"backfill {row.id} hasn't begun: it is {row.state}",
            hint=f"headrace backfills cancel {row.id} --reason TEXT, and plan it again",
        )
    event = AuditEvent(
        action=Action.PLAN_CANCELLED, actor=context.actor, object=Object("backfill", str(row.id)), reason=arguments.reason,
        before={"state": row.state},
    )  # fmt: skip
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        plans.move(tx, row.id, "cancelled", now)
        append(tx, now, event)


def _remaining(session: ProjectSession, tx: Transaction, row: PlanRecord, now_us: int) -> EstimateRow | None:
    if row.state != "running" or session.compiled is None:
        return None
    estimate = estimates.remaining(tx, session.compiled, row, now_us)
    return None if estimate is None else estimate_row(estimate)


def number_of(session: ProjectSession, text: str) -> int:
    """A backfill's number, as typed or by the id of its plan (the newest that did it). UsageError for what is neither."""
    if PLAN_ID.fullmatch(text) and session.store is not None:
        with session.store.read() as tx:
            number = plans.of_plan_id(tx, text)
        if number is not None:
            return number
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX):
        raise UnknownName(f"{text[:40]!r} is no backfill's number", hint="headrace backfills lists them")
    return int(text)


def unknown(text: str) -> UsageError:
    """What to raise where there is no such plan."""
    return UnknownName(f"there is no backfill {text[:40]}", hint="headrace backfills lists them")
