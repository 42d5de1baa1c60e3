"""`approvals`, `approve`, `reject`: other people decide about a plan that policy holds back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace.access import contract_agreements
from headrace.access.permissions import APPROVE, SEE, command, rules_of, unrestricted
from headrace.access.same_person import names_of_people
from headrace.access.visibility import HIDDEN
from headrace.acts import commands
from headrace.acts.approval_links import link_recipient
from headrace.acts.approval_requests import tell_askers
from headrace.acts.command_context import TOKEN_PREFIX, CommandContext, actor_named
from headrace.acts.commands import PendingRun, leader_command
from headrace.model import Refused, UnknownName, UsageError
from headrace.model.partitions import command_line
from headrace.model.policy import ChangedContract, Consequence, Need
from headrace.plan.project_plan import PLAN_ID
from headrace.project.parameters import Argument, Option, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.repairs.backfill_planning import BackfillArguments, content
from headrace.responses.approvals import (
    ApprovalAnswerRow,
    ApprovalRow,
    ChangedContractRow,
    ConsequenceRow,
    NeededApprovalRow,
)
from headrace.runtime.approval_states import (
    APPROVED,
    BACKFILL,
    EXPIRED,
    OPEN,
    PREFIX,
    REJECTED,
    VOID,
    Pending,
    can_meet,
    given,
    key_of,
    missing,
    of_backfill,
    of_request,
    state_of,
    version_now,
)
from headrace.security.audit import (
    Action,
    ActionOutcome,
    AuditEvent,
    Object,
    append,
    append_all,
)
from headrace.services.backfills import DIGITS_MAX, number_of, order, replanned
from headrace.store import Transaction
from headrace.store.queries import access_tokens, backfill_plans
from headrace.store.queries import approvals as stored
from headrace.store.queries.approvals import ApprovalAnswer, Subject
from headrace.store.queries.backfill_plans import PlanRecord

SHOWN_MAX = 50

ApprovalId = Annotated[
    str, Argument("ID", help="what `headrace approvals` lists, or the plan's id")
]

MessageLink = Annotated[
    str | None,
    Option("--link", metavar="LINK", help="the link of the message, which is used up by it"),
]


@command(
    "approvals",
    SEE,
    lists=True,
    http="GET /approvals approvals",
    session="approvals",
    group="act",
    summary="list plans that wait for an approval, and the answers",
)
def approvals(session: ProjectSession) -> list[ApprovalRow]:
    """Return the plans that need or needed an approval (at most 50), newest first.

    A role that is limited to nodes gets the plans that it can answer or has asked for.
    """
    version, newest = _newest(session)
    now_us = session.clock.now_us()
    return [_row(session, pending, version, now_us) for pending in newest]


def answerable(session: ProjectSession) -> list[ApprovalRow]:
    """Return the open plans of other people that the session's identity may answer."""
    (version, newest), now_us = _newest(session), session.clock.now_us()
    people = people_of(session)
    return [
        _row(session, pending, version, now_us)
        for pending in newest
        if pending.asked_by not in people and state_of(pending, version, now_us)[0] == OPEN
        if any(_can_meet(session, need) for need in pending.needs)
    ]


def _newest(session: ProjectSession) -> tuple[int | None, list[Pending]]:
    """Return the applied version, and the plans that somebody may see, newest first."""
    if session.store is None or session.compiled is None:
        return None, []
    with session.store.read() as tx:
        every = [
            *(of_backfill(tx, record) for record in stored.backfills(tx, SHOWN_MAX)),
            *(of_request(tx, request) for request in stored.requests(tx, SHOWN_MAX)),
        ]
        version = version_now(tx)
    every = [pending for pending in every if _shows(session, pending)]
    return version, sorted(every, key=lambda pending: pending.created_at, reverse=True)[:SHOWN_MAX]


@command(
    "approvals show", SEE, lists=True, http="GET /approvals/{plan} approval", session="approval"
)
def approval(session: ProjectSession, plan: ApprovalId, *, link: MessageLink = None) -> ApprovalRow:
    """Return one plan that needs or needed an approval.

    Raise UnknownName for an unknown plan, and Refused for a `link` that isn't one to this plan or
    that is for somebody else.
    """
    subject = _subject(session, plan)
    if session.store is None:
        raise _unknown(subject)
    with session.store.read() as tx:
        pending, version = find(tx, subject), version_now(tx)
    if pending is None or not _shows(session, pending):
        raise _unknown(subject)
    if link is not None:
        link_recipient(session, pending, link)
    return _row(session, pending, version, session.clock.now_us())


