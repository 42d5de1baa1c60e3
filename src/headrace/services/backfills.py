"""`backfill` and `backfills`: plan, confirm, store and run a backfill; list and control them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from headrace.access import agreements
from headrace.access.agreements import PlanChanged, agreed_id, changed, identified
from headrace.access.permissions import OPERATE, SEE, command
from headrace.acts import commands
from headrace.acts.approval_requests import tell_askers, tell_deciders
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import PendingRun, leader_command
from headrace.model import UnknownName, UsageError
from headrace.model.policy import EXPIRES_US
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.plan.backfill_planning import INGESTED
from headrace.plan.backfills import Backfill, Mode
from headrace.plan.project_plan import PLAN_ID
from headrace.project.parameters import (
    Agreed,
    Argument,
    Excluded,
    First,
    Last,
    Option,
    Reason,
    RequiredReason,
    Selected,
)
from headrace.project.session import Progress, ProjectSession, Silent, usable
from headrace.repairs.backfill_planning import (
    BackfillArguments,
    DraftBackfill,
    content,
    estimate_row,
    plan,
)
from headrace.repairs.backfill_views import (
    backfill_line,
    ingested,
    planned_response,
    published_of,
    stored_response,
    with_attempts,
)
from headrace.responses import RefusedRow
from headrace.responses.backfills import (
    BackfillResponse,
    BackfillsResponse,
    EstimateRow,
)
from headrace.runtime import estimates
from headrace.runtime.applied_versions import contents_of, manifest_of
from headrace.runtime.approval_states import of_backfill, state_shown
from headrace.runtime.runs import RunRequest, RunResult
from headrace.scheduler import Target
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import applied_versions, backfill_plans
from headrace.store.queries.backfill_plans import PlanRecord

Confirm = Callable[[BackfillResponse], bool]
"""Shows a plan and asks for confirmation; raises Refused where no person can be asked."""


@command("backfill", OPERATE, of="arguments.select")
def backfill(
    session: ProjectSession,
    arguments: BackfillArguments,
    *,
    dry_run: bool,
    confirm: Confirm,
    progress: Progress,
    plan_id: str | None = None,
) -> BackfillResponse:
    """Plan a backfill, ask for confirmation, and run it; with a `plan_id`, only that plan.

    With `dry_run` it only plans and writes nothing but the cache.

    Raise UsageError for unknown names, Refused without a reason, PlanChanged if the plan differs
    from `plan_id`, and whatever `confirm` raises.
    """
    agreements.checked_id(plan_id)
    if not dry_run:
        commands.required_reason(
            arguments.reason, "backfill", "who sees other figures tomorrow has to know why"
        )
    arguments = msgspec.structs.replace(arguments, reason=arguments.reason.strip())
    compiled, files = session.compiled, {}
    if compiled is None:
        # A new project: confirming the plan also confirms the files of its first version.
        contents, compilation = session.declared_exactly(progress)
        compiled = usable(compilation)
        files = manifest_of(contents_of(contents, compiled))
    planned = plan(session, session.store, compiled, session.version, arguments, now=session.now())
    response = planned_response(
        session,
        planned,
        arguments,
        now=session.now(),
        clock=session.clock.kind,
    )
    response = identified(session, response, session.version, files)
    _refuse_if_changed(
        response, changed(session, response, plan_id, session.version, files), plan_id
    )
    if dry_run or response.state == "nothing_due":
        return response
    if planned.approval is None and not confirm(response):
        return msgspec.structs.replace(response, state="declined")
    agreed = msgspec.structs.replace(arguments, estimate=planned.estimate, plan_id=response.plan_id)
    done: BackfillResponse = _backfill.perform(session, progress, agreed)
    _refuse_if_changed(done, done.refused, response.plan_id)
    return done


def _refuse_if_changed(
    response: BackfillResponse, row: RefusedRow | None, plan_id: str | None
) -> None:
    """Raise PlanChanged if the current plan differs from the confirmed one."""
    if row is not None:
        refused = msgspec.structs.replace(response, state="refused", refused=row, plan_id=plan_id)
        raise PlanChanged(plan_id or "", row, refused, f"{response.command} --dry-run")


@leader_command("backfill", BackfillResponse)
def _backfill(
    context: CommandContext, arguments: BackfillArguments
) -> PendingRun | BackfillResponse:
    applied = context.leader().applied
    planned, response = replanned(context, arguments)
    refused = changed(context.session, response, arguments.plan_id, applied.id)
    if refused is not None:
        return msgspec.structs.replace(response, state="refused", refused=refused)
    if not planned.backfill.chosen:
        return response
    number = keep(context, arguments, planned, applied.id)
    if planned.approval is not None:
        return stored_backfill(context, applied.compiled, number)
    return working(context, order(context, arguments, planned.backfill, number), planned.backfill)


def replanned(
    context: CommandContext, arguments: BackfillArguments
) -> tuple[DraftBackfill, BackfillResponse]:
    """Plan a backfill from the current state, and return it with its response and its id.

    The id is `arguments.plan_id` if the plan still is that one, also for a plan that was shown
    before the first version was applied.
    """
    applied = context.leader().applied
    planned = plan(
        context.session, context.store, applied.compiled, applied.id, arguments, now=context.now()
    )
    response = planned_response(
        context.session,
        planned,
        arguments,
        now=context.now(),
        clock=context.clock.kind,
    )
    response = identified(context.session, response, applied.id)
    if arguments.plan_id not in (None, response.plan_id):
        begun = _of_new_project(context, response, applied.id)
        response = begun if begun is not None and begun.plan_id == arguments.plan_id else response
    return planned, response


def _of_new_project(
    context: CommandContext, response: BackfillResponse, version: int
) -> BackfillResponse | None:
    """Return the plan as displayed before the first version was applied, with that version's files.

    None if an earlier version was applied.
    """
    with context.store.read() as tx:
        result = applied_versions.first(tx)
    if result is None or result.id != version:
        return None
    return identified(context.session, response, None, result.manifest)


def working(context: CommandContext, request: RunRequest, backfill: Backfill) -> PendingRun:
    """Return the run that works at a stored plan until it ends."""
    leader = context.leader()
    assert request.plan is not None
    return PendingRun(
        leader,
        request,
        "backfill",
        partial(_done, context, leader.applied.compiled, request.plan),
        backfill.partitions,
        partial(_ahead, context, leader.applied.compiled, request.plan),
    )


def _ahead(context: CommandContext, compiled: Compiled, number: int) -> str:
    """Return the remaining duration of a plan as a short text."""
    with context.store.read() as tx:
        row = backfill_plans.get(tx, number)
        left = (
            None if row is None else estimates.remaining(tx, compiled, row, context.clock.now_us())
        )
    return (
        "time to go not known yet"
        if left is None
        else f"about {duration(round(left.seconds * 1_000_000))} to go"
    )


def keep(
    context: CommandContext, arguments: BackfillArguments, planned: DraftBackfill, version: int
) -> int:
    """Store a plan before any of it runs, and return its id.

    A plan with the same id that waits for its approval already isn't stored again.
    """
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        before = backfill_plans.of_plan_id(tx, arguments.plan_id or "")
        if planned.approval is not None and before in {
            row.id for row in backfill_plans.awaiting(tx, now - EXPIRES_US)
        }:
            return before
        number = backfill_plans.add(
            tx,
            state="planned" if planned.approval is None else "awaiting_approval",
            actor=context.actor.id,
            reason=arguments.reason,
            request=msgspec.json.encode(arguments).decode(),
            version=version,
            content=msgspec.msgpack.encode(planned.backfill),
            estimate=msgspec.json.encode(planned.estimate).decode(),
            needs=(
                None if planned.approval is None else msgspec.json.encode(planned.approval).decode()
            ),
            now=now,
        )
        append(tx, now, _creation_event(context, arguments, planned, number))
        if planned.approval is not None:
            record = backfill_plans.get(tx, number)
            assert record is not None  # it was stored above
            tell_deciders(context, tx, of_backfill(tx, record), now)
    return number


def _creation_event(
    context: CommandContext, arguments: BackfillArguments, planned: DraftBackfill, number: int
) -> AuditEvent:
    chosen = {
        item.node: [item.partitions, item.spans[0].first, item.spans[-1].last]
        for item in planned.backfill.chosen
    }
    after: dict[str, Any] = {
        "plan_id": arguments.plan_id,
        "mode": arguments.mode,
        "partitions": planned.backfill.partitions,
        "chosen": chosen,
    }
    if planned.approval is not None:
        after["needs"] = str(planned.approval)
    return AuditEvent(
        action=Action.PLAN_MADE,
        actor=context.actor,
        object=Object("backfill", str(number)),
        reason=arguments.reason,
        after=after,
    )


def order(
    context: CommandContext, arguments: BackfillArguments, backfill: Backfill, number: int
) -> RunRequest:
    """Return the run request: observe the ingested sources first, then run the plan."""
    ingested_items = [chosen for chosen in backfill.chosen if chosen.how == INGESTED]
    nodes = frozenset(item.node for item in ingested_items)
    return RunRequest(
        kind="backfill",
        targets=tuple(
            Target(item.node, span.first, span.last)
            for item in ingested_items
            for span in item.spans
        ),
        actor=context.actor,
        request=msgspec.to_builtins(arguments),
        reason=arguments.reason,
        retry=nodes if backfill.mode is Mode.FAILED else frozenset(),
        again=nodes if backfill.mode is Mode.ALL else frozenset(),
        plan=number,
    )


def _done(
    context: CommandContext, compiled: Compiled, number: int, result: RunResult
) -> BackfillResponse:
    return msgspec.structs.replace(
        stored_backfill(context, compiled, number), notes=list(result.warnings)
    )


def stored_backfill(context: CommandContext, compiled: Compiled, number: int) -> BackfillResponse:
    """Return a stored plan in its current state."""
    with context.store.read() as tx:
        row = backfill_plans.get(tx, number)
        assert row is not None  # plans are never deleted
        response = stored_response(
            context.session,
            row,
            compiled,
            now=context.now(),
            clock=context.clock.kind,
            published=published_of(tx, row),
        )
        return with_attempts(tx, compiled.project, response)


# `backfills`: list them, show one, and pause, resume or cancel one.

SHOWN_MAX = 50
OPEN = ("running", "paused")
AWAITING = "awaiting_approval"
UNBEGUN = ("planned", AWAITING)
UNMADE = ("failed", "partial")
"""Ended states that can be resumed: only failed partitions are retried."""
PAUSE, RESUME, CANCEL = "pause", "resume", "cancel"
DIGITS_MAX = 18


BackfillId = Annotated[str, Argument("ID", help="its number")]
FailedSince = Annotated[
    str | None,
    Option("--since", metavar="T", help="with --mode failed: what failed since then"),
]
ModeOption = Annotated[
    str,
    Option(
        "--mode", metavar="missing|failed|all", help="missing: partitions that are absent or stale"
    ),
]
Only = Annotated[bool, Option("--only", help="nothing of what reads them")]
AllowPartial = Annotated[
    bool,
    Option("--allow-partial", help="publish what could be made though some of it failed"),
]


@command(
    "backfill preview",
    SEE,
    of="select",
    http="GET /backfills/preview backfill_preview",
    session="preview_backfill",
)
def preview_backfill(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    select: Selected = (),
    *,
    exclude: Excluded = (),
    first: First = None,
    last: Last = None,
    since: FailedSince = None,
    mode: ModeOption = "missing",
    only: Only = False,
    allow_partial: AllowPartial = False,
    reason: Reason = None,
) -> BackfillResponse:
    """Plan a backfill: its partitions, duration and the consumers it reaches. Nothing is run.

    Raise UsageError as `backfill` does.
    """
    arguments = BackfillArguments(
        [*select], [*exclude], first, last, since, mode, reason or "", only, allow_partial
    )
    return backfill(session, arguments, dry_run=True, confirm=lambda _: False, progress=Silent())


@command("backfill", OPERATE, of="select", http="POST /backfills do_backfill", session="backfill")
def run_backfill(  # noqa: PLR0913 - as many as the command has options
    session: ProjectSession,
    select: Selected,
    *,
    exclude: Excluded = (),
    first: First = None,
    last: Last = None,
    since: FailedSince = None,
    mode: ModeOption = "missing",
    only: Only = False,
    allow_partial: AllowPartial = False,
    reason: RequiredReason,
    agreed: Agreed = None,
    progress: Progress,
) -> BackfillResponse:
    """Compute partitions of the past alongside production, and publish them at once.

    `agreed` is the id of a previewed plan: only that plan is run. Raise as `backfill` does.
    """
    return backfill(
        session,
        BackfillArguments(
            [*select], [*exclude], first, last, since, mode, reason, only, allow_partial
        ),
        dry_run=False,
        confirm=lambda _: True,
        progress=progress,
        plan_id=agreed_id(agreed),
    )


@command("backfills", SEE, http="GET /backfills backfills", session="backfills")
def backfills(session: ProjectSession) -> BackfillsResponse:
    """Return the newest backfills (at most 50), newest first."""
    lines, now_us = (
        [],
        session.clock.now_us(),
    )  # before the transaction: a store runs one read at a time
    if session.store is not None and session.compiled is not None:
        with session.store.read() as tx:
            lines = [
                backfill_line(
                    session,
                    row,
                    state_shown(tx, row, now_us),
                    ingested(tx, row),
                    _remaining(session, tx, row, now_us),
                )
                for row in backfill_plans.newest(tx, SHOWN_MAX)
            ]
    return BackfillsResponse(now=session.now(), clock=session.clock.kind, backfills=lines)


@command("backfills show", SEE, http="GET /backfills/{plan} backfill", session="backfill_state")
def get_backfill(session: ProjectSession, plan: BackfillId) -> BackfillResponse:
    """Return one backfill in its current state. Raise UsageError if it doesn't exist."""
    number = number_of(session, plan)
    if session.store is None or session.compiled is None:
        raise unknown(plan)
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        row = backfill_plans.get(tx, number)
        if row is None:
            raise unknown(plan)
        remaining, published = _remaining(session, tx, row, now_us), published_of(tx, row)
        state = state_shown(tx, row, now_us)
    now, clock = session.now(), session.clock.kind
    response = stored_response(
        session,
        row,
        session.compiled,
        now=now,
        clock=clock,
        published=published,
        remaining=remaining,
    )
    with session.store.read() as tx:
        response = with_attempts(tx, session.compiled.project, response)
    return msgspec.structs.replace(response, state=state)


