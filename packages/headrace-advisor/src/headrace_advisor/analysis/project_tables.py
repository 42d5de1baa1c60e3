"""What a project says about its tables: columns, types, and keys with what guards them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.extension import Asset, Source
from headrace.model import CheckSpec, InputMode, InputSpec, Severity
from headrace.plan.compiled import Compiled, CompiledNode
from headrace_advisor.analysis.advice import Premise
from headrace_advisor.analysis.checking import parse_query
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.relations import Relation, premises_of
from headrace_advisor.analysis.statements import Statement
from headrace_advisor.analysis.tables import Key, Reference, TableFacts, family

_KEY_COLUMNS_MAX = 60
"""Tables with more columns get no key from their query."""
_COMPUTED_WHOLE = ("table", "view")
"""Kinds of assets whose partitions hold exactly what the query gave."""


class ProjectTables:
    """The tables of a compiled project as its assets read them."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self._keys: dict[str, list[Key]] = {}
        self._statements: dict[str, Statement | None] = {}
        for name in compiled.order:
            if name in compiled.nodes:
                self._keys[name] = [*self._declared_keys(name), *self._computed_keys(name)]

    def statement(self, asset: str) -> Statement | None:
        """Return an asset's query; None if it isn't SQL, or can't be read."""
        if asset not in self._statements:
            sql = self.compiled.nodes[asset].sql
            self._statements[asset] = None if sql is None else parse_query(sql)
        return self._statements[asset]

    def catalog(self, asset: str) -> dict[str, TableFacts]:
        """Return the inputs of an asset by their names in its query."""
        node = self.compiled.nodes[asset]
        return {spec.node.lower(): self._read(asset, spec) for spec in node.inputs}

    def _read(self, asset: str, spec: InputSpec) -> TableFacts:
        """Return an input as an asset reads it: one partition, or several."""
        node = self.compiled.nodes[spec.node]
        single = self._reads_one_partition(asset, spec)
        keys = tuple(
            key if single else wider
            for key in self._keys.get(spec.node, ())
            if (wider := self._over_partitions(node, key)) is not None or single
        )
        return TableFacts(
            node.name,
            self._types(node),
            dict(self._not_null(node)),
            tuple(key for key in keys if key is not None),
            tuple(self._references(node)),
        )

    def _reads_one_partition(self, asset: str, spec: InputSpec) -> bool:
        """Whether each partition of an asset reads one partition of an input."""
        project = self.compiled.project
        mine = project.assets[asset].partition
        other = self._declaration(spec.node)
        if isinstance(other, Asset) and other.materialize not in _COMPUTED_WHOLE:
            return False
        if other.partition.whole:
            return True
        same = (mine.grain, mine.key) == (other.partition.grain, other.partition.key)
        plain = spec.mode is InputMode.REQUIRED and spec.lookback is None
        return same and plain and not other.partition.by_delivery and not self._is_view(spec.node)

    def _is_view(self, name: str) -> bool:
        asset = self.compiled.project.assets.get(name)
        return asset is not None and asset.materialize == "view"

    def _over_partitions(self, node: CompiledNode, key: Key) -> Key | None:
        """Return a key of one partition as a key of all of them; None if there is none."""
        declaration = self._declaration(node.name)
        if isinstance(declaration, Asset) and declaration.materialize == "merge":
            return key if key.columns == frozenset(map(str.lower, declaration.merge_keys)) else None
        if isinstance(declaration, Asset) and declaration.materialize not in _COMPUTED_WHOLE:
            return None
        if declaration.partition.whole:
            return key
        column = declaration.partition.key or node.partition_column
        if column is None or self._is_view(node.name):
            return None
        columns = key.columns | {column.lower()}
        text = f"({', '.join(sorted(columns))}) is unique in {node.name}"
        return Key(columns, Premise(text, key.premise.guard), key.null_safe)

    def _declaration(self, name: str) -> Source | Asset:
        project = self.compiled.project
        return project.assets[name] if name in project.assets else project.sources[name]

    def _types(self, node: CompiledNode) -> Mapping[str, str] | None:
        if node.columns is not None:
            return {name.lower(): family(type_) for name, type_ in node.columns}
        if node.column_names is not None:
            return {name.lower(): "" for name in node.column_names}
        return None

    # Keys and NULLs that checks guard

    def _checks(self, name: str, kind: str) -> Iterator[tuple[CheckSpec, str | None]]:
        declaration = self._declaration(name)
        blocks = declaration.on_fail != "warn" and not self._is_view(name)
        for check in declaration.checks:
            if check.kind != kind or check.where is not None:
                continue
            place = f"{check.place.file}:{check.place.line}"
            blocking = blocks and check.severity is Severity.BLOCKING
            yield check, f"check `{check.name}` of {name} ({place})" if blocking else None

    def _declared_keys(self, name: str) -> Iterator[Key]:
        for check, guard in self._checks(name, "unique"):
            columns = frozenset(str(column).lower() for column in check.arguments["columns"])
            yield Key(columns, _unique(columns, name, guard), null_safe=False)
        declaration = self._declaration(name)
        if isinstance(declaration, Asset) and declaration.materialize == "merge":
            columns = frozenset(map(str.lower, declaration.merge_keys))
            if columns:
                guard = f"`materialize: merge` of {name} ({declaration.place.file})"
                yield Key(columns, _unique(columns, name, guard), null_safe=False)

    def _not_null(self, node: CompiledNode) -> Iterator[tuple[str, Premise]]:
        for check, guard in self._checks(node.name, "not_null"):
            for column in check.arguments["columns"]:
                text = f"{column} of {node.name} is never NULL"
                yield str(column).lower(), Premise(text, guard)

    def _references(self, node: CompiledNode) -> Iterator[Reference]:
        for check, _ in self._checks(node.name, "references"):
            table, _, to = str(check.arguments["to"]).partition(".")
            column = str(check.arguments["column"]).lower()
            # the check holds when the node is published; the other table may lose rows later
            text = f"each ({column}) of {node.name} is still in {table}"
            yield Reference((column,), table.lower(), (to.lower(),), Premise(text, None))

    def _computed_keys(self, name: str) -> Iterator[Key]:
        """Yield a key that follows from an asset's query: its groups, its DISTINCT."""
        asset = self.compiled.project.assets.get(name)
        if asset is None or asset.materialize not in _COMPUTED_WHOLE:
            return
        statement = self.statement(name)
        if statement is None:
            return
        try:
            relation = Queries(statement, self.catalog(name)).relations.get(id(statement.tree))
            key = None if relation is None else _smallest_key(relation)
        except RecursionError:
            return
        if key is not None:
            columns, guards = key
            guard = "; ".join([f"the query of {name} ({asset.place.file})", *guards])
            yield Key(columns, _unique(columns, name, guard), null_safe=True)


def _smallest_key(relation: Relation) -> tuple[frozenset[str], list[str]] | None:
    """Return a key without superfluous columns, and what guards it; None if there is none."""
    key = frozenset(relation.columns or ())
    if not 0 < len(key) <= _KEY_COLUMNS_MAX or len(key) < len(relation.columns or ()):
        return None
    row = relation.close(key, frozenset(), guarded_only=True).row
    if row is None:
        return None
    for column in relation.columns or ():
        smaller = relation.close(key - {column}, frozenset(), guarded_only=True).row
        if smaller is not None:
            key, row = key - {column}, smaller
    return key, sorted(p.guard for p in premises_of(row) if p.guard is not None)


def _unique(columns: frozenset[str], name: str, guard: str | None) -> Premise:
    return Premise(f"({', '.join(sorted(columns))}) is unique in {name}", guard)
