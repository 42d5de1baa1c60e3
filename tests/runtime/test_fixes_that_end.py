"""A repair that is offered ends its incident; where nothing is to be repaired, that is said before
anything is done.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab

HEADER = "order_id,amount,day,booked"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nrestate_within: 30d\nfiles:"
        " landing/orders_{date:%Y-%m-%d}.csv\n",
    )
    made.sql("totals", "select day, booked, sum(amount) as total from orders group by all")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    for day in DAYS[:2]:
        deliver(made, day, day)
    made.tick()
    return made


def deliver(lab: Lab, day: str, at: str, n: int = 10) -> None:
    lab.deliver(day, [f"{day[-2:]}{i},1.5{i % 7},{day},{at}" for i in range(n)], HEADER)


def fix(lab: Lab, target: str) -> Any:
    lab.now += timedelta(minutes=1)
    return lab.headrace("fix", target, "--yes", "--now", lab.now.isoformat(), code=3)


@pytest.mark.parametrize("kind", ["format_change", "restatement"])
def test_what_was_published_needs_no_repair_and_ends_by_itself(lab: Lab, kind: str) -> None:
    """Would catch: a `fix` that looks again, finds nothing, and leaves the incident as open as it
    was.
    """
    if kind == "format_change":
        deliver(lab, DAYS[2], f"{DAYS[2][8:]}.{DAYS[2][5:7]}.{DAYS[2][:4]}")
    else:
        deliver(lab, DAYS[1], DAYS[1], n=12)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert incident["cause"]["kind"] == kind
    repair = incident["repair"]
    assert (repair["automatic"], repair["first"], repair["command"]) == (
        True,
        None,
        "headrace deliveries orders",
    )
    assert "it ends by itself with the first pass after 2025-01-11 12" in repair["note"]
    assert "if the data isn't right, ask acme for other data" in repair["note"]
    refused = fix(lab, incident["id"])
    assert refused is None or "needs no repair" in refused["error"]["message"]
    lab.now += timedelta(hours=25)
    lab.tick()
    assert lab.headrace("incidents") == []


def test_corrected_code_is_not_to_be_corrected_again(lab: Lab) -> None:
    """Would catch: an incident that says "correct assets/totals.sql" to whoever has
    just done it."""
    good = "select day, booked, sum(amount) as total from orders group by all"
    lab.sql("totals", good.replace("sum(amount)", "sum(cast('x' || order_id as integer))"))
    lab.now += timedelta(minutes=1)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    deliver(lab, DAYS[2], DAYS[2])
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("code_error", "totals")
    assert incident["repair"]["first"].startswith("correct assets/totals.sql")
    lab.sql("totals", good)
    lab.now += timedelta(minutes=1)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())
    (incident,) = lab.headrace("incidents")
    assert (incident["repair"]["first"], incident["repair"]["command"]) == (
        None,
        f"headrace fix {incident['id']}",
    )
    lab.now += timedelta(minutes=1)
    done = lab.headrace("fix", incident["id"], "--yes", "--now", lab.now.isoformat())
    assert (done["fix"], done["state"]) == ("done", "resolved")


GOOD = "select day, count(*) as n from orders group by all"
"""Once a day's rows are counted twice, its only check fails."""


def doubled(lab: Lab, severity: str) -> Any:
    """The incident of two days that were computed by code which counts each row twice."""
    lab.sql("totals", GOOD, at_most(10, severity))
    lab.tick()
    lab.sql("totals", GOOD.replace("count(*)", "count(*) * 2"), at_most(10, severity))
    apply(lab)
    for day in DAYS[2:4]:
        deliver(lab, day, day)
    lab.tick()
    (incident,) = lab.headrace("incidents")
    cause = incident["cause"]
    assert (cause["kind"], cause["node"]) == ("code_error", "totals")
    assert cause["summary"] == "check range_n fails; version 2 changed its code"
    return incident


def at_most(n: int, severity: str) -> str:
    return (
        f"partition: {{by: day, column: day}}\nchecks:\n  - range: {{column: n, max: {n}, severity:"
        f" {severity}}}"
    )


def apply(lab: Lab) -> None:
    lab.now += timedelta(minutes=1)
    lab.headrace("apply", "--yes", "--now", lab.now.isoformat())


def fixed(lab: Lab) -> tuple[str, str]:
    """How the only open incident ends with the one command that is proposed for it."""
    (incident,) = lab.headrace("incidents")
    assert (incident["repair"]["first"], incident["repair"]["command"]) == (
        None,
        f"headrace fix {incident['id']}",
    )
    lab.now += timedelta(minutes=1)
    done = lab.headrace("fix", incident["id"], "--yes", "--now", lab.now.isoformat())
    return done["fix"], done["state"]


@pytest.fixture
def counted(tmp_path: Path) -> Lab:
    """A project with two days of ten orders each."""
    made = Lab(tmp_path / "p")
    made.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], max_age: 400d}\n"
    )
    for day in DAYS[:2]:
        deliver(made, day, day)
    return made


@pytest.mark.long
def test_wrong_rows_of_code_that_was_corrected_are_computed_again(counted: Lab) -> None:
    """Would catch: "correct assets/totals.sql" of rows that readers see, once it is corrected."""
    incident = doubled(counted, "warning")
    assert (
        incident["repair"]["first"]
        == "correct assets/totals.sql, its input or the check that failed"
    )
    counted.sql("totals", GOOD, at_most(10, "warning"))
    apply(counted)
    assert fixed(counted) == ("done", "resolved")
    assert [row["n"] for row in counted.read("totals")] == [10, 10, 10, 10]


@pytest.mark.long
def test_what_a_check_rejected_that_was_changed_is_computed_again(counted: Lab) -> None:
    """Would catch: "the check that failed" to be corrected by whoever has just done it."""
    doubled(counted, "blocking")
    counted.sql("totals", GOOD.replace("count(*)", "count(*) * 2"), at_most(20, "blocking"))
    apply(counted)
    assert fixed(counted) == ("done", "resolved")


def test_no_check_is_to_be_corrected_that_was_dropped(counted: Lab) -> None:
    """Would catch: a check that is to be corrected and isn't declared any more."""
    doubled(counted, "warning")
    counted.sql("totals", GOOD.replace("count(*)", "count(*) * 2"))
    apply(counted)
    (incident,) = counted.headrace("incidents")
    assert incident["repair"]["first"] == "correct assets/totals.sql or its input"


def test_nothing_is_wrong_by_a_check_that_was_dropped(counted: Lab) -> None:
    """Would catch: a consumer that is wrong for ever by a check that nobody declares any more."""
    doubled(counted, "warning")
    (report,) = counted.headrace("status", "--now", counted.now.isoformat())["consumers"]
    assert report["state"] == "wrong"
    counted.sql("totals", GOOD.replace("count(*)", "count(*) * 2"))
    apply(counted)
    counted.tick()
    (report,) = counted.headrace("status", "--now", counted.now.isoformat())["consumers"]
    assert report["state"] == "served"
    counted.now += timedelta(hours=25)
    counted.tick()
    assert counted.headrace("incidents") == []
