"""`logs`: the lines that an attempt wrote, as they were captured."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headrace.model import Asset, Source, StoreError, UnknownName, UsageError
from headrace.model.export_links import Exported
from headrace.operations import targets
from headrace.operations.log_lines import START, CapturedLine, LinePosition, count, lines, place_of
from headrace.operations.responses import ErrorRow, LogRow
from headrace.operations.runs import error_row, reason_of
from headrace.operations.session import ProjectSession
from headrace.store.queries import attempts
from headrace.store.queries.attempts import Attempt

OPEN = ("queued", "running")
LOOK_EVERY_S = 0.2
LOOKED_MAX = 50_000
"""So many lines are looked through for one page: whoever searches a log of millions asks again, and others have their turn between."""


class AttemptLog(NamedTuple):
    """The newest attempt that was asked for, its lines, and why it failed, if it did."""

    attempt: Attempt
    rows: list[LogRow]
    error: ErrorRow | None


class PageOfLines(NamedTuple):
    """Some lines of an attempt. `end` is before the next one, `more` whether there are any by now; `total` counts all."""

    attempt: Attempt
    rows: list[LogRow]
    error: ErrorRow | None
    end: LinePosition
    more: bool
    total: int


def logs(session: ProjectSession, target: str, *, grep: str | None) -> AttemptLog | None:
    """The lines of an attempt (`3.17`), or of the newest attempt at an asset or one of its partitions.

    None where it was never attempted. `grep` keeps lines that a regular expression finds something in. UsageError
    for an attempt or an asset that there isn't, or an expression that isn't one.
    """
    pattern = _pattern(grep)
    attempt = _attempt(session, target)
    if attempt is None:
        return None
    results = lines(_file(session, attempt))
    rows = [_row(session, attempt, number, line) for number, line, _ in results if not pattern or pattern.search(line.text)]
    return AttemptLog(attempt, rows, error_row(attempt.error))


def lines_of(session: ProjectSession, target: str, *, grep: str | None, begin: LinePosition | int, limit: int) -> PageOfLines:
    """At most `limit` lines that `grep` keeps, from a place or the line of a number on; a negative number counts from the end. It reads
    no further than it has to. UsageError as `logs`, and for what was never attempted."""
    pattern = _pattern(grep)
    attempt = _attempt(session, target)
    if attempt is None:
        raise UsageError(f"{target[:60]} was never attempted", hint="headrace runs")
    path = _file(session, attempt)
    total = count(path)
    end = begin if isinstance(begin, LinePosition) else place_of(path, begin if begin > 0 else total + 1 + begin)
    rows: list[LogRow] = []
    last = end.number + LOOKED_MAX
    for number, line, after in lines(path, end):
        if len(rows) == limit or number == last:
            break
        end = after
        if not pattern or pattern.search(line.text):
            rows.append(_row(session, attempt, number, line))
    return PageOfLines(attempt, rows, error_row(attempt.error), end, end.number <= total, total)


def follow(session: ProjectSession, target: str, *, grep: str | None) -> Iterator[LogRow]:
    """The same lines, and those that are still written, until the attempt has ended."""
    pattern = _pattern(grep)
    attempt = _attempt(session, target)
    if attempt is None:
        return
    path, place, ended = _file(session, attempt), START, False
    while not ended:
        ended = attempt.state not in OPEN
        for number, line, after in lines(path, place):
            place = after
            if not pattern or pattern.search(line.text):
                yield _row(session, attempt, number, line)
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


def _attempt(session: ProjectSession, target: str) -> Attempt | None:
    number = targets.attempt(target)
    node, partition = targets.target(target, session.project(), kinds=(Source, Asset, Exported)) if number is None else ("", None)
    results: list[Attempt] = []
    if session.store is not None:
        with session.store.read() as tx:
            if number is not None:
                results = [attempt for attempt in [attempts.get(tx, *number)] if attempt is not None]
            elif partition is None:
                results = attempts.of_node(tx, node, limit=1)
            else:
                results = attempts.of_partition(tx, node, partition, limit=1)
    if number is not None and not results:
        raise UnknownName(f"there is no attempt {target}", hint="headrace runs")
    return results[0] if results else None


def _again(session: ProjectSession, attempt: Attempt) -> Attempt:
    if session.store is None:
        raise StoreError("the state is gone")
    with session.store.read() as tx:
        return attempts.get(tx, attempt.epoch, attempt.n) or attempt


def _file(session: ProjectSession, attempt: Attempt) -> Path:
    return session.folders.logs / str(attempt.epoch) / f"{attempt.n}.jsonl"


def _row(session: ProjectSession, attempt: Attempt, number: int, line: CapturedLine) -> LogRow:
    return LogRow(
        node=attempt.node,
        partition=",".join(attempt.partitions),
        attempt=attempt.id,
        state=attempt.state,
        verdict=attempt.verdict,
        at=session.instant(line.at_us or attempt.queued_at),
        reason=reason_of(attempt),
        number=number,
        stream=line.stream,
        level=line.level,
        text=line.text,
    )
