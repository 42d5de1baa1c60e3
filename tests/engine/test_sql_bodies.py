from __future__ import annotations

import datetime as dt

import pytest
from engine_bench import Bench

from headrace.engine import ErrorKind
from headrace.engine.compute import composed_of
from headrace.engine.failures import BodyFailed
from headrace.lake.session import without_semicolons


def test_a_body_reads_its_inputs_and_its_rows_get_their_key(bench: Bench) -> None:
    """Would catch: inputs not found by name, the key missing from the staged file."""
    flights = bench.publish(
        "flights", "SELECT * FROM (VALUES (1, 'EWR'), (2, 'JFK')) v(id, origin)"
    )
    produced = bench.run(
        bench.sql(
            "select id, origin from flights where id > 1", flights, scope=bench.day("2013-02-11")
        )
    )
    assert bench.rows(produced.staged, produced.table) == [("2013-02-11", 2, "JFK")]
    assert (produced.measures.rows_in, produced.measures.rows_out) == (2, 1)
    assert produced.measures.bytes_in > 0 and produced.measures.bytes_out > 0
    assert produced.measures.seconds > 0 and produced.measures.peak_memory_bytes > 1_000_000


def test_partition_values_are_dates_for_days_and_instants_for_hours(bench: Bench) -> None:
    """Would catch: `$partition_start` as text, in UTC, or of the wrong type."""
    query = "select typeof($partition_start) t, $partition_start s, $partition_end e"
    day = bench.run(bench.sql(query, scope=bench.day("2013-02-11")))
    assert bench.rows(day.staged, day.table) == [
        ("2013-02-11", "DATE", dt.date(2013, 2, 11), dt.date(2013, 2, 12))
    ]
    hour = bench.scope(
        keys=("h",),
        grain="hour",
        start="2013-11-03T01:00:00-05:00",
        end="2013-11-03T02:00:00-05:00",
    )
    bound = composed_of(bench.sql(query, scope=hour)).parameters
    assert bound["partition_start"] == dt.datetime(2013, 11, 3, 6, tzinfo=dt.UTC)
    produced = bench.run(bench.sql("select typeof($partition_start) t", scope=hour))
    assert bench.rows(produced.staged, produced.table) == [("h", "TIMESTAMP WITH TIME ZONE")]


def test_only_parameters_that_are_used_are_bound_and_values_are_never_pasted(bench: Bench) -> None:
    """Would catch: DuckDB's refusal of excess parameters; a hostile value becoming SQL
    (TRUST B9)."""
    hostile = "'); DROP TABLE x; -- \0 ’"
    scope = bench.scope(parameters={"Threshold": 15, "unused": 1, "text": hostile})
    composed = composed_of(
        bench.sql("select $threshold as t, '$unused' as u -- $unused\n, $text as x", scope=scope)
    )
    assert composed.parameters == {"threshold": 15, "text": hostile}
    assert "DROP" not in composed.text
    produced = bench.run(bench.sql("select $threshold as t, $text as x", scope=scope))
    assert bench.rows(produced.staged, produced.table) == [("*", 15, hostile)]


def test_a_parameter_without_a_value_is_named_with_those_that_exist(bench: Bench) -> None:
    """Would catch: DuckDB's own message, which names neither file nor remedy."""
    with pytest.raises(BodyFailed) as failure:
        bench.run(
            bench.sql("select $treshold as t", scope=bench.scope(parameters={"threshold": 1}))
        )
    assert "$treshold" in failure.value.error.message and "$threshold" in failure.value.error.hint
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select $partition_start as t"))
    assert "isn't partitioned by time" in failure.value.error.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1;", "select 1 "),
        ("select ';' as é; -- ; end", "select ';' as é  -- ; end"),
        ("select 1; ;", "select 1   "),
        ("select 1 -- ;", "select 1 -- ;"),
        ("select 1 /* ; */", "select 1 /* ; */"),
    ],
)
def test_semicolons_at_the_end_go_and_lines_stay(text: str, expected: str) -> None:
    """Would catch: a trailing `;` that breaks the statement around the body; one inside text or a
    comment removed.
    """
    assert without_semicolons(text) == expected


@pytest.mark.parametrize("ending", ["", ";", " -- a comment", "\n-- a comment;\n", "; /* end */"])
def test_a_body_may_end_in_a_comment(bench: Bench, ending: str) -> None:
    """Would catch: a closing parenthesis swallowed by the user's last comment."""
    produced = bench.run(bench.sql(f"with a as (select 1 as x) select x from a{ending}"))
    assert bench.rows(produced.staged, produced.table) == [("*", 1)]


