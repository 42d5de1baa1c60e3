"""`read`: published data, current or of a snapshot; never data from quarantine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec

from headrace.access.permissions import READ, command, decision, rules_of, unrestricted
from headrace.lake import PARTITION_COLUMN, FileRef, LakeTable, catalog
from headrace.lake.masks import ColumnMask, masked_types
from headrace.model import Asset, HeadraceError, Refused, Source, UsageError
from headrace.model.access import PERMISSIONS, Grant, Permission, Role
from headrace.model.errors import ColumnRefused, did_you_mean
from headrace.model.partitions import SEPARATOR
from headrace.plan.compiled import is_view
from headrace.privacy.retention import REMOVED_SHOWN_MAX, removed_rows
from headrace.project import lake_files, targets
from headrace.project.read_queries import ReadQuery, note_reads, snapshot_of
from headrace.project.session import ProjectSession
from headrace.responses import ColumnRow, ReadResponse
from headrace.responses.base import encoded
from headrace.responses.retention import RemovedPartitionRow
from headrace.responses.rows import DataStateRow
from headrace.runtime import usage
from headrace.runtime.tasks.lookup import files_read
from headrace.services.quarantine import shown_path
from headrace.slo.data_states import DataRead, DataState, DataStateKind
from headrace.slo.freshness import freshnesses
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.standing.data_states import (
    is_wrong,
    metadata,
    refuse_unsound,
    state_rows,
    states_of,
)
from headrace.store import Transaction
from headrace.store.queries import partition_states, publications

if TYPE_CHECKING:
    from headrace.plan.column_limits import ColumnLimits

MANIFEST = (
    ColumnRow(name="path", type="VARCHAR"),
    ColumnRow(name="size", type="BIGINT"),
    ColumnRow(name="sha256", type="VARCHAR"),
)
"""The columns that `read` returns for a `files` asset: its newest files."""


class ReadLocation(msgspec.Struct, frozen=True):
    """Location of the rows, found in one transaction.

    `table` is None while its columns are unknown.
    """

    node: Source | Asset
    snapshot: int | None
    table: LakeTable | None
    files: tuple[FileRef, ...]
    data_through: str | None
    published_at: datetime | None
    state: str
    manifest: tuple[dict[str, object], ...] = ()
    partitions: int = 0
    """Number of published partitions."""
    lake: str = ""
    """The folder that the files' paths are relative to."""
    not_rebuilt: list[RemovedPartitionRow] = []
    """Partitions of these that were removed, and can be rebuilt."""
    reason: str | None = None
    """That no partition with a requested key is known."""
    states: tuple[DataState, ...] = ()
    shown_states: list[DataStateRow] = []
    """What the session's identity may see of these."""


def find(
    session: ProjectSession, query: ReadQuery, columns: Collection[str] | None = None
) -> ReadLocation:
    """Find the data's files, and what has to be known of it (`columns` None: of all columns).

    Raise UsageError for an unknown asset, partition, time or version, and DataUnsound.
    """
    location = _location_of(session, query, columns)
    rows = state_rows(session, location.states)
    if query.only_sound:
        refuse_unsound(rows)
    return msgspec.structs.replace(location, shown_states=rows)


def _location_of(
    session: ProjectSession, query: ReadQuery, columns: Collection[str] | None
) -> ReadLocation:
    name, node = _table(session, query)
    if name in session.borrowed and session.production is not None:
        return _location_of(session.production, query, columns)
    asked = keys = tuple(targets.partition(node, key) for key in query.partitions)
    if session.store is None:
        return ReadLocation(node, None, None, (), None, None, "never")
    now_us, _ = session.clock.now_us(), session.compiled  # before the transaction
    with session.store.read() as tx:
        keys = tuple(item for key in keys for item in _meant(tx, node, key))
        snapshot = snapshot_of(session, tx, query)
        through, published_at, count = _published(tx, name, keys, snapshot)
        table = catalog.table(tx, name, snapshot)
        files = _files(tx, node, keys, query, snapshot) if table is not None else ()
        read = DataRead(name, keys or None, columns)
        states = states_of(session, tx, [read], (now_us, None if _is_now(query) else snapshot))
        return ReadLocation(
            node=node,
            snapshot=snapshot,
            table=table,
            files=files,
            data_through=through if node.partition.grain is not None else None,
            published_at=None if published_at is None else session.instant(published_at),
            state=_state(session, tx, name, states) if count else "never",
            manifest=_manifest(session, tx, node),
            partitions=count,
            lake=str(session.folders.lake),
            not_rebuilt=_not_rebuilt(session, tx, node, keys) if _is_now(query) else [],
            reason=targets.unknown_keys(tx, node, asked),
            states=tuple(states),
        )


