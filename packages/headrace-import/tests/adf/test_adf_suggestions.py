"""Suggestions for a factory as changes: both versions run over the same file, with equal tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from adf_factories import activity, basics, copy, dataset, pipeline, script, trigger

import headrace
from headrace.project.session import Silent
from headrace_import.services.project import import_project
from headrace_import.services.suggestions import apply_suggestions

TIMES = [f"2026-03-{day:02}T{hour:02}:00:00+00:00" for day in (2, 3) for hour in (5, 7, 9)]
SUM = (
    "TRUNCATE TABLE dbo.Totals; INSERT INTO dbo.Totals (customer, net)"
    " SELECT customer, SUM(net) FROM dbo.Orders GROUP BY customer"
)
BEST = "TRUNCATE TABLE dbo.Best; INSERT INTO dbo.Best (net) SELECT MAX(net) FROM dbo.Totals"
WORST = "TRUNCATE TABLE dbo.Worst; INSERT INTO dbo.Worst (net) SELECT MIN(net) FROM dbo.Totals"


def daily(root: Path, name: str, hour: int) -> None:
    """Write a trigger that starts a pipeline each day."""
    schedule = {"hours": [hour], "minutes": [0]}
    recurrence = {"frequency": "Day", "interval": 1, "timeZone": "UTC", "schedule": schedule}
    recurrence["startTime"] = "2026-03-01T00:00:00Z"
    trigger(root, f"at_{name}", "ScheduleTrigger", name, {"recurrence": recurrence})


def brought_over(tmp_path: Path, name: str) -> tuple[Path, set[str]]:
    """Import the factory; return the new folder, which reads a local file, and what is offered."""
    root, into = tmp_path / "factory", tmp_path / name
    if not root.exists():
        basics(root)
        kinds = {"net": "int"}
        dataset(root, "totals", "AzureSqlTable", "sql", schema="dbo", table="Totals", columns=kinds)
        pause = activity("Pause", "Wait", ["Sum"], settings={"waitTimeInSeconds": 1})
        load = copy("Load", "orders_csv", "orders_table")
        longer = activity("Longer", "Wait", ["Pause"], settings={"waitTimeInSeconds": 1})
        best = script("Best", BEST, ["Longer"])
        work = [load, script("Sum", SUM, ["Load"]), pause, longer, best]
        pipeline(root, "early", work)
        pipeline(root, "late", [script("Worst", WORST)])
        daily(root, "early", 6)
        daily(root, "late", 8)
    response = import_project("adf", root, into, "test", Silent())
    (into / "orders.csv").write_text("customer;net\n1;1\n2;2\n1;4\n")
    (into / "sources/orders.yaml").write_text(
        "source: orders\nowner: data-factory\nfiles: orders.csv\ncsv: {delimiter: ;}\n"
    )
    return into, {row.id for row in response.suggestions if row.diff}


def tables(project: Path) -> dict[str, list[tuple[str, ...]]]:
    """Compute a project's assets; return their rows as sorted lists."""
    for now in TIMES:
        headrace.Session(project, now=now).tick()
    session = headrace.Session(project, now=TIMES[-1])
    return {
        name: sorted(tuple(map(str, row.values())) for row in session.read(name).rows())
        for name in ("totals", "best", "worst")
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["waiting", "schedule_to_deadline"])
def test_tables_stay_equal(tmp_path: Path, kind: str) -> None:
    """Would catch: an asset that no longer runs, or runs before its inputs."""
    faithful, _ = brought_over(tmp_path, "faithful")
    simpler, offered = brought_over(tmp_path, "simpler")
    assert offered == {"waiting-1", "schedule_to_deadline-1"}
    apply_suggestions(kind, simpler, "test", Silent())
    texts = "".join(path.read_text() for path in (simpler / "assets").rglob("*.*"))
    assert ("pause" in texts or "longer" in texts) == (kind != "waiting")
    assert ("cron: 0 8" in texts) == (kind != "schedule_to_deadline")
    found = tables(simpler)
    assert found == tables(faithful)
    assert found["best"] == [("5",)]
    assert found["worst"] == [("2",)]
