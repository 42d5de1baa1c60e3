"""Deliveries unlike those before them, through real ticks: what is held, what is published with a
warning, what is kept of it.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab

FIRST = date(2024, 12, 1)
HEADER = "order_id,customer,amount,note,at"
SEED = 20250110


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Thirty sound days of `orders`, a little different each day."""
    made = Lab(Path(tmp_path_factory.mktemp("anomalies")) / "p")
    made.sql("totals", "select * from orders", "partition: {by: day, column: at}")
    made.write(
        "consumers.yaml",
        "- {consumer: report, owner: core, reads: [totals], due: '09:00', since: '2024-12-01'}\n",
    )
    for number in range(30):
        made.deliver(day(number), rows(number), HEADER)
    made.tick()
    assert made.rows(
        "select count(*), sum(verdict in ('passed', 'unchecked')) from publication where node ="
        " 'orders'"
    ) == [(30, 30)]
    return made


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def rows(number: int, count: int | None = None) -> list[str]:
    chance = random.Random(SEED + number)
    many = count or 200 + chance.randrange(-10, 10)
    return [
        f"{1 + number}{n:04d},c{n % 5},{chance.lognormvariate(3, 0.5):.2f},{'x' if n % 20 else ''},{day(number)}"
        f" {n * 24 // many:02d}:00:00"
        for n in range(many)
    ]


def facts(lab: Lab, number: int, node: str = "orders") -> list[tuple[Any, ...]]:
    result = (
        "select kind, column_name, severity from fact where node = ? and partition = ? order by id"
    )
    return lab.rows(result, node, day(number))


def state(lab: Lab, number: int, node: str = "orders") -> str:
    return str(
        lab.rows("select state from partition where node = ? and partition = ?", node, day(number))[
            0
        ][0]
    )


def test_what_is_far_outside_the_history_is_held_and_says_what_it_is(lab: Lab) -> None:
    """Catches: a fault that is published; a sound day that is held; a cause that goes by another's
    name; a fault that becomes part of the history and hides the next one."""
    whole = rows(30)
    broken = {
        30: (
            "null_spike",
            "amount",
            [",".join(c if n != 2 else "" for n, c in enumerate(row.split(","))) for row in whole],
        ),
        31: ("stale_data", "", rows(29)),
        32: ("duplicate_rows", "", rows(32) * 2),
        33: ("volume_anomaly", "at", rows(33)[:110]),
        34: ("distribution_shift", "amount", [_scaled(row, 100) for row in rows(34)]),
        35: ("volume_anomaly", "customer", [row for row in rows(35) if ",c3," not in row]),
    }
    for number, (_, _, text) in broken.items():
        lab.deliver(day(number), text, HEADER)
    lab.deliver(day(36), rows(36), HEADER)
    lab.tick()
    for number, (kind, column, _) in broken.items():
        assert (number, state(lab, number)) == (number, "held")
        assert facts(lab, number)[0] == (kind, column, "hold"), number
        assert {fact[2] for fact in facts(lab, number)[1:]} <= {"hold", "warn"}
        assert lab.rows(
            "select count(*) from publication where node = 'totals' and partition = ?", day(number)
        ) == [(0,)]
    assert (state(lab, 36), facts(lab, 36)) == ("published", [])
    said = {item["cause"]["kind"]: item["cause"]["summary"] for item in lab.headrace("incidents")}
    assert said["duplicate_rows"].endswith("rows are identical to others"), (
        "not that there are rows"
    )


def _scaled(row: str, by: float) -> str:
    cells = row.split(",")
    return ",".join([*cells[:2], f"{float(cells[2]) * by:.2f}", *cells[3:]])


