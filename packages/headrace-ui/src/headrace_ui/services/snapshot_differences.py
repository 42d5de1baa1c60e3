"""An asset on two sides for a page: two snapshots, or two environments.

As over any network, nobody sees classified columns in the clear: rows are compared by their masked
values. What is read is limited, and the response says what was left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from headrace.access.permissions import check_call
from headrace.extension import (
    READ,
    Asset,
    ProjectSession,
    Source,
    UsageError,
    command,
    command_line,
)
from headrace.lake import PARTITION_COLUMN, LakeTable, catalog
from headrace.model import UnknownName
from headrace.model.partitions import WHOLE, partition_argument
from headrace.model.settings import PRODUCTION
from headrace.privacy.visible_sides import VisibleSides, visible_sides
from headrace.project import lake_files, targets
from headrace.project.read_queries import ReadQuery, note_reads, snapshot_of
from headrace.responses import ColumnRow
from headrace.responses.inspections import MomentRow
from headrace.runtime import usage
from headrace.standing.comparisons import (
    RowComparison,
    Side,
    compare_sides,
    row_change,
    spread_rows,
    with_files,
)
from headrace.store.queries import publications
from headrace_ui.queries.snapshots import PublishedSnapshot, last_snapshot, newest_snapshots
from headrace_ui.responses.differences import (
    DifferenceSideRow,
    PartitionDifferenceRow,
    SnapshotChoiceRow,
    SnapshotDifferenceResponse,
)
from headrace_ui.views.difference_partitions import (
    accumulates,
    compared_partitions,
    left_out,
    partition_states,
)

FUNCTION = "headrace_ui.services.snapshot_differences:snapshot_difference"
PARTITIONS_LISTED = 400
"""Partitions of a response, the newest ones."""
SNAPSHOTS_MAX = 30
"""Snapshots of a response, the newest ones."""
_SNAPSHOTS_READ = 1_000


class DifferenceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Two sides: each a snapshot's number, a time or an environment.

    Without `right` it is what is published now, without `left` what was published before the newest
    change, of `partition` if there is one. `partition` limits the rows, too, but not of a table
    that each publication updates as a whole. `limit` is the number of rows of each kind.
    """

    left: str | None = None
    right: str | None = None
    partition: str | None = None
    keys: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class _Opened(NamedTuple):
    """One side and the session of its environment; `snapshots` are its published snapshots."""

    session: ProjectSession
    side: Side
    snapshots: list[PublishedSnapshot]


@command(
    "diff page",
    READ,
    of="name",
    http="GET /assets/{name}/difference snapshot_difference",
    rows=True,
    not_for_agents="`diff` compares the same rows",
)
def snapshot_difference(
    session: ProjectSession, name: str, query: DifferenceQuery
) -> SnapshotDifferenceResponse:
    """Return which partitions, columns and rows of an asset differ between two sides.

    Raise UsageError for an unknown asset, side, partition or key, and for an asset without rows.
    """
    node_name = targets.target(name, session.project()).node
    node = session.project().source_or_asset(node_name)
    assert node is not None
    _require_rows(node)
    with _both(session, node_name, query) as (left, right):
        sides = (left.side, right.side)
        states = partition_states(*sides)
        partition = _listed(node, query.partition, states)
        compared = compared_partitions(node, states, partition)
        uncompared = left_out(node, states, partition, compared)
        sides = (_with_files(left, node, compared), _with_files(right, node, compared))
        tables = (left.side.table, right.side.table)
        visible = visible_sides((left.session, right.session), node_name, tables, over_network=True)
        known = _environments(session)
        rows = [_side_row(item) for item in (left, right)]
        choices = _choices(session, node_name, right)[:SNAPSHOTS_MAX]
        snapshots = [_snapshot_choice(session, item) for item in choices]
        note_reads(session, [node_name], usage.READ)
    with lake_files.naming_damage(session, [file for side in sides for file in side.files]):
        comparison = compare_sides(
            node,
            session.timezone,
            query.keys,
            query.limit,
            sides,
            spread=True,
            visible=visible,
        )
    response = SnapshotDifferenceResponse(
        asset=node_name,
        left=rows[0],
        right=rows[1],
        partitions=[
            msgspec.structs.replace(item, compared=item.partition in compared)
            for item in states[-PARTITIONS_LISTED:]
        ],
        counted=dict(Counter(item.state for item in states)),
        partition=partition,
        whole=accumulates(node),
        compared=len(compared),
        not_compared=uncompared.partitions,
        too_large=uncompared.too_large,
        command=_command(node_name, rows, partition, query.keys) if uncompared.too_large else None,
        columns=_columns(tables, visible),
        column_changes=comparison.columns,
        keys=comparison.keys or None,
        rows_added=0,
        rows_removed=0,
        rows_changed=None,
        cells={},
        spreads=spread_rows(comparison.spreads),
        sample=[],
        masked=visible.names,
        snapshots=snapshots,
        environments=known,
    )
    return _with_counts(response, comparison)