def _shows(session: ProjectSession, pending: Pending) -> bool:
    """Whether the session's identity may see a plan: it sees all nodes, can answer, or asked."""
    return (
        session.visible is None
        or pending.asked_by == session.identity.name
        or any(_can_meet(session, need) for need in pending.needs)
    )


class AnswerArguments(msgspec.Struct, frozen=True):
    """An answer to a plan."""

    plan: int | None
    answer: str
    reason: str
    people: list[str]
    """Who answers: their name, and for a token also who created it."""
    request: int | None = None
    meets: list[tuple[str, str]] = []
    """(role, of) of the needs that they can meet."""
    link: str | None = None
    """The recipient of the message through whose link they answer."""
    link_problem: str = ""
    """Why they can't answer through the link that they gave."""


@command(
    "approve",
    APPROVE,
    anywhere=True,
    http="POST /approvals/{plan}/approve do_approve",
    session="approve",
    group="act",
    summary="approve a plan that somebody else asked for",
)
def approve(
    session: ProjectSession,
    plan: ApprovalId,
    *,
    reason: RequiredReason,
    link: MessageLink = None,
    progress: Progress,
) -> ApprovalRow:
    """Approve a plan that somebody else has asked for; a backfill starts with the last approval.

    Raise Refused without a reason, for one's own plan, without a role that the plan needs, and for
    a plan that has expired or would be another one by now, and for a `link` that was used, was
    changed, or is for somebody else. Raise UnknownName for an unknown plan.
    """
    return _answer(session, plan, APPROVED, reason, link, progress)


@command(
    "reject",
    APPROVE,
    anywhere=True,
    http="POST /approvals/{plan}/reject do_reject",
    session="reject",
    group="act",
    summary="reject a plan that waits for an approval",
)
def reject(
    session: ProjectSession,
    plan: ApprovalId,
    *,
    reason: RequiredReason,
    link: MessageLink = None,
    progress: Progress,
) -> ApprovalRow:
    """Reject a plan that waits for an approval; a backfill is cancelled. Raise like `approve`."""
    return _answer(session, plan, REJECTED, reason, link, progress)


def _answer(
    session: ProjectSession,
    text: str,
    answer: str,
    reason: str,
    link: str | None,
    progress: Progress,
) -> ApprovalRow:
    command = "approve" if answer == APPROVED else "reject"
    why = commands.required_reason(reason, command, "the person who asked reads it")
    subject = _subject(session, text)
    arguments = AnswerArguments(subject.plan, answer, why, people_of(session), subject.request)
    if session.store is not None:
        with session.store.read() as tx:
            pending = find(tx, subject)
        if pending is not None:
            arguments = _of_pending(session, pending, arguments, link)
    return _answered.perform(session, progress, arguments)


def _of_pending(
    session: ProjectSession, pending: Pending, arguments: AnswerArguments, link: str | None
) -> AnswerArguments:
    """Return the arguments with what the session's user can answer, and through which link."""
    recipient, problem = None, ""
    if link is not None:
        try:
            recipient = link_recipient(session, pending, link)
        except Refused as error:
            problem = str(error)
    return msgspec.structs.replace(
        arguments,
        meets=[key_of(need) for need in pending.needs if _can_meet(session, need)],
        link=recipient,
        link_problem=problem,
    )


def _subject(session: ProjectSession, text: str) -> Subject:
    """Return what an id names. Raise UnknownName for one that can't be an approval's."""
    digits = text.removeprefix(PREFIX)
    if digits != text and digits.isascii() and digits.isdecimal() and len(digits) <= DIGITS_MAX:
        return Subject(request=int(digits))
    if PLAN_ID.fullmatch(text) and session.store is not None:
        with session.store.read() as tx:
            request = stored.newest_of_plan(tx, text)
        if request is not None:
            return Subject(request=request.id)
    try:
        return Subject(plan=number_of(session, text))
    except UnknownName as why:
        raise UnknownName(
            f"there is no approval {text[:40]!r}", hint="headrace approvals lists them"
        ) from why