def _table(session: ProjectSession, query: ReadQuery) -> tuple[str, Source | Asset]:
    project = session.project()
    name, _ = targets.target(query.asset, project)
    if is_view(project, name):
        raise UsageError(
            f"{name} is a view: it has no partitions of its own",
            hint=f'headrace sql "select * from {name} where …"',
        )
    return name, project.sources.get(name) or project.assets[name]


def _not_rebuilt(
    session: ProjectSession, tx: Transaction, node: Source | Asset, keys: Sequence[str]
) -> list[RemovedPartitionRow]:
    """Return partitions that `retain_rebuildable` has removed, or that differ since."""
    if not isinstance(node, Asset) or node.retain_rebuildable is None:
        return []
    rows = removed_rows(session, tx, node.name)
    return [row for row in rows if not keys or row.partition in keys][:REMOVED_SHOWN_MAX]


def _meant(tx: Transaction, node: Source | Asset, key: str) -> list[str]:
    """Return the partitions that a key stands for.

    For data partitioned by time and key, a time alone stands for all its keys.
    """
    spec = node.partition
    if spec.grain is None or spec.key is None or SEPARATOR in key:
        return [key]
    return [
        f"{key}{SEPARATOR}{data}" for data in partition_states.data_keys(tx, node.name, key)
    ] or [key]


def columns_of(session: ProjectSession, query: ReadQuery) -> list[str]:
    """Return the names of the readable columns. Raise UsageError as `find` does."""
    name = targets.target(query.asset, session.project()).node
    return _column_names(session, name, None if _of_view(session, query) else find(session, query))


def _column_names(session: ProjectSession, name: str, location: ReadLocation | None) -> list[str]:
    """Return the columns of a table, or of a view (location None); none if they aren't known."""
    if location is None:
        compiled = session.compiled
        return list((compiled.nodes[name].column_names if compiled is not None else None) or ())
    columns = () if location.table is None else location.table.columns
    return [column.name for column in columns if column.name != PARTITION_COLUMN]


@command("read", READ, of="query.asset")
def read(
    session: ProjectSession,
    query: ReadQuery,
    columns: Sequence[str] | None = None,
    role: str | None = None,
) -> ReadResponse:
    """Return the rows as JSON-compatible values in partition order, at most `limit`.

    `columns` restricts the columns; with `role`, they are those that this role would read, too.
    Raise UsageError as `find`, LakeError for lost files.
    """
    if role is None:
        return _read(session, query, visible_columns(session, query, columns))
    visible = visible_as_role(session, query, role)
    with _with_role(session, role):
        return _read(session, query, visible)


def _read(session: ProjectSession, query: ReadQuery, visible: VisibleColumns) -> ReadResponse:
    if _of_view(session, query):
        from headrace.services import sql

        response = sql.read_view(session, query, visible.columns, over_network=visible.over_network)
        return msgspec.structs.replace(response, masked=visible.masked)
    location = find(session, query, visible.columns)
    note_reads(session, [location.node.name], usage.READ)
    with lake_files.naming_damage(session, location.files):
        column_rows, rows, total = _rows(session, location, query.limit, visible)
    response = _response(location, column_rows, rows, total)
    return msgspec.structs.replace(response, masked=visible.masked)


class VisibleColumns(NamedTuple):
    """The columns that a reader gets (None: all), and those that are masked or left out."""

    columns: Sequence[str] | None
    masked: list[str]
    masks: Mapping[str, ColumnMask]
    """Column in lower case → how its values are masked; views mask theirs themselves."""
    over_network: bool = False


