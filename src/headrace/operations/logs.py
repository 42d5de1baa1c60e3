"""`logs`: the lines that an attempt wrote, as they were captured."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.model import Asset, Source, StoreError, UsageError
from headrace.model.export_links import Exported
from headrace.operations import targets
from headrace.operations.documents import ErrorRow, LogRow
from headrace.operations.runs import error_row, reason_of
from headrace.operations.session import Session
from headrace.store.queries import attempts
from headrace.store.queries.attempts import Attempt

OPEN = ("queued", "running")
LOOK_EVERY_S = 0.2


class Lines(NamedTuple):
    """The newest attempt that was asked for, its lines, and why it failed, if it did."""

    attempt: Attempt
    rows: list[LogRow]
    error: ErrorRow | None


class PageOfLines(NamedTuple):
    """Some lines of an attempt. `end` is where the next ones begin in its file, and `more` whether there are any by now."""

    attempt: Attempt
    rows: list[LogRow]
    error: ErrorRow | None
    end: int
    more: bool


class _Line(msgspec.Struct, frozen=True):
    """One line of a log file."""

    at_us: int
    stream: str
    level: str
    text: str


def logs(session: Session, target: str, *, grep: str | None) -> Lines | None:
    """The lines of an attempt (`3.17`), or of the newest attempt at an asset or one of its partitions.

    None where it was never attempted. `grep` keeps lines that a regular expression finds something in. UsageError
    for an attempt or an asset that there isn't, or an expression that isn't one.
    """
    pattern = _pattern(grep)
    attempt = _attempt(session, target)
    if attempt is None:
        return None
    rows = [_row(session, attempt, line) for line in _read(_file(session, attempt)) if not pattern or pattern.search(line.text)]
    return Lines(attempt, rows, error_row(attempt.error))


def lines_of(session: Session, target: str, *, grep: str | None, offset: int, limit: int) -> PageOfLines:
    """At most `limit` lines that `grep` keeps, of a file from `offset` on; it reads no further than it has to. UsageError as `logs`, and
    for what was never attempted."""
    pattern = _pattern(grep)
    attempt = _attempt(session, target)
    if attempt is None:
        raise UsageError(f"{target[:60]} was never attempted", hint="headrace runs")
    rows: list[LogRow] = []
    end, more = offset, False
    for line, after in _lines(_file(session, attempt), offset):
        if len(rows) == limit:
            more = True
            break
        end = after
        if not pattern or pattern.search(line.text):
            rows.append(_row(session, attempt, line))
    return PageOfLines(attempt, rows, error_row(attempt.error), end, more)


def _lines(path: Path, offset: int) -> Iterator[tuple[_Line, int]]:
    """Whole lines from `offset` on, each with where it ends."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield _decoded(line.rstrip(b"\n")), offset


def follow(session: Session, target: str, *, grep: str | None) -> Iterator[LogRow]:
    """The same lines, and those that are still written, until the attempt has ended."""
    pattern = _pattern(grep)
    attempt = _attempt(session, target)
    if attempt is None:
        return
    path, offset, ended = _file(session, attempt), 0, False
    while not ended:
        ended = attempt.state not in OPEN
        lines, offset = _from(path, offset)
        yield from (_row(session, attempt, line) for line in lines if not pattern or pattern.search(line.text))
        if not ended:
            time.sleep(LOOK_EVERY_S)
            attempt = _again(session, attempt)


def _pattern(grep: str | None) -> re.Pattern[str] | None:
    if grep is None:
        return None
    try:
        return re.compile(grep)
    except re.error as error:
        raise UsageError(
            f"--grep {grep[:60]!r} is no regular expression: {error}", hint="write \\ before . * + ? ( ) [ ] to mean themselves"
        ) from None


def _attempt(session: Session, target: str) -> Attempt | None:
    number = targets.attempt(target)
    node, partition = targets.target(target, session.project(), kinds=(Source, Asset, Exported)) if number is None else ("", None)
    found: list[Attempt] = []
    if session.store is not None:
        with session.store.read() as tx:
            if number is not None:
                found = [one for one in [attempts.get(tx, *number)] if one is not None]
            elif partition is None:
                found = attempts.of_node(tx, node, limit=1)
            else:
                found = attempts.of_partition(tx, node, partition, limit=1)
    if number is not None and not found:
        raise UsageError(f"there is no attempt {target}", hint="headrace runs")
    return found[0] if found else None


def _again(session: Session, attempt: Attempt) -> Attempt:
    if session.store is None:
        raise StoreError("the state is gone")
    with session.store.read() as tx:
        return attempts.get(tx, attempt.epoch, attempt.n) or attempt


def _file(session: Session, attempt: Attempt) -> Path:
    return session.folders.logs / str(attempt.epoch) / f"{attempt.n}.jsonl"


def _read(path: Path) -> list[_Line]:
    return _from(path, 0)[0]


def _from(path: Path, offset: int) -> tuple[list[_Line], int]:
    """The whole lines from `offset` on, and where they end; a line that is still being written is left for later."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    return [_decoded(line) for line in whole.splitlines() if line], offset + len(whole)


def _decoded(line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return _Line(0, "log", "error", line.decode(errors="backslashreplace"))


def _row(session: Session, attempt: Attempt, line: _Line) -> LogRow:
    return LogRow(
        node=attempt.node,
        partition=",".join(attempt.partitions),
        attempt=attempt.id,
        state=attempt.state,
        verdict=attempt.verdict,
        at=session.instant(line.at_us or attempt.queued_at),
        reason=reason_of(attempt),
        stream=line.stream,
        level=line.level,
        text=line.text,
    )
