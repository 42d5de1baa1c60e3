"""What must hold before columns or files enter the catalog. DuckLake enforces none of it for files that it didn't write itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from headrace.lake.catalog.columns import ids_of, leaves_of
from headrace.lake.catalog.errors import TableMoved
from headrace.lake.tables import PARTITION_COLUMN, LakeColumn, LakeTable, StagedFile
from headrace.lake.types import parse, storable, widens, widens_where_exact
from headrace.model.errors import LakeError


def check_columns(table: LakeTable) -> None:
    """`_partition` first, with id 1; at least one column more; names that differ by more than case; ids that ascend."""
    columns = table.columns
    if len(columns) < 2 or columns[0] != LakeColumn(PARTITION_COLUMN, "VARCHAR", 1):
        raise LakeError(f"table `{table.name}` must begin with `{PARTITION_COLUMN}` VARCHAR, id 1, and have columns of its own")
    names = [column.name.lower() for column in columns]
    if len(set(names)) < len(names) or "" in names:
        raise LakeError(f"table `{table.name}` has column names that are empty or differ only in case")
    ids = [column_id for column in columns for column_id in ids_of(column)]
    if len(set(ids)) < len(ids) or [column.id for column in columns] != sorted(column.id for column in columns):
        raise LakeError(f"the column ids of table `{table.name}` don't ascend, or one is used twice")
    for column in columns:
        if storable(parse(column.type), column.name) != parse(column.type):
            raise LakeError(f"column `{column.name}` of table `{table.name}` is {column.type}, which the lake can't hold")


def next_id(columns: Iterable[LakeColumn]) -> int:
    """The first id after all that the columns and the fields inside them use."""
    return max(max(ids_of(column)) for column in columns) + 1


def difference(now: LakeTable, table: LakeTable, exact: Collection[str]) -> tuple[list[LakeColumn], list[LakeColumn]]:
    """Columns whose rows must end, and columns whose rows must be written, so that `now` becomes `wanted`. A widened
    column (or one whose name changes its case) is in both, with its id. `exact`: columns of whole numbers that a DOUBLE holds.
    Raises `TableMoved` if an id means something else now, and `LakeError` for numbers that the wider type wouldn't hold."""
    if table.next_id and table.next_id != now.next_id:
        raise TableMoved(f"table `{now.name}` has got other columns meanwhile")
    known = {column.id: column for column in now.columns}
    kept = {column.id for column in table.columns}
    gone = [column for column in now.columns if column.id not in kept]
    new = []
    for column in table.columns:
        old = known.get(column.id)
        if old == column:
            continue
        if old is None and column.id < now.next_id:
            raise TableMoved(f"column id {column.id} of table `{now.name}` has been used already")
        if old is not None:
            if old.name.lower() != column.name.lower():
                raise TableMoved(f"column id {column.id} of table `{now.name}` is `{old.name}` now")
            _check_type(now.name, old, column.type, exact)
            gone.append(old)
        new.append(column)
    return gone, new


def _check_type(table_name: str, old: LakeColumn, wanted: str, exact: Collection[str]) -> None:
    was, kind = parse(old.type), parse(wanted)
    if was == kind or widens(was, kind):
        return
    if not widens_where_exact(was, kind):
        raise TableMoved(f"column `{old.name}` of table `{table_name}` has become {old.type} meanwhile, and this was computed as {wanted}")
    if old.name not in exact:
        raise LakeError(
            f"column `{old.name}` of table `{table_name}` has whole numbers that are too large for {wanted}",
            hint="give it a DECIMAL that holds them, for example DECIMAL(38,6), or another name",
        )


def check_staged(table: LakeTable, staged: StagedFile) -> None:
    """The file was written for these columns, its statistics cover them, and its counts add up: `NOT NULL` and row counts are ours
    to enforce."""
    if staged.columns and staged.columns != table.columns:
        raise TableMoved(f"table `{table.name}` has other columns now than when {staged.path} was written")
    if staged.rows != sum(part.rows for part in staged.partitions) or staged.rows < 0 or any(part.rows < 0 for part in staged.partitions):
        raise LakeError(f"the rows of the partitions in {staged.path} don't add up to its {staged.rows} rows")
    if len({part.key for part in staged.partitions}) < len(staged.partitions):
        raise LakeError(f"{staged.path} names a partition twice")
    _check_statistics(table, staged)


def _check_statistics(table: LakeTable, staged: StagedFile) -> None:
    for column in table.columns:
        if parse(column.type).fields:
            missing = [column.name for leaf, _, _ in leaves_of(column) if leaf not in staged.nested]
        else:
            statistics = staged.statistics.get(column.name)
            missing = [] if statistics is not None and statistics.values + statistics.nulls == staged.rows else [column.name]
        if missing:
            raise LakeError(f"the statistics of {staged.path} lack or miscount column `{column.name}`")
    if staged.statistics[PARTITION_COLUMN].nulls:
        raise LakeError(f"{staged.path} has rows without a partition")


def check_keys(table: LakeTable, keys: frozenset[str], staged: Sequence[StagedFile]) -> None:
    """Staged rows are only of the partitions to be published."""
    others = {part.key for file in staged for part in file.partitions} - keys
    if others:
        raise LakeError(
            f"staged files of `{table.name}` have rows of {len(others)} partitions that aren't to be published, such as {min(others)!r}"
        )
