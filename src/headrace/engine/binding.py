"""Binding of statements with DuckDB over empty inputs.

It finds statements that can't run in any partition before the first run.

`python -m headrace.engine.binding` is the worker process of `project.diagnostics`, which may not
load DuckDB. It exchanges framed msgpack (`compiler.frames`) over standard input and output. Its
session can't open files or the network and executes no statement.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from headrace.compiler.frames import receive, send
from headrace.engine.failures import UNTYPED_SELF_HINT, shortened
from headrace.engine.macros import faults
from headrace.lake.faulty_plans import (
    LISTED_PIVOT,
    OPEN_PIVOT,
    is_open_pivot,
    refuse_faulty_plan,
)
from headrace.lake.session import DuckDBSession, without_semicolons
from headrace.lake.sqltext import literal, quote
from headrace.plan.compiled import Columns
from headrace.plan.schemas import (
    Bind,
    BindRequest,
    BindResult,
    BoundsType,
    Prepare,
    SelectStatement,
    StatementTable,
)
from headrace.sql.engine_faults import CODE, WrongResult, refuse_faulty
from headrace.sql.values import ANY_TYPE, SELF

_MEMORY_MAX_BYTES = 512 * 2**20
_REFUSED = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.NotImplementedException,
)
"""Errors that don't depend on rows or the partition; all other errors are left to the run."""
_EXCERPT = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^", re.ASCII)
_NEAR = re.compile(r'syntax error at or near "([^"]*)"')
_LAST_WORD = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)\s*$")
_NO_FUNCTION = re.compile(r"Function with name \"?([^\"\s]+)\"? does not exist")
_ADVICE = re.compile(
    r"\n+(?:Possible (?:fixes|solutions):|You can adjust this setting|LINE \d+:)|\s*\n\s*Candidate"
    r" functions:"
)
_STRUCTURAL = (
    "must appear in the GROUP BY clause",
    "cannot contain window functions",
    "cannot contain aggregates",
    "Aggregate functions are not",
    "aggregate function calls cannot be nested",
    "cannot be nested",
    "Type with name",
)
"""Parts of messages of errors that are independent of the columns and types of inputs."""
_BEFORE_A_NAME = {
    "select",
    "as",
    "by",
    "distinct",
    "from",
    "join",
    "and",
    "or",
    "on",
    "where",
    "not",
}
_OTHER_DIALECTS = {
    "getdate": (
        "write `current_timestamp`, or better `$partition_end`: a statement gives the same for a"
        " partition at any time"
    ),
    "sysdate": (
        "write `current_timestamp`, or better `$partition_end`: a statement gives the same for a"
        " partition at any time"
    ),
    "nvl": "write `coalesce(a, b)`",
    "isnull": "write `coalesce(a, b)`, or `a is null`",
    "iff": "write `case when … then … else … end`, or `if(a, b, c)`",
    "iif": "write `case when … then … else … end`, or `if(a, b, c)`",
    "dateadd": "write `day + interval 1 day`, or `date_add(day, interval 1 day)`",
    "to_date": "write `strptime(text, '%Y-%m-%d')::date`",
    "to_varchar": "write `strftime(day, '%Y-%m-%d')`, or `cast(… as varchar)`",
    "to_char": "write `strftime(day, '%Y-%m-%d')`, or `format('{:.2f}', number)`",
    "to_number": "write `cast(… as decimal(18, 2))`",
    "convert": "write `cast(… as varchar)`",
    "safe_cast": "write `try_cast(… as integer)`",
    "safe_divide": "DuckDB's `a / b` gives NULL where b is 0",
    "parse_date": "write `strptime(text, '%Y-%m-%d')::date`",
    "format_date": "write `strftime(day, '%Y-%m-%d')`",
    "charindex": "write `strpos(text, part)`",
    "object_construct": "write `struct_pack(name := value)` or `json_object('name', value)`",
}
"""Functions of other databases and their DuckDB equivalents, for names unknown to DuckDB."""


