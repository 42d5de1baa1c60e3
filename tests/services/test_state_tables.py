"""`headrace sql "from headrace.runs"`: the state as tables."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, Lab, lab_on

from headrace.model import UsageError
from headrace.model.texts import MARKS
from headrace.responses.inspections import SqlResponse
from headrace.services.sql import SqlQuery, run_query
from headrace.store.queries.state_tables import TABLES

CHECKED = "select order_id, amount, cast(day as date) as day from orders"
CONSUMER = "- {consumer: sales, owner: core, reads: [clean], due: '09:00', since: 2025-01-01}\n"
KEPT = "partition: {by: day, column: day}\nchecks:\n  - range: {column: amount, max: 50}"


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A source, an asset whose check rejects the third day, and one that reads it."""
    made = lab_on(request, tmp_path / "p", monkeypatch)
    made.sql("clean", CHECKED, KEPT)
    made.write("consumers.yaml", CONSUMER)
    made.sql("runs", "select count(*) as n from clean", "partition: '*'")
    for day in DAYS[:2]:
        made.orders(day)
    made.orders(DAYS[2], amount="99.5")
    made.tick()
    return made


def asked(lab: Lab, query: str, at: str | None = None) -> SqlResponse:
    with closing(lab.session()) as session:
        return run_query(session, SqlQuery(query, at=at))


def rows(lab: Lab, query: str) -> list[dict[str, Any]]:
    return list(asked(lab, query).rows)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_incidents_name_partitions_as_the_other_tables_do(lab: Lab) -> None:
    """Catches: an incident of an unpartitioned node that joins with no partition."""
    lab.sql("broken", "select error('no') as n from clean", "partition: '*'")
    lab.headrace("apply", "--yes")
    lab.headrace("run", code=None)
    found = rows(
        lab,
        "select node, partition, p.state from headrace.incidents i join headrace.partitions p using"
        " (node, partition) order by node",
    )
    assert found == [
        {"node": "broken", "partition": "*", "state": "failed"},
        {"node": "clean", "partition": DAYS[2], "state": "rejected"},
    ]


def test_every_table_has_its_columns_in_plain_words(lab: Lab) -> None:
    """Catches: a column that only quotes can name, a query that gives others than are declared."""
    for name, table in TABLES.items():
        found = asked(lab, f"select {', '.join(table.columns)} from headrace.{name}")
        assert [column.name for column in found.columns] == list(table.columns)
        assert (found.snapshot, found.tables) == (None, [f"headrace.{name}"])
        assert found.rows, name
        assert not set(MARKS) & set(str(found.rows)), name


def test_the_rows_are_what_the_commands_say(lab: Lab) -> None:
    """Catches: a state or a time that a command says otherwise."""
    attempts = {
        (row["run_id"], row["attempt"], row["node"], row["state"], instant(row["at"]))
        for row in lab.headrace("runs")
        if row["attempt"] is not None
    }
    assert attempts == {
        (str(row["run"]), row["attempt"], row["node"], row["state"], instant(row["finished_at"]))
        for row in rows(lab, "from headrace.attempts")
    }
    assert rows(lab, "select node, partition, reason from headrace.quarantine") == [
        {key: row[key] for key in ("node", "partition", "reason")}
        for row in lab.headrace("quarantine")
    ]
    incidents = lab.headrace("incidents", "--all")
    assert rows(lab, "select incident, node, owner from headrace.incidents") == [
        {"incident": row["id"], "node": row["cause"]["node"], "owner": row["owner"]}
        for row in sorted(incidents, key=lambda row: row["id"])
    ]
    assert rows(lab, "select sum(rows) as n from headrace.publications where node = 'orders'") == [
        {"n": sum(row["rows"] for row in lab.headrace("deliveries", "orders"))}
    ]


def test_obligations_and_partitions_are_as_status_counts_them(lab: Lab) -> None:
    """Catches: a late delivery as kept, partitions of an asset that is no longer declared."""
    due = rows(lab, "select interval, due_at, met_at, kept from headrace.obligations order by 1")
    assert [row["interval"] for row in due] == [f"2025-01-0{day}" for day in range(1, 10)]
    assert due[0]["due_at"] == "2025-01-02T09:00:00+00:00"
    assert [row["met_at"] is None for row in due] == [False, False, *[True] * 7]
    assert not any(row["kept"] for row in due)  # all were met, if at all, after their deadlines
    readable = "select partition from headrace.partitions where node = 'clean' and readable"
    assert len(rows(lab, readable)) == 2
    (lab.root / "assets/clean.sql").unlink()
    (lab.root / "assets/runs.sql").unlink()
    (lab.root / "consumers.yaml").unlink()
    lab.headrace("apply", "--yes")
    assert rows(lab, readable) == []


def test_a_delivery_tells_nothing_of_classified_values(tmp_path: Path) -> None:
    """Catches: what a vendor wrote for `*` of a file's name, and a hash by which somebody who knows
    the other columns finds a value by trying all of them."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/people.yaml",
        "source: people\nowner: acme\nfiles: landing/people_*.csv\n"
        "columns: {wage: {classification: secret}}\n",
    )
    (lab.root / "landing/people_ada.csv").write_text("id,wage\n1,5000\n")
    lab.orders(DAYS[0])
    lab.tick()
    for found in (
        lab.headrace("deliveries", "people"),
        rows(lab, "select path, sha256 from headrace.deliveries where source = 'people'"),
    ):
        assert [(row["path"], row["sha256"]) for row in found] == [("landing/people_*.csv", None)]
    assert rows(lab, "select sha256 from headrace.deliveries where source = 'orders'")[0]["sha256"]


def test_a_projects_own_table_keeps_its_name(lab: Lab) -> None:
    """Catches: an asset `runs` that the state's table hides, or the other way round."""
    joined = "select count(*) as n, max(r.n) as m from headrace.runs h, runs r"
    found = asked(lab, joined)
    assert found.tables == ["runs", "headrace.runs"]
    assert found.snapshot is not None
    assert found.rows[0]["n"] == len({row["run_id"] for row in lab.headrace("runs")})
    shadowed = "with runs as (select 7 as n) select n, run from headrace.runs, runs"
    assert rows(lab, shadowed)[0]["n"] == 7


def test_what_cannot_be_read(lab: Lab) -> None:
    """Catches: a table of the past that is of today, one of a schema that isn't there."""
    for query, at, said in (
        ("from headrace.runz", None, "there is no table headrace.runz"),
        ("from headrace.runs", "2025-03-01T00:00", "it has no snapshots"),
        ("from elsewhere.runs", None, "elsewhere"),
    ):
        with pytest.raises(UsageError, match=said):
            asked(lab, query, at)
