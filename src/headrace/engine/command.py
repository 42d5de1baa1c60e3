"""Command assets: run a program on Parquet inputs and a JSON context (INTERFACE §1).

A command never runs through a shell. It runs in the folder of the applied files with a clean
environment (`engine.attempts`). It returns rows or files in the output directory, events (progress,
metric, warning) as JSON lines, and its exit code.
"""

from __future__ import annotations

import contextlib
import csv
import enum
import functools
import itertools
import os
import shlex
import shutil
import signal
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import msgspec

from headrace.clean_environment import common
from headrace.engine import processes, sandbox
from headrace.engine.attempts import (
    COMMAND_FAILED,
    SHELL,
    AttemptScope,
    BodyError,
    BodyTask,
    ComputedRows,
    DataFolders,
    ErrorKind,
    InputData,
    declared_types,
    ended_by,
    hint_for,
)
from headrace.engine.failures import BodyFailed, failed, of_duckdb, unreadable
from headrace.engine.landlock import Access
from headrace.engine.logs import HEADRACE, LogFile
from headrace.engine.output_values import (
    KnownType,
    exact,
    exact_text,
    learnt_type,
    seen_type,
)
from headrace.engine.processes import Meter, child_peak_bytes
from headrace.lake import PARTITION_COLUMN
from headrace.lake.arrow_types import lost_in_file
from headrace.lake.exact_json import exact_lines, file_has_inexact
from headrace.lake.files import file_digest
from headrace.lake.schema import WRITTEN
from headrace.lake.sqltext import literal, quote, source_sql
from headrace.lake.type_inference import infer_types
from headrace.lake.types import Type, field_names, parse
from headrace.model import CommandBody, LakeError
from headrace.model.nodes import InputFormat, MaterializationKind
from headrace.model.python_code import script_of
from headrace.plan.compiled import Environment

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession
    from headrace.security.secrets import Redactor


# The output directory of a command or of a Python function. It holds rows that are staged, or files
# that are published unchanged.

FILES_MAX = 10_000
DEPTH_MAX = 20


