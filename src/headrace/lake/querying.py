"""A person's query over file lists: one SELECT in a session that reaches the files of one snapshot, and nothing else."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from headrace.lake.reading import DAMAGED, DataFormat, converted, selected_values, write_query
from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote
from headrace.lake.tables import FileRef, LakeColumn
from headrace.model.errors import HeadraceError, LakeError, UsageError

HINT = "one SELECT (also FROM …, VALUES, DESCRIBE, SUMMARIZE); `$name` takes --set name=value"


class QueryTable(msgspec.Struct, frozen=True):
    """A table as a query sees it: its name, and the files of one snapshot (`absolute`: tables may lie in several lakes)."""

    name: str
    columns: tuple[LakeColumn, ...]
    files: tuple[FileRef, ...]


class QueryResult(msgspec.Struct, frozen=True):
    """Rows as `lake.reading.Rows` has them. `more`: there are others beyond the limit."""

    columns: tuple[LakeColumn, ...]
    rows: tuple[dict[str, Any], ...]
    more: bool


def names_in(query: str) -> tuple[str, ...]:
    """The tables that a query names, in lower case; UsageError for what isn't one SELECT.

    Names of its own (WITH) are among them: whoever has tables of those names loses nothing by offering them."""
    import duckdb

    connection = duckdb.connect()
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError("only one query that gives rows can be asked", hint=HINT)
        results = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    except duckdb.Error as error:
        raise UsageError(in_words(error), hint=HINT) from error
    finally:
        connection.close()
    tree = json.loads(results[0]) if results else {}
    own = set(_ctes(tree))
    return tuple(dict.fromkeys(name.lower() for name in _tables(tree) if name.lower() not in own))


def _tables(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        if node.get("type") in ("BASE_TABLE", "SHOW_REF") and node.get("table_name"):
            yield str(node["table_name"])


def _ctes(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        for entry in (node.get("cte_map") or {}).get("map", ()):
            yield str(entry["key"]).lower()


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = deque([tree])
    while waiting:
        node = waiting.popleft()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


@contextmanager
def over(tables: Sequence[QueryTable], *, timezone: str) -> Iterator[DuckDBSession]:
    """A session with these tables as views. It may read their files; not the rest of the lake, no other file, no network."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-sql-"))
    try:
        paths = [Path(path) for table in tables for file in table.files for path in (file.path, *(delete.path for delete in file.deletes))]
        with DuckDBSession(folder, readable=paths, timezone=timezone, ordered=True) as session:
            for table in tables:
                session.connection.execute(f"CREATE VIEW {quote(table.name)} AS {relation_sql(table.files, table.columns)}")
            yield session
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def absolute(files: Iterable[FileRef], lake: Path) -> tuple[FileRef, ...]:
    """Files of a lake, to be read from anywhere."""
    return tuple(_absolute(file, lake) for file in files)


def _absolute(file: FileRef, lake: Path) -> FileRef:
    deletes = tuple(msgspec.structs.replace(delete, path=str(lake / delete.path)) for delete in file.deletes)
    return msgspec.structs.replace(file, path=str(lake / file.path), deletes=deletes)


def parameters_of(session: DuckDBSession, query: str) -> set[str]:
    """The names of `$name` in a query."""
    return set(session.connection.extract_statements(query)[0].named_parameters)


def ask(session: DuckDBSession, query: str, parameters: Mapping[str, Any], *, limit: int | None) -> QueryResult:
    """The rows of one query, at most `limit`. Raises UsageError for a query that can't be run, LakeError for lost files."""
    with _in_words():
        columns = described(session, query, parameters)
        text = f"SELECT {selected_values(columns)} FROM ({query}\n) AS rows" + ("" if limit is None else f" LIMIT {limit + 1}")
        fetched = session.connection.execute(text, dict(parameters)).fetchall()
    rows = converted(columns, fetched[:limit])
    return QueryResult(columns, rows, limit is not None and len(fetched) > limit)


def write(
    session: DuckDBSession, query: str, parameters: Mapping[str, Any], out: BinaryIO, *, data_format: DataFormat, limit: int | None
) -> None:
    """The rows into a binary stream. Raises as `ask`."""
    with _in_words():
        text = query if limit is None else f"SELECT * FROM ({query}\n) AS rows LIMIT {limit}"
        write_query(session, text, out, data_format, dict(parameters))


def described(session: DuckDBSession, query: str, parameters: Mapping[str, Any]) -> tuple[LakeColumn, ...]:
    """The columns that a query gives, under names of which no two are alike."""
    rows = session.connection.execute(f"DESCRIBE SELECT * FROM ({query}\n) AS rows", dict(parameters)).fetchall()
    return tuple(LakeColumn(row[0], row[1], number) for number, row in enumerate(rows, 2))


@contextmanager
def _in_words() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise LakeError(f"published files can't be read: {in_words(error)}", hint="headrace db check") from error
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise UsageError(in_words(error), hint='headrace sql "describe TABLE" shows its columns') from error
    except duckdb.InvalidInputException as error:
        if "Failed to read file" in str(error):
            raise LakeError(f"published files can't be read: {in_words(error)}", hint=DAMAGED) from error
        raise UsageError(in_words(error), hint=HINT) from error
    except duckdb.ParserException as error:
        raise UsageError(in_words(error), hint=HINT) from error
    except duckdb.PermissionException as error:
        raise UsageError(in_words(error), hint="a query reads published tables only; declare a source for other files") from error
    except duckdb.Error as error:
        raise HeadraceError(in_words(error)) from error


def in_words(error: Exception) -> str:
    """DuckDB's error without its excerpt of a statement that the user never wrote."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
