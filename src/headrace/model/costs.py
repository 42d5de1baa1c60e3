"""`[costs]` of headrace.toml: rates of what work and storage cost, and budgets."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from headrace.model.errors import shown
from headrace.model.fields import Fields, LocatedMapping
from headrace.model.nodes import CostRates

RATE_FIELDS = ("slot_hour", "gb_month", "gb_read", "budget_month")
COST_FIELDS = ("currency", *RATE_FIELDS, "budgets")
_CURRENCY = re.compile(r"[A-Z]{3}")
RATE_MAX = 1e9


def read_costs(fields: Fields) -> CostRates | None:
    """Return the rates; None without `[costs]`, or with reported problems."""
    if not fields.block:
        return None
    currency = fields.required("currency", 'add currency = "EUR" to [costs]')
    if currency is not None and not _CURRENCY.fullmatch(currency):
        fields.refuse("currency", f"{shown(currency)} is no currency", 'write currency = "EUR"')
        return None
    rates = {name: _number(fields, name) for name in RATE_FIELDS if name in fields}
    block = fields.block_of("budgets") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="[costs.budgets]")
    budgets = {name: _number(inner, name) for name in block}
    if currency is None:
        return None
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return CostRates(
        currency=currency,
        budgets={name: amount for name, amount in budgets.items() if amount is not None},
        **known,
    )


def _number(fields: Fields, name: str) -> float | None:
    value = fields.raw(name)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if math.isfinite(value) and 0 <= value <= RATE_MAX:
            return float(value)
        fields.refuse(name, f"`{name}` must be from 0 to {RATE_MAX:,.0f}", f"write {name} = 0.25")
        return None
    fields.wrong(name, "a number", f"write {name} = 0.25")
    return None
