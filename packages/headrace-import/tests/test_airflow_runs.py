"""An imported project publishes the rows that the origin's statements leave in its database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from airflow_projects import assert_valid, imported

import headrace

STATEMENTS = {
    "totals": [
        "DELETE FROM totals WHERE day = '{{ ds }}'",
        (
            "INSERT INTO totals (day, customer, net) SELECT date(at), customer, sum(net) FROM orders"
            " WHERE at >= '{{ ds }}' AND at < '{{ tomorrow_ds }}' GROUP BY 1, 2"
        ),
    ],
    "texts": [
        "DELETE FROM texts WHERE dt = '{{ ds }}'",
        "INSERT INTO texts (dt, n) SELECT dt, count(*) FROM days WHERE dt = '{{ ds }}' GROUP BY dt",
    ],
    "customers": [
        "DROP TABLE IF EXISTS customers",
        "CREATE TABLE customers AS SELECT customer, count(*) AS days FROM totals GROUP BY customer",
    ],
}
TABLES = """
create table orders(id integer, customer text, net real, at text);
insert into orders values (1,'ada',1.5,'2026-03-01 10:00:00'), (2,'bo',2.5,'2026-03-01 23:59:59'),
    (3,'ada',4,'2026-03-02 00:00:00'), (4,'ada',8,'2026-03-02 12:00:00');
create table days(dt text);
insert into days values ('2026-03-01'), ('2026-03-01'), ('2026-03-02');
create table totals(day text, customer text, net real);
create table texts(dt text, n integer);
"""
DAYS = (("2026-03-01", "2026-03-02"), ("2026-03-02", "2026-03-03"))


def test_tables_are_those_of_the_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's dates are text, which DuckDB doesn't compare with a DATE."""
    database = tmp_path / "shop.db"
    lines = "".join(
        f"    {name} = PostgresOperator(task_id={name!r}, sqlite_conn_id='shop', sql={sql!r})\n"
        for name, sql in STATEMENTS.items()
    ).replace("PostgresOperator", "SqliteOperator")
    text = (
        "from airflow.providers.sqlite.operators.sqlite import SqliteOperator\n"
        "with DAG('d', schedule='@daily', start_date=datetime(2026, 3, 1)):\n"
        f"{lines}    totals >> customers\n"
    )
    project = imported(tmp_path / "a", {"d.py": text})
    with sqlite3.connect(database) as connection:
        connection.executescript(TABLES)
    monkeypatch.setenv("SHOP_FILE", str(database))
    assert_valid(project, tmp_path / "h")
    headrace.Session(tmp_path / "h", now="2026-03-03T04:00:00+00:00").tick()
    expected = _rows_of_the_origin(database)
    for name, rows in expected.items():
        read = headrace.Session(tmp_path / "h").read(name).rows()
        assert sorted(tuple(map(str, row.values())) for row in read) == rows, name


def _rows_of_the_origin(database: Path) -> dict[str, list[tuple[str, ...]]]:
    """Run the statements as Airflow would, day by day."""
    with sqlite3.connect(database) as connection:
        for day, following in DAYS:
            for statement in [part for parts in STATEMENTS.values() for part in parts]:
                rendered = statement.replace("{{ ds }}", day)
                connection.execute(rendered.replace("{{ tomorrow_ds }}", following))
        return {
            name: sorted(
                tuple(map(str, row)) for row in connection.execute(f"select * from {name}")
            )
            for name in STATEMENTS
        }