def _can_meet(session: ProjectSession, need: Need) -> bool:
    return unrestricted(session) or can_meet(
        need,
        session.project(),
        rules_of(session),
        session.identity,
        env=session.env,
        today=session.now().date(),
    )


def people_of(session: ProjectSession) -> list[str]:
    """Return who uses a session: the actor, the user, and for a token also who created it."""
    names = {session.actor, session.identity.name}
    names = names.union(*(_creators(session, name) for name in names))
    return sorted(names_of_people(rules_of(session), names))


def _creators(session: ProjectSession, actor: str) -> list[str]:
    """Return who created the tokens that have had an actor's name, also by another token."""
    if not actor.startswith(TOKEN_PREFIX) or session.store is None:
        return []
    with session.store.read() as tx:
        return access_tokens.creators(tx, actor)


def find(tx: Transaction, subject: Subject) -> Pending | None:
    """Return a plan that needs or needed an approval; None for any other."""
    if subject.request is not None:
        request = stored.request(tx, subject.request)
        return None if request is None else of_request(tx, request)
    record = None if subject.plan is None else backfill_plans.get(tx, subject.plan)
    return None if record is None or record.needs is None else of_backfill(tx, record)


@leader_command("approval_answer", ApprovalRow)
def _answered(context: CommandContext, arguments: AnswerArguments) -> ApprovalRow | PendingRun:
    context.leader()
    subject = Subject(arguments.plan, arguments.request)
    with context.store.read() as tx:
        pending, version = find(tx, subject), version_now(tx)
    if pending is None:
        raise _unknown(subject)
    if _repeated(context, arguments, pending):
        return _result(context, subject)
    _refuse_link(context, pending, arguments)
    state, why = state_of(pending, version, context.clock.now_us())
    if state == VOID:
        raise Refused(f"plan {pending.id} is void: {why}", hint="plan it again")
    if state != OPEN:
        hint = "headrace approvals"
        if state == EXPIRED:
            hint = "type the command of the plan again: it asks for a new approval"
        raise UsageError(f"plan {pending.id} can't be answered: it is {state} ({why})", hint=hint)
    _refuse_own_plan(context, pending, arguments.people)
    _refuse_without_role(context, pending, arguments)
    if arguments.answer == APPROVED:
        _refuse_changed_plan(context, pending)

    def write(tx: Transaction, now: int) -> None:
        answer = ApprovalAnswer(
            arguments.answer,
            context.actor.id,
            frozenset(arguments.people),
            frozenset(arguments.meets),
            arguments.reason,
            now,
            arguments.link,
        )
        stored.add(tx, subject, answer)
        approved = arguments.answer == APPROVED
        after = msgspec.structs.replace(pending, answers=(*pending.answers, answer))
        if subject.plan is not None and not approved:
            backfill_plans.move(tx, subject.plan, "cancelled", now)
        elif subject.plan is not None and not missing(after):
            backfill_plans.move(tx, subject.plan, "planned", now)
        event = AuditEvent(
            action=Action.PLAN_APPROVED if approved else Action.PLAN_REJECTED,
            actor=context.actor,
            object=Object(*_object(pending)),
            reason=arguments.reason,
        )
        append_all(tx, now, [event, *contract_agreements.events(pending, answer, context.actor)])
        tell_askers(context, tx, now)

    context.tell(write=write)
    return _result(context, subject)


def _repeated(context: CommandContext, arguments: AnswerArguments, pending: Pending) -> bool:
    """Whether a new leader repeats the request of one that stored the answer and ended."""
    return any(
        (item.answer, item.actor, item.reason)
        == (arguments.answer, context.actor.id, arguments.reason)
        for item in pending.answers
    ) and (pending.backfill is None or pending.backfill.state in ("planned", "awaiting_approval"))


def _object(pending: Pending) -> tuple[str, str]:
    return (pending.kind, pending.id if pending.kind == BACKFILL else pending.plan_id or "")


