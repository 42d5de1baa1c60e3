"""What the table of constructs says, beside the real databases: the same rows, over hostile values.

The forms of the table are filled with columns and with one another; what the guard lets through must
have the origin's rows wherever the origin gives rows. `CONSTRUCTS=20000` draws that many queries,
`SEED` others.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import psycopg
import pymysql
import pytest
from mariadb_server import MariaDatabase
from postgres_cluster import Database
from sql_engines import COLUMNS, Engine, Rows, difference, duckdb_engine, tables, views
from sqlglot import exp
from sqlglot.errors import SqlglotError

from benchmarks.peers import Unavailable, environment
from headrace_import.importers import sql_guard
from headrace_import.importers.dbt.dialects import WrongResult, translate
from headrace_import.importers.sql_depth import parse_statement
from headrace_import.importers.sql_guard import CONDITIONS, check, constructs
from headrace_import.importers.sql_kinds import kind_of_written_type
from headrace_import.importers.sql_rewrites import REWRITES

QUERIES = int(os.environ.get("CONSTRUCTS", "700"))
SEED = int(os.environ.get("SEED", "1"))
_SHAPES = (
    "select n, {0} as x from t",
    "select n, {0} as x from t",
    "select n, {0} as x, {1} as y from t",
    "select n from t where {0}",
    "select n, b from t where b is not null and {0}",
    "select {0} as k, count(*) as c from t group by 1",
    "select a, {0} as x from t group by a",
    "select {0} as x from t",
    "select distinct {0} as x from t",
    "with w as (select n, a, {0} as x from t) select n, x, {1} as y from w join t using (n, a)",
    "with w as (select n, {0} as x from t) select a, max(x) as y from w join t using (n) group by a",
    "select n, {0} as x from t order by a desc, n limit 3",
    "select {0} as x from t union select {1} from t",
    "select x, y from (select {0} as x, {1} as y from t) as q where x = y",
)


def queries(dialect: str, seed: int, count: int) -> Iterator[str]:
    """Yield queries of the table's forms."""
    rng = random.Random(seed)
    forms = [form for entry in constructs(dialect).values() for form in entry.forms]
    whole = [form for form in forms if form.startswith(("select", "with"))]
    parts = [form for form in forms if form not in whole]
    names = list(COLUMNS)[1:]

    def filled(form: str, depth: int) -> str:
        form = form.replace("§0", rng.choice(names))
        pieces = form.split("§")
        text = pieces[0]
        for piece in pieces[1:]:
            nested = depth < 2 and rng.random() < 0.25
            text += (
                f"({filled(rng.choice(parts), depth + 1)})" if nested else rng.choice(names)
            ) + piece
        return text

    for number in range(count):
        if number % 10 == 0 and whole:
            yield filled(rng.choice(whole), 1)
            continue
        # Each form in turn, so that none is left out.
        first = filled(parts[number % len(parts)], 0)
        yield rng.choice(_SHAPES).format(first, filled(rng.choice(parts), 1))


def _assert_same_rows(
    origin: Engine, types: dict[str, str] | None = None, *, stops_max: float = 0.02
) -> None:
    """Compare; `types` are those of columns here, `stops_max` the share that may stop here."""
    here = duckdb_engine(types)
    compared, stopped, seen, failures = 0, 0, set[str](), []
    for query in queries(origin.dialect, SEED, QUERIES):
        written = translated(query, origin.dialect)
        if not written:
            continue
        theirs = origin.query(query)
        if theirs is None:
            continue
        compared += 1
        try:
            ours = here.query(written) or []
        except duckdb.Error:  # nothing else is published
            stopped += 1
            continue
        found = difference(theirs, ours)
        if found and query not in seen:
            seen.add(query)
            failures.append(f"{query}\n  as {written}\n  {found}")
    assert not failures, f"{len(failures)} of {compared}:\n" + "\n".join(failures[:30])
    assert stopped <= compared * stops_max, f"{stopped} of {compared} stop here"
    assert compared > QUERIES // 25, f"only {compared} of {QUERIES} queries were compared"


def translated(query: str, dialect: str) -> str:
    """Return a query for DuckDB; empty if the guard doesn't let it through."""
    try:
        checked = check(parse_statement(query, dialect), dialect)
    except SqlglotError:
        return ""
    return "" if checked.unproven else checked.tree.sql("duckdb")


