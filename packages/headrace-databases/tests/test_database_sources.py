"""Sources that are rows of a database, and the connections that they come through."""

from __future__ import annotations

import pytest
from modellab import SETTINGS, Load, Parse

from headrace_databases.queries import one_select, placeholders, with_parameters

WAREHOUSE = (
    SETTINGS + "[connections.warehouse]\nurl = 'postgresql://loader@db/bank'\npassword ="
    " 'secret://env/DB_PASSWORD'\n"
)
TABLE = "source: orders\nowner: acme\nconnection: warehouse\ntable: sales.orders\n"


def _one(load: Load, source: str, settings: str = WAREHOUSE):  # type: ignore[no-untyped-def]
    project, problems = load(**{"headrace.toml": settings, "sources/orders.yaml": source})
    assert project is not None
    return project.sources["orders"], problems


def test_a_cursor_makes_each_delivery_a_partition(load: Load) -> None:
    """Would catch increments that replace each other in the one partition `*`."""
    source, problems = _one(load, TABLE + "cursor: updated_at\n")
    assert problems == [] and source.partition.by_delivery and not source.partition.whole


def test_a_table_that_is_read_whole_is_read_once_a_day(load: Load) -> None:
    """Would catch a table that every look reads again, because nothing says that it
    hasn't changed.
    """
    assert _one(load, TABLE)[0].every == "1d"
    assert _one(load, TABLE + "every: 6h\n")[0].every == "6h"


def test_intervals_keep_their_partition(load: Load) -> None:
    """Would catch `cursor:` that turns days into deliveries."""
    source, problems = _one(
        load,
        TABLE + "cursor: updated_at\npartition: {by: day, column: order_date}\nstart: 2024-01-01\n",
    )
    assert (
        problems == []
        and source.partition.grain is not None
        and not source.partition.by_delivery
        and source.every is None
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("connection: warehouse", "missing_field"),
        ("connection: warehouse\ntable: a\nquery: select 1", "conflicting_fields"),
        ("connection: warehouse\ntable: a\npartition: day", "wrong_value"),
        ("connection: warehouse\ntable: a..b", "wrong_value"),
        ("connection: warehouse\ntable: a.b.c.d", "wrong_value"),
        ("connection: warehouse\ntable: ''", "wrong_type"),
        ("connection: warehouse\nquery: delete from orders", "wrong_value"),
        ("connection: warehouse\nquery: select 1; drop table orders", "wrong_value"),
        ("connection: warehouse\nquery: 'select 1) to program ''x'' --'", "wrong_value"),
        ("connection: warehouse\npartition: day\nquery: select 1", "wrong_value"),
        ("connection: warehouse\nquery: select $partition_start", "wrong_value"),
        (
            "connection: warehouse\npartition: day\nquery: 'select $partition_start, $today'",
            "wrong_value",
        ),
        ("connection: warehouse\ntable: a\npartition: {key: region}", "wrong_value"),
        ("connection: warehouse\ntable: a\ncursor: ''", "wrong_type"),
        ("connection: warehuose\ntable: a", "unknown_connection"),
        ("connection: lake\ntable: a", "wrong_value"),
        ("connection: nowhere\ntable: a", "wrong_value"),
        ("table: a\nfiles: a.csv", "conflicting_fields"),
        ("cursor: a\nfiles: a.csv", "conflicting_fields"),
    ],
)
def test_a_mistake_in_a_database_source_is_said(load: Load, fields: str, problem: str) -> None:
    settings = (
        WAREHOUSE + "[connections.lake]\nurl = 's3://bucket'\n[connections.nowhere]\nuser = 'x'\n"
    )
    _, problems = load(
        **{
            "headrace.toml": settings,
            "sources/orders.yaml": f"source: orders\nowner: acme\n{fields}\n",
        }
    )
    assert [problem.code for problem in problems] == [problem]
    assert all(problem.hint for problem in problems)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("type = 'oracle'", "wrong_value"),
        ("url = 'oracle://db'", "wrong_value"),
        ("url = 'postgresql://db/x'\nprot = 5432", "unknown_field"),
        ("type = 'postgresql'\nport = 0", "wrong_value"),
        ("type = 'postgresql'\nport = 1.5", "wrong_value"),
        ("type = 'sqlite'", "missing_field"),
        ("url = 'postgresql://u:hunter2@db/x'", "literal_secret"),
        ("url = 'postgresql://db/x?password=hunter2'", "literal_secret"),
        ("type = 'postgresql'\npassword = 'hunter2'", "literal_secret"),
        ("type = 'postgresql'\npassword = 123456", "literal_secret"),
        ("type = 's3'\nclient_kwargs = {auth = [{token = 'hunter2'}]}", "literal_secret"),
        ("type = 's3'\nx = ['https://u:hunter2@y']", "literal_secret"),
    ],
)
def test_a_mistake_in_a_connection_is_said(parse: Parse, lines: str, problem: str) -> None:
    declared = parse("headrace.toml", f"[project]\nname = 'a'\n[connections.w]\n{lines}\n")
    assert [problem.code for problem in declared.problems] == [problem]
    assert "hunter2" not in repr(declared.problems) and "123456" not in repr(declared.problems)


