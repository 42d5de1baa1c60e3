"""`optimize dismiss` and `reopen`: proposals that somebody doesn't want, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, NamedTuple

import msgspec

from headrace.access.permissions import decision, people_to_ask, rules_of
from headrace.acts import commands
from headrace.extension import (
    DECIDE,
    Argument,
    CommandContext,
    Progress,
    ProjectSession,
    RequiredReason,
    UsageError,
    command,
    did_you_mean,
    leader_command,
)
from headrace.model.access import Permission
from headrace.plan import Compiled
from headrace.project.session import usable
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Transaction
from headrace_advisor.queries import dismissals
from headrace_advisor.queries.dismissals import StoredDismissal
from headrace_advisor.responses.advice import DismissedResponse
from headrace_advisor.services.bottleneck import bottleneck
from headrace_advisor.services.complexity import complexity
from headrace_advisor.services.dismissed import costs_of_nodes, dismissal_row, facts_of, reopened_by
from headrace_advisor.services.optimize import optimize, proposal_of

PROPOSALS_MAX = 100
"""At most this many proposals are dismissed or reopened at once."""
_LISTS = "headrace optimize, headrace bottleneck and headrace complexity list proposals"
ProposalIds = Annotated[
    Sequence[str], Argument("ID...", "proposals of `optimize`, `bottleneck` or `complexity`")
]


class DismissedProposal(msgspec.Struct, frozen=True):
    """A proposal that is dismissed, with the facts of that time; `cost` is in microseconds.

    `until` says what reopens it.
    """

    id: str
    node: str
    facts: str
    cost: int | None
    until: str


@command(
    "optimize dismiss",
    DECIDE,
    anywhere=True,
    http="POST /proposals/dismiss do_dismiss",
    session="dismiss",
    not_for_agents="a person decides what isn't proposed any more",
)
def dismiss(
    session: ProjectSession,
    *,
    ids: ProposalIds,
    reason: RequiredReason,
    progress: Progress,
) -> DismissedResponse:
    """Dismiss proposals: they aren't proposed again until their facts change.

    These are the code, the trigger and the checks of the node and of the nodes that it reads
    directly, and what the node costs, if that is known: a proposal is open again once that has
    doubled and has grown by at least a minute a month (a wait: by a minute). One about an owner or
    a macro stays dismissed until somebody reopens it. Raise Refused without a reason, UsageError
    for an unknown proposal, and NotAllowed.
    """
    text = commands.required_reason(reason, "optimize dismiss ID", "others see why it stays")
    listed = _Listed(session, progress)
    # `optimize` and `complexity` may have names of their own for the same proposal
    proposals = list({item.id: item for item in map(listed.proposal, _ids(ids))}.values())
    for item in proposals:
        _require_permission(session, "optimize dismiss", item.node)
    return _dismiss.perform(session, progress, tuple(_as_they_are(session, proposals)), text)


@command(
    "optimize reopen",
    DECIDE,
    anywhere=True,
    http="POST /proposals/reopen do_reopen",
    session="reopen",
    not_for_agents="a person decides what isn't proposed any more",
)
def reopen(session: ProjectSession, *, ids: ProposalIds, progress: Progress) -> DismissedResponse:
    """Reopen dismissed proposals. Raise UsageError for one that isn't dismissed."""
    names = _ids(ids)
    stored = {}
    if session.store is not None:
        with session.store.read() as tx:
            stored = dismissals.by_proposal(tx)
    listed, reopened = _Listed(session, progress), dict[str, str]()
    for name in names:
        proposal = name if name in stored else listed.proposal(name).id
        item = stored.get(proposal)
        if item is None or not session.shows(item.node):
            raise UsageError(
                f"{name[:80]} isn't dismissed", hint="headrace optimize lists what is dismissed"
            )
        _require_permission(session, "optimize reopen", item.node)
        reopened[item.proposal] = item.node
    return _reopen.perform(session, progress, tuple(reopened.items()))


def _ids(ids: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(ids))
    if not names:
        raise UsageError("which proposal?", hint=_LISTS)
    if len(names) > PROPOSALS_MAX:
        raise UsageError(
            f"{len(names):,} proposals at once are too many",
            hint=f"name at most {PROPOSALS_MAX} at a time",
        )
    return names


class _Proposal(NamedTuple):
    id: str
    node: str
    compiled: Compiled
    """The declarations by which it is proposed."""
    wait_us: int | None = None


