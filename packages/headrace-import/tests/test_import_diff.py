"""`import diff`: an asset's rows beside those of the table that its task fills at the origin."""

from __future__ import annotations

import datetime as dt
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from postgres_cluster import Database

import headrace
from headrace.model import UsageError
from headrace.model.nodes import Grain
from headrace.project.session import ProjectSession, Silent
from headrace_import.services.diff import Window, import_diff
from headrace_import.services.project import import_project
from headrace_import.services.stages import run_beside

DAG = '''import datetime
from airflow import DAG
from airflow.operators.email import EmailOperator
from airflow.providers.sqlite.operators.sqlite import SqliteOperator
with DAG("sales", schedule="@daily", start_date=datetime.datetime({start})):
    clean = SqliteOperator(task_id="clean", sqlite_conn_id="shop", sql="""
        DELETE FROM clean WHERE day = '{{{{ ds }}}}';
        INSERT INTO clean (id, net, day) SELECT id, net, day FROM orders WHERE day = '{{{{ ds }}}}'
    """)
    total = SqliteOperator(task_id="total", sqlite_conn_id="shop", sql="""
        DELETE FROM total; INSERT INTO total (day, net) SELECT day, sum(net) FROM clean GROUP BY day
    """)
    clean >> total >> EmailOperator(task_id="mail", to="a@example.com", subject="x")
'''
TODAY = dt.datetime.now(dt.UTC).date()
DAYS = [TODAY - dt.timedelta(days=n) for n in (3, 2, 1)]


@dataclass
class Shadow:
    """A DAG of a SQLite database, computed there by this test and here by Headrace."""

    root: Path
    database: Path

    def sql(self, text: str) -> None:
        with sqlite3.connect(self.database) as connection:
            connection.executescript(text)

    def compute_there(self) -> None:
        self.sql("delete from clean; insert into clean select * from orders;"
                 "delete from total; insert into total select day, sum(net) from clean group by day")  # fmt: skip

    def diff(self, item: str = "", since: str | None = None) -> Any:
        session = ProjectSession.open(self.root, "prod", None, "ana@test")
        return import_diff(session, self.root, item, since, progress=Silent())

    def row(self, task: str, since: str | None = None) -> Any:
        (row,) = self.diff(f"sales.{task}", since).items
        return row


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shadow:
    origin, root = tmp_path / "dags", tmp_path / "new"
    origin.mkdir()
    start = DAYS[0]
    (origin / "sales.py").write_text(DAG.format(start=f"{start.year}, {start.month}, {start.day}"))
    monkeypatch.setenv("SHOP_FILE", str(tmp_path / "shop.db"))
    result = Shadow(root, tmp_path / "shop.db")
    result.sql(
        "create table orders (id integer, net double, day date);"
        "create table clean (id integer, net double, day date);"
        "create table total (day date, net double);"
        + "".join(
            f"insert into orders values ({n}, {n} / 3.0, '{DAYS[n % 3]}');" for n in range(30)
        )
    )
    result.compute_there()
    import_project("airflow", origin, root, "test", Silent())
    session = headrace.Session(root)
    session.apply(session.plan().plan_id)
    session.tick()
    session.run("clean", partitions=[day.isoformat() for day in DAYS])
    session.run("total")
    return result


def test_equal_tables_are_equal_and_differences_are_named(shadow: Shadow) -> None:
    """Would catch: a comparison that says equal without comparing, or another day's difference."""
    response = shadow.diff("sales")
    found = {row.item: (row.asset, row.table, row.compared, row.equal) for row in response.items}
    assert found == {
        "sales.clean": ("clean", "clean", 3, 3),
        "sales.total": ("total", "total", 1, 1),
    }
    assert (response.equal, response.next) == (True, "headrace import move sales")
    shadow.sql(
        f"update clean set net = net + 1 where id = 1; delete from clean where day = '{DAYS[0]}';"
    )
    row = shadow.row("clean")
    assert [part.partition for part in row.differing] == [str(DAYS[1]), str(DAYS[0])]
    changed, missing = row.differing
    assert (changed.rows_there, changed.rows_here) == (10, 10)
    assert (changed.rows_only_there, changed.rows_only_here) == (1, 1)
    assert (missing.rows_there, missing.rows_here, missing.rows_only_here) == (0, 10, 10)
    assert {sample.change for sample in changed.sample} == {"added", "removed"}
    assert shadow.diff("sales").next == f"headrace render clean@{DAYS[1]}"