def _with_counts(
    response: SnapshotDifferenceResponse, comparison: RowComparison
) -> SnapshotDifferenceResponse:
    counted = comparison.counted
    return msgspec.structs.replace(
        response,
        rows_added=counted.added,
        rows_removed=counted.removed,
        rows_changed=counted.changed,
        cells=counted.cells,
        sample=[row_change(example) for example in counted.examples],
    )


def _require_rows(node: Source | Asset) -> None:
    if isinstance(node, Asset) and node.materialize in ("files", "none", "view"):
        raise UsageError(
            f"{node.name} has `materialize: {node.materialize}`: it keeps no rows to compare",
            hint="compare its inputs",
        )


def _command(
    name: str, sides: Sequence[DifferenceSideRow], partition: str | None, keys: Sequence[str]
) -> str | None:
    """Return the command that compares rows without a limit, None where no command does.

    Environments are compared with production only.
    """
    environments = {side.env for side in sides}
    if len(environments) > 1:
        other = environments - {PRODUCTION}
        return command_line("--env", *other, "plan") if len(other) == 1 else None
    words = [] if environments == {PRODUCTION} else ["--env", *environments]
    words += ["diff", partition_argument(name, partition or WHOLE)]
    for side in sides:
        words += ["--at", str(side.snapshot)]
    return command_line(*words, *(["--keys", ",".join(keys)] if keys else []))


# The two sides. Each is read in the state of its environment; DuckDB reads once both are closed.


@contextmanager
def _both(
    session: ProjectSession, name: str, query: DifferenceQuery
) -> Iterator[tuple[_Opened, _Opened]]:
    sessions = {session.env: session}
    try:
        right = _asked(sessions, session, name, query.right)
        if query.left is None:
            yield _before(right, name, query.partition), right
        else:
            yield _asked(sessions, session, name, query.left), right
    finally:
        for item in sessions.values():
            item.close()


def _asked(
    sessions: dict[str, ProjectSession], session: ProjectSession, name: str, text: str | None
) -> _Opened:
    """Return a side as typed; `sessions` are those of environments that are open."""
    if text not in _environments(session):
        return _opened(session, name, text)
    if text not in sessions:
        sessions[text] = _in_environment(session, text, name)
    return _opened(sessions[text], name, None)


def _environments(session: ProjectSession) -> list[str]:
    return [PRODUCTION, *session.settings.environments]


def _in_environment(session: ProjectSession, env: str, name: str) -> ProjectSession:
    """Return a session of another environment for the same identity.

    Raise NotAllowed if its roles don't reach the node there, UnknownName if the environment doesn't
    have it.
    """
    other = ProjectSession(session.root, env, None, session.actor, identity=session.identity)
    try:
        _require_readable(other, name)
    except BaseException:
        other.close()
        raise
    return other


def _require_readable(session: ProjectSession, name: str) -> None:
    if session.project().source_or_asset(name) is None:
        raise UnknownName(f"there is no {name[:60]} in {session.env}", hint="choose another side")
    check_call(session, FUNCTION, {"name": name})


def _opened(session: ProjectSession, name: str, text: str | None) -> _Opened:
    """Return one side of a session's environment, at a snapshot or a time (None: now)."""
    if name in session.borrowed and session.production is not None:
        return _opened(session.production, name, text)
    if session.store is None:
        raise UsageError(f"nothing of {name} was ever published", hint="headrace tick")
    query = ReadQuery(name, at=text)
    if text is not None and text.isdecimal():
        query = ReadQuery(name, version=int(text[:18]))
    elif text is not None:
        _require_time(session, text)
    with session.store.read() as tx:
        snapshot = snapshot_of(session, tx, query)
    return _at(session, name, snapshot)


