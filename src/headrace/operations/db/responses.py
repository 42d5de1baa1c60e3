"""The documents of `db`."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import msgspec

from headrace.operations.responses import Response


class UpgradeResponse(Response, frozen=True, kw_only=True):
    """`db upgrade`: the state's version before and after; `backup` is the copy of the SQLite file that was made first."""

    before: int
    after: int
    backup: str | None


class Finding(Response, frozen=True, kw_only=True):
    """One thing that isn't as it should be. `severity` is `error`, or `note` where nothing is wrong yet."""

    severity: str
    about: str
    message: str
    todo: str


class DifferenceSource(enum.StrEnum):
    """What a difference was found by."""

    EVENT_LOG = "event_log"
    CATALOG = "catalog"
    FILE = "file"
    AUDIT = "audit"


class Difference(Response, frozen=True, kw_only=True):
    """A row or a file that isn't as it should be. Without `field` it is missing (`stored` is null), or one too many (`expected` is
    null). A value that is known by its hash alone is `sha256:…`. `consumers` read what depends on it."""

    table: str
    key: dict[str, Any]
    field: str | None
    stored: Any
    expected: Any
    source: DifferenceSource
    consumers: list[str]


class Unchecked(Response, frozen=True, kw_only=True):
    """What `db check` can't say anything about."""

    what: str
    why: str


class CheckResponse(Response, frozen=True, kw_only=True):
    """`db check`: `ok` is false as soon as one finding is an error. Counts say what was looked at; `checked` has the rows of each table
    that were compared with the event log. `repair` is the command that puts right all that differs, if there is one. `repaired` counts
    the rows that `--repair` has put right."""

    ok: bool
    version: int
    files: int
    size_bytes: int
    audit_entries: int
    audit_head: str
    findings: list[Finding]
    checked: dict[str, int]
    differences: list[Difference]
    unchecked: list[Unchecked]
    repair: str | None
    repaired: int = 0


class BackupResponse(Response, frozen=True, kw_only=True):
    """`db backup` and `db restore`: the folder, and what is in it. `db restore --new-state` has no folder."""

    folder: str
    made_at: datetime | None
    """When the backup was made; null for a new state."""
    snapshot: int
    epoch: int
    tables: dict[str, int]
    """Rows of each table of the state and the catalog; empty for a backup of an earlier version."""
    files: int
    """In the folder; a backup that was made by itself holds the state alone."""
    bytes: int
    size_bytes: int
    """The same as `bytes`."""
    missing_files: int = 0
    """Of earlier snapshots only, and gone from the lake when the backup was made: reads at an earlier
    time that need them fail."""
    lost_since: datetime | None = None
    """`restore`: what was published and decided since then isn't in the restored state; null where nothing was."""
    lost_files: int = 0
    """`restore`: data files of the lake that the restored state doesn't name."""
    restored: bool = False
    """False for `backup`, and for a `restore` that only says which backup fits."""
    aside: str | None = None
    """`restore`: where the state that was there is now."""
    lake_aside: str | None = None
    """`restore --new-state`: the folder that the lake's files were moved to."""


class Freed(Response, frozen=True, kw_only=True):
    """How much of one kind."""

    kind: str
    files: int
    size_bytes: int


class GcResponse(Response, frozen=True, kw_only=True):
    """`db gc`: what was freed, or with `--dry-run` would be."""

    dry_run: bool
    snapshots: int
    lake_files: int
    """That left the lake with expired snapshots; not known beforehand."""
    freed: list[Freed]
    retired: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows of the history that were older than `[retention] history`, by table."""
