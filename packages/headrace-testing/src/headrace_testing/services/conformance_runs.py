"""Runs of a program as a command asset would run it, with contexts and inputs of our own.

Each run has a folder of its own with its context, its inputs, its events and its output.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from headrace.clean_environment import common
from headrace.engine.command import columns_of, copy_statement, output_files, output_rows
from headrace.engine.failures import BodyFailed
from headrace.extension import UsageError, first_line, literal
from headrace.lake.session import DuckDBSession
from headrace.model import InputFormat
from headrace.model.texts import plain

INPUT = "rows"
"""The name of the generated input."""
INPUT_SELECT = """
SELECT
    i AS id, 'name ' || i AS name, (i * 1.25)::DECIMAL(18, 2) AS amount, i / 3.0::DOUBLE AS rate,
    i % 2 = 0 AS paid, DATE '2024-03-01' AS day,
    TIMESTAMPTZ '2024-03-01 08:00:00+00' + INTERVAL 1 MINUTE * i AS at
FROM range(1, 11) AS numbers(i)
"""
SPECIAL_SELECT = f"""
SELECT * FROM ({INPUT_SELECT})
UNION ALL VALUES
    (9223372036854775807, 'a "quoted" name, with a comma', -9999999999999999.99, 1e300, true,
     DATE '0001-01-01', TIMESTAMPTZ '1900-01-01 00:00:00+00'),
    (-9223372036854775808, E'two\\nlines\\tand a tab', 0.01, -0.0, false,
     DATE '9999-12-31', TIMESTAMPTZ '2100-01-01 00:00:00+00'),
    (NULL, 'naïve – 名前 – 🙂', NULL, NULL, NULL, NULL, NULL),
    (0, '', 0, 0, false, DATE '1970-01-01', TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    (1, '''; DROP TABLE rows; --', 1, 1, true, DATE '2024-02-29',
     TIMESTAMPTZ '2024-03-31 01:30:00+00')
"""
PRINTED_CHARACTERS_MAX = 200
EVENTS_BYTES_MAX = 1024 * 1024
DAMAGED = {
    InputFormat.PARQUET: b"this isn't a Parquet file\n",
    InputFormat.CSV: b'a,b\n1,"a quotation mark that nothing closes\n',
    InputFormat.JSON_LINES: b'{"a": 1}\n{"a": \n',
}
GRACE_S = 10.0
"""How long the end of a killed program is waited for."""


class GivenInput(NamedTuple):
    """An input of the user's: the name in the context, and a file of Parquet, CSV or JSON lines."""

    name: str
    file: Path


class RunRequest(NamedTuple):
    """One run: fields of its context, and what is unusual about it."""

    context: Mapping[str, Any]
    select: str = INPUT_SELECT
    empty: bool = False
    damaged: bool = False
    without_context: bool = False
    without_output: bool = False
    folder: str = "run"


class RunResult(NamedTuple):
    """What a run did. `code` is None if the time limit ended it."""

    code: int | None
    printed: str
    """The last line of its output, printable."""
    files: tuple[str, ...]
    """Names of the files in the output directory."""
    columns: tuple[tuple[str, str], ...]
    rows: int | None
    """None if the output can't be read; `problem` says why."""
    content: str
    """A hash of the rows, independent of their order."""
    problem: str
    events: tuple[bytes, ...]
    changed: tuple[str, ...]
    """Names of its context and inputs that are no longer as they were."""


class TestedProgram:
    """A program and the inputs that each of its runs gets."""

    __test__ = False

    def __init__(
        self,
        command: Sequence[str],
        work: Path,
        *,
        inputs: Sequence[GivenInput],
        input_format: InputFormat,
        timeout_s: float,
    ) -> None:
        self.command = tuple(command)
        self.inputs = tuple(inputs)
        self._work, self._format, self._timeout_s = work, input_format, timeout_s
        readable = [item.file for item in inputs]
        self._session = DuckDBSession(work, readable=readable, ordered=True)
        self._runs = 0

    def close(self) -> None:
        """Drop what the runs needed."""
        self._session.close()

    def run(self, request: RunRequest) -> RunResult:
        """Run the program once. Raises UsageError if it can't be started."""
        self._runs += 1
        folder = self._work / f"{self._runs:02d}" / request.folder
        (folder / "inputs").mkdir(parents=True)
        inputs = self._write_inputs(folder, request)
        output = self._output(folder, request)
        context = folder / "context.json"
        content = {**request.context, "inputs": inputs, "output_directory": str(output)}
        if not request.without_context:
            context.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        events = folder / "events.jsonl"
        events.touch()
        before = _hashes(folder)
        timezone = str(request.context["timezone"])
        code, printed = self._execute(folder, context, events, timezone)
        changed = tuple(name for name, value in _hashes(folder).items() if before[name] != value)
        return self._result(request, output, events, code, printed, changed)

    def _write_inputs(self, folder: Path, request: RunRequest) -> dict[str, Any]:
        selects = {item.name: _reading(item.file) for item in self.inputs} or {
            INPUT: request.select
        }
        return {
            name: self._write_input(
                name, folder / "inputs" / f"{number}.{self._format}", select, request
            )
            for number, (name, select) in enumerate(selects.items())
        }

    def _write_input(
        self, name: str, path: Path, select: str, request: RunRequest
    ) -> dict[str, Any]:
        limited = f"SELECT * FROM ({select}) WHERE false" if request.empty else select
        try:
            columns = columns_of(self._session, limited)
            self._session.connection.execute(copy_statement(limited, path, self._format))
        except duckdb.Error as error:
            message = _printable(first_line(error))
            raise UsageError(f"the input {name} can't be read: {message}") from error
        if request.damaged:
            path.write_bytes(DAMAGED[self._format])
        return {
            "path": str(path),
            "format": str(self._format),
            "columns": [{"name": name, "type": kind} for name, kind in columns],
        }

    def _output(self, folder: Path, request: RunRequest) -> Path:
        if request.without_output:
            # Nobody can write below a file, the administrator included.
            (folder / "file").write_bytes(b"")
            return folder / "file" / "output"
        output = folder / "output"
        output.mkdir()
        return output

    def _execute(
        self, folder: Path, context: Path, events: Path, timezone: str
    ) -> tuple[int | None, str]:
        """Run the program; return its exit code, None after the time limit, and its last line."""
        environment = {
            "PATH": os.defpath,
            **common(os.environ),
            "TZ": timezone,
            "HEADRACE_CONTEXT": str(context),
            "HEADRACE_EVENTS": str(events),
        }
        log = folder.parent / "log"
        with log.open("wb") as target:
            try:
                process = subprocess.Popen(
                    self.command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=target,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"`{_printable(self.command[0])}` can't be started: {error}",
                    hint="name a program on the PATH, or the path of one: -- python3 jobs/score.py",
                ) from error
            code: int | None = None
            try:
                code = process.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(GRACE_S)
        return code, _last_line(log)

    def _result(
        self,
        request: RunRequest,
        output: Path,
        events: Path,
        code: int | None,
        printed: str,
        changed: tuple[str, ...],
    ) -> RunResult:
        files: tuple[str, ...] = ()
        columns: tuple[tuple[str, str], ...] = ()
        rows, content, problem = None, "", ""
        if not request.without_output:
            try:
                files = tuple(path.name for path in output_files(output))
                select = output_rows(self._session, output, {})
                columns = tuple(columns_of(self._session, select))
                rows, content = self._content(select)
            except BodyFailed as failure:
                problem = _printable(plain(failure.error.message))
            except duckdb.Error as error:
                problem = _printable(str(error))
        return RunResult(
            code, printed, files, columns, rows, content, problem, _lines(events), changed
        )

    def _content(self, select: str) -> tuple[int, str]:
        row = self._session.row(
            f"SELECT count(*), sum(hash(output)::HUGEINT) FROM ({select}) AS output"
        )
        return int(row[0]), str(row[1])


def _reading(file: Path) -> str:
    """Return a SELECT over a file of the user's, by its suffix."""
    readers = {
        ".parquet": "read_parquet({})",
        ".csv": "read_csv({}, header = true)",
        ".jsonl": "read_json({}, format = 'newline_delimited')",
        ".ndjson": "read_json({}, format = 'newline_delimited')",
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{file} is of no known format", hint=f"a file with one of {', '.join(readers)}"
        )
    return f"SELECT * FROM {reader.format(literal(str(file)))}"


def _hashes(folder: Path) -> dict[str, str]:
    """Return a hash of the context and each input; empty for one that is gone."""
    paths = [folder / "context.json", *sorted((folder / "inputs").iterdir())]
    return {path.relative_to(folder).as_posix(): _hash(path) for path in paths}


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _last_line(log: Path) -> str:
    """Return the last line that the program printed, without control characters."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return _printable(next((line for line in reversed(lines) if line.strip()), ""))


def _printable(text: str) -> str:
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(flat) <= PRINTED_CHARACTERS_MAX:
        return flat
    return flat[:PRINTED_CHARACTERS_MAX] + "…"


def _lines(events: Path) -> tuple[bytes, ...]:
    return tuple(_event_lines(events))


def _event_lines(events: Path) -> Iterator[bytes]:
    try:
        with events.open("rb") as file:
            yield from (line for line in file.read(EVENTS_BYTES_MAX).splitlines() if line.strip())
    except OSError:
        yield b"(the file of events is gone)"
