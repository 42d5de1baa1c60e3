"""Look-ups for tasks: tables, files of an input's partitions, references, and uses of columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import msgspec

from headrace.checks.facts import DriftChange
from headrace.compiler.lineage import compile_lineage
from headrace.engine import AttemptScope, InputData
from headrace.lake import PARTITION_COLUMN, FileRef, LakeColumn, LakeTable, as_other_columns
from headrace.lake.catalog import (
    column_versions,
    files,
    newest_snapshot,
    seen,
    snapshot_exists,
    state,
    table,
)
from headrace.lake.tables import Deletes, MergeRule, MergeState, SnapshotRule
from headrace.model import (
    Asset,
    CheckSpec,
    Grain,
    HeadraceError,
    InputMode,
    InputSpec,
    LakeError,
    Project,
    Severity,
    Source,
)
from headrace.model.check_kinds import BUILT_IN, CommonCheck
from headrace.model.intervals import start_us
from headrace.model.nodes import MaterializationKind
from headrace.model.partitions import command_line
from headrace.plan import Compiled
from headrace.plan.classification import classified_columns
from headrace.plan.column_limits import ClassifiedLimits, ColumnLimits, classified_as_in
from headrace.plan.compiled import expand_view_names, imported_packages, is_view, view_inputs
from headrace.plan.earlier_code import Code, EarlierCode
from headrace.plan.impact import ALL_COLUMNS, Lineage, deciding_edges
from headrace.plan.node_graph import NodeGraph
from headrace.plan.schemas import ColumnLineage, is_join_key
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.stored_versions import stored_versions
from headrace.runtime.task_environments import secrets_of
from headrace.slo.damaged_files import damaged_files
from headrace.sql.values import values_of
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import applied_versions, leader_writes, publications
from headrace.store.queries.publications import AccumulatedPartition

# Tables that accumulate across partitions (merge, snapshot): the table that a publication starts
# from, and the one that readers of a partition see.


class StateGone(LakeError):
    """The table before a partition is no longer retained."""


def rule_of(asset: Asset, scope: AttemptScope, now_us: int) -> MergeRule:
    """Return the rule by which the asset's rows are merged into the table."""
    whole = asset.partition.whole
    if asset.materialize == MaterializationKind.MERGE:
        return MergeRule(keys=asset.merge_keys, delete=asset.merge_delete, drop_same=whole)
    return MergeRule(keys=asset.merge_keys, versions=_versions(asset, scope, now_us))


def _versions(asset: Asset, scope: AttemptScope, now_us: int) -> SnapshotRule:
    grain, deletes = asset.partition.grain, Deletes(asset.snapshot_deletes)
    if grain is None or scope.start is None:
        return SnapshotRule(
            at=instant(now_us).isoformat(),
            is_date=False,
            columns=asset.snapshot_columns,
            deletes=deletes,
        )
    is_date = grain is not Grain.HOUR
    at = scope.start[:10] if is_date else scope.start
    return SnapshotRule(at=at, is_date=is_date, columns=asset.snapshot_columns, deletes=deletes)


def state_before(tx: Transaction, asset: Asset, key: str, attempt: str) -> MergeState:
    """Return the table that a partition's publication starts from.

    It is the table after the partition before; for an unpartitioned asset, the current one.

    If the current table isn't that of the newest partition, the hash is made unique: an older
    partition was restated, and those after it are recomputed one by one. Equal hashes mean equal
    tables only once the newest is published again. The same applies to a damaged file: an equal
    table wouldn't be written.

    Raises StateGone if the table before is no longer retained.
    """
    now, published = seen(tx, asset.name), publications.accumulated(tx, asset.name)
    damaged = any(file.node == asset.name for file in damaged_files(tx))
    as_published = _is_newest(tx, asset, published) and not damaged
    nonce = "" if as_published else f"+{attempt}"
    before = _before(asset, published, key)
    if before is None:
        return MergeState(tuple(state(tx, asset.name, 0)), now, nonce)
    return MergeState(
        tuple(state(tx, asset.name, _snapshot(tx, asset, before, key))),
        now,
        (before.content_hash or "") + nonce,
    )


