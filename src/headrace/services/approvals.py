"""`approvals`, `approve`, `reject`: a second person decides about a plan that policy holds back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace.model import Refused, UnknownName, UsageError
from headrace.model.access import Role
from headrace.model.intervals import DAY_US
from headrace.model.partitions import command_line
from headrace.model.settings import Approval
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.services import commands
from headrace.services.backfill_planning import BackfillArguments, content
from headrace.services.backfill_views import published_of, stored_response
from headrace.services.backfills import AWAITING, number_of, order, replanned
from headrace.services.command_context import TOKEN_PREFIX, CommandContext, actor_named
from headrace.services.commands import PendingRun, leader_command, perform
from headrace.services.parameters import Argument, RequiredReason
from headrace.services.permissions import authorised
from headrace.services.responses.approvals import (
    ApprovalAnswerRow,
    ApprovalRow,
    ConsequenceRow,
    NeededApprovalRow,
)
from headrace.services.session import Progress, ProjectSession, Silent
from headrace.store import Transaction
from headrace.store.queries import access_tokens, backfill_plans
from headrace.store.queries import approvals as stored
from headrace.store.queries.backfill_plans import PlanRecord

SHOWN_MAX = 50
EXPIRES_DAYS = 7
"""A plan that waits longer can't be approved any more: its estimate and its reason are old."""
APPROVED, REJECTED = "approved", "rejected"
_NEEDED = NeededApprovalRow(role=Role.OWNER, of="anybody but the one who asked", count=1)

ApprovalId = Annotated[
    str, Argument("ID", help="the number that `headrace approvals` lists, or the plan's id")
]


@authorised
def approvals(session: ProjectSession) -> list[ApprovalRow]:
    """Return the plans that wait for an approval or have an answer (at most 50), newest first."""
    if session.store is None or session.compiled is None:
        return []
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        return [_row(session, tx, record, now_us) for record in stored.plans(tx, SHOWN_MAX)]


class AnswerArguments(msgspec.Struct, frozen=True):
    """An answer to a plan."""

    plan: int
    answer: str
    reason: str
    people: list[str]
    """Who answers: their name, and for a token also who created it."""


@authorised
def approve(
    session: ProjectSession, plan: ApprovalId, *, reason: RequiredReason, progress: Progress
) -> ApprovalRow:
    """Approve a plan that somebody else has asked for; it starts at once.

    Raise Refused without a reason, for one's own plan, and for one that has expired or would be
    another one by now. Raise UnknownName for an unknown plan.
    """
    return _answer(session, plan, APPROVED, reason, progress)


@authorised
def reject(
    session: ProjectSession, plan: ApprovalId, *, reason: RequiredReason, progress: Progress
) -> ApprovalRow:
    """Reject a plan that waits for an approval; it is cancelled. Raise as `approve` does."""
    return _answer(session, plan, REJECTED, reason, progress)


def _answer(
    session: ProjectSession, text: str, answer: str, reason: str, progress: Progress
) -> ApprovalRow:
    command = "approve" if answer == APPROVED else "reject"
    why = commands.required_reason(reason, command, "the person who asked reads it")
    arguments = AnswerArguments(number_of(session, text), answer, why, people_of(session))
    return perform(session, "approval_answer", arguments, progress)  # type: ignore[no-any-return]


def people_of(session: ProjectSession) -> list[str]:
    """Return who uses a session: the actor, the user, and for a token also who created it."""
    names = {session.actor, session.identity.name}
    return sorted(names.union(*(_creators(session, name) for name in names)))


def _creators(session: ProjectSession, actor: str) -> list[str]:
    """Return who created the tokens that have had an actor's name."""
    if not actor.startswith(TOKEN_PREFIX) or session.store is None:
        return []
    name = actor.removeprefix(TOKEN_PREFIX)
    with session.store.read() as tx:
        return [token.created_by for token in access_tokens.every(tx) if token.name == name]


@leader_command("approval_answer", AnswerArguments, ApprovalRow)
def _answered(
    context: CommandContext, arguments: AnswerArguments, progress: Progress
) -> ApprovalRow | PendingRun:
    context.leader(progress)
    with context.store.read() as tx:
        record = backfill_plans.get(tx, arguments.plan)
        given = stored.answers(tx, arguments.plan) if record is not None else []
    if record is None or (record.state != AWAITING and record.needs is None):
        raise UnknownName(
            f"no plan {arguments.plan} needs an approval", hint="headrace approvals lists them"
        )
    now_us = context.clock.now_us()
    if record.state == "planned" and [(item.answer, item.actor) for item in given] == [
        (arguments.answer, context.actor.id)
    ]:  # a new leader repeats the request of one that ended
        return _work(context, record)
    state = _state(record, [item.answer for item in given], now_us)
    if state != "open":
        raise UsageError(
            f"plan {record.id} can't be answered: it is {state}", hint="headrace approvals"
        )
    _refuse_own_plan(context.session, record, arguments.people)
    if arguments.answer == APPROVED:
        _refuse_changed_plan(context, record)

    def write(tx: Transaction, now: int) -> None:
        stored.add(
            tx,
            record.id,
            answer=arguments.answer,
            actor=context.actor.id,
            reason=arguments.reason,
            now=now,
        )
        approved = arguments.answer == APPROVED
        backfill_plans.move(tx, record.id, "planned" if approved else "cancelled", now)
        event = AuditEvent(
            action=Action.PLAN_APPROVED if approved else Action.PLAN_REJECTED,
            actor=context.actor,
            object=Object("backfill", str(record.id)),
            reason=arguments.reason,
        )
        append(tx, now, event)

    context.tell(write=write)
    if arguments.answer == APPROVED:
        return _work(context, record)
    return _response(context, record.id)