def assert_edition(dialect: str, version: str) -> None:
    """Would catch: a proof by an older version than the one that the table names."""
    least = [int(part) for part in str(table()[dialect]["edition"]).split(".")]
    assert [int(part) for part in re.findall(r"\d+", version)[: len(least)]] >= least, version


@pytest.fixture
def postgres(postgresql: Database) -> Iterator[Engine]:
    """PostgreSQL with the rows."""
    name = f"{postgresql.name}_utf8"  # the cluster itself knows no letters beyond ASCII
    locale = "lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'"
    postgresql.execute(f"create database {name} template template0 encoding 'UTF8' {locale}")
    url = postgresql._replace(name=name).url_of_socket
    with psycopg.connect(url, autocommit=True) as connection:
        ((version,),) = connection.execute("show server_version").fetchall()
        assert_edition("postgres", version)
        connection.execute("set timezone = 'UTC'")
        for statement in tables():
            connection.execute(statement.encode())

        def query(sql: str) -> Rows | None:
            try:
                return connection.execute(sql.encode()).fetchall()
            except psycopg.Error:
                return None

        yield Engine("postgres", query)
    postgresql.execute(f"drop database {name}")


def test_what_is_carried_has_the_rows_of_postgresql(postgres: Engine) -> None:
    """Would catch: an entry of the table under which other rows are published."""
    _assert_same_rows(postgres)


def test_what_is_carried_has_the_rows_of_sqlite() -> None:
    """Would catch: an entry of the table under which other rows are published."""
    assert_edition("sqlite", sqlite3.sqlite_version)
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in tables():
            connection.execute(statement)

        def query(sql: str) -> Rows | None:
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.Error:
                return None

        types = {"day": "varchar", "ts": "varchar", "ok": "integer"}
        _assert_same_rows(Engine("sqlite", query), types, stops_max=0.5)


