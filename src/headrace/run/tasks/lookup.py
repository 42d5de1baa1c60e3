"""What tasks are made of, as the store and the lake have it: tables, the files of an input's partitions, references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, LakeColumn, LakeTable
from headrace.lake.catalog import files, newest_snapshot, snapshot_exists, table
from headrace.model import Asset, HeadraceError, InputMode, InputSpec, Project, Severity
from headrace.plan import Compiled
from headrace.plan.code import packages
from headrace.plan.views import expanded_names, inputs_of, is_view
from headrace.run.applying import AppliedVersion
from headrace.run.borrowing import Production
from headrace.run.handing import secrets_of
from headrace.run.tasks.accumulating import by_id, files_read
from headrace.run.tasks.using import Uses
from headrace.store import Transaction
from headrace.store.queries import applying, leading, publications, versions


class Undeliverable(HeadraceError):
    """A dispatch that can't be made into a task: what it needs isn't there (any more)."""


class TaskLookup:
    """Look-ups for one applied version. Tables are remembered; `forget` drops one whose columns changed."""

    def __init__(self, applied: AppliedVersion, code: str, production: Production | None = None, cache: Path | None = None) -> None:
        """`cache` is the folder where the lineage is kept that was found when the version was compiled."""
        self._applied, self.code, self._production, self._cache = applied, code, production, cache
        self._tables: dict[str, LakeTable | None] = {}
        self._reshaping: set[str] | None = None
        self._packages: dict[str, tuple[str, ...]] = {}
        self._fingerprints: dict[int, dict[str, str]] = {}

    @property
    def compiled(self) -> Compiled:
        """What is applied, understood."""
        return self._applied.compiled

    @property
    def project(self) -> Project:
        """What is applied, as declared."""
        return self._applied.compiled.project

    @cached_property
    def checked_views(self) -> tuple[Asset, ...]:
        """The views that have blocking checks."""
        views = (asset for asset in self.project.assets.values() if asset.materialize == "view")
        return tuple(view for view in views if any(check.severity is Severity.BLOCKING for check in view.checks))

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """References to all secrets that the project declares."""
        return secrets_of(self.project)

    @cached_property
    def uses(self) -> Uses:
        """Who uses which column of the sources."""
        return Uses(self.compiled, self._cache)

    def packages(self, asset: str) -> tuple[str, ...]:
        """The top-level names of packages that an asset's code imports."""
        if asset not in self._packages:
            self._packages[asset] = tuple(packages(self.compiled.code, asset))
        return self._packages[asset]

    def rewritten(self, tx: Transaction, asset: str) -> bool:
        """Whether its newest rows that readers see were published by other code than is applied."""
        newest = publications.newest(tx, asset)
        if newest is None:
            return False
        if newest.version not in self._fingerprints:
            applied = versions.get(tx, newest.version)
            nodes = {} if applied is None else msgspec.msgpack.decode(applied.compiled, type=Compiled).nodes
            self._fingerprints[newest.version] = {name: node.fingerprint for name, node in nodes.items()}
        was = self._fingerprints[newest.version].get(asset)
        return was is not None and was != self.compiled.nodes[asset].fingerprint

    def forget(self, name: str) -> None:
        """The table's columns have changed."""
        self._tables.pop(name, None)

    def reshaping(self, tx: Transaction, name: str) -> bool:
        """Whether a node's code changed since its table's columns were last set."""
        if self._reshaping is None:
            self._reshaping = applying.reshaping(tx)
        return name in self._reshaping

    def reshaped(self, tx: Transaction, name: str) -> bool:
        """A node's table has the columns of the code in force; whether the store still says otherwise."""
        was = self.reshaping(tx, name)
        if self._reshaping is not None:
            self._reshaping.discard(name)
        return was

    def grown(self, tx: Transaction, name: str) -> None:
        """A source's table has columns that it hadn't: the tables of what reads it, `select *` and opaque bodies, may get them too."""
        reading = {name}
        for node in self.compiled.order:
            if any(spec.node in reading for spec in self.compiled.nodes[node].inputs):
                reading.add(node)
        applying.may_reshape(tx, sorted(reading - {name}))
        self._reshaping = None

    def table(self, tx: Transaction, name: str) -> LakeTable | None:
        """The lake's table of that name, None while its columns aren't known."""
        lake_table = self._tables.get(name)
        if lake_table is None:
            lake_table = self._tables[name] = table(tx, name)
        return lake_table

    def data(self, tx: Transaction, name: str, keys: Sequence[str] | None, snapshot: int) -> InputData:
        """Published partitions of a node, all of them where `keys` is None. Raises Undeliverable where nothing of it ever was."""
        if is_view(self.project, name):
            whole = InputSpec(node=name, mode=InputMode.ALL, place=self.project.assets[name].place)
            return self.view(whole, lambda spec: self.data(tx, spec.node, None, snapshot))
        if self._production is not None and name in self._production.nodes:
            return self._borrowed(self._production, name, keys)
        return self._stored(tx, self.table(tx, name), name, keys, snapshot)

    def _stored(self, tx: Transaction, known: LakeTable | None, name: str, keys: Sequence[str] | None, snapshot: int) -> InputData:
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        columns = tuple(c for c in known.columns if c.name != PARTITION_COLUMN)
        asset = self.project.assets.get(name)
        if asset is not None and asset.accumulates:
            refs, rows = files_read(tx, asset, keys, snapshot)
            return InputData(name=name, files=refs, columns=columns, rows=rows)
        rows = leading.published_rows(tx, name, keys)
        return InputData(name=name, files=tuple(files(tx, name, keys, snapshot)), columns=columns, rows=rows)

    def data_at(self, tx: Transaction, name: str, snapshot: int) -> InputData:
        """All of a node as it was in a snapshot, with its columns of now; what is borrowed, as it is now. Raises Undeliverable where
        that isn't kept any more."""
        if self._production is not None and name in self._production.nodes:
            return self._borrowed(self._production, name, None)
        known = self.table(tx, name)
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        if not snapshot_exists(tx, snapshot):
            raise Undeliverable(f"{name} as of snapshot {snapshot} isn't kept any more ([retention] snapshots)")
        columns = tuple(c for c in known.columns if c.name != PARTITION_COLUMN)
        return InputData(name=name, files=tuple(by_id(file) for file in files(tx, name, None, snapshot)), columns=columns)

    def view(self, spec: InputSpec, read: Callable[[InputSpec], InputData]) -> InputData:
        """A view as who reads it like `spec` sees it: its statement over what `read` gives for each of its inputs."""
        node = self.compiled.nodes[spec.node]
        inputs = tuple(read(input_spec) for input_spec in inputs_of(self.compiled, spec))
        columns = tuple(LakeColumn(column, kind, number) for number, (column, kind) in enumerate(node.columns or (), 1))
        return InputData(name=spec.node, files=(), columns=columns, sql=node.sql or "", inputs=inputs)

    def _borrowed(self, production: Production, name: str, keys: Sequence[str] | None) -> InputData:
        with production.store.read() as theirs:
            result = self._stored(theirs, table(theirs, name), name, keys, newest_snapshot(theirs))
        return msgspec.structs.replace(result, files=tuple(map(production.absolute, result.files)))

    def production_snapshot(self) -> int | None:
        """In an environment: production's newest snapshot."""
        if self._production is None:
            return None
        with self._production.store.read() as theirs:
            return newest_snapshot(theirs)

    def published_keys(self, tx: Transaction, name: str, moment: str = "") -> list[str]:
        """The partitions of a node that readers see; of an interval alone, where one is named."""
        if self._production is None or name not in self._production.nodes:
            return leading.published_keys(tx, name, moment)
        with self._production.store.read() as theirs:
            return leading.published_keys(theirs, name, moment)

    def snapshot_of(self, tx: Transaction, name: str, publication_id: int) -> int | None:
        """The snapshot of a publication; None if it isn't known any more."""
        if self._production is None or name not in self._production.nodes:
            return publications.snapshot_of(tx, name, publication_id)
        with self._production.store.read() as theirs:
            return publications.snapshot_of(theirs, name, publication_id)

    def references(self, tx: Transaction, name: str, snapshot: int) -> tuple[InputData, ...]:
        """What a node's checks read besides its own rows, as far as it was ever published."""
        wanted = self.compiled.nodes[name].check_references
        return tuple(self.data(tx, other, None, snapshot) for other in wanted if self._there(tx, other))

    def _there(self, tx: Transaction, name: str) -> bool:
        """Whether anything of a node was ever published; of a view, of all that it reads."""
        return all(self._has_table(tx, item) for item in expanded_names(self.compiled, [name]))

    def _has_table(self, tx: Transaction, name: str) -> bool:
        if self._production is None or name not in self._production.nodes:
            return self.table(tx, name) is not None
        with self._production.store.read() as theirs:
            return table(theirs, name) is not None
