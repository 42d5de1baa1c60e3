"""SQL of Script and Lookup activities as SQL of DuckDB, where the meaning stays the same."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.adf.drafts import TableKey
from headrace_import.importers.adf.json_text import JsonObject
from headrace_import.importers.adf.reading import object_of, objects_of
from headrace_import.importers.adf.stores import table_key
from headrace_import.importers.sql_depth import TooDeep, parse_statements
from headrace_import.importers.sql_guard import check, wrong_in_duckdb
from headrace_import.importers.sql_meaning import depends_on_run

STATEMENT_CHARACTERS_MAX = 200_000
logging.getLogger("sqlglot").addFilter(
    lambda record: "unsupported syntax" not in record.getMessage()
)


class NotTranslatedError(Exception):
    """Why SQL can't become an asset."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A query in DuckDB's dialect, with `{table:N}` for the tables that it reads.

    `target` is the table that it writes, None for a query alone; `replaces` says whether the
    table's rows are removed before. `note` names what a person should check.
    """

    sql: str
    reads: tuple[TableKey, ...]
    target: TableKey | None
    replaces: bool
    note: str = ""


def translate(
    text: str,
    dialect: str,
    store: str,
    columns: Callable[[TableKey], Mapping[str, str]] = lambda _table: {},
) -> Translated:
    """Return a script of one query as DuckDB's SQL. Raise NotTranslatedError.

    `columns` returns the kinds of a table's columns, as far as its datasets say them.
    """
    statements = _statements(text, dialect)
    emptied, statement = _replaced_by(statements, store)
    query, target, created = _query(statement, store)
    if emptied - {target}:
        raise NotTranslatedError("it removes rows of another table than the one that it fills")
    reason = depends_on_run(query)
    if reason:
        raise NotTranslatedError(f"in its query, {reason}")
    checked = check(query, dialect, text=text, columns=lambda table: columns(_key(table, store)))
    if checked.unproven:
        raise NotTranslatedError(f"in its query, {checked.unproven[0]}")
    reads = _with_markers(checked.tree, store)
    if target is not None and target in reads:
        raise NotTranslatedError("it reads the table that it writes")
    sql, note = _generated(checked.tree), "; ".join(checked.notes)
    return Translated(sql, tuple(reads), target, created or bool(emptied), note)


def _replaced_by(statements: list[exp.Expr], store: str) -> tuple[set[TableKey], exp.Expr]:
    """Return which tables are emptied first, and the only statement after that."""
    *before, last = statements or [exp.Null()]
    emptied = [_emptied(statement, store) for statement in before]
    if None in emptied or _emptied(last, store) is not None:
        raise NotTranslatedError("it isn't one query, after statements that empty its table")
    return {key for key in emptied if key is not None}, last


def _statements(text: str, dialect: str) -> list[exp.Expr]:
    if len(text) > STATEMENT_CHARACTERS_MAX:
        raise NotTranslatedError("it is too long")
    try:
        parsed = parse_statements(text, dialect)
    except (SqlglotError, RecursionError, TooDeep) as error:
        first = str(error).partition("\n")[0] or "it is nested too deep"
        raise NotTranslatedError(f"it isn't understood: {first[:120]}") from None
    return [
        statement
        for statement in parsed
        if not isinstance(statement, exp.Semicolon) and not _is_setting(statement)
    ]


def _is_setting(statement: exp.Expr) -> bool:
    names = [column.name.lower() for column in statement.find_all(exp.Column)]
    return isinstance(statement, exp.Set) and names == ["nocount"]


def _emptied(statement: exp.Expr, store: str) -> TableKey | None:
    """Return the table that a statement empties, as a whole and without doing more."""
    given = {key: value for key, value in statement.args.items() if value}
    if isinstance(statement, exp.Drop) and given.pop("kind", "") == "TABLE":
        given.pop("exists", None)
    elif not isinstance(statement, exp.Delete | exp.TruncateTable):
        return None
    tables = [
        table
        for value in given.values()
        for table in (value if isinstance(value, list) else [value])
    ]
    whole = len(tables) == 1 and isinstance(tables[0], exp.Table)
    return _key(tables[0], store) if whole else None


def _key(table: exp.Table, store: str) -> TableKey:
    if table.catalog:
        raise NotTranslatedError(f"it names a table of another database, `{table.catalog}`")
    if table.name.startswith("#") or table.args.get("temporary"):
        raise NotTranslatedError("it uses a temporary table")
    identifier = table.this
    if isinstance(identifier, exp.Identifier) and identifier.args.get("temporary"):
        raise NotTranslatedError("it uses a temporary table")
    return table_key(store, f"[{table.db}].[{table.name}]" if table.db else f"[{table.name}]")


def _query(statement: exp.Expr, store: str) -> tuple[exp.Query, TableKey | None, bool]:
    """Return a statement's query, the table that it fills, and whether it creates the table."""
    if isinstance(statement, exp.Insert):
        return (*_inserted(statement, store), False)
    if isinstance(statement, exp.Create):
        target = statement.find(exp.Table)
        is_table = statement.args.get("kind") == "TABLE" and target is not None
        if not is_table or not isinstance(statement.expression, exp.Query):
            raise NotTranslatedError(f"it creates a {str(statement.args.get('kind')).lower()}")
        assert target is not None
        return statement.expression, _key(target, store), True
    if isinstance(statement, exp.Select) and statement.args.get("into") is not None:
        key = _key(statement.args["into"].this, store)
        statement.set("into", None)
        return statement, key, True
    if isinstance(statement, exp.Query):
        return statement, None, False
    raise NotTranslatedError(f"it is a statement {statement.key.upper()}, not a query")