def _work(context: CommandContext, record: PlanRecord) -> PendingRun:
    """Return the run of an approved plan, in the name of the person who asked for it."""
    arguments = msgspec.json.decode(record.request, type=BackfillArguments)
    backfill = content(record)
    return PendingRun(
        context.leader(Silent()),
        msgspec.structs.replace(
            order(context, arguments, backfill, record.id), actor=actor_named(record.actor)
        ),
        "backfill",
        lambda _: _response(context, record.id),
        backfill.partitions,
    )


def _response(context: CommandContext, number: int) -> ApprovalRow:
    with context.store.read() as tx:
        record = backfill_plans.get(tx, number)
        assert record is not None  # plans are never deleted
        return _row(context.session, tx, record, context.clock.now_us())


def _refuse_own_plan(session: ProjectSession, record: PlanRecord, people: list[str]) -> None:
    """Raise Refused if the person who asked for a plan answers it, also through a token."""
    asked = {record.actor, *_creators(session, record.actor)}
    if asked & set(people):
        raise Refused(
            f"{record.actor} asked for plan {record.id}, so another person must decide about it",
            hint=f"headrace backfills cancel {record.id} --reason TEXT takes it back",
        )


def _refuse_changed_plan(context: CommandContext, record: PlanRecord) -> None:
    """Raise Refused if the plan would do something else by now than what was asked for."""
    arguments = msgspec.json.decode(record.request, type=BackfillArguments)
    now_id = replanned(context, arguments)[1].plan_id
    if now_id != arguments.plan_id:
        raise Refused(
            f"plan {record.id} is void: it would be {now_id} by now, not {arguments.plan_id}",
            hint=f"headrace reject {record.id} --reason TEXT, then plan it again",
        )


def _row(session: ProjectSession, tx: Transaction, record: PlanRecord, now_us: int) -> ApprovalRow:
    assert session.compiled is not None
    project = session.compiled.project
    given = stored.answers(tx, record.id)
    backfill = content(record)
    arguments = msgspec.json.decode(record.request, type=BackfillArguments)
    nodes = [project.node(item.node) for item in backfill.chosen]
    state = _state(record, [item.answer for item in given], now_us)
    return ApprovalRow(
        id=str(record.id),
        plan_id=arguments.plan_id,
        kind="backfill",
        asked_by=record.actor,
        reason=record.reason,
        asked_at=session.instant(record.created_at),
        expires_at=session.instant(_expires_at(record)),
        rule=_rule(record),
        needs=[_NEEDED],
        given=[
            ApprovalAnswerRow(
                by=item.actor,
                at=session.instant(item.answered_at),
                answer=item.answer,
                reason=item.reason,
            )
            for item in given
        ],
        state=state,
        consequence=ConsequenceRow(
            rows=None,
            partitions=backfill.partitions,
            consumers=_consumers(session, tx, record),
            domains=sorted({node.domain for node in nodes if node is not None and node.domain}),
            weakens=[],
        ),
        next=command_line("approve", str(record.id), "--reason", "TEXT")
        if state == "open"
        else command_line("backfills", str(record.id)),
    )


def _consumers(session: ProjectSession, tx: Transaction, record: PlanRecord) -> list[str]:
    assert session.compiled is not None
    response = stored_response(
        session,
        record,
        session.compiled,
        now=session.now(),
        clock=session.clock.kind,
        published=published_of(tx, record),
    )
    return response.affects.consumers


def _rule(record: PlanRecord) -> str:
    if record.needs is None:
        return ""
    return str(msgspec.json.decode(record.needs, type=Approval))


def _state(record: PlanRecord, answers: list[str], now_us: int) -> str:
    if REJECTED in answers:
        return REJECTED
    if APPROVED in answers:
        return APPROVED
    if record.state != AWAITING:
        return "void"
    return "expired" if now_us >= _expires_at(record) else "open"


def _expires_at(record: PlanRecord) -> int:
    """Return when a plan can't be approved any more, in microseconds since 1970 UTC."""
    return record.created_at + EXPIRES_DAYS * DAY_US
