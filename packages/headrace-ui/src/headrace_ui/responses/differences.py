"""Response of the page that compares an asset in two snapshots or environments."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response
from headrace.responses.base import ColumnRow
from headrace.responses.plans import ColumnChange, RowChange, SpreadRow


class DifferenceSideRow(Response, frozen=True, kw_only=True):
    """One side: a snapshot in an environment. `at` is the time of its newest publication."""

    env: str
    snapshot: int
    at: datetime | None
    partitions: int
    """How many partitions of the asset are published in it."""


class PartitionDifferenceRow(Response, frozen=True, kw_only=True):
    """A partition on both sides. `state` is `equal`, `changed`, `only_left` or `only_right`;
    `changed` is one whose content isn't known to be the same. `compared`: its rows were read."""

    partition: str
    state: str
    rows_left: int | None
    rows_right: int | None
    compared: bool


class SnapshotChoiceRow(Response, frozen=True, kw_only=True):
    """A snapshot in which something of the asset was published."""

    snapshot: int
    at: datetime
    partitions: int


class SnapshotDifferenceResponse(Response, frozen=True, kw_only=True):
    """Which partitions, columns and rows of an asset differ between two sides.

    Rows are those of the newest differing partitions that aren't too large: those with `compared`.
    Without keys a changed row counts as one removed and one added.
    """

    asset: str
    left: DifferenceSideRow
    right: DifferenceSideRow
    partitions: list[PartitionDifferenceRow]
    """The newest ones, in order."""
    counted: dict[str, int]
    """State → how many partitions are in it, of all."""
    partition: str | None
    """The only partition whose rows were compared, if one was asked for."""
    whole: bool
    """Whether the rows of the whole table were compared: each publication updates all of it."""
    compared: int
    """How many partitions' rows were compared."""
    not_compared: int
    """How many partitions were left out, because they have too many rows, alone or together."""
    too_large: int
    """How many of these have too many rows alone."""
    command: str | None
    """What compares the rows of these, too: between environments, of the newest partitions."""
    columns: list[ColumnRow]
    """The columns that were compared."""
    column_changes: list[ColumnChange]
    keys: list[str] | None
    rows_added: int
    rows_removed: int
    rows_changed: int | None
    cells: dict[str, int]
    """Column → in how many changed rows it differs."""
    spreads: list[SpreadRow]
    """Columns whose values are distributed differently."""
    sample: list[RowChange]
    """Rows that differ: at most the asked number of each kind; `before` is the left one."""
    masked: list[str]
    """Columns that are compared by their masked values, or left out."""
    snapshots: list[SnapshotChoiceRow]
    """Snapshots to choose from, the newest first."""
    environments: list[str]