def _result(context: CommandContext, subject: Subject) -> ApprovalRow | PendingRun:
    """Return the run of a backfill with all its approvals; otherwise the state of the plan."""
    with context.store.read() as tx:
        pending = find(tx, subject)
    assert pending is not None  # plans are never deleted
    if pending.backfill is not None and pending.backfill.state == "planned":
        return _work(context, pending.backfill)
    return _response(context, subject)


def _work(context: CommandContext, record: PlanRecord) -> PendingRun:
    """Return the run of an approved plan, in the name of the person who asked for it."""
    arguments = msgspec.json.decode(record.request, type=BackfillArguments)
    backfill = content(record)
    return PendingRun(
        context.leader(),
        msgspec.structs.replace(
            order(context, arguments, backfill, record.id), actor=actor_named(record.actor)
        ),
        "backfill",
        lambda _: _response(context, Subject(plan=record.id)),
        backfill.partitions,
    )


def _response(context: CommandContext, subject: Subject) -> ApprovalRow:
    with context.store.read() as tx:
        pending, version = find(tx, subject), version_now(tx)
    assert pending is not None  # plans are never deleted
    return _row(context.session, pending, version, context.clock.now_us())


def _unknown(subject: Subject) -> UnknownName:
    if subject.request is not None:
        return UnknownName(
            f"there is no approval {PREFIX}{subject.request}", hint="headrace approvals lists them"
        )
    return UnknownName(
        f"no plan {subject.plan} needs an approval", hint="headrace approvals lists them"
    )


def _refused(context: CommandContext, pending: Pending, message: str, hint: str) -> Refused:
    """Record in the audit trail that somebody's answer is refused, and return the error."""
    event = AuditEvent(
        action=Action.APPROVAL_REFUSED,
        actor=context.actor,
        object=Object(*_object(pending)),
        outcome=ActionOutcome.DENIED,
        reason=message,
    )

    def write(tx: Transaction, now: int) -> None:
        append(tx, now, event)

    context.tell(write=write)
    return Refused(message, hint=hint)


def _refuse_link(context: CommandContext, pending: Pending, arguments: AnswerArguments) -> None:
    """Raise Refused for a link that isn't one to this plan, is for somebody else, or was used."""
    hint = "headrace approvals"
    if arguments.link_problem:
        raise _refused(context, pending, arguments.link_problem, hint)
    if arguments.link is None:
        return
    used = next((item for item in pending.answers if item.link == arguments.link), None)
    if used is not None:
        message = f"plan {pending.id} was already answered through this link: {used.actor}"
        raise _refused(context, pending, f"{message} {used.answer} it", hint)


def _refuse_own_plan(context: CommandContext, pending: Pending, people: list[str]) -> None:
    """Raise Refused if the person who asked for a plan answers it, also through a token."""
    session = context.session
    asked = names_of_people(
        rules_of(session), {pending.asked_by, *_creators(session, pending.asked_by)}
    )
    if asked & set(people):
        hint = "headrace approvals shows who may approve it"
        if pending.kind == BACKFILL:
            hint = f"headrace backfills cancel {pending.id} --reason TEXT takes it back"
        raise _refused(
            context,
            pending,
            f"{pending.asked_by} asked for plan {pending.id}, so another person must decide about"
            f" it{_same_person(session, pending.asked_by, people)}",
            hint,
        )


def _same_person(session: ProjectSession, asked_by: str, people: list[str]) -> str:
    """Return why another name is the same person: an alias, or who created a token; else ""."""
    rules, answering = rules_of(session), session.actor
    if asked_by == answering:
        return ""
    if names_of_people(rules, {asked_by}) & names_of_people(rules, {answering}):
        return f": {asked_by} and {answering} are names of one person"
    creators = _creators(session, asked_by)
    shared = [name for name in (*creators, *names_of_people(rules, creators)) if name in people]
    tokens = ", ".join(name for name in people if name.startswith(TOKEN_PREFIX))
    if not shared:
        return f": {asked_by} created {tokens}" if tokens else ""
    if tokens and shared[0] != answering:
        return f": {shared[0]} created both {asked_by} and {tokens}"
    return f": {shared[0]} created {asked_by}"


