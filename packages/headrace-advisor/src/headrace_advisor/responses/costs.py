"""Responses about what work and storage cost."""

from __future__ import annotations

from headrace.extension import Response


class CostRow(Response, frozen=True, kw_only=True):
    """What one name cost in the window; `of` is null for what belongs to none.

    `slot_seconds` is how long attempts held a worker slot, `byte_months` the bytes of current
    publications × months of 30 days. `cost` is null without rates.
    """

    of: str | None
    slot_seconds: float
    bytes_read: int
    byte_months: int
    cost: float | None


class BudgetRow(Response, frozen=True, kw_only=True):
    """A budget of a calendar month, of a domain or, if `of` is null, of the project.

    `forecast` is what the month will have cost if it goes on as in the window; `state` is `kept`,
    `at_risk` or `exceeded`.
    """

    of: str | None
    amount: float
    spent: float
    forecast: float
    state: str


class CostsResponse(Response, frozen=True, kw_only=True):
    """`costs`: the sums by one group over a window, and what of it was in vain.

    `rows` add up to `total`, unless there are more than 500; of `waste` they add up to the waste.
    """

    by: str
    window: str
    currency: str | None
    total: CostRow
    rows: list[CostRow]
    waste: list[CostRow]
    budgets: list[BudgetRow]
