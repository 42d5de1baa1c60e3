"""What a restatement changed: the columns, how many rows, and how."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runlab import DAYS, Lab

HEADER = "order_id,carrier,amount,day"
CODES = ("AA", "DL", "UA", "WN")


def rows(day: str, prefix: str = "", extra: float = 0.0) -> list[str]:
    return [f"{day[-2:]}{n},{prefix}{CODES[n % 7 % 4]},{n + extra:.2f},{day}" for n in range(24)]


@pytest.mark.parametrize("keyed", [True, False])
def test_rewritten_codes_are_named(tmp_path: Path, keyed: bool) -> None:
    """Would catch: "restated: 24 rows added, 24 rows removed" for codes of a key column that were
    written otherwise in every file; an incident for each of the files."""
    lab = Lab(tmp_path / "p")
    if keyed:
        source = (lab.root / "sources/orders.yaml").read_text()
        lab.write("sources/orders.yaml", source + "checks: [{unique: [order_id, carrier]}]\n")
    lab.sql("totals", "select day, carrier, sum(amount) as total from orders group by all")
    for day in DAYS[:5]:
        lab.deliver(day, rows(day), HEADER)
    lab.tick()
    for day in DAYS[:5]:
        lab.deliver(day, [*rows(day, "X-")], HEADER)
    lab.tick()
    (result,) = lab.headrace("incidents")
    cause = result["cause"]
    assert (cause["kind"], cause["node"], cause["columns"]) == (
        "restatement",
        "orders",
        ["carrier"],
    )
    assert cause["summary"] == (
        "restated in 5 intervals: carrier in 120 rows, 4 codes written otherwise, one for one"
    )
    assert "AA" not in str(cause)


def test_other_amounts_and_emptied_ones(tmp_path: Path) -> None:
    """Would catch: columns that didn't change among those that did; emptied values told
    as others.
    """
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, carrier, sum(amount) as total from orders group by all")
    lab.deliver(DAYS[0], rows(DAYS[0]), HEADER)
    lab.tick()
    other = rows(DAYS[0], extra=0.37)
    emptied = [row.replace(f",{row.split(',')[1]},", ",,") for row in other[:3]]
    lab.deliver(DAYS[0], [*emptied, *other[3:]], HEADER)
    lab.tick()
    (result,) = lab.headrace("incidents")
    assert result["cause"]["columns"] == ["amount", "carrier"]
    said = result["cause"]["evidence"][0]["observed"]
    assert "amount: 24 rows" in said
    assert "carrier: 3 rows, 3 emptied" in said


def test_only_what_was_rewritten_is_called_so(tmp_path: Path) -> None:
    """Would catch: all codes of a column told as rewritten where one was; a few rates
    called codes."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, carrier, sum(amount) as total from orders group by all")

    def deliver(carrier: str, rate: float) -> None:
        codes = [carrier if code == CODES[0] else code for code in CODES]
        result = [f"{n},{codes[n % 4]},{n % 4 + rate:.2f},{DAYS[0]}" for n in range(24)]
        lab.deliver(DAYS[0], result, HEADER)
        lab.tick()

    deliver(CODES[0], 0.25)
    deliver("ZZ", 1.25)
    (result,) = lab.headrace("incidents")
    said = result["cause"]["evidence"][0]["observed"]
    assert "carrier: 6 rows, 1 code written otherwise, one for one" in said
    assert said.count("code") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda n: n + 10, "each + 10"),
        (lambda n: n * 11 // 10, "each × 1.1"),
        (lambda n: n * 2.5, "each × 2.5"),
        (lambda n: n * n + 1001, ""),
    ],
)
@pytest.mark.parametrize("kind", [int, float])
def test_numbers_are_not_called_codes(
    tmp_path: Path, change: Callable[[float], float], how: str, kind: type
) -> None:
    """Would catch: "value: 24 rows, 23 codes written otherwise, one for one" of measured numbers
    that rose by 1, or by a tenth."""
    lab = Lab(tmp_path / "p")
    lab.sql("totals", "select day, sum(value) as total from orders group by all")

    def deliver(day: str, make: Callable[[float], float]) -> None:
        values = [kind(make((n % 23 + 1) * 10)) for n in range(24)]
        lab.deliver(
            day, [f"{n},{value},{day}" for n, value in enumerate(values)], "order_id,value,day"
        )

    for day in DAYS[:2]:
        deliver(day, lambda n: n)
    lab.tick()
    for day in DAYS[:2]:
        deliver(day, change)
    lab.tick()
    (result,) = lab.headrace("incidents")
    assert [item["observed"].partition("; ")[2] for item in result["cause"]["evidence"]] == [
        f"value: 24 rows{how and f', {how}'}"
    ] * 2
    assert (
        result["cause"]["summary"]
        == f"restated in 2 intervals: value in 48 rows{how and f', {how}'}"
    )


def test_lists_keep_no_other_column_from_being_named(tmp_path: Path) -> None:
    """Would catch: `DECIMAL(10,2)[]` taken for a number, an error when it is cast to one, and
    nothing said of any column."""
    lab = Lab(tmp_path / "p")
    source = (lab.root / "sources/orders.yaml").read_text()
    lab.write("sources/orders.yaml", source.replace(".csv", ".parquet"))
    path = lab.root / f"landing/orders_{DAYS[0]}.parquet"
    for prefix in ("", "X-"):
        carriers = [f"{prefix}{CODES[n % 7 % 4]}" for n in range(24)]
        taxes = pa.array(
            [[Decimal(n), Decimal(len(prefix))] for n in range(24)], pa.list_(pa.decimal128(10, 2))
        )
        pq.write_table(pa.table({"order_id": range(24), "carrier": carriers, "taxes": taxes}), path)
        lab.tick()
    (result,) = lab.headrace("incidents")
    assert result["cause"]["columns"] == ["carrier", "taxes"]
