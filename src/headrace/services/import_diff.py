"""`import diff`: rows of imported assets beside those that the origin's own tasks wrote.

While both sides run, an asset computes here what its task computes there. The origin's table is
read through the asset's connection, in a transaction that changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import duckdb
import msgspec

from headrace.connect.connectors import Access, Unavailable
from headrace.connect.databases import SourceRows
from headrace.connect.deliveries import CannotRead
from headrace.connect.engines.engine import SourceDatabase, connect_source
from headrace.lake import PARTITION_COLUMN, LakeColumn, LakeTable, catalog
from headrace.lake import comparison as lake_comparison
from headrace.lake.reading import QueryTable, absolute, session_over
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote
from headrace.lake.tables import FileRef
from headrace.model import Asset, LakeError, Source
from headrace.model.intervals import key_at_us, keys_between, previous_key, start_us
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.partitions import command_line
from headrace.security.secrets import SecretMissing, Secrets
from headrace.services.comparisons import identifying_columns, row_change
from headrace.services.import_manifest import TableFacts, imported_manifest
from headrace.services.import_status import chosen_items
from headrace.services.parameters import Argument, Since
from headrace.services.permissions import authorised
from headrace.services.responses.import_diff import (
    ImportDiffPartition,
    ImportDiffResponse,
    ImportDiffRow,
)
from headrace.services.runs import since_when
from headrace.services.session import Progress, ProjectSession
from headrace.store.clock import instant
from headrace.store.queries import publications

WINDOW = timedelta(days=31)
"""How far back partitions are compared unless told: a month."""
PARTITIONS_MAX = 1_000
"""At most this number of partitions of an asset is compared, the newest."""
DIGITS = 10
"""Floating-point numbers are rounded to this number of digits."""
DIFFERING_MAX = 20
SAMPLE_MAX = 3
WHOLE = "*"
_HERE = "__here__"
_FLOATS = ("FLOAT", "DOUBLE")
ImportItem = Annotated[str, Argument("ITEM|DAG", help="an item or a DAG of the import")]


class _Published(msgspec.Struct, frozen=True):
    """An asset's partitions in the window, each with its files, oldest first."""

    table: LakeTable
    partitions: dict[str, tuple[FileRef, ...]]
    left_out: int = 0
    """Older partitions in the window, beyond `PARTITIONS_MAX`."""


class _Pair(msgspec.Struct, frozen=True):
    """An asset with its publications, and access to the table that it is compared with."""

    row: ImportDiffRow
    asset: Asset
    published: _Published
    access: Access


class _NotCompared(Exception):
    """A table that can't be compared; the text says why."""


@authorised
def import_diff(
    session: ProjectSession,
    directory: Path,
    item: ImportItem = "",
    since: Since = None,
    *,
    progress: Progress,
) -> ImportDiffResponse:
    """Compare published rows with those of the origin's tables: one item, one DAG, or all.

    Partitions of the last 31 days are compared, or those since `since`. Raise ProjectError if the
    folder isn't an import, UsageError for an unknown item or time. What can't be compared is a row
    that says why.
    """
    manifest = imported_manifest(directory, "status")
    tables = {
        name: facts
        for name in chosen_items(manifest, item)
        if (facts := manifest.became[name].table) is not None
    }
    since_us = _since(session, since)
    pairs = [_pair(session, name, facts, since_us) for name, facts in tables.items()]
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
        since=instant(since_us),
        items=rows,
        equal=equal,
        next=_next(rows, item if item not in tables else ""),
    )