def _ask(
    session: ProjectSession, action: str, text: str, *, reason: str | None, progress: Progress
) -> BackfillResponse:
    """Pause, resume or cancel a backfill.

    Raise UsageError for one that doesn't exist or has ended, Refused without a reason.
    """
    number = number_of(session, text)
    audit_reason = commands.required_reason(
        reason, f"backfills {action}", "it is recorded in the audit trail"
    )
    return _act.perform(session, progress, action, number, audit_reason)


@command(
    "backfills pause",
    OPERATE,
    http="POST /backfills/{plan}/pause do_pause_backfill",
    session="pause_backfill",
)
def pause_backfill(
    session: ProjectSession,
    plan: BackfillId,
    *,
    reason: RequiredReason,
    progress: Progress,
) -> BackfillResponse:
    """Start nothing more of a backfill. Running attempts go on.

    Raise UsageError for one that doesn't exist or has ended, Refused without a reason.
    """
    return _ask(session, PAUSE, plan, reason=reason, progress=progress)


@command(
    "backfills resume",
    OPERATE,
    http="POST /backfills/{plan}/resume do_resume_backfill",
    session="resume_backfill",
)
def resume_backfill(
    session: ProjectSession,
    plan: BackfillId,
    *,
    reason: RequiredReason,
    progress: Progress,
) -> BackfillResponse:
    """Go on with a paused or failed backfill, to its end.

    Raise UsageError for one that doesn't exist or has ended, Refused without a reason.
    """
    return _ask(session, RESUME, plan, reason=reason, progress=progress)


