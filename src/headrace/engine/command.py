"""Command bodies: any program, given its inputs as Parquet files and its context as JSON (INTERFACE §1), never through a shell.

The program runs in the applied files' folder with a clean environment (`engine.environment`), and talks back through files: rows or
files in the output directory, events (progress, metric, warning) as JSON lines, and its exit code.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from headrace.engine import outputs, processes, programs
from headrace.engine.bodies import AttemptScope, BodyError, ErrorKind, InputData
from headrace.engine.environment import common
from headrace.engine.failures import BodyFailed, failed, of_duckdb
from headrace.engine.limits import SHELL, ended_by, hint_for
from headrace.engine.logs import HEADRACE, LogFile
from headrace.engine.measure import Meter, child_peak_bytes
from headrace.engine.tasks import BodyTask, DataFolders
from headrace.lake.inlining import source_sql
from headrace.lake.session import literal
from headrace.model import CommandBody
from headrace.model.scripts import script_of
from headrace.plan.packages import Environment

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

DONE, TRY_AGAIN_LATER = 0, 75
EVENTS_BYTES_MAX = 1024 * 1024
"""Of the events that a command writes, so many bytes are read."""
COMMAND_CHARACTERS_MAX = 200


class CommandEvent(msgspec.Struct):
    """One line of HEADRACE_EVENTS. `event` is `progress`, `metric` or `warning`; other fields are shown as they are."""

    event: str = "progress"
    name: str | None = None
    value: float | int | str | None = None
    message: str | None = None


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
) -> Iterator[str | None]:
    """Runs the command. Gives the SELECT over the rows that it wrote, or None for `materialize: none` and `files`
    (whose `output_directory` is given). Raises `BodyFailed`."""
    body = task.body
    assert isinstance(body, CommandBody)
    work = folders.temporary / uuid.uuid4().hex
    try:
        output = output_directory or work / "output"
        output.mkdir(parents=True, exist_ok=True)
        with _located(body):
            applied = msgspec.structs.replace(body, command=_applied(body.command, folders.project, code_root))
            _one_try(task, applied, session, code_root, work, output, meter, log)
            known = None if task.evolve else task.table
            rows = None if task.materialize in ("none", "files") else outputs.rows(session, output, known)
        yield rows
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _one_try(
    task: BodyTask, body: CommandBody, session: DuckDBSession, code_root: Path, work: Path, output: Path, meter: Meter, log: LogFile | None
) -> None:
    work.mkdir(parents=True, exist_ok=True)
    context, events = work / "context.json", work / "events.jsonl"
    inputs = {data.name: _input(session, data, work / "inputs" / f"{index}.parquet") for index, data in enumerate(task.inputs)}
    context.write_bytes(msgspec.json.encode(_context(task.scope, inputs, output), enc_hook=str))
    events.touch()
    ended = processes.run(body.command, folder=code_root, environment=_environment(task, context, events))
    meter.child(child_peak_bytes(ended.usage))
    if log is not None:
        _tell(events, log)
    if ended.code != DONE:
        raise _without_script(body, code_root) or _unsuccessful(body, ended.code)


def ran_by(task: BodyTask, body: CommandBody, folders: DataFolders) -> Environment:
    """What the command of an attempt runs with, found without running anything."""
    code_root = folders.code / (task.code or "")
    return programs.ran(
        _applied(body.command, folders.project, code_root),
        folder=code_root,
        variables=_variables(task),
        imported=task.packages,
        named=task.code_packages,
    )


def _applied(command: tuple[str, ...], project: Path, code_root: Path) -> tuple[str, ...]:
    """The command with the copies of applied files in place of the project's files that it names by absolute paths."""
    return tuple(_applied_argument(argument, str(project), code_root) for argument in command)


def _applied_argument(argument: str, project: str, code_root: Path) -> str:
    option, equals, path = argument.rpartition("=") if argument.startswith("-") else ("", "", argument)
    if not path.startswith(f"{project}{os.sep}") or "\0" in path:
        return argument
    copy = code_root / os.path.relpath(path, project)
    return f"{option}{equals}{copy}" if copy.is_file() and copy.is_relative_to(code_root) else argument


