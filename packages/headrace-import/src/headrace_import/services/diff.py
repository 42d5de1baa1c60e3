"""`import diff`: rows of imported assets beside those that the origin's own tasks wrote.

While both sides run, an asset computes here what its task computes there. The origin's table is
read through the asset's connection, in a transaction that changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from headrace.connect.connectors import Access, Unavailable
from headrace.connect.deliveries import CannotRead
from headrace.extension import (
    READ,
    Asset,
    Progress,
    ProjectSession,
    Source,
    command,
    command_line,
    quote,
)
from headrace.lake import PARTITION_COLUMN, LakeColumn, LakeTable, catalog
from headrace.lake import comparison as lake_comparison
from headrace.lake.reading import QueryTable, absolute, session_over
from headrace.lake.session import DuckDBSession
from headrace.lake.tables import FileRef
from headrace.model import LakeError
from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key
from headrace.model.nodes import Grain, PartitionSpec
from headrace.security.secrets import SecretMissing, Secrets
from headrace.standing.comparisons import identifying_columns, row_change
from headrace.store.clock import instant
from headrace.store.queries import publications
from headrace_databases.engines.engine import SourceDatabase, connect_source
from headrace_databases.statements import SourceRows
from headrace_import.responses.diff import (
    ImportDiffPartition,
    ImportDiffResponse,
    ImportDiffRow,
)
from headrace_import.services.diff_columns import FLOATS, HERE, both_sides
from headrace_import.services.manifest import TableFacts, imported_manifest
from headrace_import.services.status import chosen_items

WINDOW = timedelta(days=31)
"""How far back partitions are compared unless told: a month."""
PARTITIONS_MAX = 1_000
"""At most this number of partitions of an asset is compared, the newest."""
DIFFERING_MAX = 20
SAMPLE_MAX = 3
WHOLE = "*"


class _Published(msgspec.Struct, frozen=True):
    """An asset's partitions in the window, each with its files, oldest first."""

    table: LakeTable
    partitions: dict[str, tuple[FileRef, ...]]
    missing: frozenset[str] = frozenset()
    """The partitions among them that aren't published."""
    left_out: int = 0
    """Older partitions in the window, beyond `PARTITIONS_MAX`."""


class _Pair(msgspec.Struct, frozen=True):
    """An asset with its publications, and access to the table that it is compared with."""

    row: ImportDiffRow
    asset: Asset
    published: _Published
    access: Access


class Window(NamedTuple):
    """The time whose partitions are compared, in microseconds."""

    since_us: int
    now_us: int
    newest_at_least: bool
    """Compare the newest ended partition even if it ended before."""

    def first(self, published: Sequence[str], grain: Grain, zone: str) -> str | None:
        """Return the first published partition in the window; None if there is none."""
        ends = {key: bounds_us(key, grain, zone)[1] for key in published}
        recent = [key for key, end in ends.items() if end > self.since_us]
        ended = [key for key, end in ends.items() if end <= self.now_us]
        if self.newest_at_least and ended and (not recent or recent[0] > ended[-1]):
            return ended[-1]
        return recent[0] if recent else None


class _NotCompared(Exception):
    """A table that can't be compared; the text says why."""


@command("import diff", READ)
def import_diff(
    session: ProjectSession,
    directory: Path,
    item: str = "",
    since: str | None = None,
    *,
    progress: Progress,
) -> ImportDiffResponse:
    """Compare published rows with those of the origin's tables: one item, one DAG, or all.

    Partitions that overlap the last 31 days are compared, or the time since `since`; without
    `since` at least the newest one that has ended. Raise ProjectError if the
    folder isn't an import, UsageError for an unknown item or time. What can't be compared is a row
    that says why.
    """
    manifest = imported_manifest(directory, "status")
    tables = {
        name: facts
        for name in chosen_items(manifest, item)
        if (facts := manifest.became[name].table) is not None
    }
    window = _window(session, since)
    pairs = [_pair(session, name, facts, window) for name, facts in tables.items()]
    session.close()
    rows = []
    progress.start("comparing", len(pairs))
    try:
        for pair in pairs:
            rows.append(pair if isinstance(pair, ImportDiffRow) else _row(session, pair))
            progress.advance()
    finally:
        progress.finish()
    differing = any(row.compared and not _is_equal(row) for row in rows)
    complete = bool(rows) and all(row.compared for row in rows)
    equal = False if differing else True if complete else None
    return ImportDiffResponse(
        since=instant(window.since_us),
        items=rows,
        equal=equal,
        next=_next(rows, item if item not in tables else ""),
    )