@command(
    "backfills cancel",
    OPERATE,
    http="POST /backfills/{plan}/cancel do_cancel_backfill",
    session="cancel_backfill",
)
def cancel_backfill(
    session: ProjectSession,
    plan: BackfillId,
    *,
    reason: RequiredReason,
    progress: Progress,
) -> BackfillResponse:
    """End a backfill and discard what it computed.

    Raise UsageError for one that doesn't exist or has ended, Refused without a reason.
    """
    return _ask(session, CANCEL, plan, reason=reason, progress=progress)


@leader_command("backfills", BackfillResponse)
def _act(
    context: CommandContext, action: str, number: int, reason: str
) -> BackfillResponse | PendingRun:
    with context.store.read() as tx:
        row = backfill_plans.get(tx, number)
    if row is None:
        raise unknown(str(number))
    if row.state not in (*OPEN, *UNBEGUN, *(UNMADE if action == RESUME else ())):
        raise UsageError(
            f"backfill {number} has ended: it is {row.state}", hint=f"headrace backfills {number}"
        )
    leader = context.leader()
    if row.state == AWAITING or (row.state in UNBEGUN and action != RESUME):
        _drop(context, action, reason, row)
    elif action == RESUME:
        return _resumed(context, reason, row)
    elif action == PAUSE:
        leader.pause_plan(number, context.actor, reason)
    else:
        leader.cancel_plan(number, context.actor, reason)
    return stored_backfill(context, leader.applied.compiled, number)


