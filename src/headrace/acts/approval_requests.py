"""Asks for the approval of a plan that isn't a backfill, and knows whether it has been given.

The person who asked does the plan again, by the same command, once it is approved.
"""

from __future__ import annotations

from functools import partial

import msgspec

from headrace.access.agreements import NEEDS_APPROVAL
from headrace.acts.approval_links import link_address
from headrace.acts.command_context import CommandContext
from headrace.model.policy import Approval
from headrace.responses import RefusedRow
from headrace.runtime.approval_messages import announce, announce_ended
from headrace.runtime.approval_states import (
    APPROVED,
    OPEN,
    Pending,
    of_request,
    state_of,
    version_now,
)
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import approvals as stored
from headrace.store.queries.approvals import ApprovalRequest

Span = tuple[str, str, str]
"""A node, and the first and the last of its partitions."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that needs an approval. `command` is what the person types to do it."""

    kind: str
    plan_id: str
    approval: Approval
    command: str
    reason: str
    spans: tuple[Span, ...] = ()
    """The partitions that wait for it, if it isn't one that computes them."""


def refusal(context: CommandContext, asked: Asked) -> RefusedRow | None:
    """Return None if the plan is approved; otherwise ask for the approval, and say so."""
    now_us = context.clock.now_us()
    with context.store.read() as tx:
        if approved(tx, asked.plan_id, now_us):
            return None
        request = stored.newest_of_plan(tx, asked.plan_id)
        pending = None if request is None else of_request(tx, request)
        version = version_now(tx)
    if pending is None or state_of(pending, version, now_us)[0] != OPEN:
        pending = _ask(context, asked, version)
    return _row(pending, asked)


def approved(tx: Transaction, plan_id: str, now_us: int) -> bool:
    """Whether a plan has all its approvals and wasn't done yet."""
    request = stored.newest_of_plan(tx, plan_id)
    if request is None or request.used_at is not None:
        return False
    return state_of(of_request(tx, request), version_now(tx), now_us)[0] == APPROVED


def _ask(context: CommandContext, asked: Asked, version: int | None) -> Pending:
    numbers: list[int] = []

    def write(tx: Transaction, now: int) -> None:
        numbers.append(
            stored.ask(
                tx,
                ApprovalRequest(
                    id=0,
                    kind=asked.kind,
                    plan_id=asked.plan_id,
                    version=version,
                    actor=context.actor.id,
                    reason=asked.reason,
                    command=asked.command,
                    needs=msgspec.json.encode(asked.approval).decode(),
                    created_at=now,
                    used_at=None,
                    spans=msgspec.json.encode(asked.spans).decode(),
                ),
            )
        )
        event = AuditEvent(
            action=Action.APPROVAL_ASKED,
            actor=context.actor,
            object=Object(asked.kind, asked.plan_id),
            reason=asked.reason,
            after={"plan_id": asked.plan_id, "needs": str(asked.approval)},
        )
        append(tx, now, event)
        request = stored.request(tx, numbers[-1])
        assert request is not None  # it was stored above
        tell_deciders(context, tx, of_request(tx, request), now)
        tell_askers(context, tx, now)  # of plans that this one replaces

    context.tell(write=write)
    with context.store.read() as tx:
        request = stored.request(tx, numbers[-1])
        assert request is not None  # it was stored above
        return of_request(tx, request)


def _row(pending: Pending, asked: Asked) -> RefusedRow:
    needed = " and ".join(need.text for need in pending.needs)
    return RefusedRow(
        code=NEEDS_APPROVAL,
        plan_id_now=asked.plan_id,
        files=[],
        changed=[f"it needs {needed}: headrace approve {pending.id} --reason TEXT"],
        text=f"it needs an approval: {asked.approval}",
        commands=[asked.command],
    )


def tell_deciders(context: CommandContext, tx: Transaction, pending: Pending, now: int) -> None:
    """Queue the messages about a plan that was just asked for. Environments send none."""
    applied = context.applied()
    links = partial(link_address, context.session, pending)
    if applied is not None and context.session.production is None:
        announce(tx, applied.compiled.project, pending, now, links)


def tell_askers(context: CommandContext, tx: Transaction, now: int) -> None:
    """Queue the messages to those whose requests have ended. Environments send none."""
    applied = context.applied()
    if applied is not None and context.session.production is None:
        announce_ended(tx, applied.compiled.project, now)


def use(context: CommandContext, plan_id: str) -> None:
    """Record that a plan was done, if it was approved."""
    with context.store.read() as tx:
        request = stored.newest_of_plan(tx, plan_id)
    if request is None or request.used_at is not None:
        return
    number = request.id
    context.tell(write=lambda tx, now: stored.use(tx, number, now))