class _Listed:
    """The proposals that are listed now, dismissed or not. Each list is computed once."""

    def __init__(self, session: ProjectSession, progress: Progress) -> None:
        self._session, self._progress = session, progress

    def proposal(self, name: str) -> _Proposal:
        """Return a proposal. Raise UsageError for one that isn't listed, or not visible."""
        if name.startswith("o-"):
            known = self._of_optimize
        elif name.startswith("trigger:"):
            known = self._of_bottleneck
        else:
            known = self._of_complexity
        proposal = known.get(name)
        if proposal is None or not self._session.shows(proposal.node):
            visible = [each for each, item in known.items() if self._session.shows(item.node)]
            raise UsageError(
                f"there is no proposal {name[:80]!r}", hint=did_you_mean(name, visible) or _LISTS
            )
        return proposal

    @cached_property
    def _of_optimize(self) -> dict[str, _Proposal]:
        compiled = usable(self._session.declared(self._progress))
        return {
            row.id: _Proposal(proposal_of(row), row.asset or "", compiled)
            for row in optimize(self._session, progress=self._progress)
            if row.verdict != "refuted"
        }

    @cached_property
    def _of_bottleneck(self) -> dict[str, _Proposal]:
        compiled = self._session.compiled
        if compiled is None:
            return {}
        return {
            item.id: _Proposal(item.id, item.node, compiled, round(item.median_s * 1e6))
            for row in bottleneck(self._session)
            for item in (*row.proposals, *row.dismissed)
        }

    @cached_property
    def _of_complexity(self) -> dict[str, _Proposal]:
        compiled = self._session.compiled or usable(self._session.declared())
        response = complexity(self._session)
        return {
            row.id: _Proposal(row.id, row.node.partition(".")[0], compiled)
            for row in (*response.findings, *response.dismissed)
        }


def _require_permission(session: ProjectSession, command: str, node: str) -> None:
    """Raise NotAllowed unless the session's identity decides about a node, or the whole project."""
    rules, declared = rules_of(session), session.project().node(node)
    result = decision(session, rules, Permission.DECIDE, declared)
    if not result.allowed:
        from headrace.security.access import NotAllowed

        owners = () if declared is None else people_to_ask(session, declared.owner)
        raise NotAllowed(session.identity, command, result, owners)


def _as_they_are(
    session: ProjectSession, proposals: Sequence[_Proposal]
) -> Iterator[DismissedProposal]:
    """Yield proposals with the facts of now."""
    costs = {}
    if session.store is not None:
        with session.store.read() as tx:
            costs = costs_of_nodes(tx, session.clock.now_us())
    for item in proposals:
        is_wait = item.wait_us is not None
        cost = item.wait_us if is_wait else costs.get(item.node)
        facts = facts_of(item.compiled, item.node)
        until = reopened_by(item.compiled, item.node, cost, is_wait=is_wait)
        yield DismissedProposal(item.id, item.node, facts, cost, until)


@leader_command("dismiss", DismissedResponse)
def _dismiss(
    context: CommandContext, proposals: tuple[DismissedProposal, ...], reason: str
) -> DismissedResponse:

    def write(tx: Transaction, now: int) -> None:
        for item in proposals:
            dismissals.add(
                tx,
                StoredDismissal(
                    id=0,
                    proposal=item.id,
                    node=item.node,
                    facts=item.facts,
                    cost=item.cost,
                    reason=reason,
                    actor=context.actor.id,
                    at=now,
                ),
            )
            event = _event(context, Action.PROPOSAL_DISMISSED, item.id, item.node)
            append(tx, now, msgspec.structs.replace(event, reason=reason))

    context.tell(write=write)
    with context.store.read() as tx:
        stored = dismissals.by_proposal(tx)[proposals[0].id]
    return DismissedResponse(
        ids=[item.id for item in proposals],
        until=[item.until for item in proposals],
        dismissal=dismissal_row(stored, context.session.instant(stored.at), None),
    )


@leader_command("reopen", DismissedResponse)
def _reopen(context: CommandContext, proposals: tuple[tuple[str, str], ...]) -> DismissedResponse:

    def write(tx: Transaction, now: int) -> None:
        for proposal, node in proposals:
            dismissals.reopen(tx, proposal, actor=context.actor.id, now=now)
            append(tx, now, _event(context, Action.PROPOSAL_REOPENED, proposal, node))

    context.tell(write=write)
    return DismissedResponse(ids=[item[0] for item in proposals], dismissal=None)


def _event(context: CommandContext, action: Action, proposal: str, node: str) -> AuditEvent:
    """Return the entry of the trail; who sees the node sees it."""
    project = context.session.project()
    thing = Object("proposal", proposal) if project.node(node) is None else Object("node", node)
    return AuditEvent(
        action=action, actor=context.actor, object=thing, after={"proposal": proposal}
    )