@pytest.mark.parametrize(("kind", "hint"), [("postgresq", "did you mean "), ("klingon", "write ")])
def test_an_unknown_kind_of_connection_has_a_hint(parse: Parse, kind: str, hint: str) -> None:
    """Catches a typing mistake answered with a list, and an unknown system with nothing."""
    (problem,) = parse(
        "headrace.toml", f"[project]\nname = 'a'\n[connections.w]\ntype = '{kind}'\n"
    ).problems
    assert (problem.code, problem.place.line) == ("wrong_value", 4)
    assert (problem.hint or "").startswith(hint)


@pytest.mark.parametrize(
    "lines",
    [
        "url = '${DB_URL}'",
        "url = 'secret://env/DB_URL'",
        "url = 'postgresql://u:${PASSWORD}@db/x'",
        "url = 'sqlite:data/x.db'",
        "key = '${A}'\nsecret = '${B}'\nendpoint_url = 'http://127.0.0.1:9000'",
        "type = 'postgresql'\nhost = '${HOST}'\nport = '${PORT}'",
        "type = 'mysql'\ndatabase = 'x'",
    ],
)
def test_a_connection_by_reference_is_fine(parse: Parse, lines: str) -> None:
    """A false alarm here would stop a project that does everything right."""
    assert (
        parse("headrace.toml", f"[project]\nname = 'a'\n[connections.w]\n{lines}\n").problems == ()
    )


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (
            "select * from a where d >= $partition_start and d<$partition_end",
            ["partition_start", "partition_end"],
        ),
        ("select '$partition_start', \"$a\", `$b` -- $c\n/* $d */ from x", []),
        ("select $$ $a $$, $t$ $b '$t$, $c", ["c"]),
        ("select 'it''s $a', $b", ["b"]),
        ("select '$a", ["a"]),
    ],
)
def test_placeholders_are_found_outside_of_texts(query: str, names: list[str]) -> None:
    """Would catch a `$` in a string or a comment that is replaced."""
    assert placeholders(query) == names


def test_placeholders_become_the_drivers_own(load: Load) -> None:
    """Would catch a `%` of LIKE that a driver takes for a mark, and a value pasted into a
    statement."""
    query = "select a % 2 from t where n like '50%' and d >= $partition_start"
    assert with_parameters(query, lambda name: f"%({name})s", percent=True) == query.replace(
        "%", "%%"
    ).replace("$partition_start", "%(partition_start)s")
    assert with_parameters(query, lambda name: f":{name}", percent=False).endswith(
        "d >= :partition_start"
    )
    assert (
        with_parameters(r"select 'it\'s $a', $b", lambda name: "?", percent=False, backslashes=True)
        == r"select 'it\'s $a', ?"
    )


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("select 1", "select 1"),
        (" -- why\nselect 1 ;; -- done\n", " -- why\nselect 1"),
        ("WITH a AS (select 1) select * from a;", "WITH a AS (select 1) select * from a"),
        ("(select 1) union (select 2)", "(select 1) union (select 2)"),
        ("select ';'", "select ';'"),
        ("select 1 -- ;", "select 1"),
        ("select /* a */ 1 /* ; */ ;", "select /* a */ 1"),
        ("select 1; select 2", None),
        ("select 1) x (", None),
        ("select (1", None),
        ("update a set b = 1", None),
        ("", None),
        ("copy a to program 'x'", None),
        ("select $$;)$$", "select $$;)$$"),
    ],
)
def test_only_one_select_passes(query: str, kept: str | None) -> None:
    """Would catch a second statement that rides along, and a comment that swallows the parenthesis
    after it."""
    assert one_select(query) == kept