def test_a_day_that_is_missing_here_differs(shadow: Shadow) -> None:
    """Would catch: a DAG that is called equal although days of it were never computed here."""
    session = headrace.Session(shadow.root)
    session.unpublish(f"clean@{DAYS[1]}", reason="a test")
    row = shadow.row("clean")
    assert (row.compared, row.equal) == (3, 2)
    assert [(part.partition, part.rows_here) for part in row.differing] == [(str(DAYS[1]), 0)]
    shadow.sql(f"delete from clean where day = '{DAYS[1]}'")
    row = shadow.row("clean")
    assert (row.compared, row.equal, row.empty) == (2, 2, 1), "a day that nobody computed is equal"


def test_a_value_that_does_not_fit_the_assets_type_differs(shadow: Shadow) -> None:
    """Would catch: a difference that the conversion to the asset's type hides."""
    shadow.sql(
        "create table other (id text, net double, day date);"
        "insert into other select id || '.5', net, day from clean;"
        "drop table clean; alter table other rename to clean;"
    )
    assert shadow.row("clean").equal == 0
    shadow.sql("update clean set id = replace(id, '.5', '')")
    assert shadow.row("clean").equal == 3


def test_only_partitions_of_the_time_are_compared(shadow: Shadow) -> None:
    """Would catch: an old difference that is reported for ever, or a month that is a day."""
    shadow.sql(f"delete from clean where day = '{DAYS[0]}'")
    assert shadow.row("clean").equal == 2
    recent = shadow.row("clean", since=str(DAYS[1]))
    assert (recent.compared, recent.equal) == (2, 2)
    assert "no partition of clean is published" in shadow.row("clean", since=str(TODAY)).why
    with pytest.raises(UsageError):
        shadow.diff(since="when it was")


def test_a_sum_in_another_order_is_equal(shadow: Shadow) -> None:
    """Would catch: a DAG that never gets equal because of the last digits of sums."""
    shadow.sql("update total set net = net * (1 + 1e-15)")
    assert shadow.row("total").equal == 1
    shadow.sql("update total set net = net * (1 + 1e-6)")
    assert shadow.row("total").equal == 0


SQL_TASK = '''import datetime
from airflow import DAG
from airflow.providers.sqlite.operators.sqlite import SqliteOperator
with DAG("shop", schedule="{schedule}", start_date="{start}"):
    SqliteOperator(task_id="task", sqlite_conn_id="shop", sql="""{sql}""")
'''


def _imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str, start: dt.date, sql: str
) -> Shadow:
    origin, root = tmp_path / "dags", tmp_path / "new"
    origin.mkdir()
    (origin / "shop.py").write_text(SQL_TASK.format(schedule=schedule, start=start, sql=sql))
    monkeypatch.setenv("SHOP_FILE", str(tmp_path / "shop.db"))
    import_project("airflow", origin, root, "test", Silent())
    return Shadow(root, tmp_path / "shop.db")


