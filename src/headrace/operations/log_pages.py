"""An attempt's lines in pages, so that a log of a million lines opens at once and is followed from where one was."""

from __future__ import annotations

import re

from headrace.operations.cursors import cursor, place
from headrace.operations.documents import Document, ErrorRow, LogRow
from headrace.operations.logs import OPEN, lines_of
from headrace.operations.session import Session


class LogsDocument(Document, frozen=True, kw_only=True):
    """Lines of an attempt, in the order in which they were written. `next` asks for those after them: of an attempt that is over it is
    null on the last page; of one that is `open` it is never, for more may come."""

    attempt: str
    node: str
    partitions: list[str]
    state: str
    open: bool
    error: ErrorRow | None
    lines: list[LogRow]
    next: str | None


def log_page(session: Session, target: str, *, grep: str | None, after: str | None, limit: int) -> LogsDocument:
    """One page of the lines that contain the text `grep`. UsageError for an attempt or a cursor that there isn't."""
    begin = 0 if after is None else place(after, int)
    literally = None if grep is None else re.escape(grep)  # an expression could take for ever, and keep the leader waiting meanwhile
    found = lines_of(session, target, grep=literally, offset=begin, limit=limit)
    under_way = found.attempt.state in OPEN
    return LogsDocument(
        attempt=found.attempt.id,
        node=found.attempt.node,
        partitions=list(found.attempt.partitions),
        state=found.attempt.state,
        open=under_way,
        error=found.error,
        lines=found.rows,
        next=cursor(found.end) if under_way or found.more else None,
    )