def test_an_error_names_the_line_in_the_users_file(bench: Bench) -> None:
    """Would catch: lines counted in our statement, or without the front matter above the body."""
    flights = bench.publish("flights", "SELECT 'x' AS id")
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select\n  id,\n  delay\nfrom flights", flights, line=7))
    error = failure.value.error
    assert (error.file, error.line, error.kind) == ("assets/out.sql", 9, ErrorKind.DETERMINISTIC)
    assert "delay" in error.message and "LINE" not in error.message and "WITH" not in error.message
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select\n  cast(id as integer) as id\nfrom flights", flights, line=7))
    assert failure.value.error.line == 8
    assert bench.left_behind() == []


def test_memory_that_runs_out_is_a_failure_of_resources(bench: Bench) -> None:
    """Would catch: an attempt that a smaller batch would save counted as the user's mistake."""
    from headrace.lake.session import DuckDBSession

    bench.sessions.append(DuckDBSession(bench.lake, memory_max_bytes=20_000_000, threads=1))
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select list(range) as l from range(100_000_000)"))
    assert failure.value.error.kind is ErrorKind.RESOURCES
    assert bench.left_behind() == []


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('../state.db')",
        "select * from duckdb_secrets()",
    ],
)
def test_a_body_reads_nothing_but_its_inputs(bench: Bench, query: str) -> None:
    """Would catch: a session that isn't locked down."""
    if "secrets" in query:
        assert bench.run(bench.sql("select count(*) as n from (" + query + ")")).staged is not None
        return
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql(query))
    assert failure.value.error.hint


def test_wrong_columns_for_a_known_table_are_named(bench: Bench) -> None:
    """Would catch: a table that silently changes its columns, or loses some."""
    first = bench.run(bench.sql("select 1 as a, 2 as b"))
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select 1 as a, 2 as c", table=first.table))
    assert failure.value.error.code == "columns_changed"
    assert "`b`" in failure.value.error.message and "`c`" in failure.value.error.message
    changed = bench.run(bench.sql("select 1 as a, 2 as c", table=first.table, evolve=True))
    assert changed.table is not None and [column.name for column in changed.table.columns] == [
        "_partition",
        "a",
        "c",
    ]


def test_a_batch_gives_each_row_its_own_key_and_counts_days_without_rows(bench: Bench) -> None:
    """Would catch: all rows under the batch's first key; a day without rows that vanishes; rows
    outside that are kept as if inside."""
    body = (
        "select * from (values (date '2013-02-11', 1), (date '2013-02-13', 2), (date '2013-03-01',"
        " 3)) v(day, n)"
    )
    known = bench.run(bench.sql(body, scope=bench.day("2013-02-11"))).table
    keys = ("2013-02-11", "2013-02-12", "2013-02-13")
    scope = bench.scope(
        keys=keys, grain="day", start="2013-02-11T00:00:00-05:00", end="2013-02-14T00:00:00-05:00"
    )
    produced = bench.run(bench.sql(body, scope=scope, table=known, partition_column="day"))
    assert produced.staged is not None
    assert {part.key: part.rows for part in produced.staged.partitions} == {
        "": 1,
        "2013-02-11": 1,
        "2013-02-12": 0,
        "2013-02-13": 1,
    }


def test_self_is_the_assets_own_earlier_rows(bench: Bench) -> None:
    """Would catch: `$self` bound to nothing."""
    before = bench.publish("out", "SELECT 40 AS total")
    produced = bench.run(bench.sql('select total + 2 as total from "__self__"', before))
    assert bench.rows(produced.staged, produced.table) == [("*", 42)]


def test_a_projects_macros_are_at_hand_for_one_statement(bench: Bench) -> None:
    """Would catch: a macro that validates and isn't there when it is needed; one that stays, and
    changes another asset's body.
    """
    text = """-- shared
        CREATE MACRO doubled(x) AS x * 2;
        create or replace macro rows_of(n) AS TABLE SELECT range AS i FROM range(n);"""
    macros = {"macros/math.sql": text}
    produced = bench.run(bench.sql("select doubled(i) as d from rows_of(2)", macros=macros))
    assert bench.rows(produced.staged, produced.table) == [("*", 0), ("*", 2)]
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select doubled(1) as d"))
    assert "doubled" in failure.value.error.message
    with pytest.raises(BodyFailed):
        bench.run(bench.sql("select doubled('x') as d, nope", macros=macros))
    assert bench.run(bench.sql("select 1 as a")).staged is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE TABLE t AS SELECT 1", "isn't CREATE MACRO"),
        ("/* x */ SELECT 1", "isn't CREATE MACRO"),
        ("CREATE MACRO f(x) AS x; DROP TABLE t", "isn't CREATE MACRO"),
        ("CREATE MACRO f(x) AS", "syntax error"),
    ],
)
def test_a_macro_file_creates_macros_and_nothing_else(
    bench: Bench, text: str, message: str
) -> None:
    """Would catch: statements smuggled in beside a macro."""
    with pytest.raises(BodyFailed) as failure:
        bench.run(bench.sql("select 1 as a", macros={"macros/m.sql": text}))
    assert message in failure.value.error.message and failure.value.error.file == "macros/m.sql"