def test_a_merged_table_is_compared_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a merged table that can't be compared, for want of a partition's column."""
    merge = (
        "INSERT INTO customers (id, net) SELECT id, net FROM changes WHERE day = '{{ ds }}'"
        " ON CONFLICT (id) DO UPDATE SET net = excluded.net"
    )
    shop = _imported(tmp_path, monkeypatch, "@daily", DAYS[0], merge)
    shop.sql(
        "create table changes (id integer, net double, day date);"
        "create table customers (id integer primary key, net double);"
        f"insert into changes values (1, 5, '{DAYS[0]}'), (2, 6, '{DAYS[0]}'), (1, 7, '{DAYS[1]}');"
        "insert into customers values (1, 7), (2, 6)"
    )
    session = headrace.Session(shop.root)
    session.apply(session.plan().plan_id)
    session.tick()
    session.run("customers", partitions=[str(day) for day in DAYS])
    (row,) = shop.diff().items
    assert (row.why, row.compared, row.equal) == ("", 1, 1)
    shop.sql("update customers set net = 8 where id = 2")
    (row,) = shop.diff().items
    assert [(part.partition, part.rows_changed) for part in row.differing] == [("*", 1)]


def test_the_newest_ended_month_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: monthly tables that are never compared, since a month begins 31 days ago."""
    months = (
        "DELETE FROM months WHERE month = '{{ ds }}';"
        " INSERT INTO months (month, net) SELECT month, net FROM raw WHERE month = '{{ ds }}'"
    )
    last = (TODAY.replace(day=1) - dt.timedelta(days=1)).replace(day=1)
    before = (last - dt.timedelta(days=1)).replace(day=1)
    shop = _imported(tmp_path, monkeypatch, "@monthly", before, months)
    shop.sql(
        "create table raw (month date, net double); create table months (month date, net double);"
        + "".join(f"insert into raw values ('{month}', 3);" for month in (before, last))
        + "insert into months select * from raw"
    )
    session = headrace.Session(shop.root)
    session.apply(session.plan().plan_id)
    session.tick()
    session.run("months", partitions=[f"{month:%Y-%m}" for month in (before, last)])
    (row,) = shop.diff().items
    first_of_last = dt.datetime.combine(last, dt.time(), dt.UTC)
    both = first_of_last > dt.datetime.now(dt.UTC) - dt.timedelta(days=31)  # on a month's first day
    assert (row.why, row.compared, row.equal) == ("", 1 + both, 1 + both)
    (row,) = shop.diff(since=str(before)).items
    assert (row.compared, row.equal) == (2, 2)


def test_averages_of_decimals_and_sums_of_reals_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: Database
) -> None:
    """Would catch: `avg(numeric)` in PostgreSQL, whose decimals make a table incomparable, and sums
    of `real`, which have about seven digits and never get equal."""
    origin, root = tmp_path / "dags", tmp_path / "new"
    origin.mkdir()
    sql = (
        "TRUNCATE means; INSERT INTO means (mean, weight)"
        " SELECT avg(net) AS mean, sum(weight) AS weight FROM orders"
    )
    text = SQL_TASK.format(schedule="@daily", start=DAYS[0], sql=sql).replace(
        "SqliteOperator", "PostgresOperator"
    )
    text = text.replace("sqlite_conn_id", "postgres_conn_id")
    text = text.replace(
        "providers.sqlite.operators.sqlite", "providers.postgres.operators.postgres"
    )
    (origin / "shop.py").write_text(text)
    import_project("airflow", origin, root, "test", Silent())
    settings = root / "headrace.toml"
    lines = [
        f'url = "{postgresql.url_without_password}"' if line.startswith("url") else line
        for line in settings.read_text().splitlines()
    ]
    settings.write_text("\n".join(lines))
    monkeypatch.setenv("SHOP_PASSWORD", postgresql.password)
    postgresql.execute(
        "create table orders (net numeric(12, 2), weight real)",
        "create table means (mean numeric, weight real)",
        "insert into orders values (1, 0.1), (1, 1000), (3, 0.7)",
        "insert into means select avg(net), sum(weight) * (1 + 1e-6) from orders",
    )
    session = headrace.Session(root)
    session.apply(session.plan().plan_id)
    session.tick()
    session.run("+means")
    shop = Shadow(root, root)
    (row,) = shop.diff().items
    assert (row.why, row.compared, row.equal) == ("", 1, 1)
    for column in ("mean", "weight"):
        postgresql.execute(f"update means set {column} = {column} * 1.001")
        (row,) = shop.diff().items
        assert (row.compared, row.equal) == (1, 0)
        postgresql.execute(f"update means set {column} = {column} / 1.001")