def _is_newest(tx: Transaction, asset: Asset, published: Sequence[AccumulatedPartition]) -> bool:
    """Whether the current table is that of its newest partition."""
    newest = (
        max(published, key=lambda partition: _order(asset, partition.partition), default=None)
        if not asset.partition.whole
        else None
    )
    return newest is None or newest.snapshot == publications.newest_accumulated_snapshot(
        tx, asset.name
    )


def _before(
    asset: Asset, published: Sequence[AccumulatedPartition], key: str
) -> AccumulatedPartition | None:
    if asset.partition.whole:
        return published[0] if published else None
    at = _order(asset, key)
    earlier = [partition for partition in published if _order(asset, partition.partition) < at]
    return max(earlier, key=lambda partition: _order(asset, partition.partition), default=None)


def _order(asset: Asset, key: str) -> tuple[int, str]:
    grain = asset.partition.grain
    return (0, key) if grain is None else (start_us(key, grain, asset.timezone), "")


def _snapshot(tx: Transaction, asset: Asset, before: AccumulatedPartition, key: str) -> int | None:
    """Return the snapshot to start from; None if the table hasn't changed since."""
    if (
        publications.newest_accumulated_snapshot(tx, asset.name) <= before.snapshot
        or asset.partition.whole
    ):
        return None
    if not snapshot_exists(tx, before.snapshot):
        first = min(
            publications.accumulated(tx, asset.name),
            key=lambda partition: _order(asset, partition.partition),
        ).partition
        raise StateGone(
            f"{asset.name}@{key} starts from the table as {before.partition} left it, and snapshot"
            f" {before.snapshot} isn't kept any more; rebuild it from the start: "
            + command_line("run", asset.name, "--from", first, "--again", "--reason", "TEXT")
        )
    return before.snapshot


def files_read(
    tx: Transaction, asset: Asset, keys: Sequence[str] | None, snapshot: int
) -> tuple[tuple[FileRef, ...], int]:
    """Return files and row count of the table after the newest of these partitions.

    Without keys, or if that snapshot is no longer retained, the table at `snapshot`.
    """
    published = publications.accumulated(tx, asset.name)
    partitions = [
        partition for partition in published if keys is None or partition.partition in set(keys)
    ]
    newest = max(partitions, key=lambda partition: _order(asset, partition.partition), default=None)
    if newest is None:
        return (), 0
    if (
        keys is None
        or publications.newest_accumulated_snapshot(tx, asset.name) <= newest.snapshot
        or not snapshot_exists(tx, newest.snapshot)
    ):
        return tuple(files(tx, asset.name, None, snapshot)), newest.rows
    return tuple(
        as_other_columns(file) for file in files(tx, asset.name, None, newest.snapshot)
    ), newest.rows


# The nodes that use each column of a source, and so what a change of it would affect. Derived from
# lineage, once per applied version.