def _input(session: DuckDBSession, data: InputData, path: Path) -> dict[str, Any]:
    """Writes the input's rows, without the system column and of the required partitions only."""
    path.parent.mkdir(exist_ok=True)
    try:
        session.connection.execute(f"COPY ({source_sql(data)}) TO {literal(str(path))} (FORMAT parquet)")
    except duckdb.Error as error:
        raise of_duckdb(error) from error
    return {"path": str(path), "columns": [{"name": column.name, "type": column.type} for column in data.columns]}


def _context(scope: AttemptScope, inputs: dict[str, dict[str, Any]], output: Path) -> dict[str, Any]:
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


def _environment(task: BodyTask, context: Path, events: Path) -> dict[str, str]:
    """What a program needs to run, and what its asset declares; nothing else of our environment."""
    return {**_variables(task), "HEADRACE_CONTEXT": str(context), "HEADRACE_EVENTS": str(events)}


def _variables(task: BodyTask) -> dict[str, str]:
    declared = task.handed.variables if task.handed is not None else {}
    return {"PATH": os.defpath, **common(os.environ), "TZ": task.scope.timezone, **declared}


def _without_script(body: CommandBody, code_root: Path) -> BodyFailed | None:
    """Why a command that failed can't work in any partition, where its script isn't there."""
    script = script_of(body.command)
    if script is None or (code_root / script).is_file():
        return None
    return failed(
        f"there is no script `{script}` among the applied files",
        code="command_failed",
        hint="paths of a command are relative to the project's folder; `headrace apply` takes what is there now",
        everywhere=True,
        machine=Path(script).is_absolute(),
    )


def _unsuccessful(body: CommandBody, code: int) -> BodyFailed:
    name = shlex.join(body.command)
    name = name if len(name) <= COMMAND_CHARACTERS_MAX else name[:COMMAND_CHARACTERS_MAX] + "…"
    if code == TRY_AGAIN_LATER:
        return failed(f"`{name}` asked to be tried again later (exit code {code})", code="command_failed", kind=ErrorKind.TRANSIENT)
    limit = ended_by(code)
    kind = ErrorKind.RESOURCES if limit else ErrorKind.DETERMINISTIC
    if code < 0:
        return failed(
            f"`{name}` was ended by {_signal(-code)}",
            code="command_failed",
            kind=kind,
            hint="it may have used more memory than there is" if code == -signal.SIGKILL else hint_for(limit),
        )
    if limit:
        return failed(
            f"`{name}` ended with exit code {code}: {_signal(code - SHELL)} ended a program of it",
            code="command_failed",
            kind=kind,
            hint=hint_for(limit),
        )
    return failed(
        f"`{name}` ended with exit code {code}",
        code="command_failed",
        hint="what it printed is in `headrace logs`; 0 is done, 75 is try again later",
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _located(body: CommandBody) -> Iterator[None]:
    """Failures say where the command is declared."""
    try:
        yield
    except BodyFailed as failure:
        error: BodyError = failure.error
        raise BodyFailed(msgspec.structs.replace(error, file=error.file or body.file, line=error.line or body.line)) from failure


def _tell(events: Path, log: LogFile) -> None:
    """The command's events as lines of its log; what isn't one is said to be so."""
    for raw in _lines(events):
        try:
            event = msgspec.json.decode(raw, type=CommandEvent)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.write(HEADRACE, "warning", f"not an event: {_shortened(raw, log)}")
            continue
        message = " ".join(str(part) for part in (event.name, event.value, event.message) if part is not None)
        log.write("event", "warning" if event.event == "warning" else "info", f"{event.event} {message}".strip())


def _shortened(raw: bytes, log: LogFile) -> str:
    """The beginning of a line, redacted before it is cut: no rule knows half a secret."""
    text = raw.decode("utf-8", "backslashreplace")
    return (text if log.redactor is None else log.redactor.text(text))[:COMMAND_CHARACTERS_MAX]


def _lines(events: Path) -> list[bytes]:
    """The file's lines, if it still is a file: the command may have put anything in its place."""
    try:
        fd = os.open(events, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return []
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        return [line for line in file.read(EVENTS_BYTES_MAX).splitlines() if line.strip()]
