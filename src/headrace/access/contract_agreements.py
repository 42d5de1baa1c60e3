"""Agreement of other domains to a contract that takes back what it promised.

A rule of policy asks for it (`of = "reading_domains"`). Approving the plan with the role for a
reading domain is the agreement, which the audit trail records by contract and version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headrace.model.policy import Approval, ChangedContract
from headrace.plan import Compiled
from headrace.plan.contract_agreement import contracts_crossing_domains
from headrace.project.session import ProjectSession
from headrace.responses import PlanResponse
from headrace.responses.plans import AgreementGivenRow, AgreementRow
from headrace.runtime.approval_states import APPROVED, Pending, of_request
from headrace.security.audit import Action, Actor, AuditEvent, Object
from headrace.store import Transaction
from headrace.store.queries import approvals as stored
from headrace.store.queries.approvals import ApprovalAnswer

OF_DOMAIN = "domain:"
SEARCHED_MAX = 50
"""Approvals, newest first, that are searched for agreements to a contract."""


def agreement_rows(
    session: ProjectSession, old: Compiled | None, new: Compiled
) -> list[AgreementRow]:
    """Return the domains whose owners should agree to changed contracts.

    None in an environment: nothing of other domains reads there.
    """
    if session.production is not None:
        return []
    return [
        AgreementRow(
            node=item.node,
            contract=item.contract,
            before=item.before,
            after=item.after,
            changes=list(item.changes),
            domain=reader.domain,
            owners=list(reader.owners),
            readers=list(reader.nodes),
        )
        for item in contracts_crossing_domains(old, new)
        for reader in item.readers
    ]


def with_agreements(session: ProjectSession, response: PlanResponse) -> PlanResponse:
    """Return the plan with the agreements that rules ask for, and those that were given."""
    if not response.agreements:
        return response
    needed = _domains(response.approval)
    answers = _answers(session, response.plan_id)
    rows = [
        msgspec.structs.replace(
            row,
            needed=row.domain in needed,
            agreed=[item for item in answers if row.domain in item.domains],
        )
        for row in response.agreements
    ]
    return msgspec.structs.replace(response, agreements=rows)


def agreements_of(
    session: ProjectSession, tx: Transaction, plan_id: str | None, node: str
) -> list[AgreementGivenRow]:
    """Return who agreed to a changed contract of a node in a plan, for which domains."""
    request = None if plan_id is None else stored.newest_of_plan(tx, plan_id)
    return [] if request is None else _of_node(session, of_request(tx, request), node)


def newest_agreements(session: ProjectSession, node: str) -> list[AgreementGivenRow]:
    """Return who agreed to the last change of a node's contract that was agreed and applied."""
    if session.store is None:
        return []
    with session.store.read() as tx:
        for request in stored.requests(tx, SEARCHED_MAX):
            rows = (
                [] if request.used_at is None else _of_node(session, of_request(tx, request), node)
            )
            if rows:
                return rows
    return []


def _of_node(session: ProjectSession, pending: Pending, node: str) -> list[AgreementGivenRow]:
    contract = next((item for item in _contracts(pending) if item.node == node), None)
    return [] if contract is None else _given(session, pending.answers, _readers(contract))


def events(pending: Pending, answer: ApprovalAnswer, actor: Actor) -> Iterator[AuditEvent]:
    """Yield the entries of the audit trail for the agreements that an approval is."""
    if answer.answer != APPROVED:
        return
    for contract in _contracts(pending):
        domains = sorted(_agreed_domains(answer) & _readers(contract))
        if domains:
            yield AuditEvent(
                action=Action.CONTRACT_AGREED,
                actor=actor,
                object=Object("contract", contract.node, contract.after),
                reason=answer.reason,
                before={"version": contract.before},
                after={
                    "contract": contract.contract,
                    "version": contract.after,
                    "changes": list(contract.changes),
                    "domains": domains,
                    "plan_id": pending.plan_id,
                },
            )


def _contracts(pending: Pending) -> Sequence[ChangedContract]:
    consequence = pending.approval.consequence
    return () if consequence is None else consequence.contracts


def _readers(contract: ChangedContract) -> set[str]:
    return {reader.domain for reader in contract.readers}


def _domains(approval: Approval | None) -> set[str]:
    """Return the domains of which an approval needs somebody."""
    needs = () if approval is None else approval.needs
    return {need.of.removeprefix(OF_DOMAIN) for need in needs if need.of.startswith(OF_DOMAIN)}


def _agreed_domains(answer: ApprovalAnswer) -> set[str]:
    return {of.removeprefix(OF_DOMAIN) for _, of in answer.meets if of.startswith(OF_DOMAIN)}


def _answers(session: ProjectSession, plan_id: str | None) -> list[AgreementGivenRow]:
    if plan_id is None or session.store is None:
        return []
    with session.store.read() as tx:
        request = stored.newest_of_plan(tx, plan_id)
        if request is None:
            return []
        pending = of_request(tx, request)
    domains = set[str]().union(*map(_readers, _contracts(pending)))
    return _given(session, pending.answers, domains)


def _given(
    session: ProjectSession, answers: Sequence[ApprovalAnswer], domains: set[str]
) -> list[AgreementGivenRow]:
    return [
        AgreementGivenRow(
            by=answer.actor,
            at=session.instant(answer.answered_at),
            reason=answer.reason,
            domains=agreed,
        )
        for answer in answers
        if answer.answer == APPROVED
        if (agreed := sorted(_agreed_domains(answer) & domains))
    ]
