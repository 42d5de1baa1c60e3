"""`logs`: the captured lines of an attempt, as a stream and in pages."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from headrace.access.permissions import SEE, command, decision, rules_of
from headrace.model import Asset, Source, StoreError, UnknownName, UsageError
from headrace.model.access import Permission
from headrace.model.export_problems import Exported
from headrace.project import targets
from headrace.project.caches import cursor_text, place
from headrace.project.parameters import Argument, Option
from headrace.project.session import ProjectSession
from headrace.repairs.broken_partitions import error_row
from headrace.responses import ErrorRow, LogRow, Response
from headrace.services.runs import reason_of
from headrace.store.queries import attempts
from headrace.store.queries.attempts import Attempt

# An attempt's log as a file: numbered lines from any position, with constant memory.

CHUNK_BYTES = 1 << 20
LEFT_OUT = "left out: the code reads columns that you may not see"


class CapturedLine(msgspec.Struct, frozen=True, gc=False):
    """One captured line."""

    at_us: int
    stream: str
    level: str
    text: str
    partition: str = ""
    """In a batch: the partition for which the code was called; empty if that isn't known."""


class LinePosition(NamedTuple):
    """The position before a line: byte offset and line number (from 1)."""

    offset: int = 0
    number: int = 1


START = LinePosition()


def lines(
    path: Path, begin: LinePosition = START, *, readable: bool = True
) -> Iterator[tuple[int, CapturedLine, LinePosition]]:
    """Yield number, line and the next position of the complete lines from `begin` on.

    A line that is still being written is left out. If lines aren't `readable`, their texts are left
    out, so that a search finds nothing in them.
    """
    offset, number = begin
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            offset += len(raw)
            line = _decoded(raw.rstrip(b"\n"))
            visible = line if readable else msgspec.structs.replace(line, text=LEFT_OUT)
            yield number, visible, LinePosition(offset, number + 1)
            number += 1


def place_of(path: Path, number: int) -> LinePosition:
    """Return the position of a line.

    For a line beyond the end, return the position at which the next line will begin.
    """
    wanted = max(0, number - 1)
    begin, offset, passed = 0, 0, 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        while passed < wanted and (chunk := file.read(CHUNK_BYTES)):
            lines = chunk.count(b"\n")
            if passed + lines >= wanted:
                return LinePosition(begin + _end_of(chunk, wanted - passed), wanted + 1)
            if lines:
                passed, offset = passed + lines, begin + chunk.rindex(b"\n") + 1
            begin += len(chunk)
    return LinePosition(offset, passed + 1)


def _end_of(chunk: bytes, lines: int) -> int:
    """Return the number of bytes of the first lines of a chunk, with their ends."""
    end = 0
    for _ in range(lines):
        end = chunk.index(b"\n", end) + 1
    return end


def count(path: Path) -> int:
    """Return the number of complete lines."""
    result = 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            result += chunk.count(b"\n")
    return result


def _decoded(raw: bytes) -> CapturedLine:
    try:
        return msgspec.json.decode(raw, type=CapturedLine)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return CapturedLine(0, "log", "error", raw.decode(errors="backslashreplace"))


OPEN = ("queued", "running")
LOOK_EVERY_S = 0.2
LOOKED_MAX = 50_000
"""Maximum number of lines searched for one page.

A search in a log of millions of lines takes several requests, so that others aren't blocked.
"""


class AttemptLog(NamedTuple):
    """The newest matching attempt, its lines, and its error if it failed."""

    attempt: Attempt
    rows: list[LogRow]
    error: ErrorRow | None


class PageOfLines(NamedTuple):
    """Some lines of an attempt.

    `end` is the position after them, `more` says whether there are further lines by now; `total`
    counts all lines.
    """

    attempt: Attempt
    rows: list[LogRow]
    error: ErrorRow | None
    end: LinePosition
    more: bool
    total: int