class OutputFormat(enum.StrEnum):
    """Formats in which a command may write rows."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"


_FORMATS = {
    ".parquet": OutputFormat.PARQUET,
    ".csv": OutputFormat.CSV,
    ".jsonl": OutputFormat.JSON,
    ".ndjson": OutputFormat.JSON,
    ".json": OutputFormat.JSON,
}
_CSV = (
    "hive_partitioning = false, header = true, delim = ',', quote = '\"', escape = '\"',"
    " strict_mode = true, nullstr = '', allow_quoted_nulls = false, auto_detect = false"
)
_JSON = "hive_partitioning = false, format = 'newline_delimited'"
HEADER_CHARACTERS_MAX = 1_000_000
ROWS_SEARCHED_MAX = 5_000_000
LARGE_BYTES = 64 << 20
"""Bytes of files from which on types are first inferred from a sample."""
_HINT = (
    "write Parquet, CSV (with a header line, separated by commas) or JSON lines into the output"
    " directory"
)


_ONE_NAME = "give each column and each field of an object a name of its own"


def output_rows(session: DuckDBSession, directory: Path, known: Mapping[str, KnownType]) -> str:
    """Return a SELECT over the rows in the directory's files.

    Columns of `known` (by lower-case name) are read in their types, without a change of a value;
    the types of other columns are inferred as those of a source are. Raises `BodyFailed` for no
    files, unreadable files, several formats or an unknown format.
    """
    paths = output_files(directory)
    formats = {_FORMATS.get(path.suffix.lower()) for path in paths}
    if not paths:
        raise failed("nothing was written into the output directory", code="no_output", hint=_HINT)
    if len(formats) > 1 or None in formats:
        raise failed(
            f"the output directory holds {_named(paths)}: rows must be in files of one format",
            code="no_output",
            hint=_HINT,
        )
    kind = formats.pop()
    if kind is OutputFormat.PARQUET:
        return _parquet(session, directory, paths)
    try:
        return (_csv if kind is OutputFormat.CSV else _json)(session, paths, known)
    except duckdb.Error as error:
        raise unreadable(error) or failed(
            f"the program's output can't be read: {of_duckdb(error).error.message}",
            code="no_output",
            hint=_HINT,
        ) from error
    except LakeError as error:
        raise failed(str(error), code="no_output", hint=_ONE_NAME) from error


def _known_types(task: BodyTask) -> dict[str, KnownType]:
    """Return the types that are declared, and those of the table unless it is to change."""
    columns = () if task.table is None or task.evolve else task.table.columns
    known = {
        item.name.lower(): KnownType(item.type, is_declared=False)
        for item in columns
        if item.name != PARTITION_COLUMN
    }
    declared = declared_types(task)
    return known | {name.lower(): KnownType(kind, is_declared=True) for name, kind in declared}


def _parquet(session: DuckDBSession, directory: Path, paths: Sequence[Path]) -> str:
    """Read Parquet files; columns in the names of folders count if the command made the folders."""
    for path in paths:
        if lost := lost_in_file(session.connection, str(path)):
            raise failed(
                f"column `{lost[0]}` of `{path.name}` has {lost[1]}",
                code="wrong_result",
                hint="write it as text, or as a number whose name says what it counts",
            )
    folders = {str(path.relative_to(directory).parent) for path in paths}
    named = any("=" in folder for folder in folders)
    options = f"hive_partitioning = {str(named).lower()}, union_by_name = true"
    select_sql = f"SELECT * FROM read_parquet({_list(paths)}, {options})"
    with contextlib.suppress(duckdb.Error):  # for a file that can't be read, staging says why
        _refuse_renamed(session, select_sql, paths, "".join(folders))
    return select_sql


def _refuse_renamed(
    session: DuckDBSession, select_sql: str, paths: Sequence[Path], folders: str
) -> None:
    """Refuse Parquet with names that differ in case only: DuckDB gives one of them another name."""
    rows = session.connection.execute(f"SELECT DISTINCT name FROM parquet_schema({_list(paths)})")
    names = {str(row[0]) for row in rows.fetchall()}
    for name, text in columns_of(session, select_sql):
        for each in (name, *field_names(parse(text))):
            if each not in names and f"{each}=" not in folders:
                raise failed(
                    f"{_named(paths)}: `{each.rpartition('_')[0]}` names two columns or two fields:"
                    " case doesn't count",
                    code="no_output",
                    hint=_ONE_NAME,
                )


def output_manifest(directory: Path, relative_to: Path) -> tuple[dict[str, Any], ...]:
    """Return the relative path (with `/`), size in bytes and SHA-256 of each file, by path.

    Raises `BodyFailed` if there is none.
    """
    paths = output_files(directory, hidden=True)
    if not paths:
        raise failed(
            "no file was written into the output directory",
            code="no_output",
            hint="write into ctx.output_directory; a command finds it in HEADRACE_CONTEXT",
        )
    return tuple(
        {
            "path": path.relative_to(relative_to).as_posix(),
            "size": path.stat().st_size,
            "sha256": file_digest(path),
        }
        for path in paths
    )


def name_no_secret(manifest: Sequence[Mapping[str, Any]], redactor: Redactor) -> None:
    """Raise `BodyFailed` if a file's name has a declared secret: names are published and stored."""
    if any(redactor.text(str(file["path"])) != file["path"] for file in manifest):
        raise failed(
            "the name of a file in the output directory holds a declared secret",
            code="no_output",
            hint="name files by what they hold: names are published with them",
        )


def columns_hold_no_secret(columns: Iterable[tuple[str, str]], redactor: Redactor) -> None:
    """Raise `BodyFailed` if the name of a column or of a nested field has a declared secret.

    These names get into the catalog, contracts and lineage. `columns` are names and DuckDB types.
    """
    # A column's type contains the names of its fields as SQL writes them, with each quote doubled.
    texts = [text for column in columns for text in column]
    texts += [text.replace('""', '"') for text in texts]
    if any(redactor.text(text) != text for text in texts):
        raise failed(
            "the name of a column holds a declared secret",
            code="wrong_result",
            hint="name columns by what they hold: names are published, kept and shown",
        )