def _since(session: ProjectSession, text: str | None) -> int:
    if text is not None:
        return since_when(session, text)
    return session.clock.now_us() - WINDOW // timedelta(microseconds=1)


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
    session: ProjectSession, item: str, facts: TableFacts, since_us: int
) -> _Pair | ImportDiffRow:
    """Return the two tables of an item; a row that says why if they can't be compared."""
    row = ImportDiffRow(
        item=item,
        asset=facts.asset,
        connection=facts.connection,
        table=facts.name,
        compared=0,
        equal=0,
        differing=[],
        left_out=0,
        columns_only_there=[],
        columns_only_here=[],
        why="",
    )
    try:
        asset = _asset(session, facts)
        published = _published(session, asset, since_us)
    except _NotCompared as error:
        return msgspec.structs.replace(row, why=str(error))
    access = Access(
        source=_origin_table(session, asset, facts),
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
    if asset.partition.key is not None:
        raise _NotCompared(f"{asset.name} is partitioned by a key")
    if asset.partition.grain is not None and asset.partition.column is None:
        raise _NotCompared(f"no column says which rows belong to a partition of {asset.name}")
    return asset


def _published(session: ProjectSession, asset: Asset, since_us: int) -> _Published:
    """Return an asset's published partitions. Raise _NotCompared if there are none."""
    assert session.store is not None
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        snapshot = catalog.newest_snapshot(tx)
        table = catalog.table(tx, asset.name, snapshot)
        visible = publications.visible(tx, asset.name, snapshot)
        if table is None or not visible:
            raise _NotCompared(f"nothing of {asset.name} is published yet")
        if asset.accumulates or asset.partition.grain is None:
            files = {WHOLE: tuple(catalog.files(tx, asset.name, None, snapshot))}
            return _Published(table, files)
        zone, grain = session.timezone, asset.partition.grain
        keys = _ended(grain, zone, sorted(visible), since_us, now_us)
        if not keys:
            raise _NotCompared(f"no partition of {asset.name} is published in this time")
        files = {
            key: tuple(catalog.files(tx, asset.name, [key], snapshot)) if key in visible else ()
            for key in keys[-PARTITIONS_MAX:]
        }
        return _Published(table, files, len(keys) - len(files))


def _ended(
    grain: Grain, zone: str, published: Sequence[str], since_us: int, now_us: int
) -> list[str]:
    """Return the partitions from the first published one since then to the last that has ended.

    A partition between them that isn't published here has no rows: it differs if the origin's
    table has any.
    """
    recent = [key for key in published if start_us(key, grain, zone) >= since_us]
    if not recent:
        return []
    last = max(recent[-1], previous_key(key_at_us(now_us, grain, zone), grain, zone))
    return list(keys_between(recent[0], last, grain, zone))


def _origin_table(session: ProjectSession, asset: Asset, facts: TableFacts) -> Source:
    """Return the origin's table as a source with the partitions of the asset."""
    whole = asset.accumulates or asset.partition.grain is None
    spec = PartitionSpec(grain=asset.partition.grain, column=asset.partition.column)
    return Source(
        name=asset.name,
        owner=asset.owner,
        timezone=session.timezone,
        partition=PartitionSpec() if whole else spec,
        connector={"connection": facts.connection, "table": facts.name},
        place=asset.place,
    )


def _compared(
    session: ProjectSession, pair: _Pair, engine: SourceDatabase, parquet: Path
) -> ImportDiffRow:
    """Return the row with each partition's comparison, the newest partition first."""
    rows = SourceRows(pair.access.source, engine)
    differing: list[ImportDiffPartition] = []
    equal = 0
    columns: list[list[str]] = [[], []]
    for key in reversed(pair.published.partitions):
        sql, values = rows.of(key)
        engine.copy(sql, values, parquet)
        files = absolute(pair.published.partitions[key], session.folders.lake)
        here = QueryTable(_HERE, _columns(pair.published.table), files)
        with session_over([here], timezone=session.timezone, beside=[parquet]) as both:
            common, *columns = _both_sides(both, here, parquet)
            partition = _difference(both, pair.asset, key, common)
        parquet.unlink()
        if partition is None:
            equal += 1
        elif len(differing) < DIFFERING_MAX:
            differing.append(partition)
    return msgspec.structs.replace(
        pair.row,
        compared=len(pair.published.partitions),
        equal=equal,
        differing=differing,
        left_out=pair.published.left_out,
        columns_only_there=columns[0],
        columns_only_here=columns[1],
    )


def _columns(table: LakeTable) -> tuple[LakeColumn, ...]:
    return tuple(column for column in table.columns if column.name != PARTITION_COLUMN)


def _both_sides(
    both: DuckDBSession, here: QueryTable, parquet: Path
) -> tuple[tuple[LakeColumn, ...], list[str], list[str]]:
    """Create the two sides as views of the columns that both have, in the types of the asset.

    Return these columns, and the names that only the origin or only the asset has.
    """
    rows = f"read_parquet({literal(str(parquet))})"
    described = both.connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    there = {str(name).lower(): (str(name), str(kind)) for name, kind, *_ in described}
    common = _comparable(both, here.columns, there, rows)
    of_origin = [_selected(column, there[column.name.lower()][0]) for column in common]
    of_asset = [_selected(column, column.name) for column in common]
    for view, relation, selected in (
        (lake_comparison.BEFORE, rows, of_origin),
        (lake_comparison.AFTER, quote(_HERE), of_asset),
    ):
        columns = ", ".join(selected) or "1 AS nothing"
        both.connection.execute(f"CREATE VIEW {quote(view)} AS SELECT {columns} FROM {relation}")
    names = {column.name.lower() for column in here.columns}
    only_there = [name for lower, (name, _) in there.items() if lower not in names]
    only_here = [column.name for column in here.columns if column.name.lower() not in there]
    return common, only_there, only_here


def _comparable(
    both: DuckDBSession,
    columns: Sequence[LakeColumn],
    there: Mapping[str, tuple[str, str]],
    rows: str,
) -> tuple[LakeColumn, ...]:
    """Return the columns of both sides, each with the type in which they are compared.

    That is the asset's, unless a value of the origin isn't the same in it (`A-1` as a number, a
    time as a date): then both sides are compared as text.
    """
    common = [column for column in columns if column.name.lower() in there]
    lossy = [_is_lossy(column, *there[column.name.lower()]) for column in common]
    if not lossy:
        return ()
    changes = both.connection.execute(f"SELECT {', '.join(lossy)} FROM {rows}").fetchone() or ()
    return tuple(
        msgspec.structs.replace(column, type="VARCHAR") if changed else column
        for column, changed in zip(common, changes, strict=True)
    )


def _is_lossy(column: LakeColumn, origin: str, kind: str) -> str:
    """Return SQL for whether a value of the origin isn't the same in the asset's type."""
    name = quote(origin)
    cast = f"TRY_CAST({name} AS {column.type})"
    back = "" if column.type.upper() in _FLOATS else f" OR TRY_CAST({cast} AS {kind}) <> {name}"
    return f"bool_or({name} IS NOT NULL AND ({cast} IS NULL{back}))"


def _selected(column: LakeColumn, name: str) -> str:
    """Return a column of a side; floating-point numbers rounded to their first digits."""
    value = f"TRY_CAST({quote(name)} AS {column.type})"
    if column.type.upper() in _FLOATS:
        value = f"CAST(format('{{:.{DIGITS - 1}e}}', CAST({value} AS DOUBLE)) AS {column.type})"
    return f"{value} AS {quote(column.name)}"


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