def _require_time(session: ProjectSession, text: str) -> None:
    """Raise UsageError for a side that is neither a snapshot, a time nor an environment."""
    try:
        session.parse_time(text, "--at")
    except UsageError:
        raise UsageError(
            f"{text[:40]!r} is no snapshot, time or environment",
            hint="write a snapshot's number, a time like 2013-02-14T07:20, or an environment",
        ) from None


def _at(session: ProjectSession, name: str, snapshot: int) -> _Opened:
    with session.existing_store.read() as tx:
        at = publications.newest_at(tx, snapshot)
        side = Side(
            MomentRow(snapshot=snapshot, at=None if at is None else session.instant(at)),
            catalog.table(tx, name, snapshot),
            publications.visible(tx, name, snapshot),
            Path(session.folders.lake),
        )
        oldest = catalog.oldest_snapshot(tx).id
        published = newest_snapshots(tx, name, _SNAPSHOTS_READ)
    snapshots = [item for item in published if item.snapshot >= oldest]
    return _Opened(session, side, snapshots)


def _before(right: _Opened, name: str, partition: str | None) -> _Opened:
    """Return the side before the newest change (of a partition) by the right side's snapshot."""
    assert right.session.store is not None
    newest = right.side.row.snapshot
    with right.session.store.read() as tx:
        changed = last_snapshot(tx, name, partition, newest)
        oldest = catalog.oldest_snapshot(tx).id
        before = (newest if changed is None else changed) - 1
        snapshot = next(
            (item for item in range(before, oldest, -1) if catalog.snapshot_exists(tx, item)),
            oldest,
        )
    return _at(right.session, name, snapshot)


def _choices(session: ProjectSession, name: str, right: _Opened) -> list[PublishedSnapshot]:
    """Return the snapshots to choose from: a number is one of the session's environment."""
    if session.store is None and name not in session.borrowed:
        return []
    source = session.production if name in session.borrowed else session
    if source is None or source.env == right.session.env:
        return right.snapshots
    return _opened(session, name, None).snapshots


def _with_files(opened: _Opened, node: Source | Asset, keys: Sequence[str]) -> Side:
    store = opened.session.store
    if store is None or not keys:
        return opened.side
    with store.read() as tx:
        return with_files(tx, node.name, opened.side, None if accumulates(node) else keys)


def _side_row(opened: _Opened) -> DifferenceSideRow:
    row = opened.side.row
    return DifferenceSideRow(
        env=opened.session.env,
        snapshot=row.snapshot,
        at=row.at,
        partitions=len(opened.side.published),
    )


def _snapshot_choice(session: ProjectSession, item: PublishedSnapshot) -> SnapshotChoiceRow:
    return SnapshotChoiceRow(
        snapshot=item.snapshot, at=session.instant(item.at), partitions=item.partitions
    )


def _listed(
    node: Source | Asset, typed: str | None, states: Sequence[PartitionDifferenceRow]
) -> str | None:
    """Return the partition whose rows are compared, if it is one only."""
    if typed is None:
        return None
    key = targets.partition(node, typed)
    if not any(item.partition == key for item in states):
        raise UsageError(
            f"{node.name}@{key[:60]} is published on neither side", hint="choose another partition"
        )
    return None if accumulates(node) else key


def _columns(
    tables: tuple[LakeTable | None, LakeTable | None], visible: VisibleSides
) -> list[ColumnRow]:
    """Return the columns of both sides, in the right one's order; of one side if there is one."""
    by_side: list[Mapping[str, str]] = [
        {item.name: item.type for item in table.columns if item.name != PARTITION_COLUMN}
        for table in tables
        if table is not None
    ]
    if not by_side:
        return []
    there = {name.lower() for name in by_side[0]}
    return [
        ColumnRow(name=name, type=kind)
        for name, kind in by_side[-1].items()
        if name.lower() in there and name.lower() not in visible.left_out
    ]