def output_files(directory: Path, *, hidden: bool = False) -> list[Path]:
    """Return the regular files below the directory, sorted.

    Names that begin with `.` or `_` (markers) are left out unless `hidden`. Raises `BodyFailed` for
    links and devices, since they lead to data that wasn't written here.
    """
    if not stat.S_ISDIR(directory.lstat().st_mode):
        raise failed(
            "the output directory was replaced",
            code="no_output",
            hint="write into it, and leave the directory itself where it is",
        )
    paths: list[Path] = []
    _walk(directory, hidden, 0, paths)
    return sorted(paths)


def _walk(directory: Path, hidden: bool, depth: int, paths: list[Path]) -> None:
    if depth > DEPTH_MAX:
        raise failed(
            f"the output directory is nested deeper than {DEPTH_MAX} levels", code="no_output"
        )
    with os.scandir(directory) as entries:
        for entry in entries:
            if not hidden and entry.name.startswith((".", "_")):
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                _walk(Path(entry.path), hidden, depth + 1, paths)
            elif stat.S_ISREG(mode):
                paths.append(Path(entry.path))
            else:
                raise failed(
                    f"`{entry.name}` in the output directory is no regular file",
                    code="no_output",
                    hint="copy instead of linking",
                )
            if len(paths) > FILES_MAX:
                raise failed(
                    f"more than {FILES_MAX} files were written",
                    code="no_output",
                    hint="write fewer, larger files",
                )


