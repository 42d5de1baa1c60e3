"""An attempt's lines in pages, so that a log of a million lines opens at once and is followed from where one was."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from headrace.operations.cursors import cursor, place
from headrace.operations.log_lines import START, LinePosition
from headrace.operations.logs import OPEN, lines_of
from headrace.operations.responses import ErrorRow, LogRow, Response
from headrace.operations.session import ProjectSession


class LogsResponse(Response, frozen=True, kw_only=True):
    """Lines of an attempt, in the order in which they were written. `next` asks for those after them: of an attempt that is over it is
    null on the last page; of one that is `open` it is never, for more may come. Of a search a page can be empty, and there is a next one
    all the same: `looked` is the number of the last line that was looked at, `total` of the last there is by now."""

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
    """An attempt's id. `grep` keeps lines that contain this text, `cursor` asks for later ones, `line` for those from the line of this
    number on (a negative one counts from the end)."""

    attempt: str
    grep: str | None = None
    cursor: str | None = None
    line: int | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 1_000


def log_page(session: ProjectSession, wanted: LogPageQuery) -> LogsResponse:
    """One page of lines. UsageError for an attempt or a cursor that there isn't."""
    begin = wanted.line or START if wanted.cursor is None else place(wanted.cursor, LinePosition)
    # an expression could take for ever, and keep the leader waiting meanwhile
    literally = None if wanted.grep is None else re.escape(wanted.grep)
    found = lines_of(session, wanted.attempt, grep=literally, begin=begin, limit=wanted.limit)
    under_way = found.attempt.state in OPEN
    return LogsResponse(
        attempt=found.attempt.id,
        node=found.attempt.node,
        partitions=list(found.attempt.partitions),
        state=found.attempt.state,
        open=under_way,
        error=found.error,
        lines=found.rows,
        looked=found.end.number - 1,
        total=found.total,
        next=cursor(found.end) if under_way or found.more else None,
    )
