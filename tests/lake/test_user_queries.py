"""Queries of users: the tables they read, their rows, and what they can't reach."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from lakelab import Lake

from headrace.lake import catalog
from headrace.lake.reading import (
    DataFormat,
    QueryTable,
    absolute,
    described,
    in_words,
    names_in,
    parameters_of,
    run_query,
    session_over,
    write_result,
)
from headrace.model.errors import HeadraceError, LakeError, UsageError


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("select 1", ()),
        ("from Totals", ("totals",)),
        ("select * from a, b, A", ("a", "b")),
        ("with c as (select * from a) select * from c join b using (k)", ("b", "a")),
        (
            "select * from a where k in (select k from b) order by (select max(k) from c)",
            ("a", "c", "b"),
        ),
        ("with a as (select * from a) select * from a", ("a",)),
        ("with a as materialized (from b), b as (from a) select * from a, b", ("b",)),
        ("with recursive r as (select 1 x union all select x + 1 from r, a) from r", ("a",)),
        ("with c as (from a) select * from (with d as (from c) from d) as e", ("a",)),
        ("describe a", ("a",)),
        ("select * from a union all select * from b", ("a", "b")),
    ],
)
def test_the_tables_of_a_query(query: str, names: tuple[str, ...]) -> None:
    """Catches a query that fails since a table of a subquery wasn't opened."""
    assert sorted(names_in(query)) == sorted(names)


@pytest.mark.parametrize(
    "query",
    ["", "select 1; select 2", "create table t(x int)", "drop table a", "selec 1", "copy a to 'x'"],
)
def test_only_one_query_that_gives_rows(query: str) -> None:
    with pytest.raises(UsageError) as refused:
        names_in(query)
    assert refused.value.hint.startswith("one SELECT")


@pytest.mark.parametrize(
    "query", ["pivot a on k using sum(v)", "with p as (pivot a on k using sum(v)) from p"]
)
def test_a_pivot_without_its_values(query: str) -> None:
    """Would catch: one query that is refused as if it were several."""
    with pytest.raises(UsageError, match="PIVOT that lists no values") as refused:
        names_in(query)
    assert "in ('a', 'b')" in refused.value.hint
    assert names_in("pivot a on k in ('x', 'y') using sum(v)") == ("a",)


def table(lake: Lake, name: str) -> QueryTable:
    files = absolute(catalog.files(lake.tx, name, None), lake.data_folder)
    columns = tuple(column for column in lake.table(name).columns if column.name != "_partition")
    return QueryTable(name, columns, files)


ROWS = "SELECT k::INTEGER AS k, 'v' || k AS v FROM range(5) AS r(k)"


@pytest.mark.parametrize(
    ("limit", "count", "more"),
    [(None, 5, False), (6, 5, False), (5, 5, False), (4, 4, True), (0, 0, True)],
)
def test_a_limit_says_whether_there_are_more(
    lake: Lake, limit: int | None, count: int, more: bool
) -> None:
    """Catches an answer that looks complete and isn't, and one that claims rows that aren't there."""
    lake.publish("t", "p", ROWS)
    with session_over([table(lake, "t")], timezone="UTC") as session:
        result = run_query(session, "select k from t order by k -- all", {}, limit=limit)
    assert (result.rows, result.more) == (tuple({"k": n} for n in range(count)), more)
    assert [(column.name, column.type) for column in result.columns] == [("k", "INTEGER")]


def test_parameters_are_values(lake: Lake) -> None:
    lake.publish("t", "p", ROWS)
    query = "select v from t where v = $word or k > $least order by k"
    with session_over([table(lake, "t")], timezone="UTC") as session:
        assert parameters_of(session, query) == {"word", "least"}
        result = run_query(session, query, {"word": "v0' or true --", "least": 3}, limit=9)
        assert result.rows == ({"v": "v4"},)
        columns = described(session, "select k, k from t", {})
        assert len({column.name for column in columns}) == 2


@pytest.mark.parametrize(("limit", "lines"), [(None, 6), (2, 3)])
def test_rows_are_written_in_a_format(lake: Lake, limit: int | None, lines: int) -> None:
    lake.publish("t", "p", ROWS)
    out = io.BytesIO()
    with session_over([table(lake, "t")], timezone="UTC") as session:
        query = "select * from t order by k"
        write_result(session, query, {}, out, data_format=DataFormat.CSV, limit=limit)
    assert out.getvalue().decode().splitlines() == ["k,v", *(f"{n},v{n}" for n in range(lines - 1))]


