"""What is said of an incident whose cause is gone, until all whom it affects are served."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from runlab import Lab
from warm_fork_servers import headrace

from headrace.model.intervals import to_us
from headrace.plan import Compiled
from headrace.repairs import repair_forecast
from headrace.repairs.incident_rows import rows_of
from headrace.slo.declared_promises import DeclaredPromises, declared_promises
from headrace.store.queries import incidents as stored

SOURCE = """source: orders
owner: acme
partition: day
files: landing/orders_{date:%Y-%m-%d}.csv
expect: {by: "05:00"}
"""
TRIGGERED = "partition: {by: day, column: day}\ntrigger: {cron: '0 9 * * *'}"
SUM = "select day, sum(amount) as total from orders group by all"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A file came too late, and what is made of it waits for 09:00."""
    result = Lab(tmp_path / "p")
    result.write("sources/orders.yaml", SOURCE)
    result.sql("totals", SUM, TRIGGERED)
    result.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '06:00'}\n"
    )
    result.orders("2025-01-09")
    at(result, "2025-01-10T09:30:00+00:00")
    at(result, "2025-01-11T07:00:00+00:00")
    result.orders("2025-01-10")
    at(result, "2025-01-11T08:00:00+00:00")
    return result


def at(lab: Lab, now: str) -> None:
    lab.now = datetime.fromisoformat(now)
    lab.tick()


def page(lab: Lab, incident: str) -> str:
    arguments = ["incident", incident, "--project", str(lab.root), "--now", lab.now.isoformat()]
    return str(headrace(arguments, Path.cwd(), os.environ, 60).stdout)


def test_nothing_is_next_while_headrace_repairs_it_itself(lab: Lab) -> None:
    """Would catch: "Headrace goes on as soon as the file comes" after it came, and "next: headrace
    fix" of what Headrace does by itself, and a time that has passed."""
    (incident,) = lab.headrace("incidents")
    assert (incident["state"], incident["cause"]["kind"]) == ("recovering", "missing_source")
    assert incident["repair"]["automatic"]
    assert incident["repair"]["expected_at"].startswith("2025-01-11T09:00:")
    text = page(lab, incident["id"])
    assert "repair   Headrace does it by itself; expected at 09:00 at the earliest" in text
    assert text.splitlines()[-1].startswith("next: headrace why report")
    for later in ("2025-01-11T09:01:00+00:00", "2025-01-12T08:00:00+00:00"):
        lab.now = datetime.fromisoformat(later)
        text = page(lab, incident["id"])
        assert "repair   Headrace does it by itself\n" in text
    at(lab, "2025-01-11T09:05:00+00:00")
    assert lab.headrace("incidents") == []


def test_the_forecast_is_made_once_for_all_incidents(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the promises of the whole project derived again for each recovering incident."""
    derived = list[DeclaredPromises]()

    def recorded(compiled: Compiled) -> DeclaredPromises:
        derived.append(declared_promises(compiled))
        return derived[-1]

    monkeypatch.setattr(repair_forecast, "declared_promises", recorded)
    with closing(lab.session()) as session:
        assert session.store is not None
        assert session.compiled is not None
        now_us = to_us(lab.now)
        with session.store.read() as tx:
            (item,) = stored.open_incidents(tx)
            rows = rows_of(session, session.compiled, tx, [item, item], now_us)
    assert [row.repair is not None and row.repair.expected_at is not None for row in rows] == [
        True,
        True,
    ]
    assert len(derived) == 1
