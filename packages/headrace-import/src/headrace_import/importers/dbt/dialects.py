"""SQL of other dialects as DuckDB's, with what can't be translated named."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from headrace_import.importers.dbt.stars import NotOneTable, expand_stars
from headrace_import.importers.sql_depth import parse_statement, parse_statements
from headrace_import.importers.sql_guard import Unproven, check, wrong_in_duckdb

DUCKDB = "duckdb"
DIALECTS: Mapping[str, str] = {
    "duckdb": "duckdb",
    "postgres": "postgres",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "databricks": "databricks",
    "spark": "spark",
    "trino": "trino",
    "athena": "athena",
    "clickhouse": "clickhouse",
    "mysql": "mysql",
    "sqlite": "sqlite",
    "sqlserver": "tsql",
    "fabric": "fabric",
    "synapse": "tsql",
    "oracle": "oracle",
}
"""Type of a dbt profile → sqlglot's dialect."""
SELF_TABLE = "__headrace_self"
"""What stands for `$self` while a query is read."""

logging.getLogger("sqlglot").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Translated:
    """SQL for DuckDB. `changed` is false for the same text."""

    sql: str
    changed: bool = False
    unproven: tuple[Unproven, ...] = ()
    inexact: tuple[Unproven, ...] = ()
    """What isn't the same if an input has fractions that dbt's warehouse keeps exactly."""
    fractions: bool = False
    notes: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Those of its columns that are known, by name in lower case."""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters in texts that sqlglot writes, which a file of a project can't hold."""
TableKinds = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""The kinds of columns that are known: table, and column with its kind, in lower case."""


class NotSelect(Exception):
    """The text isn't one SELECT that can be read."""


class WrongResult(NotSelect):
    """DuckDB gives wrong results for a form of the SELECT."""