def _inserted(statement: exp.Insert, store: str) -> tuple[exp.Query, TableKey]:
    table, columns = statement.this, []
    if isinstance(table, exp.Schema):
        columns = [column.name for column in table.expressions]
        table = table.this
    query = statement.expression
    if not isinstance(query, exp.Query) or not isinstance(table, exp.Table):
        raise NotTranslatedError("it inserts values, not the rows of a query")
    if statement.args.get("conflict") or statement.args.get("returning"):
        raise NotTranslatedError("it updates rows that exist")
    if statement.args.get("with_") is not None:
        query.set("with_", statement.args["with_"].pop())
    return _named(query, columns), _key(table, store)


def _named(query: exp.Query, columns: list[str]) -> exp.Query:
    if not columns:
        return query
    first: exp.Expr = query
    while isinstance(first, exp.SetOperation):
        first = first.this
    if not isinstance(first, exp.Select) or len(first.expressions) != len(columns):
        raise NotTranslatedError("it inserts into columns that its query doesn't list one by one")
    if any(expression.is_star for expression in first.expressions):
        raise NotTranslatedError("it inserts `*` into a list of columns")
    first.set(
        "expressions",
        [
            expression
            if expression.alias_or_name == name
            else exp.alias_(expression.unalias(), name, quoted=not name.isidentifier())
            for expression, name in zip(first.expressions, columns, strict=True)
        ],
    )
    return query


def _with_markers(query: exp.Expr, store: str) -> list[TableKey]:
    """Replace the names of the tables by markers, and return the tables."""
    reads: list[TableKey] = []
    ctes = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for table in list(query.find_all(exp.Table)):
        if table.db or table.name.lower() not in ctes:
            key = _read_key(table, store)
            if key not in reads:
                reads.append(key)
            _mark(table, reads.index(key))
    for column in query.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)
    return reads


def _read_key(table: exp.Table, store: str) -> TableKey:
    if not isinstance(table.this, exp.Identifier):
        raise NotTranslatedError("it reads from a function")
    key = _key(table, store)
    if key.schema in ("sys", "information_schema"):
        raise NotTranslatedError("it reads the catalog of the database")
    return key


def _mark(table: exp.Table, position: int) -> None:
    replacement = exp.Table(this=exp.to_identifier(f"headrace_table_{position}_"))
    default_alias = exp.TableAlias(this=exp.to_identifier(table.name.lower()))
    replacement.set("alias", table.args.get("alias") or default_alias)
    table.replace(replacement)


def _generated(query: exp.Expr) -> str:
    try:
        sql = query.sql(
            dialect="duckdb", pretty=True, unsupported_level=sqlglot.ErrorLevel.RAISE,
            normalize_functions="lower", max_text_width=90,
        )  # fmt: skip
        sqlglot.parse_one(sql, read="duckdb")
    except (SqlglotError, ValueError, RecursionError) as error:
        first = str(error).partition("\n")[0]
        raise NotTranslatedError(f"DuckDB has no counterpart: {first[:120]}") from None
    if wrong := wrong_in_duckdb(sql):
        raise NotTranslatedError(wrong)
    return re.sub(r"\bheadrace_table_(\d+)_", r"{table:\1}", sql)


def with_tables(sql: str, names: list[str]) -> str:
    """Return a query with the names of nodes for its markers; an alias of the same name goes."""
    for position, name in enumerate(names):
        marker = re.escape(f"{{table:{position}}}")
        sql = re.sub(
            rf"{marker}\s+AS\s+\"?{re.escape(name)}\"?(?![\w\"])", name, sql, flags=re.IGNORECASE
        )
        sql = re.sub(marker, name, sql)
    return sql


def queries_of(kind: str, settings: JsonObject) -> Iterator[object]:
    """Yield the SQL texts of a Script or of a Lookup's source, as they are written."""
    if kind == "script":
        yield from (script.get("text") for script in objects_of(settings, "scripts"))
        return
    source = object_of(settings, "source")
    keys = [key for key in ("sqlReaderQuery", "query", "oracleReaderQuery") if source.get(key)]
    yield from (source[key] for key in keys[:1])