class _Leaves(io.RawIOBase):
    """A reader that takes the first bytes and leaves."""

    taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.taken:
            raise BrokenPipeError
        self.taken = bytes(data)
        return len(self.taken)


@pytest.mark.parametrize("data_format", list(DataFormat))
def test_the_first_rows_come_before_the_last_are_computed(data_format: DataFormat) -> None:
    """Catches rows that are all written to a file before the first leaves, and a query that goes on
    for a reader who has left. This one has more rows than fit on a disk.
    """
    out = _Leaves()
    query = "select n, hash(n) as h from range(1000000000000) as r(n)"
    with session_over([], timezone="UTC") as session, pytest.raises(BrokenPipeError):
        write_result(
            session,
            query,
            {},
            out,  # type: ignore[arg-type]
            data_format=data_format,
            limit=None,
        )
    assert out.taken


@pytest.mark.parametrize("data_format", [DataFormat.CSV, DataFormat.PARQUET])
def test_a_query_that_fails_before_its_first_row_ends(lake: Lake, data_format: DataFormat) -> None:
    """Catches a copy that waits for ever for rows which nobody writes."""
    out = io.BytesIO()
    with session_over([], timezone="UTC") as session, pytest.raises(UsageError):
        write_result(session, "select nothing", {}, out, data_format=data_format, limit=None)
    assert out.getvalue() == b""


def test_queries_bring_no_data_frames_into_a_process_that_has_none() -> None:
    """Catches a second of imports in each `headrace sql`, because DuckDB imports pandas for any
    parameter.
    """
    program = """
import sys
from headrace.lake.reading import names_in, run_query, session_over
assert names_in("from t where name = 'it''s'") == ("t",)
with session_over([], timezone="UTC") as session:
    assert run_query(session, "select $a as a", {"a": 1}, limit=5).rows == ({"a": 1},)
    assert run_query(session, "select 1 as a", {}, limit=5).rows == ({"a": 1},)
assert not {"pandas", "numpy", "pyarrow"} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("select nothing from t", "describe TABLE"),
        ("select * from other", "describe TABLE"),
        ("select cast('x' as integer) from t", "try_cast(VALUE AS TYPE)"),
        ('select cast("a b" as integer) from (select \'x\' as "a b")', 'try_cast("a b" AS TYPE)'),
        ("select sum(cast(a as integer)) from (select 'x' as a from t)", 'try_cast("a" AS TYPE)'),
        ("select strptime(a, '%Y') from (select 'x' as a from t)", "try_strptime(TEXT, FORMAT)"),
        ("select * from read_csv('/etc/passwd')", "published tables only"),
        ("select * from '/etc/passwd'", ""),
    ],
)
def test_a_query_that_cant_run_is_said_in_one_line(lake: Lake, query: str, hint: str) -> None:
    """Catches a query that reaches the server's other files, and an excerpt of a statement that the
    user didn't write."""
    lake.publish("t", "p", ROWS)
    with session_over([table(lake, "t")], timezone="UTC") as session:
        with pytest.raises(HeadraceError) as refused:
            run_query(session, query, {}, limit=5)
        message = str(refused.value)
        assert "\n" not in message and "LINE" not in message and "root:" not in message
        assert hint in getattr(refused.value, "hint", "")


@pytest.mark.parametrize("left", [0, 40, -1])
def test_a_damaged_file_of_the_lake_is_no_error_of_the_user(lake: Lake, left: int) -> None:
    """Catches a truncated file that is reported as a wrong query."""
    lake.publish("t", "p", ROWS)
    (ref,) = catalog.files(lake.tx, "t", None)
    path = lake.data_folder / ref.path
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:left])
    with (
        pytest.raises(LakeError, match="published files can't be read") as refused,
        session_over([table(lake, "t")], timezone="UTC") as session,
    ):
        run_query(session, "select * from t", {}, limit=5)
    assert "db check" in refused.value.hint


def test_an_excerpt_of_the_statement_is_left_out() -> None:
    assert in_words(ValueError("no  such\ncolumn\n\nLINE 1: select x")) == "no such column"