def visible_columns(
    session: ProjectSession,
    query: ReadQuery,
    columns: Sequence[str] | None,
    *,
    over_network: bool = False,
) -> VisibleColumns:
    """Return what the session's identity may read of these columns (None: of all).

    Over the network, nobody reads classified columns in the clear. Raise Refused if a column that
    is left out was asked for, and KeyProblem if the key of a mask can't be had.
    """
    if not over_network and unrestricted(session):
        return VisibleColumns(columns, [], {})
    from headrace.privacy.masking import column_limits, note_clear_columns

    name = targets.target(query.asset, session.project()).node
    past = not _is_now(query)
    limits = column_limits(session, name, over_network=over_network, past=past)
    if over_network and not limits.limited:
        return VisibleColumns(columns, [], {})
    location = None if _of_view(session, query) else find(session, query)
    present = _column_names(session, name, location)
    if not over_network:
        note_clear_columns(session, name, limits, present, columns)
    if not limits.limited:
        return VisibleColumns(columns, [], {})
    masks: Mapping[str, ColumnMask] = {}
    if location is None:
        from headrace.services import sql

        left_out, present = sql.view_columns(session, query, name, over_network=over_network)
    else:
        left_out, masks = _hidden_in_table(session, location.table, limits, present)
    _refuse_unknown(name, limits, present)
    if columns is not None:
        _refuse_left_out(name, columns, left_out, over_network=over_network)
    elif left_out:
        columns = _others(name, present, left_out)
    hidden = {*limits.names, *({column.lower() for column in present} & left_out)}
    return VisibleColumns(columns, sorted(hidden), masks, over_network)


def _hidden_in_table(
    session: ProjectSession, table: LakeTable | None, limits: ColumnLimits, present: Sequence[str]
) -> tuple[frozenset[str], Mapping[str, ColumnMask]]:
    """Return the columns of a table that are left out, and the masks of others."""
    from headrace.privacy.masking import fitting_masks

    if table is None:
        return frozenset(limits.names) | limits.left_out_of(present), {}
    return fitting_masks(session, limits, table.columns)


def visible_as_role(session: ProjectSession, query: ReadQuery, role: str) -> VisibleColumns:
    """Return what somebody with a role alone would read, without what the caller may not read.

    Raise UsageError for an unknown role, Refused for one that reads no rows, and NotAllowed if the
    caller may not read classified columns: others don't learn what they hide.
    """
    from headrace.privacy.masking import all_left_out, column_limits
    from headrace.security.access import NotAllowed

    if role not in tuple(Role):
        hint = did_you_mean(role, tuple(Role)) or f"one of {', '.join(Role)}"
        raise UsageError(f"{role[:40]!r} is no role", hint=hint)
    if Permission.READ not in PERMISSIONS[Role(role)]:
        raise Refused(f"the role {role} reads no rows", hint="headrace access matrix")
    caller, name = session.identity, targets.target(query.asset, session.project()).node
    node = session.project().source_or_asset(name)
    if not unrestricted(session):
        result = decision(session, rules_of(session), Permission.REVEAL, node)
        if not result.allowed:
            raise NotAllowed(caller, f"read {name} --as {role}", result, ())
    hidden = column_limits(session, name, past=not _is_now(query))
    with _with_role(session, role):
        visible = visible_columns(session, query, None)
    present = columns_of(session, query)
    refused = {*hidden.names, *hidden.left_out_of(present)}
    if not refused:
        return visible
    columns = [item for item in visible.columns or present if item.lower() not in refused]
    if not columns:
        raise all_left_out(name)
    return VisibleColumns(columns, sorted({*visible.masked, *refused}), visible.masks)


@contextmanager
def _with_role(session: ProjectSession, role: str | None) -> Iterator[None]:
    """Read as somebody who has this role and nothing else; None changes nothing.

    Views mask their columns while they are read.
    """
    if role is None:
        yield
        return
    from headrace.security.access import Identity, IdentityKind

    caller, grants = session.identity, (Grant(role=Role(role), to=()),)
    session.identify_as(
        Identity(name=caller.name, kind=IdentityKind.TOKEN, subjects=frozenset(), grants=grants)
    )
    try:
        yield
    finally:
        session.identify_as(caller)


def _others(name: str, known: Sequence[str], left_out: Collection[str]) -> list[str]:
    from headrace.privacy.masking import all_left_out

    columns = [column for column in known if column.lower() not in left_out]
    if known and not columns:
        raise all_left_out(name)
    return columns


def _refuse_unknown(name: str, limits: ColumnLimits, present: Sequence[str]) -> None:
    """Raise if nothing says which columns there are, so that all of them may be classified."""
    from headrace.privacy.masking import all_left_out

    if limits.opaque and not present:
        raise all_left_out(name)