class Uses:
    """The uses of a compiled project's sources. `cache` is the folder of the compiled lineage."""

    def __init__(self, compiled: Compiled, cache: Path | None) -> None:
        self._compiled, self._cache = compiled, cache
        self._direct: dict[str, dict[str, tuple[str, ...]]] = {}
        self._joined: dict[str, dict[str, bool]] = {}
        self._read_by: dict[str, list[str]] | None = None
        self._known: Lineage | None = None

    def direct(self, source: str) -> dict[str, tuple[str, ...]]:
        """Return column, in lower case → its direct readers; `*` → readers of all columns."""
        results = self._direct.get(source)
        if results is None:
            used: dict[str, dict[str, None]] = {}
            for column, user in self._uses(self._compiled.project.sources[source]):
                used.setdefault(column.lower(), {})[user] = None
            results = self._direct[source] = {
                column: tuple(users) for column, users in used.items()
            }
        return results

    def reached(self, source: str, changes: Iterable[DriftChange]) -> tuple[DriftChange, ...]:
        """Return the changes, each with all assets and consumers downstream."""
        return tuple(
            self._reached(source, change) if change.used_by else change for change in changes
        )

    def _reached(self, source: str, change: DriftChange) -> DriftChange:
        assets, consumers = self._lineage.users(
            source, [change.column] if change.column else [ALL_COLUMNS]
        )
        return msgspec.structs.replace(
            change, used_by=tuple(dict.fromkeys((*change.used_by, *assets, *consumers)))
        )

    def made_of(self, asset: str, columns: Collection[tuple[str, str]]) -> tuple[str, ...]:
        """Return an asset's columns whose values derive from any of these (node, column).

        Joins and filters provide no values; opaque code derives all columns from all of its inputs.
        """
        return tuple(
            column
            for column in self._lineage.of(asset).columns
            if self._comes(asset, column, columns)
        )

    def _comes(self, node: str, column: str, columns: Collection[tuple[str, str]]) -> bool:
        targets = {(name.lower(), item.lower()) for name, item in columns}
        target_nodes = {name for name, _ in targets}
        return any(
            origin in targets or (origin[1] == ALL_COLUMNS and origin[0] in target_nodes)
            for origin in self._origins(node.lower(), column.lower())
        )

    def _origins(self, node: str, column: str) -> Iterator[tuple[str, str]]:
        """Yield each (node, column) upstream that a column's values derive from, in lower case."""
        waiting, seen = [(node, column)], set[tuple[str, str]]()
        assets = {name.lower(): name for name in self._compiled.project.assets}
        while waiting:
            at = waiting.pop()
            if at in seen or at[0] not in assets:
                continue
            seen.add(at)
            for edge in values_of(deciding_edges(self._lineage.of(assets[at[0]]), at[1])):
                origin = (edge.input, edge.column.lower())
                waiting.append(origin)
                yield origin

    def joined(self, source: str, columns: Iterable[str]) -> frozenset[str]:
        """Return the columns of a source that are joined downstream."""
        known = self._joined.setdefault(source, {})
        for column in columns:
            if column not in known:
                known[column] = is_join_key(source, [column], self._readers, self._lineage.of)
        return frozenset(column for column in columns if known[column])

    def _readers(self, node: str) -> list[str]:
        if self._read_by is None:
            self._read_by = {}
            for name, compiled_node in self._compiled.nodes.items():
                for spec in compiled_node.inputs:
                    self._read_by.setdefault(spec.node, []).append(name)
        return self._read_by.get(node, [])

    def lines(self, node: str) -> ColumnLineage:
        """Return a node's column lineage."""
        return self._lineage.of(node)

    @property
    def _lineage(self) -> Lineage:
        if self._known is None:
            self._known = compile_lineage(self._compiled, self._cache)
        return self._known

    def _uses(self, source: Source) -> Iterator[tuple[str, str]]:
        """Yield (column, user), with repetitions."""
        for name, node in self._compiled.nodes.items():
            if any(spec.node == source.name for spec in node.inputs):
                yield from (
                    (column, name) for column in self._read_columns(name, source.name.lower())
                )
            if source.name in node.check_references:
                yield ALL_COLUMNS, name
        for name, consumer in self._compiled.project.consumers.items():
            if source.name in consumer.reads:
                yield ALL_COLUMNS, name
        yield from ((column, source.name) for column in _declared_columns(source))

    def _read_columns(self, node: str, source: str) -> Iterator[str]:
        """Yield the columns of a source, named in lower case, that a node reads."""
        yield from (edge.column for edge in self._lineage.of(node).uses if edge.input == source)


