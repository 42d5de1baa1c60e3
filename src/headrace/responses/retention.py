"""Responses about what stays and what goes: legal holds, `retain:` and `retain_rebuildable`."""

from __future__ import annotations

from datetime import datetime

from headrace.responses.base import Response


class HoldRow(Response, frozen=True, kw_only=True):
    """A legal hold. `node` is `*` for everything."""

    node: str
    reason: str
    by: str
    since: datetime
    released_at: datetime | None
    released_by: str | None
    release_reason: str | None


class RetentionRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """How long the rows of a node are kept, and what `retain:` removes next.

    `partitions`, `rows`, `from` and `to` are of what the next cleanup removes. Under a legal hold
    it removes nothing, and they are of what would be removed.
    """

    node: str
    retain: str
    kept_from: str
    """The first interval that is kept."""
    partitions: int
    rows: int
    from_: str | None
    to: str | None
    next: str | None
    """The first published partition after those; null if there is none."""
    next_on: str | None
    """The day on which it is old enough to be removed."""
    hold: str | None
    """The reason of the legal hold; null without one."""


class RebuildableRow(Response, frozen=True, kw_only=True):
    """An asset with `retain_rebuildable`, and its published partitions that are older.

    Of `db gc` these are the removed ones, and `stay` is how many were computed again, or tried, and
    aren't removed.
    """

    node: str
    retain_rebuildable: str
    kept_from: str
    """The first interval that isn't old enough."""
    partitions: int
    rows: int
    stay: int = 0
    hold: str | None
    """The reason of the legal hold; null without one."""
    why: str | None
    """Why no partition may go, or the first one stays."""


class RemovedPartitionRow(Response, frozen=True, kw_only=True):
    """A partition that was removed because it gives the same rows when it is computed again."""

    node: str
    partition: str
    rows: int
    content_hash: str
    """Of the rows that it had, whatever their order."""
    version: int
    """The version whose code gave the same rows."""
    engine: str
    state: str
    """`removed`, or `differs`: it was rebuilt, and has other rows than before."""
    command: str | None
    """Computes it again."""


class RebuildableStepResponse(Response, frozen=True, kw_only=True):
    """Whether proven partitions were removed; not, if one of them has changed meanwhile."""

    removed: bool
