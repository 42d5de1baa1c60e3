"""Called by the asset `order_totals`. Needs pyarrow, because inputs are Parquet files."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

TRY_AGAIN_LATER = 75


def main() -> int:
    """Exit code: 0 done, 75 to be tried again later, anything else failed."""
    context = json.loads(Path(os.environ["HEADRACE_CONTEXT"]).read_text(encoding="utf-8"))
    rates_file = Path(sys.argv[1])
    if not rates_file.exists():
        return TRY_AGAIN_LATER
    rates = {
        name: Decimal(rate)
        for name, rate in json.loads(rates_file.read_text(encoding="utf-8")).items()
    }
    counts: dict[str, int] = defaultdict(int)
    euros: dict[str, Decimal] = defaultdict(Decimal)
    for order in pq.read_table(context["inputs"]["orders"]["path"]).to_pylist():
        if order["currency"] not in rates:
            event("warning", message=f"no rate for {order['currency']}")
            continue
        counts[order["currency"]] += 1
        euros[order["currency"]] += Decimal(str(order["net"])) * rates[order["currency"]]
    target = Path(context["output_directory"], "totals.csv")
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["currency", "orders", "euros"])
        writer.writerows([name, counts[name], f"{euros[name]:.2f}"] for name in sorted(counts))
    event("metric", name="currencies", value=len(counts))
    print("computed", context["asset"], context["partition"])
    return 0


def event(kind: str, **fields: object) -> None:
    """One line of JSON in the file for events."""
    with Path(os.environ["HEADRACE_EVENTS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": kind, **fields}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
