"""Which proposals are dismissed, and what has changed since."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from headrace.extension import Asset, ProjectSession, Refused, command_line
from headrace.model import CheckSpec
from headrace.model.intervals import DAY_US
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.plan.comparison import without_places
from headrace.store import Transaction
from headrace_advisor.queries import costs, dismissals
from headrace_advisor.queries.dismissals import StoredDismissal
from headrace_advisor.responses.advice import (
    ComplexityRow,
    DelayProposalRow,
    DismissalRow,
)

P = TypeVar("P", DelayProposalRow, ComplexityRow)
MONTH_DAYS = 30
COST_FACTOR = 2
COST_LEAST_US = 60_000_000
"""A cost that doubled brings a proposal back if it is also larger by at least a minute."""
FACTS_CHANGED = (
    "its code, trigger, checks or contract, or those of a node that it reads, are different now"
)
COST_GROWS = "takes at least twice as long a month and a minute more"


def facts_of(compiled: Compiled, node: str) -> str:
    """Return a hash of what a proposal about a node depends on.

    That is the code, the trigger and the checks of the node and of its direct inputs. What isn't a
    node (an owner, a macro) has the same hash always.
    """
    compiled_node = compiled.nodes.get(node)
    names = [] if compiled_node is None else [spec.node for spec in compiled_node.inputs]
    values = [_facts(compiled, name) for name in (node, *sorted(set(names) - {node}))]
    content = msgspec.json.encode(values, order="deterministic")
    return hashlib.sha256(content).hexdigest()[:32]


def reopened_by(compiled: Compiled, node: str, cost_us: int | None, *, is_wait: bool) -> str:
    """Return what reopens a proposal that is dismissed now, in words.

    `cost_us` is what is stored with the dismissal: what the node costs a month, or how long it
    waited for its trigger (`is_wait`).
    """
    if not _facts(compiled, node):
        return "until somebody reopens it"
    changes = f"until the code, trigger, checks or contract of {node} or of its inputs change"
    if is_wait:
        return f"{changes}, or its wait is at least twice as long and a minute longer"
    if cost_us is None:
        return f"{changes}; what {node} costs isn't known, so that no larger cost reopens it"
    return f"{changes}, or computing {node} {COST_GROWS}"


def _facts(compiled: Compiled, name: str) -> list[Any]:
    project, node = compiled.project, compiled.nodes.get(name)
    declared = project.source_or_asset(name)
    if node is None or declared is None:
        return []
    contract = project.contracts.get(declared.contract or name)
    columns = () if contract is None else contract.columns
    return [
        name,
        node.fingerprint,
        without_places(declared.trigger) if isinstance(declared, Asset) else None,
        str(declared.on_fail),
        [_check(check) for check in declared.checks],
        [_check(check) for check in (() if contract is None else contract.checks)],
        [(each.name, each.required, each.unique, each.primary_key) for each in columns],
    ]


def _check(check: CheckSpec) -> list[Any]:
    return [check.kind, without_places(check.arguments), str(check.severity), check.where]


def trigger_proposal(node: str) -> str:
    """Return the id of the proposal to take out an asset's trigger."""
    return f"trigger:{node}"


class Dismissals:
    """The dismissals that are stored, compared with the facts of now."""

    def __init__(
        self,
        tx: Transaction | None,
        compiled: Compiled,
        now_us: int,
        instant: Callable[[int], datetime],
        *,
        with_costs: bool = True,
    ) -> None:
        """Read them; `with_costs` also reads what nodes cost, which waits aren't compared with."""
        self._compiled, self._instant = compiled, instant
        self._stored = {} if tx is None else dismissals.by_proposal(tx)
        is_compared = with_costs and self._stored
        self._costs = {} if tx is None or not is_compared else costs_of_nodes(tx, now_us)

    def of(self, proposal: str, wait_us: int | None = None) -> DismissalRow | None:
        """Return how a proposal was dismissed; None if it wasn't.

        `wait_us` is the wait that it could end; others cost what computing their node does.
        """
        stored = self._stored.get(proposal)
        if stored is None:
            return None
        return dismissal_row(stored, self._instant(stored.at), self._ended(stored, wait_us))

    def _ended(self, stored: StoredDismissal, wait_us: int | None) -> str | None:
        """Return what has changed since a dismissal; None while it holds."""
        node = stored.node
        if facts_of(self._compiled, node) != stored.facts:
            return FACTS_CHANGED
        was, now = stored.cost, self._costs.get(node) if wait_us is None else wait_us
        if was is None or now is None:
            return None
        if now < COST_FACTOR * was or now - was < COST_LEAST_US:
            return None
        if wait_us is not None:
            return f"the wait was {duration(was)} then, and is {duration(now)} now"
        return f"computing {node} took {duration(was)} a month then, and takes {duration(now)} now"


def dismissal_row(stored: StoredDismissal, at: datetime, ended: str | None) -> DismissalRow:
    """Return a dismissal as a row; `ended` says what has changed since."""
    return DismissalRow(
        by=stored.actor,
        at=at,
        reason=stored.reason,
        ended=ended,
        command=command_line("optimize", "reopen", stored.proposal),
    )


def dismissals_of(session: ProjectSession, compiled: Compiled) -> Dismissals:
    """Return the dismissals of a session's project, compared with a compiled state of its files."""
    now_us = session.clock.now_us()
    if session.store is None:
        return Dismissals(None, compiled, now_us, session.instant)
    with session.store.read() as tx:
        return Dismissals(tx, compiled, now_us, session.instant)


def costs_of_nodes(tx: Transaction, now_us: int) -> dict[str, int]:
    """Return node → microseconds of worker slots a month, by the last 30 days.

    In a younger project they are extrapolated from its age, which is at least a day.
    """
    since_us = now_us - MONTH_DAYS * DAY_US
    first_us = costs.first_published_at(tx)
    if first_us is None:
        return {}
    days = (now_us - max(since_us, min(first_us, now_us - DAY_US))) / DAY_US
    sums = Counter[str]()
    for attempt in costs.attempts(tx, since_us, now_us):
        sums[attempt.node] += attempt.slot_us
    return {node: round(us * MONTH_DAYS / days) for node, us in sums.items()}


def refuse_dismissed(proposal: str, row: DismissalRow | None) -> None:
    """Raise Refused for a proposal that is dismissed."""
    if row is not None and row.ended is None:
        raise Refused(f"{proposal} was dismissed by {row.by}: {row.reason}", hint=row.command or "")


def split(rows: Sequence[P]) -> tuple[list[P], list[P]]:
    """Return the rows that are open, and those that are dismissed."""
    dismissed = [row for row in rows if is_dismissed(row.dismissal)]
    return [row for row in rows if not is_dismissed(row.dismissal)], dismissed


def is_dismissed(row: DismissalRow | None) -> bool:
    """Whether a proposal is dismissed, and nothing has changed since."""
    return row is not None and row.ended is None
