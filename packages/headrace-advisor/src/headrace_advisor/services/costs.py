"""`costs`: what work and storage cost over a window, by node, consumer, owner and cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

from headrace.extension import (
    SEE,
    Option,
    ProjectSession,
    UsageError,
    Window,
    command,
    did_you_mean,
)
from headrace.model.intervals import DAY_US, from_us, to_us
from headrace.model.nodes import CostRates
from headrace.plan import Compiled
from headrace.project.snapshots import project_state
from headrace.project.status_facts import WINDOW, window_began
from headrace.slo.availability import AvailabilityWindow
from headrace.slo.goodput import GOOD, HELD, REJECTED, RETRY, WAITING, places
from headrace.standing.figure_inputs import Figuring
from headrace.store.queries.incidents import display_id
from headrace_advisor.analysis.costs import (
    MONTH_DAYS,
    NOBODY,
    Budget,
    CostAmount,
    CostItem,
    CostLine,
    by_consumer,
    forecast,
    sums,
    waste,
)
from headrace_advisor.analysis.needed_nodes import needed_nodes
from headrace_advisor.queries import costs as stored
from headrace_advisor.responses.costs import BudgetRow, CostRow, CostsResponse

GROUPS = ("asset", "consumer", "owner", "domain", "run", "incident", "backfill", "waste")
ROWS_MAX = 500

By = Annotated[
    str,
    Option(
        "--by",
        metavar="GROUP",
        help="asset (default), consumer, owner, domain, run, incident, backfill or waste",
    ),
]


@command(
    "costs",
    SEE,
    http="GET /costs costs",
    session="costs",
    group="look",
    summary="show what work and storage cost, and what was in vain",
)
def costs(session: ProjectSession, *, by: By = "asset", window: Window = WINDOW) -> CostsResponse:
    """Show what work and storage cost, and which of it was in vain.

    Without rates in `[costs]` of headrace.toml it is seconds and bytes only. Raise UsageError for
    an unknown group or an invalid window.
    """
    if by not in GROUPS:
        hint = did_you_mean(by, GROUPS) or f"one of {', '.join(GROUPS)}"
        raise UsageError(f"--by {by[:40]} isn't known", hint=hint)
    window_began(window, session.clock.now_us(), session.timezone)
    rates = session.settings.costs
    if session.store is None or session.compiled is None:
        return _response(by, window, rates, CostAmount(), [], [], [])
    with figuring_of(session, window) as figuring:
        items = cost_items(figuring)
        lines = _lines(figuring, items, by)
        wasted = waste(items, unread_nodes(figuring))
        budgets = [] if rates is None else _budgets(figuring, rates, items)
    total = CostAmount()
    for item in items:
        total = total.plus(item.amount)
    return _response(by, window, rates, total, lines, wasted, budgets)


@contextmanager
def figuring_of(session: ProjectSession, window: str) -> Iterator[Figuring]:
    """Open the rows of a window that ends now; requires a store and an applied version."""
    assert session.compiled is not None
    now_us = session.clock.now_us()
    began_us = window_began(window, now_us, session.timezone)
    over = AvailabilityWindow(window, began_us, now_us, session.timezone)
    with project_state(session, now_us) as snapshot:
        yield Figuring(session, snapshot, session.compiled, over, None)


def cost_items(figuring: Figuring) -> list[CostItem]:
    """Return what each attempt of a window cost, and what each node has stored meanwhile."""
    in_vain = _waste_of_attempts(figuring)
    incidents = stored.explained(figuring.tx, figuring.began)
    items = []
    for row in stored.attempts(figuring.tx, figuring.began, figuring.until):
        number = incidents.get(row.id)
        share, reason = in_vain.get(row.id, (0.0, NOBODY))
        if row.state in ("failed", "lost"):
            share, reason = 1.0, "retry"
        items.append(
            CostItem(
                node=row.node,
                amount=CostAmount(row.slot_us, row.bytes_read),
                run=str(row.run),
                backfill=NOBODY if row.backfill is None else str(row.backfill),
                incident=NOBODY if number is None else display_id(number),
                wasted=share,
                waste=reason,
            )
        )
    return items + _storage(figuring, figuring.began)


def plain_items(figuring: Figuring, since_us: int) -> list[CostItem]:
    """Return what each attempt since a time cost and what each node has stored, by node alone."""
    attempts = stored.attempts(figuring.tx, since_us, figuring.until)
    items = [CostItem(row.node, CostAmount(row.slot_us, row.bytes_read)) for row in attempts]
    return items + _storage(figuring, since_us)


def _storage(figuring: Figuring, since_us: int) -> list[CostItem]:
    months = days_since(figuring, since_us) / MONTH_DAYS
    return [
        CostItem(node, CostAmount(byte_months=item.bytes * months))
        for node, item in stored.stored_partitions(figuring.tx).items()
    ]


def days_since(figuring: Figuring, since_us: int) -> float:
    """Return the days from a time until now; of a younger project those of its age, at least one.

    The age counts from its first publication.
    """
    days = (figuring.until - since_us) / DAY_US
    first_us = stored.first_published_at(figuring.tx)
    return days if first_us is None else min(days, max(1.0, (figuring.until - first_us) / DAY_US))


def _waste_of_attempts(figuring: Figuring) -> dict[str, tuple[float, str]]:
    """Return attempt → the share of its rows that is no good, and the largest reason."""
    results = {}
    for attempt in figuring.staged:
        rows = places(attempt)
        total = sum(rows.values())
        bad = {place: n for place, n in rows.items() if place not in (GOOD, WAITING) and n}
        if total and bad:
            place = max(bad, key=lambda name: bad[name])
            reason = {RETRY: "retry", HELD: "held", REJECTED: "rejected"}.get(place, "rework")
            results[attempt.attempt] = (sum(bad.values()) / total, reason)
    return results


def unread_nodes(figuring: Figuring) -> frozenset[str]:
    """Return the nodes that no consumer needs and of which no read was seen in the window."""
    seen = {usage.node for usage in figuring.reads}
    return frozenset(figuring.declared.nodes.keys() - needed_nodes(figuring.compiled, seen))


def consumers_of_nodes(figuring: Figuring) -> dict[str, list[str]]:
    """Return node or export → the consumers that need it."""
    results: dict[str, list[str]] = {name: [name] for name in figuring.declared.exports}
    for terms in figuring.declared.consumers:
        for node in figuring.declared.upstream(terms.reads):
            results.setdefault(node.name, []).append(terms.consumer)
    return results


def _lines(figuring: Figuring, items: Sequence[CostItem], by: str) -> list[CostLine]:
    if by == "consumer":
        return by_consumer(items, consumers_of_nodes(figuring))
    if by == "waste":
        return waste(items, unread_nodes(figuring))
    return sums(items, _name_of(figuring.compiled, by))


def _name_of(compiled: Compiled, by: str) -> Callable[[CostItem], str]:
    names: Mapping[str, Callable[[CostItem], str]] = {
        "asset": lambda item: item.node,
        "owner": lambda item: _owner_and_domain(compiled, item.node)[0],
        "domain": lambda item: _owner_and_domain(compiled, item.node)[1],
        "run": lambda item: item.run,
        "incident": lambda item: item.incident,
        "backfill": lambda item: item.backfill,
    }
    return names[by]


def _owner_and_domain(compiled: Compiled, name: str) -> tuple[str, str]:
    node = compiled.project.node(name)
    return (NOBODY, NOBODY) if node is None else (node.owner, node.domain or NOBODY)


def _budgets(figuring: Figuring, rates: CostRates, items: Sequence[CostItem]) -> list[Budget]:
    """Return the budgets with what this calendar month cost, and will by its end."""
    if rates.budget_month is None and not rates.budgets:
        return []
    now = from_us(figuring.until, figuring.window.timezone)
    began = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ends = (began + timedelta(days=32)).replace(day=1)
    days_left = (to_us(ends) - figuring.until) / DAY_US
    days = days_since(figuring, figuring.began)
    of_month = _spent(figuring, rates, plain_items(figuring, to_us(began)))
    of_window = _spent(figuring, rates, items)
    amounts = {**rates.budgets}
    if rates.budget_month is not None:
        amounts = {NOBODY: rates.budget_month, **amounts}
    return [
        Budget(
            of,
            amount,
            of_month.get(of, 0.0),
            forecast(of_month.get(of, 0.0), of_window.get(of, 0.0) / days, days_left),
        )
        for of, amount in amounts.items()
    ]


def _spent(figuring: Figuring, rates: CostRates, items: Sequence[CostItem]) -> dict[str, float]:
    """Return what each domain cost, and everything together under the empty name."""
    results: dict[str, float] = {NOBODY: 0.0}
    for line in sums(items, _name_of(figuring.compiled, "domain")):
        cost = rates.of(*line.amount)
        results[NOBODY] += cost
        if line.of:
            results[line.of] = cost
    return results


def _response(
    by: str,
    window: str,
    rates: CostRates | None,
    total: CostAmount,
    lines: Sequence[CostLine],
    wasted: Sequence[CostLine],
    budgets: Sequence[Budget],
) -> CostsResponse:
    return CostsResponse(
        by=by,
        window=window,
        currency=None if rates is None else rates.currency,
        total=_row(CostLine("", total), rates),
        rows=[_row(line, rates) for line in lines[:ROWS_MAX]],
        waste=[_row(line, rates) for line in wasted],
        budgets=[
            BudgetRow(
                of=budget.of or None,
                amount=budget.amount,
                spent=round(budget.spent, 4),
                forecast=round(budget.forecast, 4),
                state=budget.state,
            )
            for budget in budgets
        ],
    )


def _row(line: CostLine, rates: CostRates | None) -> CostRow:
    cost = line.amount.cost(rates)
    return CostRow(
        of=line.of or None,
        slot_seconds=round(line.amount.slot_us / 1e6, 3),
        bytes_read=round(line.amount.bytes_read),
        byte_months=round(line.amount.byte_months),
        cost=None if cost is None else round(cost, 4),
    )