class Binder:
    """A session that binds statements one after the other."""

    def __init__(self, session: DuckDBSession, macros: Mapping[str, str]) -> None:
        self._connection = session.connection
        self._session = session
        if not faults(macros):  # problems of macros are reported separately
            for text in macros.values():
                for statement in self._connection.extract_statements(text):
                    self._connection.execute(statement)
        functions_sql = "SELECT lower(function_name) FROM duckdb_functions()"
        self._functions = {name for (name,) in self._connection.execute(functions_sql).fetchall()}
        words = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        self._words = {name for (name,) in self._connection.execute(words).fetchall()}

    def bound(self, statement: SelectStatement) -> BindResult:
        """Return DuckDB's result for a statement. Never raises DuckDB's errors."""
        text = without_semicolons(statement.sql)
        try:
            refuse_faulty(text)
            results = self._connection.extract_statements(text)
            if is_open_pivot(results):
                return BindResult(code="sql_syntax", message=OPEN_PIVOT, hint=LISTED_PIVOT, line=1)
            if len(results) != 1:
                return BindResult()
            used = results[0].named_parameters
            statement = self._with_types_of_self(text, statement)
            return (
                self._described(text, statement, used)
                if statement.complete
                else self._without_columns(text, statement, used)
            )
        except _REFUSED as error:
            return self._refused(error, text, 0)
        except WrongResult as wrong:
            line = max(1, wrong.line - 1)
            return BindResult(code=CODE, message=str(wrong), hint=wrong.hint, line=line)
        except (duckdb.Error, RecursionError, UnicodeError):
            return BindResult()

    def _with_types_of_self(self, text: str, statement: SelectStatement) -> SelectStatement:
        """Return the statement with the columns of `$self` as the first run derives them.

        They stay unknown while those of an input are.
        """
        table_of_self = next((table for table in statement.tables if table.name == SELF), None)
        if (
            table_of_self is None
            or table_of_self.columns is None
            or all(kind != ANY_TYPE for _, kind in table_of_self.columns)
        ):
            return statement
        if not _with_self(statement, ()).complete:
            return _with_self(statement, None)
        try:
            return _with_self(
                statement, self._columns_of_self(text, statement, table_of_self.columns)
            )
        except duckdb.Error:
            return statement if table_of_self.columns[0][0] != "*" else _with_self(statement, None)

    def _columns_of_self(
        self, text: str, statement: SelectStatement, table_of_self: Columns
    ) -> Columns:
        from headrace.engine.self_types import columns_of_self  # sqlglot, which most don't need

        def described(sql: str, columns: Columns) -> Columns:
            named = self._connection.extract_statements(sql)[0].named_parameters
            return self._columns(sql, _with_self(statement, columns), named) or ()

        inputs = {
            table.name.lower(): table.columns or ()
            for table in statement.tables
            if table.name != SELF
        }
        return columns_of_self(described, text, inputs, table_of_self)

    def _described(self, text: str, statement: SelectStatement, used: set[str]) -> BindResult:
        try:
            return BindResult(columns=self._columns(text, statement, used))
        except duckdb.ParserException:  # the text alone was parsed, so an input's type wasn't
            return BindResult()
        except _REFUSED as error:
            return self._refused(error, text, 1)

    def _columns(self, text: str, statement: SelectStatement, used: set[str]) -> Columns | None:
        """Return the columns of a statement's result; None if a value isn't known."""
        tables = ", ".join(
            f"{quote(table.name)} AS NOT MATERIALIZED ({_empty(table)})"
            for table in statement.tables
        )
        query = f"{f'WITH {tables} ' if tables else ''}SELECT * FROM (\n{text}\n)"
        available = {
            name.lower(): value
            for name, value in {**statement.parameters, **_bounds(statement)}.items()
        }
        if any(name.lower() not in available for name in used):
            return None
        parameters = {name: available[name.lower()] for name in used}
        rows = self._session.run(f"DESCRIBE {query}", parameters or None).fetchall()
        refuse_faulty_plan(self._session, query, parameters)
        return tuple((row[0], row[1]) for row in rows)

    def _without_columns(self, text: str, statement: SelectStatement, used: set[str]) -> BindResult:
        """Check a statement whose inputs have unknown columns: functions, types and structure.

        Inputs get all columns that the statement names, without a type. Whether a name that is an
        alias, too (`select max(day) as day … where day > …`), is also a column isn't known: a
        statement is refused only if it can't run in either case. Any other error would be about
        that guess rather than about the statement.
        """
        tree = self._tree(text)
        answer = self._functions_in(tree, text)
        if answer.code:
            return answer
        named, aliases = _named_columns(tree)
        result = BindResult()
        for guess in dict.fromkeys((tuple(sorted(named - aliases)), tuple(sorted(named)))):
            columns = tuple((name, '"NULL"') for name in guess)
            tables = tuple(
                table if table.known else StatementTable(table.name, columns)
                for table in statement.tables
            )
            result = self._described(text, msgspec.structs.replace(statement, tables=tables), used)
            if not any(sign in result.message for sign in _STRUCTURAL):
                return BindResult()
        return result

    def _tree(self, text: str) -> Any:
        serialized = self._connection.execute(
            f"SELECT json_serialize_sql({literal(text)})"
        ).fetchone()
        return json.loads(serialized[0]) if serialized is not None else {}

    def _functions_in(self, tree: Any, text: str) -> BindResult:
        for name, at in _called(tree):
            if name.lower() not in self._functions:
                line = text.encode()[:at].count(b"\n") + 1 if at is not None else 1
                return BindResult(
                    code="unknown_function",
                    message=f"DuckDB has no function `{name}`",
                    hint=_function_hint(name),
                    line=line,
                )
        return BindResult()

    def _refused(self, error: duckdb.Error, text: str, lines_before: int) -> BindResult:
        error_text = str(error)
        excerpt = _EXCERPT.search(error_text)
        line = max(1, int(excerpt[1]) - lines_before) if excerpt else 1
        message = " ".join(_ADVICE.split(error_text, maxsplit=1)[0].split())
        missing = _NO_FUNCTION.search(message)
        if missing is not None:
            near = re.search(r'Did you mean "([^"]+)"', error_text)
            hint = _function_hint(missing[1], near[1] if near else "")
            return BindResult(
                code="unknown_function",
                message=f"DuckDB has no function `{missing[1]}`",
                hint=hint,
                line=line,
            )
        if isinstance(error, duckdb.ParserException):
            return BindResult(
                code="sql_syntax",
                message=_readable(message),
                hint=self._word_hint(error_text, text, excerpt, line),
                line=line,
            )
        return BindResult(
            code="sql_binding", message=_readable(message), hint=_type_hint(message), line=line
        )

    def _word_hint(
        self, error_text: str, text: str, excerpt: re.Match[str] | None, line: int
    ) -> str:
        """Return a hint if a reserved word of SQL is used as a name."""
        near = _NEAR.search(error_text)
        if near is None or excerpt is None:
            return ""
        if near[1] == ":":
            return "a bound value is written `$name`, and declared under `parameters:`"
        on_line = excerpt[2][: max(0, len(excerpt[3]) - len(f"LINE {excerpt[1]}: "))]
        before = "\n".join([*text.split("\n")[: line - 1], on_line]).rstrip()
        last = _LAST_WORD.search(before)
        word = last[1].lower() if last else ""
        meant = near[1].lower()
        if word in self._words and word not in _BEFORE_A_NAME:
            meant = word
        elif meant not in self._words or not (
            before.endswith((",", ".", "(")) or word in _BEFORE_A_NAME
        ):
            return ""
        return (
            f'`{meant}` is a word of SQL: as a name, write it in double quotes ("{meant}") or'
            " choose another one"
        )


