"""The project's macros, at hand for one statement: `macros/*.sql` with CREATE MACRO."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import duckdb

from headrace.engine.failures import failed, of_duckdb

if TYPE_CHECKING:
    from headrace.lake.session import Session

_CREATES = re.compile(r"\s*create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?(?:macro|function)\b", re.IGNORECASE)


@contextlib.contextmanager
def defined(session: Session, macros: Mapping[str, str]) -> Iterator[None]:
    """Within, the macros of these files (path to text) are defined; afterwards the session is as before, since they are
    created in a transaction that is rolled back. Raises `BodyFailed` for a file that does anything but create macros."""
    if not macros:
        yield
        return
    session.connection.execute("BEGIN")
    try:
        for file, text in macros.items():
            _define(session, file, text)
        yield
    finally:
        session.connection.execute("ROLLBACK")


def _define(session: Session, file: str, text: str) -> None:
    try:
        statements = session.connection.extract_statements(text)
        for statement in statements:
            if statement.type != duckdb.StatementType.CREATE or not _CREATES.match(_without_comments(statement.query)):
                raise failed(f"{file} holds a statement that isn't CREATE MACRO", code="body_failed", file=file, line=1)
            session.connection.execute(statement)
    except duckdb.Error as error:
        raise of_duckdb(error, file=file) from error


def _without_comments(text: str) -> str:
    """The text from its first word on."""
    return re.sub(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", text, flags=re.DOTALL)
