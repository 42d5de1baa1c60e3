"""Calls a function of an asset in the Python of its environment: a script of a process of its own.

It gets its task and its inputs as a command does, and writes Parquet, by the code that converts
inputs and results in a worker, so that values are the same. A failure is left beside the context,
with the place in the user's file.

Packages come from the environment; Headrace itself, DuckDB, Arrow and msgspec from where Headrace
runs, unless the environment has them, in the same version. Nothing else is found there: what an
asset imports without having declared it is missing, as it should be.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.extension import AttemptScope, BodyTask, PythonBody

ENGINE = ("duckdb", "msgspec", "pyarrow")
"""Distributions that the process shares with Headrace."""
SHARED = frozenset({"headrace", "_duckdb", *ENGINE})
"""Top-level modules that are found where Headrace runs."""
TABLES = frozenset({"table", "append", "merge", "snapshot"})
"""`materialize` of assets whose functions return rows."""


class SharedModules(MetaPathFinder):
    """Finds Headrace's own modules in its folders, after all that the environment has."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = list(folders)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the specification of a shared top-level module, None for others."""
        if path is not None or fullname not in SHARED:
            return None
        return PathFinder.find_spec(fullname, self._folders, target)

    def find_distributions(
        self, context: metadata.DistributionFinder.Context
    ) -> Iterable[metadata.Distribution]:
        """Return the metadata of a shared distribution, which reads its own version there."""
        if context.name not in ENGINE:
            return ()
        there = metadata.DistributionFinder.Context(name=context.name, path=self._folders)
        return metadata.MetadataPathFinder.find_distributions(there)


def versions() -> dict[str, str]:
    """Return the versions of the distributions that the process shares with Headrace."""
    return {name: metadata.version(name) for name in ENGINE}


def function_task(task: BodyTask, code_root: Path, project: Path) -> dict[str, Any]:
    """Return what the process gets besides the context of a command, as values of JSON."""
    import msgspec

    from headrace.extension import PARTITION_COLUMN, declared_types

    columns = () if task.table is None or task.evolve else task.table.columns
    declared = declared_types(task)
    return {
        "body": msgspec.to_builtins(task.body),
        "scope": msgspec.to_builtins(task.scope),
        "materialize": task.materialize,
        "has_table": task.table is not None,
        "known": [(each.name, each.type) for each in columns if each.name != PARTITION_COLUMN],
        "declared": declared if len(declared) == len(task.written) else (),
        "code": str(code_root),
        "project": str(project),
        "folders": sys.path,
    }


def main() -> int:
    """Call the function and write its rows; return the exit code."""
    context = Path(os.environ["HEADRACE_CONTEXT"])
    with context.open(encoding="utf-8") as file:
        given = json.load(file)
    sys.meta_path.append(SharedModules(given["function"]["folders"]))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    import msgspec

    from headrace.extension import FAILURE, BodyFailed, Boundary, PythonBody

    body = msgspec.convert(given["function"]["body"], PythonBody)
    boundary = Boundary(Path(given["function"]["code"]), body, _hint_for_module)
    try:
        boundary.call(lambda: _call(given, body, boundary))
    except BodyFailed as failure:
        (context.parent / FAILURE).write_bytes(msgspec.json.encode(failure.error))
        return 1
    return 0


def _hint_for_module(name: str) -> str:
    return f"add the package that has `{name}` to `requirements`: headrace lock"


def _call(given: dict[str, Any], body: PythonBody, boundary: Any) -> None:
    import duckdb
    import msgspec

    from headrace.extension import LOADER, AttemptScope, context_of, failed, literal

    task, output = given["function"], Path(given["output_directory"])
    scope: AttemptScope = msgspec.convert(task["scope"], AttemptScope)
    session: Any = _Session(duckdb.connect())
    session.connection.execute(f"SET TimeZone = {literal(scope.timezone)}")
    code, project = Path(task["code"]), Path(task["project"])
    module = boundary.imported(lambda: LOADER.load(code, body.file, project))
    function = getattr(module, body.function, None)
    if not callable(function):
        message = f"{body.file} has no function `{body.function}`"
        raise failed(message, code="body_failed", everywhere=True)
    inputs = {
        name: _input(session, name, file["path"], body) for name, file in given["inputs"].items()
    }
    context = context_of(scope, output if task["materialize"] == "files" else None)
    value = function(context, **inputs) if body.takes_context else function(**inputs)
    if task["materialize"] in TABLES:
        _write(value, task, session, output / "rows.parquet")
    elif value is not None:
        raise failed(
            f"materialize: {task['materialize']} returns nothing, the function returned a value",
            code="wrong_result",
            hint="write files into ctx.output_directory, or publish a table",
        )


def _input(session: Any, name: str, path: str, body: PythonBody) -> Any:
    from headrace.extension import Container, InputData, as_container, literal

    data = InputData(name, (), (), sql=f"FROM read_parquet({literal(path)})")
    kind = Container(body.annotations.get(name, Container.ARROW))
    return as_container(session, data, kind)


def _write(value: Any, task: dict[str, Any], session: Any, path: Path) -> None:
    """Write the rows as a worker would stage them."""
    import duckdb
    import pyarrow as pa

    from headrace.extension import (
        is_relation,
        literal,
        schema_of_columns,
        select_sql,
        stream,
        unread,
    )

    if is_relation(value):
        value.to_parquet(str(path))
        return

    def schema(columns: Sequence[Sequence[str]]) -> pa.Schema | None:
        pairs = [(name, kind) for name, kind in columns]
        return schema_of_columns(session, pairs) if pairs else None

    reader = stream(
        value,
        lambda: schema(task["known"]),
        lambda: schema(task["declared"]),
        nothing=pa.null() if task["has_table"] else pa.string(),
    )
    # an iterator may read relations of this session, so another one writes
    writing = duckdb.connect()
    try:
        writing.register("rows", reader)
        select = select_sql("rows", reader.schema)
        writing.execute(f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet)")
    except duckdb.Error as error:
        raise unread(session, reader.schema) from error


class _Session:
    """The part of a session that conversions need."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection


if __name__ == "__main__":
    sys.exit(main())