def _window(session: ProjectSession, since: str | None) -> Window:
    now_us = session.clock.now_us()
    if since is not None:
        return Window(session.time_since(since), now_us, newest_at_least=False)
    return Window(now_us - WINDOW // timedelta(microseconds=1), now_us, newest_at_least=True)


def _is_equal(row: ImportDiffRow) -> bool:
    return row.compared == row.equal and not row.columns_only_there and not row.columns_only_here


def _next(rows: Sequence[ImportDiffRow], dag: str) -> str | None:
    for row in rows:
        if row.differing:
            last = row.differing[0].partition
            node = row.asset if last == WHOLE else f"{row.asset}@{last}"
            return command_line("render", node)
    all_equal = bool(rows) and all(row.compared and _is_equal(row) for row in rows)
    return command_line("import", "move", dag) if dag and all_equal else None


def _pair(
    session: ProjectSession, item: str, facts: TableFacts, window: Window
) -> _Pair | ImportDiffRow:
    """Return the two tables of an item; a row that says why if they can't be compared."""
    row = ImportDiffRow(
        item=item,
        asset=facts.asset,
        connection=facts.connection,
        table=facts.name,
        compared=0,
        equal=0,
        empty=0,
        differing=[],
        left_out=0,
        columns_only_there=[],
        columns_only_here=[],
        why="",
    )
    try:
        asset = _asset(session, facts)
        published = _published(session, asset, window)
    except _NotCompared as error:
        return msgspec.structs.replace(row, why=str(error))
    access = Access(
        source=_origin_table(asset, facts),
        connection=session.project().settings.connections[facts.connection],
        secrets=Secrets(session.root),
        project=session.root,
        temporary=session.folders.temporary,
        now_us=session.clock.now_us(),
    )
    return _Pair(row, asset, published, access)


def _row(session: ProjectSession, pair: _Pair) -> ImportDiffRow:
    """Return the comparison of two tables, or why it can't be made."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="headrace-diff-") as folder,
            connect_source(pair.access) as engine,
        ):
            return _compared(session, pair, engine, Path(folder) / "rows.parquet")
    except SecretMissing as error:
        return msgspec.structs.replace(pair.row, why=str(error))
    except (Unavailable, CannotRead, LakeError, duckdb.Error) as error:
        why = pair.access.secrets.scrubbed(str(error))
        return msgspec.structs.replace(pair.row, why=why)


def _asset(session: ProjectSession, facts: TableFacts) -> Asset:
    """Return the asset that computes a table here. Raise _NotCompared."""
    compiled = session.compiled
    if compiled is None or session.store is None:
        raise _NotCompared("nothing of the new project is applied yet")
    asset = compiled.project.assets.get(facts.asset)
    if asset is None:
        raise _NotCompared(f"the applied project has no asset {facts.asset}")
    if asset.materialize in ("view", "files", "none"):
        raise _NotCompared(f"{asset.name} keeps no rows: `materialize: {asset.materialize}`")
    if not facts.connection:
        raise _NotCompared("Headrace can't read tables of that database")
    if facts.connection not in compiled.project.settings.connections:
        raise _NotCompared(f"the applied project has no connection {facts.connection}")
    if asset.accumulates:
        return asset
    if asset.partition.key is not None:
        raise _NotCompared(f"{asset.name} is partitioned by a key")
    if asset.partition.grain is not None and asset.partition.column is None:
        raise _NotCompared(f"no column says which rows belong to a partition of {asset.name}")
    return asset


def _published(session: ProjectSession, asset: Asset, window: Window) -> _Published:
    """Return an asset's published partitions. Raise _NotCompared if there are none."""
    with session.existing_store.read() as tx:
        snapshot = catalog.newest_snapshot(tx)
        table = catalog.table(tx, asset.name, snapshot)
        visible = publications.visible(tx, asset.name, snapshot)
        if table is None or not visible:
            raise _NotCompared(f"nothing of {asset.name} is published yet")
        if asset.accumulates or asset.partition.grain is None:
            files = {WHOLE: tuple(catalog.files(tx, asset.name, None, snapshot))}
            return _Published(table, files)
        keys = _compared_keys(asset, sorted(visible), window)
        if not keys:
            raise _NotCompared(
                f"no partition of {asset.name} is published in this time: name an earlier one"
                " with --since"
            )
        files = {
            key: tuple(catalog.files(tx, asset.name, [key], snapshot)) if key in visible else ()
            for key in keys[-PARTITIONS_MAX:]
        }
        missing = frozenset(files) - visible.keys()
        return _Published(table, files, missing, len(keys) - len(files))


def _compared_keys(asset: Asset, published: Sequence[str], window: Window) -> list[str]:
    """Return the partitions from the first published one in the window to the last that has ended.

    A partition between them that isn't published here has no rows: it differs if the origin's
    table has any.
    """
    grain, zone = asset.partition.time_grain, asset.timezone
    first = window.first(published, grain, zone)
    if first is None:
        return []
    last = max(published[-1], previous_key(key_at_us(window.now_us, grain, zone), grain, zone))
    return list(keys_between(first, last, grain, zone))


def _origin_table(asset: Asset, facts: TableFacts) -> Source:
    """Return the origin's table as a source with the partitions of the asset."""
    whole = asset.accumulates or asset.partition.grain is None
    spec = PartitionSpec(grain=asset.partition.grain, column=asset.partition.column)
    return Source(
        name=asset.name,
        owner=asset.owner,
        timezone=asset.timezone,
        partition=PartitionSpec() if whole else spec,
        connector={"connection": facts.connection, "table": facts.name},
        place=asset.place,
    )


def _compared(
    session: ProjectSession, pair: _Pair, engine: SourceDatabase, parquet: Path
) -> ImportDiffRow:
    """Return the row with each partition's comparison, the newest partition first."""
    rows = SourceRows(pair.access.source, engine)
    engine.as_doubles = frozenset(
        column.name.lower()
        for column in pair.published.table.columns
        if column.type.upper() in FLOATS
    )
    differing: list[ImportDiffPartition] = []
    equal = empty = 0
    columns: list[list[str]] = [[], []]
    for key in reversed(pair.published.partitions):
        sql, values = rows.of(key)
        engine.copy(sql, values, parquet)
        files = absolute(pair.published.partitions[key], session.folders.lake)
        here = QueryTable(HERE, _columns(pair.published.table), files)
        with session_over([here], timezone=session.timezone, beside=[parquet]) as both:
            common, *columns = both_sides(both, here, parquet)
            partition = _difference(both, pair.asset, key, common)
            nowhere = key in pair.published.missing and partition is None
        parquet.unlink()
        if nowhere:
            empty += 1
        elif partition is None:
            equal += 1
        elif len(differing) < DIFFERING_MAX:
            differing.append(partition)
    compared = len(pair.published.partitions) - empty
    return msgspec.structs.replace(
        pair.row,
        compared=compared,
        equal=equal,
        empty=empty,
        differing=differing,
        left_out=pair.published.left_out,
        columns_only_there=columns[0],
        columns_only_here=columns[1],
        why="" if compared else "neither side has rows in this time",
    )


def _columns(table: LakeTable) -> tuple[LakeColumn, ...]:
    return tuple(column for column in table.columns if column.name != PARTITION_COLUMN)


def _difference(
    both: DuckDBSession, asset: Asset, key: str, columns: tuple[LakeColumn, ...]
) -> ImportDiffPartition | None:
    """Return how a partition's rows differ; None if they are the same."""
    keys = identifying_columns(asset, (), [column.name for column in columns])
    if keys and lake_comparison.not_unique(both, keys):
        keys = []
    counted = (
        lake_comparison.by_keys(both, columns, keys, examples=SAMPLE_MAX)
        if keys
        else lake_comparison.multisets(both, columns, examples=SAMPLE_MAX)
    )
    if not (counted.added or counted.removed or counted.changed):
        return None
    return ImportDiffPartition(
        partition=key,
        rows_there=_count(both, lake_comparison.BEFORE),
        rows_here=_count(both, lake_comparison.AFTER),
        rows_only_there=counted.removed,
        rows_only_here=counted.added,
        rows_changed=counted.changed,
        cells=counted.cells,
        sample=[row_change(example) for example in counted.examples],
    )


def _count(both: DuckDBSession, view: str) -> int:
    row = both.connection.execute(f"SELECT count(*) FROM {quote(view)}").fetchone()
    return int(row[0]) if row is not None else 0
