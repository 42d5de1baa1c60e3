"""Plans that wait for an approval, and people's answers to them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.queries.backfill_plans import PlanRecord
from headrace.store.transaction import Transaction


class ApprovalRequest(msgspec.Struct, frozen=True):
    """A plan that isn't a backfill and needs an approval. Times are in microseconds since 1970 UTC.

    `needs` is JSON of `model.policy.Approval`.
    """

    id: int
    kind: str
    plan_id: str
    version: int | None
    actor: str
    reason: str
    command: str
    needs: str
    created_at: int
    used_at: int | None
    spans: str = "[]"
    """JSON: [node, first, last] of the partitions that wait for the approval."""


_COLUMNS = ", ".join(ApprovalRequest.__struct_fields__)


class ApprovalAnswer(NamedTuple):
    """One answer: `approved` or `rejected`. The time is in microseconds since 1970 UTC."""

    answer: str
    actor: str
    people: frozenset[str]
    """The actor, and who created the token that the actor used."""
    meets: frozenset[tuple[str, str]]
    """(role, of) of the needs that the answer meets."""
    reason: str
    answered_at: int
    link: str | None = None
    """The recipient of the message through whose link it was given; None without a link."""


class Subject(NamedTuple):
    """What an answer is about: a backfill or a request."""

    plan: int | None = None
    request: int | None = None


def add(tx: Transaction, subject: Subject, answer: ApprovalAnswer) -> None:
    """Store an answer."""
    tx.execute(
        "insert into approval_answer (plan_id, request_id, answer, actor, people, meets, reason,"
        " answered_at, link) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            subject.plan,
            subject.request,
            answer.answer,
            answer.actor,
            msgspec.json.encode(sorted(answer.people)).decode(),
            msgspec.json.encode(sorted(answer.meets)).decode(),
            answer.reason,
            answer.answered_at,
            answer.link,
        ),
    )


def answers(tx: Transaction, subject: Subject) -> list[ApprovalAnswer]:
    """Return the answers to a plan, oldest first."""
    rows = tx.execute(
        "select answer, actor, people, meets, reason, answered_at, link from approval_answer where"
        f" {'plan_id' if subject.request is None else 'request_id'} = ? order by id",
        (subject.plan if subject.request is None else subject.request,),
    )
    return [
        ApprovalAnswer(
            answer,
            actor,
            frozenset({actor, *msgspec.json.decode(people, type=list[str])}),
            frozenset(msgspec.json.decode(meets, type=list[tuple[str, str]])),
            reason,
            answered_at,
            link,
        )
        for answer, actor, people, meets, reason, answered_at, link in rows
    ]


def backfills(tx: Transaction, limit: int) -> list[PlanRecord]:
    """Return the newest backfills that need or needed an approval, newest first."""
    columns = ", ".join(PlanRecord.__struct_fields__)
    rows = tx.execute(
        f"select {columns} from plan where needs is not null order by id desc limit ?", (limit,)
    )
    return [PlanRecord(*row) for row in rows]


def request(tx: Transaction, number: int) -> ApprovalRequest | None:
    """Return a request by its id, or None."""
    row = tx.execute(f"select {_COLUMNS} from approval_request where id = ?", (number,)).fetchone()
    return None if row is None else ApprovalRequest(*row)


def requests(tx: Transaction, limit: int) -> list[ApprovalRequest]:
    """Return the newest requests, newest first."""
    rows = tx.execute(f"select {_COLUMNS} from approval_request order by id desc limit ?", (limit,))
    return [ApprovalRequest(*row) for row in rows]


def unused(tx: Transaction, since: int) -> list[ApprovalRequest]:
    """Return the requests since a time whose plans weren't done yet, oldest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from approval_request where used_at is null and created_at > ?"
        " order by id",
        (since,),
    )
    return [ApprovalRequest(*row) for row in rows]


def newest_of_plan(tx: Transaction, plan_id: str) -> ApprovalRequest | None:
    """Return the newest request for a plan, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from approval_request where plan_id = ? order by id desc limit 1",
        (plan_id,),
    ).fetchone()
    return None if row is None else ApprovalRequest(*row)


def newer_of_kind(tx: Transaction, request: ApprovalRequest) -> int | None:
    """Return the newest later request for another plan of the same kind and version, or None.

    Acts on different things have different commands, and don't replace each other.
    """
    row = tx.execute(
        "select max(id) from approval_request where id > :id and kind = :kind and plan_id <>"
        " :plan_id and coalesce(version, 0) = coalesce(:version, 0) and (kind = 'apply' or command"
        " = :command)",
        {
            "id": request.id,
            "command": request.command,
            "kind": request.kind,
            "plan_id": request.plan_id,
            "version": request.version,
        },
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def ask(tx: Transaction, request: ApprovalRequest) -> int:
    """Store a request, whose `id` doesn't count, and return its id."""
    fields = ApprovalRequest.__struct_fields__[1:]
    return tx.insert(
        f"insert into approval_request ({', '.join(fields)}) values"
        f" ({', '.join('?' * len(fields))})",
        msgspec.structs.astuple(request)[1:],
    )


def use(tx: Transaction, number: int, now: int) -> None:
    """Record that an approved plan was done."""
    tx.execute("update approval_request set used_at = ? where id = ?", (now, number))


# Messages about approvals. ASKED and ENDED say which of them are queued.

ASKED, ENDED = "asked", "ended"
_ANSWERED = "exists (select 1 from approval_answer a where a.{} = p.id)"
_APPLIED_SINCE = "coalesce(p.version, 0) <> coalesce((select max(v.id) from version v), 0)"
_CHANGED = (
    "exists (select 1 from approval_request n where n.id > p.id and n.kind = p.kind and"
    " n.plan_id <> p.plan_id and (p.kind = 'apply' or n.command = p.command))"
)


def maybe_ended(tx: Transaction, expired_us: int) -> list[ApprovalRequest]:
    """Return the announced requests that may have ended since, oldest first.

    Requests up to `expired_us` have expired.
    """
    rows = tx.execute(
        f"select {_COLUMNS} from approval_request p where notified = '{ASKED}' and (used_at is not"
        f" null or created_at <= :expired or {_APPLIED_SINCE} or {_ANSWERED.format('request_id')}"
        f" or {_CHANGED}) order by id",
        {"expired": expired_us},
    )
    return [ApprovalRequest(*row) for row in rows]


def backfills_maybe_ended(tx: Transaction, expired_us: int) -> list[PlanRecord]:
    """Return the announced backfills of which the approval may have ended since, oldest first."""
    columns = ", ".join(PlanRecord.__struct_fields__)
    rows = tx.execute(
        f"select {columns} from plan p where needs is not null and notified = '{ASKED}' and (state"
        f" <> 'awaiting_approval' or created_at <= :expired or {_APPLIED_SINCE} or"
        f" {_ANSWERED.format('plan_id')}) order by id",
        {"expired": expired_us},
    )
    return [PlanRecord(*row) for row in rows]


def mark_notified(tx: Transaction, subject: Subject, what: str) -> None:
    """Record which message about an approval is queued: ASKED or ENDED."""
    table = "plan" if subject.request is None else "approval_request"
    number = subject.plan if subject.request is None else subject.request
    tx.execute(f"update {table} set notified = ? where id = ?", (what, number))
