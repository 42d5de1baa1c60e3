"""Suggestions for Airflow as changes: both versions run over the same database, with equal tables.

Tasks that run unchanged start a program `airflow`, which runs their statements in SQLite.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from airflow_projects import HEAD

import headrace
from headrace.project.session import Silent
from headrace_import.responses.imports import ImportResponse
from headrace_import.services.project import import_project
from headrace_import.services.suggestions import apply_suggestions

NOW = "2026-03-03T09:00:00+00:00"
TABLES = """
create table orders(id integer, customer text, net real, at text);
insert into orders values (1,'ada',1.5,'2026-03-01 10:00:00'), (2,'bo',2.5,'2026-03-01 23:59:59'),
    (3,'ada',4,'2026-03-02 00:00:00'), (4,'ada',8,'2026-03-02 12:00:00');
create table totals(day text, customer text, net real);
"""
TOTALS = [
    "DELETE FROM totals WHERE day = '{{ ds }}'",
    (
        "INSERT INTO totals (day, customer, net) SELECT date(at), customer, sum(net) FROM orders"
        " WHERE at >= '{{ ds }}' AND at < '{{ tomorrow_ds }}' GROUP BY 1, 2"
    ),
]
PROGRAM = """#!{python}
import datetime, json, pathlib, sqlite3, sys
_, _, _, dag, task, date = sys.argv
day = datetime.date.fromisoformat(date[:10])
with pathlib.Path({calls!r}).open("a") as file:
    file.write(f"{{dag}}.{{task}} {{day}}\\n")
statements = json.loads(pathlib.Path({statements!r}).read_text()).get(dag + "." + task, [])
with sqlite3.connect({database!r}) as connection:
    for text in statements:
        text = text.replace("{{{{ ds }}}}", str(day))
        text = text.replace("{{{{ tomorrow_ds }}}}", str(day + datetime.timedelta(days=1)))
        connection.execute(text)
"""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database `shop` with orders, and a program `airflow` that runs statements in it."""
    path, statements = tmp_path / "shop.db", tmp_path / "statements.json"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
    program = tmp_path / "bin/airflow"
    program.parent.mkdir()
    program.write_text(
        PROGRAM.format(
            python=sys.executable,
            statements=str(statements),
            database=str(path),
            calls=str(tmp_path / "calls.txt"),
        )
    )
    program.chmod(0o755)
    work = {"x.totals": TOTALS, "y.totals": TOTALS}
    statements.write_text(json.dumps(work))
    monkeypatch.setenv("SHOP_FILE", str(path))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return path


def brought_over(root: Path, name: str, dags: str) -> tuple[Path, ImportResponse]:
    """Import these DAGs into a folder; return it and the response."""
    origin = root / "airflow"
    (origin / "dags").mkdir(parents=True, exist_ok=True)
    head = HEAD + "from airflow.operators.email import EmailOperator\n"
    head += "from airflow.providers.sqlite.operators.sqlite import SqliteOperator\n"
    (origin / "dags/d.py").write_text(head + "START = datetime(2026, 3, 1)\n" + dags)
    response = import_project("airflow", origin, root / name, "test", Silent())
    assert response.validate is not None
    assert response.validate.ok, response.validate.problems
    return root / name, response


def sql(task: str, statements: object) -> str:
    """Return a task of a DAG that runs statements in the database."""
    return f"    {task} = SqliteOperator(task_id={task!r}, sqlite_conn_id='shop', sql={statements!r})\n"


def dag(name: str, *tasks: str, schedule: str = "0 6 * * *") -> str:
    """Return a DAG."""
    start = f"with DAG({name!r}, schedule={schedule!r}, start_date=START, catchup=True):\n"
    return start + "".join(tasks)


def tables(project: Path, *names: str) -> dict[str, list[tuple[str, ...]]]:
    """Compute a project's assets, and return the rows of these as sorted lists."""
    headrace.Session(project, now=NOW).tick()
    session = headrace.Session(project, now=NOW)
    return {
        name: sorted(tuple(map(str, row.values())) for row in session.read(name).rows())
        for name in names
    }


