"""SQL bodies: the user's SELECT over its inputs, with values bound by name and nothing pasted in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import msgspec

from headrace.engine.bodies import AttemptScope, InputData
from headrace.engine.failures import BodyFailed, failed, of_duckdb
from headrace.engine.tasks import BodyTask
from headrace.lake.inlining import source_sql
from headrace.lake.session import quote
from headrace.lake.statements import without_semicolons
from headrace.model import Grain, SqlBody

_UNBOUND = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
"""What doesn't depend on rows: an asset's inputs have the same columns in each of its partitions."""
SELF = "__self__"
"""What `$self` is called in the statement: the asset's own rows before this partition."""


class Composed(msgspec.Struct, frozen=True):
    """A statement to run, and where in it the user's text begins."""

    text: str
    parameters: dict[str, Any]
    lines_before: int


def compose(task: BodyTask) -> tuple[str, dict[str, Any]]:
    """The SELECT as it runs, and the values of the parameters that it uses. Raises `BodyFailed`."""
    composed = composed_of(task)
    return composed.text, composed.parameters


def composed_of(task: BodyTask) -> Composed:
    """As `compose`, with what is needed to say where an error is. Raises `BodyFailed`."""
    body = task.body
    assert isinstance(body, SqlBody)
    text = without_semicolons(task.sql if task.sql is not None else body.text)
    parameters = _bound(text, task.scope, body)
    inputs = ", ".join(f"{quote(_name(each, task.scope))} AS NOT MATERIALIZED ({source_sql(each)})" for each in task.inputs)
    before = (f"WITH {inputs} " if inputs else "") + "SELECT * FROM (\n"
    return Composed(f"{before}{text}\n)", parameters, before.count("\n"))


def located(error: duckdb.Error, body: SqlBody, lines_before: int) -> Exception:
    """DuckDB's error as the body's, at the line of the user's file."""
    failure = of_duckdb(error, file=body.file, first_line=body.line, lines_before=lines_before)
    if not isinstance(error, _UNBOUND):
        return failure
    return BodyFailed(msgspec.structs.replace(failure.error, everywhere=True))


def _name(data: InputData, scope: AttemptScope) -> str:
    return SELF if data.name == scope.asset else data.name


def _bound(text: str, scope: AttemptScope, body: SqlBody) -> dict[str, Any]:
    """Exactly the parameters that the text uses: DuckDB refuses others."""
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise located(error, body, 0) from error
    if len(statements) != 1:
        raise failed(
            f"a body is one statement, this has {len(statements)}", file=body.file, line=body.line, code="body_failed", everywhere=True
        )
    available = {name.lower(): value for name, value in {**scope.parameters, **partition_values(scope)}.items()}
    used = statements[0].named_parameters
    for name in sorted(used):
        if name.lower() not in available:
            raise _unknown(name, available, body)
    return {name: available[name.lower()] for name in used}


def partition_values(scope: AttemptScope) -> dict[str, Any]:
    """`partition_start` and `partition_end`: local dates for days and coarser, instants for hours, none for data that isn't cut by time;
    `partition_key` of data that is cut by a key."""
    key = {"partition_key": scope.data_key} if scope.data_key is not None else {}
    if scope.grain is None or scope.start is None or scope.end is None:
        return key
    start, end = datetime.fromisoformat(scope.start), datetime.fromisoformat(scope.end)
    if scope.grain == Grain.HOUR:
        return {"partition_start": start, "partition_end": end, **key}
    return {"partition_start": start.date(), "partition_end": end.date(), **key}


def _unknown(name: str, available: dict[str, Any], body: SqlBody) -> Exception:
    if name.lower() in ("partition_start", "partition_end"):
        return failed(
            f"${name} has no value: the asset isn't partitioned by time",
            file=body.file,
            line=body.line,
            code="body_failed",
            everywhere=True,
            hint="give it `partition: day` or another grain",
        )
    if name.lower() == "partition_key":
        return failed(
            "$partition_key has no value: the asset isn't cut by a key",
            file=body.file,
            line=body.line,
            code="body_failed",
            everywhere=True,
            hint="give it `partition: {key: region}`",
        )
    known = ", ".join(f"${each}" for each in sorted(available)) or "none"
    return failed(
        f"${name} has no value",
        file=body.file,
        line=body.line,
        code="body_failed",
        everywhere=True,
        hint=f"name it under `parameters:` of the asset or the project (known: {known})",
    )