def _empty(table: StatementTable) -> str:
    columns = ", ".join(
        f"CAST(NULL AS {type_}) AS {quote(name)}" for name, type_ in table.columns or ()
    )
    return f"SELECT {columns or '1'} WHERE false"


def _with_self(statement: SelectStatement, columns: Columns | None) -> SelectStatement:
    others = (table for table in statement.tables if table.name != SELF)
    return msgspec.structs.replace(statement, tables=(*others, StatementTable(SELF, columns)))


def _bounds(statement: SelectStatement) -> dict[str, Any]:
    """Return bounds of the right types; binding doesn't depend on their values."""
    if statement.bounds is BoundsType.INSTANT:
        return {
            "partition_start": datetime(2000, 1, 1, tzinfo=UTC),
            "partition_end": datetime(2000, 1, 1, 1, tzinfo=UTC),
        }
    if statement.bounds is BoundsType.DATE:
        return {"partition_start": date(2000, 1, 1), "partition_end": date(2000, 1, 2)}
    return {}


def _called(tree: Any) -> Iterator[tuple[str, int | None]]:
    """Return each function that a serialized statement calls, with its offset in bytes."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            name = node.get("function_name")
            if isinstance(name, str) and name and not node.get("is_operator"):
                at = node.get("query_location")
                yield name, at if isinstance(at, int) and 0 <= at < 2**31 else None
            stack.extend(reversed(node.values()))
        elif isinstance(node, list):
            stack.extend(reversed(node))


def _named_columns(tree: Any) -> tuple[set[str], set[str]]:
    """Return the names of columns that a statement reads, and its own aliases."""
    named: set[str] = set()
    aliases: set[str] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            names = node.get("column_names")
            if node.get("class") == "COLUMN_REF" and isinstance(names, list) and names:
                named.add(str(names[-1]).lower())
            alias = node.get("alias")
            if isinstance(alias, str) and alias:
                aliases.add(alias.lower())
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return named, aliases


def _function_hint(name: str, near: str = "") -> str:
    other = _OTHER_DIALECTS.get(name.lower())
    if other is not None:
        return other
    return (
        f"did you mean `{near}`?"
        if near
        else "use one of DuckDB's functions, or define it in macros/ with CREATE MACRO"
    )


def _type_hint(message: str) -> str:
    if ANY_TYPE in message:
        return UNTYPED_SELF_HINT
    if "explicit cast" in message or "explicit type cast" in message:
        return (
            "convert one side, such as cast(amount as decimal(18, 2)); try_cast gives NULL where a"
            " value doesn't fit"
        )
    return ""


def _readable(message: str) -> str:
    kind, _, rest = message.partition(" Error: ")
    return shortened(
        f"DuckDB refuses it: {rest}"
        if kind in ("Parser", "Binder", "Catalog", "Not implemented")
        else message
    )


def main() -> None:
    """Answer requests until standard input ends; all other output goes to standard error.

    The folder in the first argument is DuckDB's temporary folder. This process deletes it, because
    its parent may have been killed.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; closing the input ends this process
    decoder: msgspec.msgpack.Decoder[Prepare | Bind] = msgspec.msgpack.Decoder(BindRequest)
    binder: Binder | None = None
    folder = Path(sys.argv[1])
    with DuckDBSession(folder, threads=1, memory_max_bytes=_MEMORY_MAX_BYTES) as session:
        while (frame := receive(sys.stdin.buffer)) is not None:
            request = decoder.decode(frame)
            if isinstance(request, Prepare):
                binder = Binder(session, request.macros)
                answer = BindResult()
            else:
                assert binder is not None
                answer = binder.bound(request.statement)
            send(answers, msgspec.msgpack.encode(answer))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