def in_database(path: Path) -> list[tuple[str, ...]]:
    """Return the rows of `totals` that the statements left."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("select * from totals").fetchall()
    return sorted(tuple(map(str, row)) for row in found)


def of_kind(response: ImportResponse, kind: str) -> Mapping[str, str]:
    """Return id → diff of the suggestions of a kind that are changes."""
    return {row.id: row.diff for row in response.suggestions if row.kind == kind and row.diff}


def test_two_tasks_with_the_same_query_become_one_asset(tmp_path: Path, database: Path) -> None:
    """Would catch: an asset with other rows than the two tasks left, and orders that are lost."""
    dags = dag("x", sql("totals", TOTALS)) + dag(
        "y",
        sql("totals", TOTALS),
        "    after = EmailOperator(task_id='after', to='a@example.com')\n    totals >> after\n",
    )
    faithful, response = brought_over(tmp_path, "faithful", dags)
    assert of_kind(response, "duplicate_tasks").keys() == {"duplicate_tasks-1"}
    tables(faithful)
    expected = in_database(database)
    assert len(expected) == 3
    simpler, _ = brought_over(tmp_path, "simpler", dags)
    applied = apply_suggestions("duplicate_tasks-1", simpler, "test", Silent())
    assert "assets/totals.sql" in applied.files
    assert not (simpler / "assets/y_totals.yaml").exists()
    assert "depends: [totals]" in (simpler / "assets/y_after.yaml").read_text()
    assert tables(simpler, "totals")["totals"] == expected


def test_a_backfill_dag_is_replaced_by_partitions(tmp_path: Path, database: Path) -> None:
    """Would catch: rows that only the DAG of the past would have computed."""
    dags = dag("x", sql("totals", TOTALS)) + dag("totals_backfill", sql("totals", TOTALS))
    work = json.loads((tmp_path / "statements.json").read_text())
    work["totals_backfill.totals"] = TOTALS
    (tmp_path / "statements.json").write_text(json.dumps(work))
    faithful, response = brought_over(tmp_path, "faithful", dags)
    assert of_kind(response, "backfill_dag").keys() == {"backfill_dag-1"}
    tables(faithful)
    expected = in_database(database)
    simpler, _ = brought_over(tmp_path, "simpler", dags)
    apply_suggestions("backfill_dag-1", simpler, "test", Silent())
    assert tables(simpler, "totals")["totals"] == expected


READING = [
    "DELETE FROM best WHERE day = '{{ ds }}'",
    (
        "INSERT INTO best (day, net) SELECT day, max(net) FROM totals WHERE day = '{{ ds }}'"
        " GROUP BY day"
    ),
]


def test_a_schedule_becomes_a_deadline(tmp_path: Path, database: Path) -> None:
    """Would catch: an asset that computes other days, or none, without its cron trigger."""
    assert database.exists()
    dags = dag("x", sql("totals", TOTALS)) + dag(
        "late", sql("best", READING), schedule="30 8 * * *"
    )
    faithful, response = brought_over(tmp_path, "faithful", dags)
    (diff,) = of_kind(response, "schedule_to_deadline").values()
    assert "-trigger: {cron: 30 8 * * *}" in diff
    simpler, _ = brought_over(tmp_path, "simpler", dags)
    apply_suggestions("schedule_to_deadline", simpler, "test", Silent())
    found = tables(simpler, "totals", "best")
    assert found == tables(faithful, "totals", "best")
    assert len(found["best"]) == 2
    consumers = (simpler / "consumers.yaml").read_text()
    assert "reads: [best]\n  due: 08:30\n" in consumers


def test_no_change_where_work_would_be_lost(tmp_path: Path, database: Path) -> None:
    """Would catch: a merge that drops a task after which nothing waits for what came before it."""
    assert database.exists()
    dags = dag("x", sql("totals", TOTALS)) + dag(
        "y",
        "    load = BashOperator(task_id='load', bash_command='load')\n",
        sql("totals", TOTALS),
        "    load >> totals\n",
    )
    _, response = brought_over(tmp_path, "faithful", dags)
    assert not of_kind(response, "duplicate_tasks")
    assert {row.kind for row in response.suggestions} == {
        "duplicate_tasks",
        "table_with_several_writers",
    }


def test_a_copy_at_a_time_of_its_own_stays_a_table(tmp_path: Path, database: Path) -> None:
    """Would catch: a view of a table that is emptied after it was copied."""
    assert database.exists()
    copied = ["DELETE FROM copied", "INSERT INTO copied SELECT customer, net FROM orders"]
    _, response = brought_over(tmp_path, "faithful", dag("x", sql("copied", copied)))
    assert (tmp_path / "faithful/assets/copied.sql").exists()
    assert [row for row in response.suggestions if row.diff] == []