def _resumed(context: CommandContext, reason: str, row: PlanRecord) -> PendingRun:
    """Resume a plan in this process and run it to its end."""
    if row.state == "running":
        raise UsageError(
            f"backfill {row.id} isn't paused: it is running", hint=f"headrace backfills {row.id}"
        )
    backfill_arguments = msgspec.json.decode(row.request, type=BackfillArguments)
    backfill = content(row)
    return working(
        context,
        order(
            context,
            msgspec.structs.replace(backfill_arguments, reason=reason),
            backfill,
            row.id,
        ),
        backfill,
    )


def _drop(context: CommandContext, action: str, reason: str, row: PlanRecord) -> None:
    """Cancel a plan that hasn't begun; any other action raises UsageError."""
    if action != CANCEL:
        raise UsageError(
            f"backfill {row.id} hasn't begun: it is {row.state}",
            hint=f"headrace backfills cancel {row.id} --reason TEXT, and plan it again",
        )
    event = AuditEvent(
        action=Action.PLAN_CANCELLED,
        actor=context.actor,
        object=Object("backfill", str(row.id)),
        reason=reason,
        before={"state": row.state},
    )
    with context.store.write(context.held.lease.epoch) as tx:
        now = context.clock.mark(tx)
        backfill_plans.move(tx, row.id, "cancelled", now)
        append(tx, now, event)
        tell_askers(context, tx, now)


def _remaining(
    session: ProjectSession, tx: Transaction, row: PlanRecord, now_us: int
) -> EstimateRow | None:
    if row.state != "running" or session.compiled is None:
        return None
    estimate = estimates.remaining(tx, session.compiled, row, now_us)
    return None if estimate is None else estimate_row(estimate)


def number_of(session: ProjectSession, text: str) -> int:
    """Return a backfill's number, typed as such or as its plan id.

    Raise UsageError for anything else.

    A plan id stands for the newest backfill with it.
    """
    if PLAN_ID.fullmatch(text) and session.store is not None:
        with session.store.read() as tx:
            number = backfill_plans.of_plan_id(tx, text)
        if number is not None:
            return number
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX):
        raise UnknownName(
            f"{text[:40]!r} is no backfill's number", hint="headrace backfills lists them"
        )
    return int(text)


def unknown(text: str) -> UsageError:
    """Return the error for an unknown backfill."""
    return UnknownName(f"there is no backfill {text[:40]}", hint="headrace backfills lists them")