@lru_cache(maxsize=8192)
def translate(
    text: str, dialect: str, kinds: TableKinds = (), *, names_matter: bool = True
) -> Translated:
    """Return a SELECT for DuckDB; the text stays as it is where both read it alike.

    `kinds` are those of columns that it reads, `names_matter`: whether somebody reads its own by
    their names. Raise NotSelect.
    """
    known = {table: dict(columns) for table, columns in kinds}
    plain = text.replace("$self", SELF_TABLE)
    tree = _parsed(plain, dialect or DUCKDB)
    if dialect == DUCKDB:
        return Translated(_finished(text))
    checked = check(
        tree,
        dialect,
        text=plain,
        names_matter=names_matter,
        columns=lambda table: known.get(table.name.lower(), {}),
    )
    unproven = list(checked.unproven)
    try:
        result = checked.tree.sql(DUCKDB, pretty=True, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        unproven.append(Unproven("its SQL", " ".join(str(error).split()), 0))
        result = checked.tree.sql(DUCKDB, pretty=True, unsupported_level=ErrorLevel.IGNORE)
    except (SqlglotError, ValueError, RecursionError) as error:
        raise NotSelect(f"its SQL can't be translated from {dialect}: {_first(error)}") from None
    same = _duckdb_reads_alike(plain, result)
    result = _CONTROL.sub(lambda match: f"' || chr({ord(match[0])}) || '", result)
    return Translated(
        _finished(text if same else result.replace(SELF_TABLE, "$self")),
        not same,
        tuple(unproven),
        tuple(checked.inexact),
        checked.fractions,
        tuple(checked.notes),
        checked.kinds,
    )


def _finished(sql: str) -> str:
    if wrong := wrong_in_duckdb(sql):
        raise WrongResult(wrong)
    try:
        return expand_stars(sql)
    except NotOneTable as error:
        raise NotSelect(str(error)) from None


def _parsed(text: str, dialect: str) -> exp.Query:
    try:
        statements = parse_statements(text, dialect)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise NotSelect(f"its SQL can't be read as {dialect}: {_first(error)}") from None
    first = statements[0] if len(statements) == 1 else None
    if not isinstance(first, exp.Query):
        raise NotSelect("its text isn't one SELECT")
    return first


def _duckdb_reads_alike(text: str, result: str) -> bool:
    """Return whether DuckDB reads the original text as it reads the translation.

    Not for a text with `~`: DuckDB matches the whole value, but sqlglot parses a search.
    """
    try:
        left, right = _parsed(text, DUCKDB), _parsed(result, DUCKDB)
    except NotSelect:
        return False
    return left == right and left.find(exp.RegexpLike) is None


def _first(error: Exception) -> str:
    text = re.sub(r"\x1b\[\d*m", "", str(error).split("\n")[0])
    return " ".join(text.split())[:200]


@lru_cache(maxsize=2048)
def in_dialect(text: object, dialect: str) -> str:
    """Return DuckDB's SQL of a macro in the dialect of the model that calls it."""
    if not isinstance(text, str) or dialect in ("", DUCKDB) or " " not in text:
        return str(text)
    try:
        return parse_statement(text, DUCKDB).sql(dialect)
    except (SqlglotError, RecursionError, ValueError):
        return text


def unproven_keys(
    columns: Iterable[str], dialect: str, kinds: Mapping[str, str] = MappingProxyType({})
) -> tuple[str, tuple[str, ...]]:
    """Return why rows with these keys aren't known to be the same in both databases, and notes.

    `kinds` are those of columns, as far as they are known.
    """
    listed, known = ", ".join(columns), (("t", tuple(kinds.items())),)
    translated = translate(f"select {listed} from t group by {listed}", dialect, known)
    return "".join(map(str, translated.unproven[:1])), translated.notes


def condition_in_duckdb(
    text: str, dialect: str, kinds: TableKinds = ()
) -> tuple[str, tuple[str, ...]]:
    """Return a condition on rows of `$self` for DuckDB, with notes; its text stays if it can.

    Raise NotSelect, also for one that isn't proven to mean the same.
    """
    select = "select * from $self where "
    translated = translate(f"{select}{text}", dialect, kinds, names_matter=False)
    if translated.unproven:
        raise NotSelect(str(translated.unproven[0]))
    if not translated.changed:
        return text, translated.notes
    where = _parsed(translated.sql.replace("$self", SELF_TABLE), DUCKDB).args["where"]
    return str(where.this.sql(DUCKDB)).replace(SELF_TABLE, "$self"), translated.notes


def tables_read(sql: str) -> list[str]:
    """Return the names of tables that a query for DuckDB reads; none if it can't be read."""
    try:
        tree = _parsed(sql.replace("$self", SELF_TABLE), DUCKDB)
    except NotSelect:
        return []
    defined = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    names = [table.name for table in tree.find_all(exp.Table)]
    return list(dict.fromkeys(name for name in names if name.lower() not in defined))


def hidden_tables(sql: str, uses: Mapping[str, int]) -> list[str]:
    """Return tables that a CTE of the same name hides from other parts of a query for DuckDB.

    dbt writes a table with its schema, so that its CTEs hide nothing. `uses` says how often the
    query reads each table; the CTE itself may read it once.
    """
    tree = _parsed(sql.replace("$self", SELF_TABLE), DUCKDB)
    return [
        cte.alias_or_name
        for cte in tree.find_all(exp.CTE)
        if (count := uses.get(cte.alias_or_name.lower(), 0))
        and (count > 1 or not _reads(cte, cte.alias_or_name))
    ]


def _reads(cte: exp.CTE, name: str) -> bool:
    return any(table.name.lower() == name.lower() for table in cte.this.find_all(exp.Table))


def is_condition(text: str, dialect: str) -> bool:
    """Return whether a text is one condition, and nothing after it."""
    try:
        tree = parse_statement(
            f"select 1 from t where {text}".replace("$self", SELF_TABLE), dialect or DUCKDB
        )
    except (SqlglotError, RecursionError, ValueError):
        return False
    used = {key for key, value in tree.args.items() if value}
    return isinstance(tree, exp.Select) and used <= {
        "expressions",
        "from",
        "from_",
        "where",
        "kind",
    }