@pytest.mark.parametrize(
    ("grain", "published", "since", "first"),
    [
        ("month", ["2026-01", "2026-02"], None, "2026-02"),
        ("year", ["2024", "2025", "2026"], None, "2025"),
        ("year", ["2026"], None, "2026"),
        ("day", ["2026-01-01", "2026-03-01"], "2026-02-01", "2026-03-01"),
        ("year", ["2024"], "2026-02-01", None),
    ],
)
def test_the_first_compared_partition(
    grain: str, published: list[str], since: str | None, first: str | None
) -> None:
    """Would catch: a longer grain of which only the interval that hasn't ended is compared."""
    now = int(dt.datetime(2026, 3, 20, tzinfo=dt.UTC).timestamp()) * 1_000_000
    begin = dt.datetime.fromisoformat(f"{since or '2026-02-17'}T00:00+00:00")
    window = Window(int(begin.timestamp()) * 1_000_000, now, newest_at_least=since is None)
    assert window.first(published, Grain(grain), "UTC") == first


def test_columns_of_one_side_are_named(shadow: Shadow) -> None:
    """Would catch: equal rows that are said to be equal tables."""
    shadow.sql("alter table clean add column taxes double; alter table total drop column net")
    row = shadow.row("clean")
    assert (row.equal, row.columns_only_there, row.columns_only_here) == (3, ["taxes"], [])
    assert shadow.row("total").columns_only_here == ["net"]
    assert shadow.diff().equal is False


def test_the_sources_of_a_dag_are_resumed_with_it(shadow: Shadow) -> None:
    """Would catch: a DAG that is said to run here while its assets wait for a paused source."""
    session = headrace.Session(shadow.root)
    session.pause("*", reason="the DAGs run in Airflow")
    stages = ProjectSession.open(shadow.root, "prod", None, "ana@test")
    dag = run_beside(stages, shadow.root, "sales", progress=Silent()).dag
    assert dag is not None
    assert dag.why.startswith("sales_mail is paused here")
    assert [row.node for row in session.paused().paused] == ["sales_mail"]


@pytest.mark.long
@pytest.mark.parametrize("missing", ["variable", "database", "table", "rows"])
def test_what_cannot_be_compared_says_why(
    shadow: Shadow, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Would catch: a table that isn't there, counted as equal or as different."""
    match missing:
        case "variable":
            monkeypatch.delenv("SHOP_FILE")
        case "database":
            shadow.database.unlink()
        case "table":
            shadow.sql("drop table clean")
        case "rows":
            session = headrace.Session(shadow.root)
            for day in DAYS:
                session.unpublish(f"clean@{day}", reason="a test")
    row = shadow.row("clean")
    assert (row.compared, row.equal) == (0, 0)
    assert row.why
    assert shadow.diff("sales.clean").equal is None
    if missing == "table":
        assert shadow.row("total").equal == 1


def test_the_command_exits_with_1_where_rows_differ(
    shadow: Shadow, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a CI job that is green while both sides differ."""
    from headrace.cli.main import run

    assert run(["import", "diff", "sales", "--into", str(shadow.root)]) == 0
    assert "4 partitions with the same rows on both sides" in capsys.readouterr().out
    shadow.sql("alter table total rename to other")
    assert run(["import", "diff", "sales", "--into", str(shadow.root)]) == 1
    assert "! 1 table couldn't be compared" in capsys.readouterr().out
    shadow.sql("alter table other rename to total")
    shadow.sql("update clean set net = 0")
    assert run(["import", "diff", "--into", str(shadow.root)]) == 1
    assert "10 rows there, 10 here; 10 only there; 10 only here" in capsys.readouterr().out