def test_what_is_merely_unusual_is_published_and_said_to_its_consumers(lab: Lab) -> None:
    """Catches: a warning that nobody hears; one that holds; `on_anomaly` of a column that isn't
    heeded; a warning that stays after the next sound day."""
    lab.deliver(day(37), rows(37), HEADER)
    lab.deliver(day(38), rows(38), HEADER)
    lab.deliver(
        day(39), [_scaled(row, 1 + n % 2) for n, row in enumerate(rows(39))], HEADER
    )  # half of the amounts: no unit does that
    lab.tick()
    assert [state(lab, number) for number in (37, 38, 39)] == ["published"] * 3
    assert ("distribution_shift", "amount", "warn") in facts(lab, 39)
    report = lab.headrace("status")["consumers"][0]
    for interval in report["backlog"]:  # days that other tests leave out
        lab.headrace("waive", f"report@{interval}", "--reason", "never came")
    report = lab.headrace("status")["consumers"][0]
    assert report["state"] == "at_risk", report
    assert "orders@2025-01-09 is unusual: distribution_shift: amount" in report["reason"]
    why = lab.headrace("why", "report")
    assert (why["verdict"].split(".")[0].split("since")[0], why["next"]) == (
        "report is at risk ",
        report["next"],
    )
    assert report["reason"] in why["verdict"]

    source = (lab.root / "sources/orders.yaml").read_text(encoding="utf-8")
    lab.write("sources/orders.yaml", source + "on_anomaly: {amount: ignore, customer: hold}\n")
    lab.sql(
        "totals",
        "select * from orders",
        "partition: {by: day, column: at}\non_anomaly: {amount: ignore}",
    )
    lab.headrace("apply", "--yes")
    lab.deliver(day(39), [_scaled(row, 100) for row in rows(39)], HEADER)
    lab.tick()
    assert state(lab, 39) == "published"
    assert lab.headrace("status")["consumers"][0]["state"] == "served"


def test_a_column_that_nobody_reads_warns_and_holds_nothing(tmp_path: Path) -> None:
    """Catches: free text that nobody uses, which held whole deliveries; rows that are missing and
    are let pass for it."""
    own = Lab(tmp_path / "p")
    own.sql(
        "totals",
        'select "at", order_id, sum(amount) as amount from orders group by all',
        "partition: {by: day, column: at}",
    )
    own.write(
        "consumers.yaml",
        "- {consumer: report, owner: core, reads: [totals], due: '09:00', since: '2024-12-01'}\n",
    )
    for number in range(30):
        own.deliver(day(number), rows(number), HEADER)
    emptied = [
        ",".join(cell if at != 3 else "" for at, cell in enumerate(row.split(",")))
        for row in rows(30)
    ]
    own.deliver(day(30), emptied, HEADER)
    own.deliver(day(31), rows(31) * 2, HEADER)
    own.deliver(
        day(32),
        [
            ",".join(cell if at != 2 else "" for at, cell in enumerate(row.split(",")))
            for row in rows(32)
        ],
        HEADER,
    )
    own.tick()
    assert [fact for fact in facts(own, 30) if fact[1] == "note"] == [
        ("null_spike", "note", "warn")
    ]
    assert (state(own, 30), state(own, 31), state(own, 32)) == ("published", "held", "held")


def test_another_day_s_times_are_held_and_late_rows_are_not(tmp_path: Path) -> None:
    """Would catch: rows whose every time is of another day, published because each time is another
    one.
    """
    own = Lab(tmp_path / "p")
    own.sql("totals", "select * from orders", "partition: {by: day, column: at}")
    for number in range(10):
        own.deliver(day(number), rows(number), HEADER)
    own.deliver(day(10), [row.replace(day(10), day(2)) for row in rows(10)], HEADER)
    own.deliver(
        day(11),
        [row.replace(day(11), day(10)) if n % 20 == 0 else row for n, row in enumerate(rows(11))],
        HEADER,
    )
    own.tick()
    assert (state(own, 10), facts(own, 10)) == ("held", [("stale_data", "at", "hold")])
    assert (state(own, 11), facts(own, 11)) == ("published", [])
