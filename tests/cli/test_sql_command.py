"""`headrace sql`: one snapshot, read only, nothing else reachable."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clilab import Project

ATTACHED = """\
import sys, duckdb
from headrace.lake.session import load
connection = duckdb.connect()
load(connection, "ducklake", "sqlite_scanner")
for statement in sys.stdin.read().splitlines()[1:]:
    connection.execute(statement)
print(connection.execute("select sum(revenue) from revenue").fetchone()[0])
try:
    connection.execute("delete from revenue")
except duckdb.Error as error:
    print("read-only" if "read-only" in str(error) else error)
"""


def test_a_query_joins_sources_and_assets_of_one_snapshot(shop: Project) -> None:
    response = shop.json(
        "sql",
        "select r.day, revenue, count(*) as n from revenue r join orders o on o.day = r.day group"
        " by all order by 1",
    )
    assert response["rows"] == [
        {"day": f"2025-03-0{n}", "revenue": "32.00", "n": 3} for n in (1, 2, 3)
    ]
    assert response["columns"][1] == {"name": "revenue", "type": "DECIMAL(38,2)"}
    assert response["tables"] == ["revenue", "orders"]
    assert response["snapshot"] == shop.json("read", "revenue")["snapshot"]
    text = shop.text("sql", "from revenue order by day", "--limit", "2")
    assert "2025-03-02" in text
    assert "2025-03-03" not in text
    assert "the first 2 rows" in text
    for rows, is_off in (("revenue", False), ("(from revenue limit 2)", True)):  # duckdb #22924
        off = "select distinct current_setting('disabled_optimizers') as off"
        (row,) = shop.json("sql", f"{off} from {rows} join orders using (day)")["rows"]
        assert ("join_filter_pushdown" in row["off"]) == is_off


def test_the_past_is_as_it_was(shop: Project) -> None:
    before = shop.json("sql", "select count(*) as n from orders", "--at", "2025-03-05T00:00+01:00")
    assert (before["rows"], before["snapshot"]) == (
        [{"n": 9}],
        shop.json("read", "orders", "--at", "2025-03-05T00:00+01:00")["snapshot"],
    )
    assert "no rows of orders are published" in shop.refused(
        "sql", "from orders", "--at", "2001-01-01T00:00"
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("delete from revenue", "returns rows"),
        ("copy revenue to 'x.csv'", "returns rows"),
        ("select 1; select 2", "returns rows"),
        ("attach 'x.db'", "returns rows"),
        ("set threads = 1", "returns rows"),
        ("selec 1", "syntax error"),
        ("", "returns rows"),
        ("from revenues", "did you mean `revenue`?"),
        ("from dashboard", "it is a consumer; read orders_clean"),
        ("select nothing_such from revenue", "Candidate bindings"),
        ("from read_csv('/etc/passwd')", "Permission Error"),
        ("from read_parquet('{root}/.headrace/quarantine/*.parquet')", "Permission Error"),
        ("from read_text('{root}/headrace.toml')", "Permission Error"),
        ("from 'landing/orders_2025-03-01.csv'", "no table"),
        ("select $x", "$x has no value"),
        ("from sqlite_scan('{root}/.headrace/state.db', 'version')", "Error"),
    ],
)
def test_nothing_but_published_tables_can_be_read_and_nothing_written(
    shop: Project, query: str, said: str
) -> None:
    """A way out of the sandbox: quarantined rows, the state, any file of the machine."""
    assert said in shop.refused("sql", query.replace("{root}", str(shop.root)))
    assert not (shop.root / "x.csv").exists()


def test_unpublished_files_of_the_lake_cannot_be_read(shop: Project) -> None:
    """What a running attempt stages lies in the same folder as what is published."""
    staged = shop.root / ".headrace/lake/main/revenue/staged.parquet"
    staged.write_bytes(next(staged.parent.glob("*.parquet")).read_bytes())
    assert "Permission Error" in shop.refused(
        "sql", f"select * from revenue, read_parquet('{staged}')"
    )


def test_parameters_are_bound_and_typed(shop: Project) -> None:
    assert shop.json("sql", "select $threshold as t")["rows"] == [{"t": 15}]
    assert shop.json(
        "sql",
        "select $threshold + 1 as t, $name as n",
        "--set",
        "threshold=20",
        "--set",
        "name=a'b",
    )["rows"] == [{"t": 21, "n": "a'b"}]
    assert "is a number" in shop.refused("sql", "select $threshold", "--set", "threshold=many")
    assert "has no $other" in shop.refused("sql", "select $threshold", "--set", "other=1")


def test_queries_come_from_files_and_standard_input(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.root / "q.sql").write_text("select sum(revenue) as r -- of all days\nfrom revenue;\n")
    assert shop.json("sql", "q.sql")["rows"] == [{"r": "96.00"}]
    monkeypatch.setattr("sys.stdin", io.StringIO("from revenue limit 1"))
    assert len(shop.json("sql", "-")["rows"]) == 1
    assert "can't be read" in shop.refused("sql", "none.sql")
    assert "missing: QUERY" in shop.refused("sql")


def test_formats_hold_the_same_rows(shop: Project) -> None:
    for form in ("csv", "parquet", "arrow", "json"):
        shop.text("sql", "from revenue order by day", "--out", f"out.{form}")
    assert (shop.root / "out.csv").read_text().splitlines()[1] == "2025-03-01,32.00,3"
    assert pq.read_table(shop.root / "out.parquet").num_rows == 3
    assert len(json.loads((shop.root / "out.json").read_text())["rows"]) == 3
    described = shop.text("sql", "describe revenue", "--format", "csv").splitlines()
    assert described[0].startswith("column_name,column_type,") and len(described) == 4
    assert shop.text("sql", "summarize orders", "--format", "csv").startswith("column_name,")


def test_macros_and_views_of_the_project_can_be_used(shop: Project) -> None:
    (shop.root / "macros").mkdir()
    (shop.root / "macros/more.sql").write_text(
        "create macro more(x, by_much := 2) as x * by_much;\n"
    )
    shop.text("apply", "--yes", "--now", "2025-03-06T09:00+01:00")
    assert shop.json("sql", "select more(revenue) as m from revenue limit 1")["rows"] == [
        {"m": "64.00"}
    ]
    front = "/* headrace\nowner: core\nmaterialize: view\n*/\n"
    (shop.root / "assets/best.sql").write_text(
        f"{front}select * from orders_clean where amount > 15\n"
    )
    (shop.root / "assets/names.sql").write_text(f"{front}select distinct customer from best\n")
    shop.text("apply", "--yes", "--now", "2025-03-06T09:00+01:00")
    assert shop.json("sql", "select customer, $more as more from names", "--set", "more=1")[
        "rows"
    ] == [{"customer": "Ada", "more": 1}]
    assert len(shop.json("sql", "from best order by day")["rows"]) == 3


def test_a_condition_is_checked_together_with_a_views_body(shop: Project) -> None:
    """Would catch: `odd or amount = 2` that loses rows, as the view has `is distinct from`."""
    (shop.root / "assets/odd.sql").write_text(
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select *, amount is distinct from 1 as odd from orders_clean\n"
    )
    shop.text("apply", "--yes", "--now", "2025-03-06T09:00+01:00")
    assert "#25992" in shop.refused("sql", "select count(*) as n from odd where odd or amount = 2")
    assert shop.json("sql", "select count(*) as n from odd where odd and amount = 2")["rows"]


def test_a_query_that_rounds_decimals_is_refused(shop: Project) -> None:
    """Would catch: 1.125 shown as 1 beside a number of 38 digits."""
    both = "select 1.125 as x union all select 2::decimal(38,0) from orders_clean"
    assert "DuckDB rounds" in shop.refused("sql", both)
    written = both.replace("1.125", "1.125::decimal(38,0)")
    assert {int(row["x"]) for row in shop.json("sql", written)["rows"]} == {1, 2}


def test_what_was_never_published_is_empty_or_said(new: Project) -> None:
    assert "there is no table" in new.refused("sql", "from nothing_here")
    assert new.json("sql", "select 1 as one")["rows"] == [{"one": 1}]


def test_attach_gives_statements_that_duckdb_runs(shop: Project, tmp_path: Path) -> None:
    """A statement that nobody ever ran; one that could write."""
    response = shop.json("sql", "--attach")
    assert response["catalog"] == "sqlite"
    done = subprocess.run(
        [sys.executable, "-c", ATTACHED],
        input=response["statement"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["96.00", "read-only"], done.stderr


def test_attach_prints_the_statement_alone_on_standard_output(shop: Project) -> None:
    """Prose among the statements that are piped into DuckDB."""
    code, out, err = shop.call(shop.root, "sql", "--attach")
    assert (code, out.strip()) == (0, shop.json("sql", "--attach")["statement"])
    assert "doesn't see" in err


def test_an_environment_asks_over_what_it_borrows_and_what_is_its_own(shop: Project) -> None:
    """A query that joins a changed asset with production's source would find no table, or read the
    wrong lake.
    """
    toml = shop.root / "headrace.toml"
    toml.write_text(toml.read_text() + "[environments.dev]\nworkers = 1\n")
    path = shop.root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("sum(amount)", "sum(amount) * 2"))
    shop.call(
        shop.root,
        "run",
        "revenue",
        "--partition",
        "2025-03-01",
        "--env",
        "dev",
        "--now",
        "2025-03-06T09:00+01:00",
    )
    rows = shop.json(
        "sql",
        "select revenue, count(*) as n from revenue r join orders_clean o on o.day = r.day group"
        " by all",
        "--env",
        "dev",
    )
    assert rows["rows"] == [{"revenue": "64.00", "n": 3}], rows
    assert shop.json("sql", "select min(revenue) as r from revenue")["rows"] == [{"r": "32.00"}]