def _refuse_without_role(
    context: CommandContext, pending: Pending, arguments: AnswerArguments
) -> None:
    """Raise Refused for a second answer of one person, and without a role that is needed."""
    people = set(arguments.people)
    earlier = next((item for item in pending.answers if item.people & people), None)
    if earlier is not None and arguments.answer == APPROVED:
        raise Refused(
            f"{earlier.actor} approved plan {pending.id} already: {_missing_text(pending)}",
            hint="headrace approvals",
        )
    if not arguments.meets:
        raise _refused(
            context,
            pending,
            f"{context.actor.id} can't answer plan {pending.id}: it needs {_missing_text(pending)}",
            "`headrace access whoami` lists your roles",
        )


def _missing_text(pending: Pending) -> str:
    return " and ".join(need.text for need in missing(pending))


def _refuse_changed_plan(context: CommandContext, pending: Pending) -> None:
    """Raise Refused and end a backfill that would do something else by now than was asked for.

    Plans of other kinds are checked when they are done: only the plan with the same id is.
    """
    if pending.backfill is None:
        return
    arguments = msgspec.json.decode(pending.backfill.request, type=BackfillArguments)
    now_id = replanned(context, arguments)[1].plan_id
    if now_id == arguments.plan_id:
        return
    number = pending.backfill.id
    reason = f"it would be {now_id} by now, not {arguments.plan_id}"

    def write(tx: Transaction, now: int) -> None:
        backfill_plans.move(tx, number, "cancelled", now)
        event = AuditEvent(
            action=Action.PLAN_CANCELLED,
            actor=context.actor,
            object=Object(BACKFILL, str(number)),
            reason=f"the plan is void: {reason}",
        )
        append(tx, now, event)
        tell_askers(context, tx, now)

    context.tell(write=write)
    raise Refused(f"plan {number} is void: {reason}", hint=f"plan it again: {arguments.command}")


def _row(
    session: ProjectSession, pending: Pending, version: int | None, now_us: int
) -> ApprovalRow:
    state, why = state_of(pending, version, now_us)
    return ApprovalRow(
        id=pending.id,
        plan_id=pending.plan_id,
        kind=pending.kind,
        asked_by=pending.asked_by,
        reason=pending.reason,
        asked_at=session.instant(pending.created_at),
        expires_at=session.instant(pending.expires_at),
        rule=str(pending.approval) if pending.approval.file else "",
        needs=[_need_row(pending, need) for need in pending.needs],
        given=[
            ApprovalAnswerRow(
                by=item.actor,
                at=session.instant(item.answered_at),
                answer=item.answer,
                reason=item.reason,
            )
            for item in pending.answers
        ],
        state=state,
        state_reason=why,
        consequence=_consequence(session, pending),
        next=_next(pending, state),
    )


def _need_row(pending: Pending, need: Need) -> NeededApprovalRow:
    return NeededApprovalRow(
        role=need.role,
        of=need.of,
        count=need.count,
        given=given(pending, need),
        owners=list(need.owners),
        text=need.text,
    )


def _next(pending: Pending, state: str) -> str:
    if state == OPEN:
        return command_line("approve", pending.id, "--reason", "TEXT")
    return pending.command


def _consequence(session: ProjectSession, pending: Pending) -> ConsequenceRow:
    consequence = pending.approval.consequence or Consequence()
    return ConsequenceRow(
        rows=consequence.rows,
        partitions=consequence.partitions,
        stale=consequence.stale,
        consumers=list(consequence.consumers),
        domains=list(consequence.domains),
        crossing=list(consequence.crossing),
        weakens=list(consequence.weakens),
        breaks=list(consequence.breaks),
        classified=list(consequence.classified),
        contracts=[_contract_row(session, item) for item in consequence.contracts],
        seconds=consequence.seconds or None,
        cost=consequence.cost or None,
    )


def _contract_row(session: ProjectSession, contract: ChangedContract) -> ChangedContractRow:
    """Return a changed contract; without names for somebody who agrees to it and can't see it."""
    visible = session.shows(contract.node)
    return ChangedContractRow(
        node=contract.node if visible else HIDDEN,
        contract=contract.contract if visible else HIDDEN,
        before=contract.before,
        after=contract.after,
        changes=list(contract.changes),
        domains=[reader.domain for reader in contract.readers],
    )
