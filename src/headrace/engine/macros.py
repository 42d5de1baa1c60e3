"""Macros of the project (`macros/*.sql` with CREATE MACRO), defined for some statements only.

`python -m headrace.engine.macros` reports errors in macro files for `validate`, whose process
doesn't load DuckDB.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from headrace.engine.failures import failed, of_duckdb
from headrace.lake.sqltext import quote
from headrace.sql.engine_faults import WrongResult, refuse_faulty

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


_CREATES = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?(?:macro|function)\b", re.IGNORECASE
)


@contextlib.contextmanager
def defined(session: DuckDBSession, macros: Mapping[str, str]) -> Iterator[None]:
    """Define the macros of these files (path to text) inside the context.

    They are created in a transaction that is rolled back, so the session is unchanged afterwards.
    Raises `BodyFailed` for a file that does anything but create macros.
    """
    if not macros or _already_defined(session):
        yield
        return
    session.connection.execute("BEGIN")
    try:
        for file, text in macros.items():
            _define(session, file, text)
        yield
    finally:
        session.connection.execute("ROLLBACK")


@contextlib.contextmanager
def lent(session: DuckDBSession, macros: Mapping[str, str]) -> Iterator[None]:
    """Define macros as `defined` does, but without a transaction, and drop them on exit.

    A statement that fails inside the context then doesn't affect the others.
    """
    if not macros or _already_defined(session):
        yield
        return
    try:
        for file, text in macros.items():
            _define(session, file, text)
        yield
    finally:
        macros_sql = (
            "SELECT DISTINCT function_name, function_type FROM duckdb_functions() WHERE NOT"
            " internal"
        )
        for name, kind in session.connection.execute(macros_sql).fetchall():
            what = "MACRO TABLE" if kind == "table_macro" else "MACRO"
            session.connection.execute(f"DROP {what} IF EXISTS {quote(name)}")


def _already_defined(session: DuckDBSession) -> bool:
    """Return whether an outer context has defined macros: a project has only one set of them."""
    return (
        session.connection.execute(
            "SELECT 1 FROM duckdb_functions() WHERE NOT internal LIMIT 1"
        ).fetchone()
        is not None
    )


def _define(session: DuckDBSession, file: str, text: str) -> None:
    try:
        for statement in session.connection.extract_statements(text):
            if not _creates(statement):
                raise failed(
                    f"{file} holds a statement that isn't CREATE MACRO",
                    code="bad_macro",
                    file=file,
                    line=1,
                )
            session.connection.execute(statement)
    except duckdb.Error as error:
        raise of_duckdb(error, file=file) from error


def _creates(statement: duckdb.Statement) -> bool:
    return (
        statement.type == duckdb.StatementType.CREATE
        and _CREATES.match(_without_comments(statement.query)) is not None
    )


class MacroProblem(NamedTuple):
    """A problem in a file of macros, with its line."""

    file: str
    line: int
    message: str


def faults(macros: Mapping[str, str]) -> list[MacroProblem]:
    """Return the first problem of each file.

    If two files define the same macro, the problem is the second file's.
    """
    connection = duckdb.connect(
        config={"enable_external_access": "false", "autoload_known_extensions": "false"}
    )
    problems = []
    for file, text in macros.items():
        fault = _fault(connection, file, text)
        if fault is not None:
            problems.append(fault)
    return problems


def _fault(connection: duckdb.DuckDBPyConnection, file: str, text: str) -> MacroProblem | None:
    line = 1
    template = re.search(r"\{[{%]", text)
    if template is not None:
        line = text.count("\n", 0, template.start()) + 1
        return MacroProblem(
            file,
            line,
            "a template isn't SQL, and there is no Jinja: write CREATE MACRO name(argument) AS"
            " expression",
        )
    try:
        for statement in connection.extract_statements(text):
            line = _line_of(text, statement.query)
            if not _creates(statement):
                return MacroProblem(
                    file, line, "a file in macros/ holds CREATE MACRO statements and nothing else"
                )
            if statement.named_parameters:
                name = min(statement.named_parameters)
                return MacroProblem(
                    file,
                    line,
                    f"a macro can't use ${name}: give it an argument, and hand ${name} in where it"
                    " is called",
                )
            refuse_faulty(statement.query)
            connection.execute(statement)
    except WrongResult as wrong:
        return MacroProblem(file, line, f"{wrong}: {wrong.hint}")
    except duckdb.Error as error:
        message = str(error)
        at = re.search(r"LINE (\d+):", message)
        return MacroProblem(
            file,
            line + int(at[1]) - 1 if at else line,
            " ".join(message.split("\n\nLINE ", maxsplit=1)[0].split()),
        )
    return None


def _line_of(text: str, query: str) -> int:
    """Return the line of the first word of a statement."""
    at = max(0, text.find(query))
    return text.count("\n", 0, at + len(query) - len(_without_comments(query))) + 1


def _without_comments(text: str) -> str:
    """Return the text without leading blanks and comments."""
    return re.sub(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", text, flags=re.DOTALL)


if __name__ == "__main__":
    json.dump([fault._asdict() for fault in faults(json.load(sys.stdin))], sys.stdout)
