"""Response of `import diff`."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response
from headrace.responses.plans import RowChange


class ImportDiffPartition(Response, frozen=True, kw_only=True):
    """One partition that isn't the same on both sides: the origin's table, and the asset here.

    `rows_only_there` and `rows_only_here` count rows without a counterpart; `rows_changed` those
    with the same key, and is null if no key identifies rows. `cells` counts the differing rows by
    column. In `sample`, `before` is the origin's row and `after` the one here.
    """

    partition: str
    rows_there: int
    rows_here: int
    rows_only_there: int
    rows_only_here: int
    rows_changed: int | None
    cells: dict[str, int]
    sample: list[RowChange]


class ImportDiffRow(Response, frozen=True, kw_only=True):
    """One item of the origin: its table there, and the asset that computes the same table here.

    `compared` counts the partitions whose rows were compared, from the first published one on;
    `equal` counts those with the same rows in the common columns; `differing` are the newest of the
    others, and `left_out` counts older ones that weren't compared. `empty` counts partitions
    without rows there that aren't published here; they aren't compared. `why` says why nothing was
    compared, and is empty otherwise.
    """

    item: str
    asset: str
    connection: str
    table: str
    compared: int
    equal: int
    empty: int
    differing: list[ImportDiffPartition]
    left_out: int
    columns_only_there: list[str]
    columns_only_here: list[str]
    why: str


class ImportDiffResponse(Response, frozen=True, kw_only=True):
    """`import diff`: where assets have other rows than the origin's tables.

    `equal` is null if nothing differs, but a table couldn't be compared, or there is none.
    """

    since: datetime
    items: list[ImportDiffRow]
    equal: bool | None
    next: str | None