def _refuse_left_out(
    name: str, columns: Sequence[str], left_out: Collection[str], *, over_network: bool
) -> None:
    """Raise if a column that is left out was asked for."""
    from headrace.privacy.masking import column_refused

    refused = next((column for column in columns if column.lower() in left_out), None)
    if refused is None:
        return
    if over_network:
        raise column_refused([name], refused)
    raise ColumnRefused(
        f"you may not read the column {refused[:60]} of {name}",
        hint=f"headrace read {name} leaves it out",
    )


def _response(
    location: ReadLocation, columns: list[ColumnRow], rows: list[dict[str, object]], total: int
) -> ReadResponse:
    return ReadResponse(
        asset=location.node.name,
        snapshot=location.snapshot,
        columns=columns,
        rows=rows,
        data_through=location.data_through,
        published_at=location.published_at,
        state=location.state,
        rows_total=total,
        not_rebuilt=location.not_rebuilt,
        reason=location.reason,
        states=location.shown_states,
    )


@command("read", READ, of="query.asset")
def write(
    session: ProjectSession,
    query: ReadQuery,
    out: BinaryIO,
    data_format: str,
    visible: VisibleColumns | None = None,
    role: str | None = None,
) -> list[DataStateRow]:
    """Write the rows as `csv`, `parquet` or `arrow`, of all columns that the reader may see.

    Return what has to be known of them, which Parquet and Arrow hold as metadata, too. With `role`,
    they are those that this role would see, too. Raise HeadraceError if the columns are unknown,
    because nothing was published yet.
    """
    from headrace.lake import reading

    if role is not None:
        visible = visible_as_role(session, query, role)
    visible = visible or visible_columns(session, query, None)
    if _of_view(session, query):
        from headrace.services import sql

        with _with_role(session, role):
            return sql.write_view(
                session,
                query,
                out,
                data_format,
                visible.columns,
                over_network=visible.over_network,
            )
    location = find(session, query, visible.columns)
    if location.table is None:
        raise HeadraceError(
            f"no rows of {location.node.name} are published, and its columns aren't known"
            " before that",
            hint="headrace status",
        )
    note_reads(session, [location.node.name], usage.READ)
    _close(session)
    with lake_files.naming_damage(session, location.files):
        reading.write(
            Path(location.lake),
            location.files,
            location.table,
            out,
            data_format=reading.DataFormat(data_format),
            limit=query.limit,
            columns=visible.columns,
            timezone=session.timezone,
            masks=visible.masks,
            about=metadata(
                asset=location.node.name,
                snapshot=location.snapshot,
                published_at=location.published_at,
                data_through=location.data_through,
                state=location.state,
                states=location.shown_states,
            ),
        )
    return location.shown_states


@command("read", READ, of="query.asset")
def write_json(
    session: ProjectSession,
    query: ReadQuery,
    out: BinaryIO,
    visible: VisibleColumns,
) -> None:
    """Write the response of `read` as JSON, streaming its rows.

    Without a `limit` it needs no more memory than for a few thousand rows. Views are read as a
    whole. Raise as `read` does.
    """
    location = None if _of_view(session, query) else find(session, query, visible.columns)
    if location is None or location.table is None or not location.files or location.manifest:
        out.write(encoded(_read(session, query, visible)))
        return
    note_reads(session, [location.node.name], usage.READ)
    _close(session)
    from headrace.lake import reading

    with (
        lake_files.naming_damage(session, location.files),
        reading.streamed(
            Path(location.lake),
            location.files,
            location.table,
            columns=visible.columns,
            limit=query.limit,
            timezone=session.timezone,
            masks=visible.masks,
        ) as (total, batches),
    ):
        empty = _response(location, _column_rows(location.table, visible), [], total)
        response = msgspec.structs.replace(empty, masked=visible.masked)
        # These bytes occur nowhere else in the JSON text: within a string the quotes would be
        # escaped.
        before, rows, after = encoded(response).partition(b'"rows":[]')
        assert rows, "a document of rows has the field `rows`"
        out.write(before + rows[:-1])
        separator = b""
        for batch in batches:
            out.write(separator + b",".join(map(encoded, batch)))
            separator = b","
            out.flush()
    out.write(b"]" + after)


def _of_view(session: ProjectSession, query: ReadQuery) -> bool:
    """Whether the query reads a whole view, current or at a time."""
    project = session.project()
    return (
        is_view(project, targets.target(query.asset, project).node)
        and not query.partitions
        and query.version is None
    )