@command("logs", SEE)
def logs(
    session: ProjectSession,
    target: Annotated[
        str,
        Argument(
            "ASSET[@K]|ATTEMPT",
            help="an asset (its newest attempt), a partition, or an attempt's id",
        ),
    ],
    *,
    grep: Annotated[
        str | None,
        Option("--grep", metavar="RE", help="only lines in which this is found"),
    ] = None,
) -> AttemptLog | None:
    """Return the lines of an attempt (`3.17`), or of the newest attempt at an asset or a partition.

    None if it was never attempted. `grep` is a regular expression that the lines must match. Raise
    UsageError for an unknown attempt or asset, or an invalid expression.
    """
    pattern = _pattern(grep)
    attempt, partition = _attempt(session, target)
    if attempt is None:
        return None
    readable = is_readable(session, attempt.node)
    results = lines(_file(session, attempt), readable=readable)
    rows = [
        _row(session, attempt, number, line)
        for number, line, _ in results
        if _is_of(partition, line) and (not pattern or pattern.search(without_colors(line.text)))
    ]
    return AttemptLog(attempt, rows, error_row(attempt.error))


def lines_of(
    session: ProjectSession,
    target: str,
    *,
    grep: str | None,
    begin: LinePosition | int,
    limit: int,
    errors: bool = False,
    context: int = 0,
) -> PageOfLines:
    """Return at most `limit` lines that match, starting at a position or a line number.

    They match `grep` and, with `errors`, report an error; `context` lines before and after each are
    returned, too. A negative number counts from the end. Read no further than needed. Raise
    UsageError as `logs`, and if there was no attempt.
    """
    pattern = _pattern(grep)
    attempt, partition = _attempt(session, target)
    if attempt is None:
        raise UsageError(f"{target[:60]} was never attempted", hint="headrace runs")
    path = _file(session, attempt)
    total = count(path)
    start = (
        begin
        if isinstance(begin, LinePosition)
        else place_of(path, begin if begin > 0 else total + 1 + begin)
    )

    def matches(line: CapturedLine) -> bool:
        return (
            _is_of(partition, line)
            and (not errors or reports_error(line))
            and (not pattern or pattern.search(without_colors(line.text)) is not None)
        )

    readable = is_readable(session, attempt.node)
    numbered = lines(path, start, readable=readable)
    matched, end = search(numbered, start, matches, limit, context)
    rows = [_row(session, attempt, number, line) for number, line in matched]
    return PageOfLines(attempt, rows, error_row(attempt.error), end, end.number <= total, total)


def search(
    numbered: Iterable[tuple[int, CapturedLine, LinePosition]],
    end: LinePosition,
    matches: Callable[[CapturedLine], bool],
    limit: int,
    context: int,
) -> tuple[list[tuple[int, CapturedLine]], LinePosition]:
    """Return matching lines with those around them, and the position to go on from.

    `end` is the position of the first line. At most LOOKED_MAX lines are searched.
    """
    results: list[tuple[int, CapturedLine]] = []
    surroundings = _Surroundings(context)
    hits, last = 0, end.number + LOOKED_MAX
    for number, line, following in numbered:
        hit = matches(line)
        if number == last or (hits == limit and (hit or not surroundings.after)):
            return results, surroundings.resumed_at(end)
        results += surroundings.add((number, line), end, hit=hit)
        hits += hit
        end = following
    return results, end


class _Surroundings:
    """The lines around matches: those before the next one, and how many still follow the last."""

    def __init__(self, context: int) -> None:
        self.after = 0
        self._context = context
        self._before: deque[tuple[tuple[int, CapturedLine], LinePosition]] = deque(maxlen=context)

    def add(
        self, numbered: tuple[int, CapturedLine], position: LinePosition, *, hit: bool
    ) -> list[tuple[int, CapturedLine]]:
        """Return the lines to show now that this one is known."""
        if hit:
            visible = [*(earlier for earlier, _ in self._before), numbered]
            self._before.clear()
            self.after = self._context
            return visible
        if self.after:
            self.after -= 1
            return [numbered]
        self._before.append((numbered, position))
        return []

    def resumed_at(self, end: LinePosition) -> LinePosition:
        """Return where to go on: the lines before the next match are looked at again."""
        return self._before[0][1] if self._before else end


