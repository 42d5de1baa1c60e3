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


def log_page(session: ProjectSession, query: LogPageQuery) -> LogsResponse:
    """One page of lines. UsageError for an attempt or a cursor that there isn't."""
    begin = query.line or START if query.cursor is None else place(query.cursor, LinePosition)
    # an expression could take for ever, and keep the leader waiting meanwhile
    literally = None if query.grep is None else re.escape(query.grep)
    lines = lines_of(session, query.attempt, grep=literally, begin=begin, limit=query.limit)
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
        next=cursor(lines.end) if under_way or lines.more else None,
    )
