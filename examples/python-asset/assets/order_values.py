"""The value of each customer's orders of a day."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pyarrow as pa
from lib.money import in_euros

from headrace import Context, asset


@asset(
    owner="sales",
    description="What each customer ordered on a day, in euros",
    partition="day",
    inputs=["orders"],
    columns={"customer": "VARCHAR", "orders": "BIGINT", "euros": "DECIMAL(18,2)"},
    parameters={"smallest": 2},
    checks=[{"unique": ["customer"]}, {"range": {"column": "euros", "min": 0}}],
)
def order_values(ctx: Context, orders: pa.Table) -> list[dict[str, Any]]:
    """One row for each customer."""
    smallest = ctx.parameters["smallest"]
    euros: dict[str, Decimal] = defaultdict(Decimal)
    counts: dict[str, int] = defaultdict(int)
    for order in orders.to_pylist():
        value = in_euros(Decimal(str(order["net"])), order["currency"])
        if value < smallest:
            ctx.log(
                f"order {order['order_id']} is worth less than {smallest} euros", level="warning"
            )
            continue
        euros[order["customer"]] += value
        counts[order["customer"]] += 1
    ctx.progress(1.0, f"{len(counts)} customers on {ctx.partition}")
    return [
        {"customer": name, "orders": counts[name], "euros": euros[name]} for name in sorted(counts)
    ]