def _declared_columns(source: Source) -> Iterator[str]:
    """Yield the columns that a source's declaration names, for partitioning or in checks."""
    yield from (item for item in (source.partition.column, source.partition.key) if item)
    for check in source.checks:
        yield from _checked(check)


def _checked(check: CheckSpec) -> Iterator[str]:
    if check.kind == CommonCheck.SQL or check.where or check.kind not in BUILT_IN:
        yield ALL_COLUMNS  # a text, or an argument of a package's kind, may name any column
    for field in ("column", "columns"):
        argument = check.arguments.get(field)
        yield from [argument] if isinstance(argument, str) else argument or ()


# Tables, files and references, from the store and the lake.


class Undeliverable(HeadraceError):
    """A dispatch without a possible task: something that it needs doesn't exist (any more)."""


class TaskLookup:
    """Look-ups for one applied version. Tables are cached; `forget` drops one that has changed."""

    as_written = False
    """Whether rows are read as they were written, also without a column that was added since."""

    def __init__(
        self,
        applied: AppliedVersion,
        code: str,
        production: Production | None = None,
        cache: Path | None = None,
    ) -> None:
        """`cache` is the folder of the lineage that was found when the version was compiled."""
        self._applied, self.code, self._production, self._cache = applied, code, production, cache
        self._tables: dict[str, LakeTable | None] = {}
        self._columns: dict[str, list[tuple[int, tuple[LakeColumn, ...]]]] = {}
        self._reshaping: set[str] | None = None
        self._packages: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Files that an asset's code begins with → packages that these and their imports need."""
        self._fingerprints: dict[int, dict[str, str]] = {}

    @property
    def compiled(self) -> Compiled:
        """The applied version, compiled."""
        return self._applied.compiled

    @property
    def project(self) -> Project:
        """The applied version, as declared."""
        return self._applied.compiled.project

    @cached_property
    def checked_views(self) -> tuple[Asset, ...]:
        """The views with blocking checks."""
        views = (
            asset
            for asset in self.project.assets.values()
            if asset.materialize == MaterializationKind.VIEW
        )
        return tuple(
            view
            for view in views
            if any(check.severity is Severity.BLOCKING for check in view.checks)
        )

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """References to all secrets that the project declares."""
        return secrets_of(self.project)

    @cached_property
    def classified(self) -> Mapping[str, frozenset[str]]:
        """Each node's classified columns, and those derived from such, in lower case."""
        compiled, production = self.compiled, self._production
        if production is not None and production.project is not None:
            project = classified_as_in(production.project, compiled.project, production.nodes)
            compiled = msgspec.structs.replace(compiled, project=project)
        return classified_columns(compiled, self._lineage)

    @cached_property
    def _lineage(self) -> Lineage:
        return compile_lineage(self.compiled, self._cache)

    def limits(self, tx: Transaction, node: str) -> ColumnLimits:
        """Return the columns of a node that exports mask or leave out by default."""
        stored, columns = stored_versions(tx, self._cache), set[tuple[str, str]]()
        if not self._limits.roots.classified and not self._earlier.look_for_classes(stored):
            return ColumnLimits()
        for name in self._graph.upstream([node]).keys() & self.project.assets.keys():
            versions = applied_versions.published_versions(tx, name)
            columns |= self._earlier.limited(name, versions, stored, self._limits.roots)
        return self._limits.of(node, frozenset(columns))

    @cached_property
    def _earlier(self) -> EarlierCode:
        return EarlierCode(Code(self.compiled, lambda: self._lineage), self._graph)

    @cached_property
    def data_graph(self) -> NodeGraph:
        """What reads what, without what only orders runs."""
        return NodeGraph(self.compiled, data_only=True)

    @cached_property
    def _graph(self) -> NodeGraph:
        return NodeGraph(self.compiled)

    @cached_property
    def _limits(self) -> ClassifiedLimits:
        return ClassifiedLimits(self.compiled, self._lineage)

    @cached_property
    def uses(self) -> Uses:
        """The uses of the sources' columns."""
        return Uses(self.compiled, self._cache)

    def packages(self, asset: str) -> tuple[str, ...]:
        """Return the top-level names of packages that an asset's code imports."""
        code = self.compiled.code
        files = tuple([use.path for use in code.starts.get(asset, ())])
        if files not in self._packages:
            self._packages[files] = tuple(imported_packages(code, asset))
        return self._packages[files]

    def rewritten(self, tx: Transaction, asset: str) -> bool:
        """Whether other code than the applied one published the asset's newest rows."""
        newest = publications.newest(tx, asset)
        if newest is None:
            return False
        was = self.fingerprints_in(tx, newest.version).get(asset)
        return was is not None and was != self.compiled.nodes[asset].fingerprint

    def fingerprints_in(self, tx: Transaction, version: int) -> dict[str, str]:
        """Return node → fingerprint of its code in an applied version; empty if it isn't stored."""
        if version not in self._fingerprints:
            self._fingerprints[version] = applied_versions.fingerprints(tx, version)
        return self._fingerprints[version]

    def forget(self, name: str) -> None:
        """Drop the cached table, whose columns have changed."""
        self._tables.pop(name, None)
        self._columns.pop(name, None)

    def reshaping(self, tx: Transaction, name: str) -> bool:
        """Whether a node's code changed since its table's columns were last set."""
        if self._reshaping is None:
            self._reshaping = applied_versions.reshaping(tx)
        return name in self._reshaping

    def reshaped(self, tx: Transaction, name: str) -> bool:
        """Note that a table has the applied code's columns; return whether that is news.

        It is if the store still marks the node as one whose columns may change.
        """
        was = self.reshaping(tx, name)
        if self._reshaping is not None:
            self._reshaping.discard(name)
        return was

    def grown(self, tx: Transaction, name: str) -> None:
        """Let downstream tables get new columns too: a node's table has columns that it hadn't.

        Assets with `select *` or opaque code may pass them on.
        """
        below = self.data_graph.downstream([name])
        applied_versions.may_reshape(
            tx, sorted(node for node in below if node in self.compiled.nodes and node != name)
        )
        self._reshaping = None

    def timezone(self, name: str) -> str:
        """Return the time zone of a source or an asset."""
        return self.project.timezone_of(name)

    def table(self, tx: Transaction, name: str) -> LakeTable | None:
        """Return the lake's table of a node; None while its columns aren't known."""
        lake_table = self._tables.get(name)
        if lake_table is None:
            lake_table = self._tables[name] = table(tx, name)
        return lake_table

    def columns(self, tx: Transaction, name: str) -> Sequence[tuple[int, tuple[LakeColumn, ...]]]:
        """Return each snapshot that changed a table's columns, with the columns from then on."""
        if name not in self._columns:
            self._columns[name] = column_versions(tx, name)
        return self._columns[name]

    def data(
        self, tx: Transaction, name: str, keys: Sequence[str] | None, snapshot: int
    ) -> InputData:
        """Return published partitions of a node, all if `keys` is None.

        Raises Undeliverable if it was never published.
        """
        if is_view(self.project, name):
            whole = InputSpec(node=name, mode=InputMode.ALL, place=self.project.assets[name].place)
            return self.view(whole, lambda spec: self.data(tx, spec.node, None, snapshot))
        if self._production is not None and name in self._production.nodes:
            return self._borrowed(self._production, name, keys)
        return self._stored(tx, self.table(tx, name), name, keys, snapshot)

    def _stored(
        self,
        tx: Transaction,
        known: LakeTable | None,
        name: str,
        keys: Sequence[str] | None,
        snapshot: int,
    ) -> InputData:
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        columns = tuple(c for c in known.columns if c.name != PARTITION_COLUMN)
        asset = self.project.assets.get(name)
        if asset is not None and asset.accumulates:
            refs, rows = files_read(tx, asset, keys, snapshot)
            return InputData(name=name, files=refs, columns=columns, rows=rows)
        rows = leader_writes.published_rows(tx, name, keys)
        return InputData(
            name=name, files=tuple(files(tx, name, keys, snapshot)), columns=columns, rows=rows
        )

    def data_at(self, tx: Transaction, name: str, snapshot: int) -> InputData:
        """Return all rows of a node in a snapshot, with its current columns.

        A borrowed node is returned as it is now. Raises Undeliverable if the snapshot is no longer
        retained.
        """
        if self._production is not None and name in self._production.nodes:
            return self._borrowed(self._production, name, None)
        known = self.table(tx, name)
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        if not snapshot_exists(tx, snapshot):
            raise Undeliverable(
                f"{name} as of snapshot {snapshot} isn't kept any more ([retention] snapshots)"
            )
        columns = tuple(c for c in known.columns if c.name != PARTITION_COLUMN)
        return InputData(
            name=name,
            files=tuple(as_other_columns(file) for file in files(tx, name, None, snapshot)),
            columns=columns,
        )

    def view(self, spec: InputSpec, read: Callable[[InputSpec], InputData]) -> InputData:
        """Return a view as its reader sees it: its query over the inputs that `read` returns."""
        node = self.compiled.nodes[spec.node]
        inputs = tuple(read(input_spec) for input_spec in view_inputs(self.compiled, spec))
        columns = tuple(
            LakeColumn(column, kind, number)
            for number, (column, kind) in enumerate(node.columns or (), 1)
        )
        return InputData(
            name=spec.node, files=(), columns=columns, sql=node.sql or "", inputs=inputs
        )

    def _borrowed(self, production: Production, name: str, keys: Sequence[str] | None) -> InputData:
        with production.store.read() as theirs:
            result = self._stored(theirs, table(theirs, name), name, keys, newest_snapshot(theirs))
        return msgspec.structs.replace(result, files=tuple(map(production.absolute, result.files)))

    def production_snapshot(self) -> int | None:
        """Return production's newest snapshot in an environment; None in production."""
        if self._production is None:
            return None
        with self._production.store.read() as theirs:
            return newest_snapshot(theirs)

    def published_keys(self, tx: Transaction, name: str, moment: str = "") -> list[str]:
        """Return the published partitions of a node, optionally of one interval."""
        with self.state_of(tx, name) as its:
            return leader_writes.published_keys(its, name, moment)

    def snapshot_of(self, tx: Transaction, name: str, publication_id: int) -> int | None:
        """Return the snapshot of a publication; None if it is no longer known."""
        with self.state_of(tx, name) as its:
            return publications.snapshot_of(its, name, publication_id)

    @contextmanager
    def state_of(self, tx: Transaction, name: str) -> Iterator[Transaction]:
        """Yield the transaction that reads a node: production's if it is borrowed."""
        if self._production is None or name not in self._production.nodes:
            yield tx
        else:
            with self._production.store.read() as theirs:
                yield theirs

    def staged_keys(self, _name: str) -> Collection[str]:
        """Return the partitions of a node that a backfill has computed and not yet published."""
        return ()

    def references(self, tx: Transaction, name: str, snapshot: int) -> tuple[InputData, ...]:
        """Return the other nodes that a node's checks read, if they were ever published."""
        referenced = self.compiled.nodes[name].check_references
        return tuple(
            self.data(tx, other, None, snapshot) for other in referenced if self._there(tx, other)
        )

    def _there(self, tx: Transaction, name: str) -> bool:
        """Whether a node was ever published; for a view, whether all of its inputs were."""
        return all(self._has_table(tx, item) for item in expand_view_names(self.compiled, [name]))

    def _has_table(self, tx: Transaction, name: str) -> bool:
        with self.state_of(tx, name) as its:
            return (self.table(tx, name) if its is tx else table(its, name)) is not None
