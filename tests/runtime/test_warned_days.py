"""A day that was published with a warning is in `status` for a week, and `why` says what it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from runlab import DAYS, Lab


def test_a_warned_day_leaves_a_trace(tmp_path: Path) -> None:
    """Would catch: nulls that a check warned of, and a `status` without a word about them."""
    lab = Lab(tmp_path / "p")
    checks = "checks: [{not_null: [amount], severity: warning}]"
    lab.sql(
        "daily",
        "select * from orders where day >= $partition_start and day < $partition_end",
        f"partition: {{by: day, column: day}}\n{checks}",
    )
    for day in DAYS[:3]:
        lab.orders(day)
    lab.deliver(DAYS[3], [f"x{i},c{i % 3},{'1.50' if i else ''},{DAYS[3]}" for i in range(10)])
    lab.tick()
    place = f"daily@{DAYS[3]}"
    assert lab.headrace("status")["warned"] == [place]
    assert ", with a warning: amount: 1 row with null" in lab.headrace("why", place)["verdict"]
    assert "warning" not in lab.headrace("why", f"daily@{DAYS[2]}")["verdict"]
    lab.now += timedelta(days=7)
    lab.tick()
    assert lab.headrace("status")["warned"] == []


def test_a_day_that_was_delivered_again_without_nulls_is_none(tmp_path: Path) -> None:
    """Would catch: a warning that outlives what it was about."""
    lab = Lab(tmp_path / "p")
    lab.sql(
        "daily",
        "select * from orders",
        "partition: {by: day, column: day}\nchecks: [{not_null: [amount], severity: warning}]",
    )
    lab.orders(DAYS[0])
    lab.deliver(DAYS[1], [f"x{i},c{i % 3},{'1.50' if i else ''},{DAYS[1]}" for i in range(10)])
    lab.tick()
    assert lab.headrace("status")["warned"] == [f"daily@{DAYS[1]}"]
    lab.orders(DAYS[1])
    lab.tick()
    assert lab.headrace("status")["warned"] == []