def _csv(session: DuckDBSession, paths: Sequence[Path], known: Mapping[str, KnownType]) -> str:
    """Read CSV strictly: DuckDB's detection may drop a header, or lines unlike the rest."""
    headers: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        headers.setdefault(_header(path), []).append(path)
    rows = {header: _texts(header, alike) for header, alike in headers.items()}
    names = {name.lower(): name for header in headers for name in header}
    unknown = [name for lower, name in names.items() if lower not in known]
    together = " UNION ALL BY NAME ".join(f"SELECT * FROM {source}" for source in rows.values())
    types = {**known} | _inferred(session, f"({together})", unknown, paths)
    return " UNION ALL BY NAME ".join(
        f"SELECT {', '.join(exact_text(name, types[name.lower()]) for name in header)}"
        f" FROM {source}"
        for header, source in rows.items()
    )


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = tuple(next(csv.reader([file.readline(HEADER_CHARACTERS_MAX)]), ()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise failed(
            f"`{path.name}` isn't CSV in UTF-8: {error}", code="no_output", hint=_HINT
        ) from error
    if not names or "" in names:
        raise failed(
            f"`{path.name}` has no header line with a name for each column",
            code="no_output",
            hint=_HINT,
        )
    _refuse_doubled(names, path)
    return names


def _refuse_doubled(names: Iterable[str], path: Path) -> None:
    """Refuse names that DuckDB takes for the same, since it renames one or loses its values."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(name.lower(), name)) is not name:
            raise failed(
                f"`{path.name}` has the columns `{other}` and `{name}`, which are one name: case"
                " doesn't count",
                code="no_output",
                hint=_ONE_NAME,
            )


def _texts(header: tuple[str, ...], paths: Sequence[Path]) -> str:
    """Return what reads files with the same header, each value as text."""
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    return f"read_csv({_list(paths)}, {_CSV}, columns = {{{columns}}})"


def _inferred(
    session: DuckDBSession,
    rows: str,
    names: Sequence[str],
    paths: Sequence[Path],
) -> dict[str, KnownType]:
    """Return the types of columns of text, by lower-case name."""
    if not names:
        return {}
    columns = ", ".join(f"{quote(name)} AS c{at}" for at, name in enumerate(names, 1))
    types = infer_types(
        session.connection,
        f"(SELECT {columns} FROM {rows})",
        len(names),
        words=False,
        formats=False,
        sampled=sum(path.stat().st_size for path in paths) >= LARGE_BYTES,
    ).types
    return {
        name.lower(): KnownType(kind, is_declared=False)
        for name, kind in zip(names, types, strict=True)
    }


def _json(session: DuckDBSession, paths: Sequence[Path], known: Mapping[str, KnownType]) -> str:
    """Read JSON lines, with the table's types for the columns that it has."""
    paths = [path for path in paths if path.stat().st_size]
    if not paths:
        return _no_rows(known)
    lines = f"{_list(paths)}, {_JSON}"
    written = _structure(session, lines, paths)
    structure = _structure(session, lines, paths) if _quote_inexact(paths) else written
    seen = {
        name: seen_type(structure[name] if isinstance(inner, dict | list) else inner)
        for name, inner in written.items()
    }
    new = {name: kind for name, kind in seen.items() if name.lower() not in known}
    types = {**known} | _learnt(session, lines, new, paths)
    columns, values = [], []
    for name, kind in seen.items():
        read, value = exact(name, types[name.lower()], kind)
        columns.append(f"{literal(name)}: {literal(read)}")
        values.append(value)
    return f"SELECT {', '.join(values)} FROM read_json({lines}, columns = {{{', '.join(columns)}}})"


def _learnt(
    session: DuckDBSession, lines: str, new: Mapping[str, Type], paths: Sequence[Path]
) -> dict[str, KnownType]:
    """Return the types of columns of JSON, by lower-case name."""
    plain = [name for name, kind in new.items() if not kind.fields]
    texts = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in plain)
    inferred = _inferred(session, f"read_json({lines}, columns = {{{texts}}})", plain, paths)
    for name, kind in new.items():
        learnt = learnt_type(kind, "" if kind.fields else inferred[name.lower()].type)
        if kind.fields and "DOUBLE" in learnt and _rounds(session, lines, name, kind):
            learnt = "JSON"
        inferred[name.lower()] = KnownType(learnt, is_declared=False)
    return inferred


def _rounds(session: DuckDBSession, lines: str, name: str, kind: Type) -> bool:
    """Whether a nested column has whole numbers beside fractions that no double holds."""
    read, value = exact(name, KnownType(kind.text, is_declared=False), kind)
    rows = f"read_json({lines}, columns = {{{literal(name)}: {literal(read)}}})"
    try:
        session.connection.execute(
            f"SELECT count(held) FROM (SELECT {value} FROM {rows}) AS computed(held)"
        )
    except duckdb.InvalidInputException as error:
        return WRITTEN in str(error)
    return False


def _quote_inexact(paths: Sequence[Path]) -> bool:
    """Make texts of the numbers that DuckDB would round, and return whether there were any."""
    inexact = [path for path in paths if file_has_inexact(path)]
    for path in inexact:
        copy = path.with_name(f".{uuid.uuid4().hex}")
        with copy.open("wb") as file:
            file.writelines(exact_lines(path))
        copy.replace(path)
    return bool(inexact)


def _no_rows(known: Mapping[str, KnownType]) -> str:
    if not known:
        raise failed(
            "what was written is empty, so the columns aren't known",
            code="no_output",
            hint="declare them with `columns:`",
        )
    columns = (f"CAST(NULL AS {each.type}) AS {quote(name)}" for name, each in known.items())
    return f"SELECT {', '.join(columns)} WHERE false"


def _structure(session: DuckDBSession, lines: str, paths: Sequence[Path]) -> dict[str, Any]:
    """Return the keys of all objects, each with what its values are (`seen_type`)."""
    row = session.connection.execute(
        f"SELECT json_group_structure(json), bool_and(json_type(json) = 'OBJECT')"
        f" FROM read_json_objects({lines})"
    ).fetchone()
    assert row is not None
    structure = msgspec.json.decode(row[0]) if row[0] else {}
    if not row[1] or not structure or "" in structure:
        raise failed(
            f"{_named(paths)}: each line must be an object with a name for each value",
            code="no_output",
            hint=_HINT,
        )
    _refuse_doubled(structure, paths[0])
    return dict(structure)


def place_of(output: Path, column: str, value: str) -> str:
    """Return where a value is in a CSV file that a command wrote; empty if it isn't found."""
    for path in output_files(output):
        with (
            contextlib.suppress(csv.Error),
            path.open(encoding="utf-8-sig", errors="replace", newline="") as file,
        ):
            rows = csv.reader(file)
            header = [name.lower() for name in next(rows, [])]
            at = header.index(column.lower()) if column.lower() in header else len(header)
            for row in itertools.islice(rows, ROWS_SEARCHED_MAX):
                if row[at : at + 1] == [value]:
                    begin = rows.line_num - "".join(row).count("\n")
                    return f", at line {begin} of `{path.name}`"
    return ""


def _list(paths: Sequence[Path]) -> str:
    return f"[{', '.join(literal(str(path)) for path in paths)}]"


def columns_of(session: DuckDBSession, select_sql: str) -> list[tuple[str, str]]:
    """Return the names and DuckDB types of a query's columns."""
    return [
        (str(row[0]), str(row[1]))
        for row in session.connection.execute(f"DESCRIBE {select_sql}").fetchall()
    ]


def _named(paths: Sequence[Path]) -> str:
    names = sorted({path.name for path in paths})
    return ", ".join(f"`{name}`" for name in names[:4]) + (
        f" and {len(names) - 4} more" if len(names) > 4 else ""
    )


DONE, TRY_AGAIN_LATER = 0, 75
EVENTS_BYTES_MAX = 1024 * 1024
"""The maximum number of bytes that are read of a command's events."""
COMMAND_CHARACTERS_MAX = 200
FAILURE = "failure.json"
"""The file beside the context with the error of an asset's function, as a `BodyError`."""


class CommandEventKind(enum.StrEnum):
    """The events that a command should write; others are logged as well."""

    PROGRESS = "progress"
    METRIC = "metric"
    WARNING = "warning"


class CommandEvent(msgspec.Struct):
    """One line of HEADRACE_EVENTS.

    The other fields are logged as they are.
    """

    event: str = CommandEventKind.PROGRESS
    name: str | None = None
    value: float | int | str | None = None
    message: str | None = None


class _Places(NamedTuple):
    """The folders of an attempt: applied files, temporary files and output."""

    code: Path
    work: Path
    output: Path


@contextlib.contextmanager
def run(
    task: BodyTask,
    session: DuckDBSession,
    code_root: Path,
    output_directory: Path | None,
    folders: DataFolders,
    *,
    meter: Meter,
    log: LogFile | None = None,
) -> Iterator[ComputedRows | None]:
    """Run the command and return its rows.

    Returns None for `materialize: none` and `files`; `output_directory` is given for `files` only.
    Raises `BodyFailed`.
    """
    body = task.body
    assert isinstance(body, CommandBody)
    work = folders.temporary / uuid.uuid4().hex
    try:
        output = output_directory or work / "output"
        output.mkdir(parents=True, exist_ok=True)
        applied = msgspec.structs.replace(
            body, command=_applied(body.command, folders.project, code_root)
        )
        access = (
            command_access(task, applied, folders, code_root, (work, output))
            if sandbox.is_restricted(task)
            else None
        )
        _one_try(task, applied, session, _Places(code_root, work, output), access, meter, log)
        rows = None
        if task.materialize not in (MaterializationKind.NONE, MaterializationKind.FILES):
            select_sql = output_rows(session, output, _known_types(task))
            rows = ComputedRows(
                lambda: (select_sql, None), place=functools.partial(place_of, output)
            )
        yield rows
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _one_try(
    task: BodyTask,
    body: CommandBody,
    session: DuckDBSession,
    places: _Places,
    access: Access | None,
    meter: Meter,
    log: LogFile | None,
) -> None:
    code_root, work, output = places
    work.mkdir(parents=True, exist_ok=True)
    context, events = work / "context.json", work / "events.jsonl"
    inputs = {
        data.name: _input(session, data, work / "inputs" / str(index), body.input_format)
        for index, data in enumerate(task.inputs)
    }
    given = _context(task.scope, inputs, output)
    if task.function:
        given["function"] = task.function
    context.write_bytes(msgspec.json.encode(given, enc_hook=str))
    events.touch()
    variables = {"HEADRACE_CONTEXT": str(context), "HEADRACE_EVENTS": str(events)}
    environment = _variables(task) | variables
    if access is not None:
        environment["TMPDIR"] = str(work / "tmp")
        (work / "tmp").mkdir()
    ended = processes.run_guarded(
        body.command, folder=code_root, environment=environment, access=access
    )
    meter.child(child_peak_bytes(ended.usage))
    if log is not None:
        _log_events(events, log)
    if ended.code != DONE:
        failure = _function_failure(context.with_name(FAILURE)) if task.function else None
        raise failure or _without_script(body, code_root) or _unsuccessful(body, ended.code)


def command_access(
    task: BodyTask,
    body: CommandBody,
    folders: DataFolders,
    code_root: Path,
    own_folders: Sequence[Path] = (),
) -> Access:
    """Return what a command may reach: its code, its programs, and `own` folders to write to."""
    path = _variables(task)["PATH"]
    programs = sandbox.program_paths(body.command[0], path)
    return sandbox.access_of(task, folders, read=(code_root, *programs), write=own_folders)


def programs_of_command(task: BodyTask, body: CommandBody, folders: DataFolders) -> Environment:
    """Return the programs and packages of a command, found without running anything."""
    code_root = folders.code / (task.code or "")
    return processes.program_versions(
        _applied(body.command, folders.project, code_root),
        folder=code_root,
        variables=_variables(task),
        imported=task.packages.imported,
        named=task.packages.named,
    )


def _applied(command: tuple[str, ...], project: Path, code_root: Path) -> tuple[str, ...]:
    """Return the command with absolute paths of project files replaced by their applied copies."""
    return tuple(_applied_argument(argument, str(project), code_root) for argument in command)


def _applied_argument(argument: str, project: str, code_root: Path) -> str:
    option, equals, path = (
        argument.rpartition("=") if argument.startswith("-") else ("", "", argument)
    )
    if not path.startswith(f"{project}{os.sep}") or "\0" in path:
        return argument
    copy = code_root / os.path.relpath(path, project)
    return (
        f"{option}{equals}{copy}" if copy.is_file() and copy.is_relative_to(code_root) else argument
    )


_COPY_OPTIONS = {
    InputFormat.PARQUET: "FORMAT parquet",
    InputFormat.CSV: "FORMAT csv, HEADER true, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR ''",
    InputFormat.JSON_LINES: "FORMAT json, ARRAY false",
}


def copy_statement(select_sql: str, path: Path, kind: InputFormat) -> str:
    """Return the statement that writes rows into a file as a command gets them."""
    return f"COPY ({select_sql}) TO {literal(str(path))} ({_COPY_OPTIONS[kind]})"


def _input(
    session: DuckDBSession, data: InputData, stem: Path, kind: InputFormat
) -> dict[str, Any]:
    """Write the rows of an input's required partitions, without the system column."""
    stem.parent.mkdir(exist_ok=True)
    path = stem.with_suffix(f".{kind}")
    try:
        session.connection.execute(copy_statement(source_sql(data), path, kind))
    except duckdb.Error as error:
        raise of_duckdb(error) from error
    return {
        "path": str(path),
        "format": str(kind),
        "columns": [{"name": column.name, "type": column.type} for column in data.columns],
    }


def _context(
    scope: AttemptScope, inputs: dict[str, dict[str, Any]], output: Path
) -> dict[str, Any]:
    return {
        "asset": scope.asset,
        "partition": scope.partitions[0] if scope.partitions else "*",
        "partitions": scope.partitions,
        "partition_key": scope.data_key,
        "interval": {"start": scope.start, "end": scope.end} if scope.start else None,
        "timezone": scope.timezone,
        "attempt": scope.attempt,
        "inputs": inputs,
        "output_directory": str(output),
        "parameters": scope.parameters,
    }


def _variables(task: BodyTask) -> dict[str, str]:
    """Return the variables that a program and its asset need, and none of Headrace's own."""
    declared = task.handed.variables if task.handed is not None else {}
    return {"PATH": os.defpath, **common(os.environ), "TZ": task.scope.timezone, **declared}


def _without_script(body: CommandBody, code_root: Path) -> BodyFailed | None:
    """Return a failure for all partitions if the command's script is missing, else None."""
    script = script_of(body.command)
    if script is None or (code_root / script).is_file():
        return None
    missing = failed(
        f"there is no script `{script}` among the applied files",
        code=COMMAND_FAILED,
        hint=(
            "paths of a command are relative to the project's folder; `headrace apply` takes what"
            " is there now"
        ),
        everywhere=True,
    )
    return missing.of_machine() if Path(script).is_absolute() else missing


def _function_failure(path: Path) -> BodyFailed | None:
    """Return the failure that the process of a function wrote; None without a readable one."""
    with contextlib.suppress(OSError, msgspec.DecodeError), path.open("rb") as file:
        return BodyFailed(msgspec.json.decode(file.read(EVENTS_BYTES_MAX), type=BodyError))
    return None


def _unsuccessful(body: CommandBody, code: int) -> BodyFailed:
    name = shlex.join(body.command)
    name = name if len(name) <= COMMAND_CHARACTERS_MAX else name[:COMMAND_CHARACTERS_MAX] + "…"
    if code == TRY_AGAIN_LATER:
        return failed(
            f"`{name}` asked to be tried again later (exit code {code})",
            code=COMMAND_FAILED,
            kind=ErrorKind.TRANSIENT,
        )
    limit = ended_by(code)
    kind = ErrorKind.RESOURCES if limit else ErrorKind.DETERMINISTIC
    if code < 0:
        return failed(
            f"`{name}` was ended by {_signal(-code)}",
            code=COMMAND_FAILED,
            kind=kind,
            hint=(
                "it may have used more memory than there is"
                if code == -signal.SIGKILL
                else hint_for(limit)
            ),
        )
    if limit:
        return failed(
            f"`{name}` ended with exit code {code}: {_signal(code - SHELL)} ended a program of it",
            code=COMMAND_FAILED,
            kind=kind,
            hint=hint_for(limit),
        )
    return failed(
        f"`{name}` ended with exit code {code}",
        code=COMMAND_FAILED,
        hint="what it printed is in `headrace logs`; 0 is done, 75 is try again later",
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _log_events(events: Path, log: LogFile) -> None:
    """Write the command's events into its log; a line that isn't an event becomes a warning."""
    for raw in _lines(events):
        try:
            event = msgspec.json.decode(raw, type=CommandEvent)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.write(HEADRACE, "warning", f"not an event: {_shortened(raw, log)}")
            continue
        message = " ".join(
            str(part) for part in (event.name, event.value, event.message) if part is not None
        )
        log.write(
            "event",
            "warning" if event.event == CommandEventKind.WARNING else "info",
            f"{event.event} {message}".strip(),
        )


def _shortened(raw: bytes, log: LogFile) -> str:
    """Return the start of a line, redacted before it is cut: half a secret isn't recognised."""
    text = raw.decode("utf-8", "backslashreplace")
    return (text if log.redactor is None else log.redactor.text(text))[:COMMAND_CHARACTERS_MAX]


def _lines(events: Path) -> list[bytes]:
    """Return the file's lines, if it still is a file; the command may have replaced it."""
    try:
        fd = os.open(events, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return []
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        return [line for line in file.read(EVENTS_BYTES_MAX).splitlines() if line.strip()]