def test_what_is_carried_has_the_rows_of_mariadb(mariadb: MariaDatabase) -> None:
    """Would catch: an entry of the table under which other rows are published."""
    opened = pymysql.connect(
        host=mariadb.host, port=mariadb.port, user=mariadb.user, password=mariadb.password,
        database=mariadb.name, autocommit=True, charset="utf8mb4",
    )  # fmt: skip
    assert_edition("mysql", opened.get_server_info().removeprefix("5.5.5-"))
    with closing(opened) as connection, connection.cursor() as cursor:
        for statement in tables({"ts": "datetime(6)"}, backslash="\\\\"):
            cursor.execute(statement)

        def query(sql: str) -> Rows | None:
            try:
                cursor.execute(sql)
            except pymysql.Error:
                return None
            return list(cursor.fetchall())

        _assert_same_rows(Engine("mysql", query), {"ok": "integer"}, stops_max=0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ansi", [True, False])
def test_what_is_carried_has_the_rows_of_spark(ansi: bool, tmp_path: Path) -> None:
    """Would catch: an entry of the table under which other rows are published."""
    try:
        python = environment("spark") / "python"
    except Unavailable as error:
        pytest.skip(f"Spark isn't here: {error}")
    if shutil.which("java") is None:
        pytest.skip("java isn't installed: skipped; apt install openjdk-17-jre-headless")
    asked = [query for query in queries("spark", SEED, QUERIES) if translated(query, "spark")]
    question, answers = tmp_path / "asked.json", tmp_path / "answers.pickle"
    content = {
        "ansi": ansi,
        "tables": views({"f": "double", "b": "string", "c": "string"}),
        "queries": asked,
    }
    question.write_text(json.dumps(content), encoding="utf-8")
    program = Path(__file__).with_name("spark_program.py")
    subprocess.run([python, program, question, answers], check=True, capture_output=True)
    version, found = pickle.loads(answers.read_bytes())
    assert_edition("spark", version)
    rows = dict(zip(asked, found, strict=True))
    _assert_same_rows(Engine("spark", rows.get), stops_max=0.2)


DIFFERENT = [
    ("sqlite", "select n from t where b", "`b` for true or false"),
    ("sqlite", "select n from t where n > 1 and not b", "`b` for true or false"),
    ("sqlite", "select case when b then 1 else 2 end as x from t", "`b` for true or false"),
    ("mysql", "select t.n from t join u on u.b", "`u.b` for true or false"),
    ("postgres", "select a from t where b similar to 'a%'", "SIMILAR TO"),
    ("postgres", "select a from t where b ~* 'ab'", "~*"),
    ("postgres", "select a from t where b ~ '\\d+'", "~"),
    ("postgres", "select a::numeric as x from t", "three behind the point"),
    ("postgres", "select f::numeric(10,2) as x from t", "`f`"),
    ("postgres", "select b::char(3) as x from t", "CHAR(3)"),
    ("postgres", "select f || 'x' as x from t", "`f`"),
    ("postgres", "select f::text as x from t", "`f`"),
    ("postgres", "select a from t order by a fetch first 2 rows with ties", "TIES"),
    ("postgres", "select a from t order by a fetch first 50 percent rows only", "PERCENT"),
    ("postgres", "select a from t limit 2", "without an order"),
    ("postgres", "select format('%s', a) as x from t", "format"),
    ("postgres", "select extract(second from ts) as x from t", "SECOND"),
    ("postgres", "select to_hex(a) as x from t", "to_hex(a)"),
    ("postgres", "select round(f::float8) as x from t", "round"),
    ("postgres", "select round(avg(d), 2) as x from t", "fraction"),
    ("postgres", "select substr(b, 0, 2) as x from t", "substr"),
    ("postgres", "select a / 2 as x from t", "whole number"),
    ("postgres", "select 1.0 / d as x from t", "may be zero"),
    ("postgres", "select upper(b) as x from t", "upper"),
    ("postgres", "select max(lower(b)) as x from t", "collation"),
    ("postgres", "select count(*) from t", "without a name"),
    ("postgres", "select x.* from (select a, count(*) from t group by a) as x", "without a name"),
    ("postgres", "select date_trunc('month', day) - date_trunc('month', ts) as x from t", "interval"),
    ("postgres", "select case when a = 1 then sum(d) else sum(d * 1.005) end as x from t group by a",
     "digits"),
    ("postgres", "select max(a) as x from t", "collation"),
    ("postgres", "select a from t where a > d", "collation"),
    ("postgres", "select greatest(a, d) as x from t", "collation"),
    ("postgres", "select row_number() over (partition by b order by a) as x from t", "collation"),
    ("postgres", "select a from t order by a limit 2", "collation"),
    ("postgres", "select lower(b) as x from t", "lower"),
    ("postgres", "select current_date as x from t", "current_date"),
    ("postgres", "select a from t where day < current_timestamp::date", "time zone"),
    *(
        ("postgres", f"select n from t where {condition}", "the session's time zone")
        for condition in (
            "ts::timestamp > now()", "current_timestamp - interval '7 days' <= ts::timestamp",
            "day::date in (now())", "day::date between now() and now()",
            "coalesce(ts::timestamp, now()) is null", "now() - ts::timestamp > interval '1 day'",
            "ts::timestamp is distinct from now()", "greatest(day::date, now()) is null",
            "case ts::timestamp when now() then 1 end = 1", "now()::timestamp > ts::timestamp",
            "case when n = 1 then now() else ts::timestamp end is null",
            "date_trunc('day', day::date) > now()", "ts::timestamp < (select max(now()) from t)",
        )
    ),
    ("postgres", "select ts::timestamp as x from t union all select now() as x from t",
     "the session's time zone"),
    ("postgres", "select n from t where localtimestamp > ts", "LOCALTIMESTAMP"),
    ("postgres", "select n from t where age(ts) is null", "age(ts)"),
    ("postgres", "select * from t join u using (n, a)", "USING first"),
    ("postgres", "select * from t, u join t as v using (n)", "USING first"),
    ("postgres", "select * from t join u using (n) join u as v on v.n = t.n", "USING first"),
    ("snowflake", "select * from t join u using (n)", "USING first"),
    ("spark", "select * from u left join t using (j) where t.n > 1", "USING first"),
    ("mysql", "select n from t where b = 'ab'", "`b`"),
    ("mysql", "select b, count(*) as c from t group by b", "`b`"),
    ("mysql", "select case b when 'ab' then 1 else 2 end as x from t", "write CASE WHEN"),
    ("redshift", "select case b when 'ab' then 1 else 2 end as x from t", "write CASE WHEN"),
    ("mysql", "select length(b) as x from t", "LENGTH"),
    ("mysql", "select distinct b from t", "`b`"),
    ("spark", "select cast(f as int) as x from t", "CAST"),
    ("spark", "select substr(b, 0, 2) as x from t", "substr"),
    ("spark", "select b as x from t union select day > day as x from t", "mixes"),
    ("spark", "select coalesce(b, ok) as x from t", "mixes"),
    ("spark", "select case when a > 1 then b else ok end as x from t", "mixes"),
    ("databricks", "select cast(f as int) as x from t", "CAST"),
    ("tsql", "select cast(a as bit) as x from t", "BIT"),
    ("tsql", "select datediff(week, day, ts) as x from t", "WEEK"),
    ("tsql", "select cast(a as decimal) as x from t", "CAST"),
    ("oracle", "select cast(a as number(*)) as x from t", "CAST"),
    ("tsql", "select cast(a as decimal(p, 2)) as x from t", "CAST"),
    ("tsql", "select top 5 with ties a from t order by a", "WITH TIES"),
    ("redshift", "select n from t where b = 'ab'", "`b`"),
    ("sqlite", "select n from t where b like 'ab%'", "LIKE"),
    ("sqlite", "select cast(f as integer) as x from t", "CAST"),
    ("clickhouse", "select a from t", "clickhouse"),
    ("", "select a from t", "its database"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "query", "named"), DIFFERENT)
def test_what_is_not_proven_is_named(dialect: str, query: str, named: str) -> None:
    """Would catch: SQL that is carried though DuckDB takes it for something else."""
    checked = check(parse_statement(query, dialect or "duckdb"), dialect, text=query)
    assert any(named.lower() in str(unproven).lower() for unproven in checked.unproven), [
        str(unproven) for unproven in checked.unproven
    ]


def test_a_value_whose_type_decides_is_named() -> None:
    """Would catch: a condition that says nothing (`it uses `) where the value is no column."""
    query = "select current_date - day as x, grouping(b) as y from t group by rollup (b)"
    notes = check(parse_statement(query, "postgres"), "postgres", text=query).notes
    assert notes and not any("it uses )" in note or "it uses ," in note for note in notes), notes


@pytest.mark.parametrize("dialect", ["postgres", "spark", "sqlite", "mysql"])
def test_a_text_that_is_kept_means_to_duckdb_what_is_meant(dialect: str) -> None:
    """Would catch: `~`, which sqlglot reads for DuckDB as if it needn't match the whole text."""
    here, kept = duckdb_engine(), 0
    for query in queries(dialect, SEED, QUERIES):
        written = translated(query, dialect)
        try:
            if not written or translate(query, dialect).changed:
                continue
        except WrongResult:
            continue
        try:
            meant = here.query(written) or []
        except duckdb.Error:
            continue
        kept += 1
        assert not difference(meant, here.query(query) or []), query
    assert kept > 10


UNLESS = [
    ("postgres", "select b, count(*) as c from t group by b", "citext"),
    ("postgres", "select n, d * 2 as x from t", "real"),
    ("databricks", "select n from t where b = 'ab'", "FLOAT"),
    ("athena", "select n from t where f > 1.5", "NaN"),
    ("snowflake", "select distinct b from t", "collation"),
    ("postgres", "select n from t where b like 'a%'", "it uses b)"),
    ("postgres", "select n, sum(a) over (partition by b) as x from t", "it uses b, a)"),
    ("postgres", "select n, coalesce(d, 0.5) as x from t", "it uses d)"),
    ("postgres", "select n, replace(b, 'a', 'b') as x, a::int as i from t", "it uses b, a)"),
    ("postgres", "select n, t.b from t join u using (n)", "it uses n)"),
    ("spark", "select n, count(*) as c from t group by 1", "it uses 1)"),
    ("sqlite", "select n from t where b = 12", "text beside a number"),
    ("snowflake", "select n from t where b in (12, 13)", "text beside a number"),
    ("postgres", "select n from t where ts >= '2024-01-01'", "has a zone"),
    ("postgres", "select n from t where ts > now()", "session isn't UTC"),
    ("postgres", "select n from t where now() - interval '1 day' is null", "it counts days"),
    ("bigquery", "select n from t where ts between '2024-01-01' and '2024-01-31'", "has a zone"),
]


@pytest.mark.parametrize(("dialect", "query", "named"), UNLESS)
def test_columns_that_a_database_compares_otherwise_are_named(
    dialect: str, query: str, named: str
) -> None:
    """Would catch: "the same rows", though a column of an unknown type may be compared otherwise."""
    checked = check(parse_statement(query, dialect), dialect)
    assert not checked.unproven
    assert any(named in note for note in checked.notes)
    assert not check(parse_statement("select n from t where n is null", dialect), dialect).notes


KNOWN = {
    "postgres": {
        "n": "int",
        "b": "text",
        "d": "numeric(10, 2)",
        "f": "real",
        "c": "citext",
        "z": "timestamptz",
    },
    "bigquery": {"n": "int64", "b": "string", "d": "numeric(10, 2)", "f": "float64"},
    "sqlite": {"n": "int", "b": "text"},
    "snowflake": {"n": "int", "b": "text"},
    "spark": {"n": "bigint", "f": "float", "g": "double"},
    "mysql": {"n": "int", "b": "varchar(10)"},
}
DECIDED = [
    ("postgres", "select b, count(*) as c from t where n > 1 and d > 0.5 group by b", ""),
    ("postgres", "select f, c from t where n = 1", ""),
    ("postgres", "select n from t where f = 0.1", "`f`"),
    ("postgres", "select c, count(*) as k from t group by c", "`c`"),
    ("postgres", "select n from t where c like 'a%'", "`c`"),
    ("bigquery", "select b, max(d) as d from t group by b", ""),
    ("bigquery", "select n from t where f > 1.5", "NaN"),
    ("sqlite", "select n from t where n > 1", "NOCASE"),
    ("spark", "select n from t where g > 1.5", ""),
    ("spark", "select n from t where f > 1.5", "`f`"),
    ("snowflake", "select n from t where b = 12", "text with a number"),
    ("snowflake", "select n from t where n = '1.2'", "text with a number"),
    ("snowflake", "select n from t where n = '1'", ""),
    ("snowflake", "select n from t where n in (1, 2) or b = 'a'", ""),
    ("postgres", "select n from t where z > '2024-01-01'", "session's time zone"),
    ("mysql", "select n from t where n > 1", ""),
    ("mysql", "select n from t where b = 'a'", "text"),
]


@pytest.mark.parametrize(("dialect", "query", "named"), DECIDED)
def test_known_types_decide(dialect: str, query: str, named: str) -> None:
    """Would catch: a condition on a type that the project says, or a statement on a citext."""
    kinds = {name: kind_of_written_type(kind, dialect) for name, kind in KNOWN[dialect].items()}
    checked = check(parse_statement(query, dialect), dialect, columns=lambda _: kinds)
    reasons = [*map(str, checked.unproven), *checked.notes]
    assert any(named in reason for reason in reasons) if named else not reasons, reasons


def table() -> dict[str, dict[str, object]]:
    text = Path(sql_guard.__file__).with_name("sql_constructs.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize("dialect", sorted(table().keys() - {"core", "exact"}))
def test_each_construct_has_its_source(dialect: str) -> None:
    """Would catch: a construct that is carried though nothing says what it means there."""
    section = table()[dialect]
    assert section["edition"]
    if "engine" in section:
        assert "test_sql_constructs.py" in str(section["proof"])
        return
    assert str(section["documentation"]).startswith("https://")
    pages = table()[str(section.get("sources_of", dialect))]["sources"]
    assert isinstance(pages, dict)
    named = [name for names in pages.values() for name in names.split()]
    assert sorted(named) == sorted(constructs(dialect))


def test_each_entry_of_the_table_can_be_followed() -> None:
    """Would catch: a condition, a rewriting or an argument that nothing knows."""
    for dialect, section in table().items():
        assert section["proof"], dialect
        for name, entry in constructs(dialect).items():
            known = name.partition(":")[0]
            assert hasattr(exp, known), name
            assert {condition[0] for condition in entry.conditions} <= CONDITIONS.keys(), name
            assert entry.rewrite in {"", *REWRITES}, name
            if known == name:
                unknown = entry.arguments - set(getattr(exp, known).arg_types)
                assert not unknown, (name, unknown)