_COLORS = re.compile(r"(?:\x1b|\\x1b)\[[\d;:]{0,60}m")
"""A terminal's colours. Captured lines have the control character as an escape."""
_ERROR = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL|PANIC)\b|^\s*(?:error|fatal|panic|[\w.]*(?:Error|Exception))\b\s*[:\[]"
    r"|Traceback \(most recent call last\):$"
)
"""What programs print of an error; printed lines have no level."""
_ERROR_WORDS = (
    "ERR",
    "rror",
    "CRIT",
    "FATAL",
    "fatal",
    "PANIC",
    "panic",
    "xception",
    "Traceback",
    "[",
)


def without_colors(text: str) -> str:
    """Return a line's text without the colours of a terminal."""
    return _COLORS.sub("", text) if "[" in text else text


def reports_error(line: CapturedLine) -> bool:
    """Return whether a line reports an error, by its level or by its words."""
    if line.level in ("error", "critical"):
        return True
    # most lines of a long log have none of these
    if not any(word in line.text for word in _ERROR_WORDS):
        return False
    return _ERROR.search(without_colors(line.text)) is not None


@command("logs", SEE)
def follow(session: ProjectSession, target: str, *, grep: str | None) -> Iterator[LogRow]:
    """Yield the lines, and new ones as they are written, until the attempt has ended."""
    pattern = _pattern(grep)
    attempt, partition = _attempt(session, target)
    if attempt is None:
        return
    path, place, ended = _file(session, attempt), START, False
    readable = is_readable(session, attempt.node)
    while not ended:
        ended = attempt.state not in OPEN
        for number, line, after in lines(path, place, readable=readable):
            place = after
            if _is_of(partition, line) and (
                not pattern or pattern.search(without_colors(line.text))
            ):
                yield _row(session, attempt, number, line)
        if not ended:
            time.sleep(LOOK_EVERY_S)
            attempt = _again(session, attempt)


def is_readable(session: ProjectSession, node: str) -> bool:
    """Return whether the session's identity may see what a node's code prints.

    It may print values of its inputs and of its result.
    """
    from headrace.privacy.masking import column_limits

    compiled = session.compiled
    if compiled is None or node in compiled.project.consumers:
        return True  # the lines of an export are Headrace's own
    if node not in compiled.nodes:  # removed since
        return decision(session, rules_of(session), Permission.REVEAL, None).allowed
    names = (node, *(spec.node for spec in compiled.nodes[node].inputs))
    return not any(column_limits(session, name).hides for name in names)


def _pattern(grep: str | None) -> re.Pattern[str] | None:
    if grep is None:
        return None
    try:
        return re.compile(grep)
    except re.error as error:
        raise UsageError(
            f"--grep {grep[:60]!r} is no regular expression: {error}",
            hint="write \\ before . * + ? ( ) [ ] to mean themselves",
        ) from None


def _is_of(partition: str | None, line: CapturedLine) -> bool:
    """Return whether a line may be of a partition (None: of any): others of its batch have own."""
    return partition is None or line.partition in ("", partition)


def _attempt(session: ProjectSession, target: str) -> tuple[Attempt | None, str | None]:
    """Return the attempt with that number, or the newest of a node or partition; None for none.

    And the partition, if one is given.

    Raise UnknownName for an unknown number.
    """
    number = targets.attempt(target)
    if number is not None:
        return _numbered_attempt(session, target, number), None
    node, partition = targets.target(target, session.project(), kinds=(Source, Asset, Exported))
    if session.store is None:
        return None, partition
    with session.store.read() as tx:
        if partition is None:
            newest = attempts.of_node(tx, node, limit=1)
        else:
            newest = attempts.of_partition(tx, node, partition, limit=1)
    return newest[0] if newest else None, partition