def _files(
    tx: Transaction, node: Source | Asset, keys: Sequence[str], query: ReadQuery, snapshot: int
) -> tuple[FileRef, ...]:
    """Return the files with the rows.

    For a table that accumulates over partitions, a partition is the table as that partition left
    it.
    """
    accumulates = isinstance(node, Asset) and node.accumulates
    if isinstance(node, Asset) and accumulates and keys and _is_now(query):
        return files_read(tx, node, keys, snapshot)[0]
    return tuple(
        catalog.files(
            tx,
            node.name,
            None if accumulates else keys or None,
            None if _is_now(query) else snapshot,
        )
    )


def _rows(
    session: ProjectSession,
    location: ReadLocation,
    limit: int | None,
    visible: VisibleColumns,
) -> tuple[list[ColumnRow], list[dict[str, object]], int]:
    if location.manifest:
        return list(MANIFEST), list(location.manifest)[:limit], len(location.manifest)
    if location.table is None:
        return _declared_columns(session, location.node.name), [], 0
    columns = _column_rows(location.table, visible)
    if not location.files:
        return columns, [], 0
    from headrace.lake import reading  # imports DuckDB, only if there is something to read

    _close(session)
    rows = reading.read(
        Path(location.lake),
        location.files,
        location.table,
        columns=visible.columns,
        limit=limit,
        timezone=session.timezone,
        masks=visible.masks,
    )
    return columns, list(rows.rows), rows.total


def _column_rows(table: LakeTable, visible: VisibleColumns) -> list[ColumnRow]:
    """Return the visible columns of a table, with the types of what the reader gets."""
    names = None if visible.columns is None else {name.lower() for name in visible.columns}
    return [
        ColumnRow(name=column.name, type=column.type)
        for column in masked_types(table.columns, visible.masks)
        if column.name != PARTITION_COLUMN and (names is None or column.name.lower() in names)
    ]


def _close(session: ProjectSession) -> None:
    """Close the state before DuckDB is loaded: a process has either of them open."""
    session.close()


def _declared_columns(session: ProjectSession, name: str) -> list[ColumnRow]:
    node = session.compiled.nodes.get(name) if session.compiled else None
    return [
        ColumnRow(name=column, type=kind) for column, kind in (node.columns if node else None) or ()
    ]


def _is_now(query: ReadQuery) -> bool:
    return query.at is None and query.version is None


def _published(
    tx: Transaction, node: str, keys: Sequence[str], snapshot: int
) -> tuple[str | None, int | None, int]:
    """Return the newest published partition, the last publication time, and the partition count.

    They are as of a snapshot. The publication time is restricted to `keys`, if given.
    """
    seen = (
        "from publication where node = :node and snapshot <= :snapshot and (ended_snapshot is null"
        " or ended_snapshot > :snapshot)"
    )
    through, at, count = tx.execute(
        f"select max(partition), max(published_at), count(*) {seen}",
        {"node": node, "snapshot": snapshot},
    ).fetchone()
    if keys:
        query = f"select published_at {seen} and partition = :key"
        results = [
            tx.execute(query, {"node": node, "snapshot": snapshot, "key": key}).fetchone()
            for key in keys
        ]
        at = max((row[0] for row in results if row is not None), default=None)
    return through, at, count


def _state(session: ProjectSession, tx: Transaction, name: str, states: Sequence[DataState]) -> str:
    if is_wrong(states):
        return DataStateKind.WRONG
    if session.compiled is None:
        return "never"
    context = EvaluationContext(session.declared_promises, StoredFacts(tx))
    state = freshnesses(context, session.clock.now_us()).get(name)
    return state.value if state is not None else "never"


def _manifest(
    session: ProjectSession, tx: Transaction, node: Source | Asset
) -> tuple[dict[str, object], ...]:
    """Return the newest files of a `files` asset."""
    if not isinstance(node, Asset) or node.materialize != "files":
        return ()
    newest = publications.newest(tx, node.name)
    if newest is None or not newest.manifest:
        return ()
    return tuple(
        {
            "path": shown_path(session, session.data_folder / str(entry["path"])),
            "size": entry.get("size"),
            "sha256": entry.get("sha256"),
        }
        for entry in newest.manifest
    )
