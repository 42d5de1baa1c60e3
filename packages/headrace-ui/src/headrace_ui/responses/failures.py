"""Response of `incident failure`: a failed attempt, and what changed before it."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response
from headrace.responses.base import ErrorRow
from headrace.responses.runs import LogRow


class CodeExcerptRow(Response, frozen=True, kw_only=True):
    """Lines of a file around the one that failed, as they were in the attempt's version.

    `first` is the number of the first of them, `line` of the one that failed. `applied` says what
    became of the file: `same`, `changed` or `gone`; `now_in` is the file of the asset's code in the
    applied version, if that is another.
    """

    file: str
    line: int
    version: int
    first: int
    lines: list[str]
    applied: str
    now_in: str | None = None


class AttemptInputRow(Response, frozen=True, kw_only=True):
    """What an attempt read of one node.

    `partitions` are at most 20 of `total`, the newest last; null where it reads all that is
    published. `missing` weren't published when it began; `changed` were published with other rows
    since the last good run of the same partition, null without such a run.
    """

    node: str
    partitions: list[str] | None
    total: int | None
    missing: list[str]
    changed: list[str] | None


class GoodRunRow(Response, frozen=True, kw_only=True):
    """The last attempt before the failure that was published.

    `same`: it was at the same partition, so that its data can be compared, too.
    """

    attempt: str
    run_id: str
    partition: str
    at: datetime
    version: int | None
    same: bool


class ChangedFileRow(Response, frozen=True, kw_only=True):
    """A file of the asset's code that is `added`, `changed` or `removed`, with its difference.

    `diff` is a unified diff, null for files that aren't text; `truncated`: it has more lines.
    """

    path: str
    change: str
    diff: str | None
    truncated: bool = False


class ChangedPackageRow(Response, frozen=True, kw_only=True):
    """A package, program or interpreter of another version; null where it wasn't there."""

    name: str
    before: str | None
    after: str | None


class ChangesRow(Response, frozen=True, kw_only=True):
    """What differs between the last good run and the failure.

    `known` is false if the code of one of the two isn't stored any more.
    """

    known: bool
    files: list[ChangedFileRow]
    packages: list[ChangedPackageRow]


class FailedAttemptRow(Response, frozen=True, kw_only=True):
    """The newest failed attempt at the partitions of an incident.

    `traceback` and `log` (the lines before it) are of the attempt's log, at most 60 and 40 lines of
    `log_lines`; `withheld`: the reader's roles don't show their texts.
    """

    attempt: str
    run_id: str
    node: str
    partitions: list[str]
    state: str
    at: datetime
    version: int | None
    reason: str | None
    error: ErrorRow | None
    code: CodeExcerptRow | None
    traceback: list[LogRow]
    log: list[LogRow]
    log_lines: int
    withheld: bool
    inputs: list[AttemptInputRow]
    good: GoodRunRow | None
    changes: ChangesRow | None
    commands: list[str]
    """Commands to try its code again, which publishes nothing, and to read its log."""


class FailureResponse(Response, frozen=True, kw_only=True):
    """The failed attempt behind an incident; null if its cause isn't one, or none is stored."""

    incident: str
    failed: FailedAttemptRow | None