def _numbered_attempt(session: ProjectSession, target: str, number: tuple[int, int]) -> Attempt:
    attempt = None
    if session.store is not None:
        with session.store.read() as tx:
            attempt = attempts.get(tx, *number)
    if attempt is None:
        raise UnknownName(f"there is no attempt {target}", hint="headrace runs")
    return attempt


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
        partition=line.partition or ",".join(attempt.partitions),
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


# Lines in pages, so that a log of a million lines opens at once and can be followed from a cursor.


class LogsResponse(Response, frozen=True, kw_only=True):
    """Lines of an attempt, in the order in which they were written.

    `next` is the cursor of the following lines: null on the last page of an ended attempt, never
    null while it is `open`. With a search a page may be empty and still have a next one. `looked`
    is the number of the last line searched, `total` of the last line so far.
    """

    attempt: str
    node: str
    partitions: list[str]
    state: str
    open: bool
    error: ErrorRow | None
    lines: list[LogRow]
    looked: int
    total: int
    next: str | None


class LogPageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An attempt's id, and which of its lines.

    `grep` is a text that the lines must contain, `errors` asks for those that report an error, and
    `context` for that number of lines around each. `cursor` is the position after an earlier page,
    `line` the first line's number (negative: from the end).
    """

    attempt: str
    grep: str | None = None
    errors: bool = False
    context: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    cursor: str | None = None
    line: int | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 1_000


@command("logs page", SEE, http="GET /attempts/{attempt}/logs logs", of_files=True, session="logs")
def log_page(session: ProjectSession, query: LogPageQuery) -> LogsResponse:
    """Return one page of lines. Raise UsageError for an unknown attempt or an invalid cursor."""
    begin = query.line or START if query.cursor is None else place(query.cursor, LinePosition)
    # a regular expression could run forever and block the leader
    literally = None if query.grep is None else re.escape(query.grep)
    lines = lines_of(
        session,
        query.attempt,
        grep=literally,
        begin=begin,
        limit=query.limit,
        errors=query.errors,
        context=query.context,
    )
    under_way = lines.attempt.state in OPEN
    return LogsResponse(
        attempt=lines.attempt.id,
        node=lines.attempt.node,
        partitions=list(lines.attempt.partitions),
        state=lines.attempt.state,
        open=under_way,
        error=lines.error,
        lines=lines.rows,
        looked=lines.end.number - 1,
        total=lines.total,
        next=cursor_text(lines.end) if under_way or lines.more else None,
    )


# A log as a text, to be saved: in parts, so that one of any length takes constant memory.

TEXT_LINES_MAX = 10_000
"""Maximum number of lines of one part."""


class LogTextResponse(Response, frozen=True, kw_only=True):
    """A part of a log as text, a line for each; `next` is the cursor of the next part, or null."""

    attempt: str
    text: str
    next: str | None


@command("logs text", SEE)
def log_text(session: ProjectSession, attempt: str, cursor: str | None = None) -> LogTextResponse:
    """Return the lines of an attempt with time, level and text, up to now.

    Raise UsageError for an unknown attempt or an invalid cursor.
    """
    known, _ = _attempt(session, attempt)
    if known is None:
        raise UsageError(f"{attempt[:60]} was never attempted", hint="headrace runs")
    begin = START if cursor is None else place(cursor, LinePosition)
    readable = is_readable(session, known.node)
    texts: list[str] = []
    end = begin
    for _, line, following in lines(_file(session, known), begin, readable=readable):
        end = following
        at = session.instant(line.at_us or known.queued_at).isoformat()
        texts.append(f"{at} {line.level or line.stream} {line.text}\n")
        if len(texts) == TEXT_LINES_MAX:
            break
    more = len(texts) == TEXT_LINES_MAX
    return LogTextResponse(
        attempt=known.id, text="".join(texts), next=cursor_text(end) if more else None
    )
