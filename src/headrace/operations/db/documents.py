"""The documents of `db`."""

from __future__ import annotations

import msgspec

from headrace.operations.documents import Document


class UpgradeDocument(Document, frozen=True, kw_only=True):
    """`db upgrade`: the state's version before and after; `backup` is the copy of the SQLite file that was made first."""

    before: int
    after: int
    backup: str | None


class Finding(Document, frozen=True, kw_only=True):
    """One thing that isn't as it should be. `severity` is `error`, or `note` where nothing is wrong yet."""

    severity: str
    about: str
    message: str
    todo: str


class CheckDocument(Document, frozen=True, kw_only=True):
    """`db check`: `ok` is false as soon as one finding is an error. Counts say what was looked at."""

    ok: bool
    version: int
    files: int
    size_bytes: int
    audit_entries: int
    audit_head: str
    findings: list[Finding]


class BackupDocument(Document, frozen=True, kw_only=True):
    """`db backup` and `db restore`: the folder, and what is in it."""

    folder: str
    snapshot: int
    epoch: int
    files: int
    size_bytes: int
    aside: str | None = None
    """`restore --force`: where the state that was there is now."""


class Freed(Document, frozen=True, kw_only=True):
    """How much of one kind."""

    kind: str
    files: int
    size_bytes: int


class GcDocument(Document, frozen=True, kw_only=True):
    """`db gc`: what was freed, or with `--dry-run` would be."""

    dry_run: bool
    snapshots: int
    lake_files: int
    """That left the lake with expired snapshots; not known beforehand."""
    freed: list[Freed]
    retired: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows of the history that were older than `[retention] history`, by table."""
