"""What a project could do without: findings from its declarations and column lineage. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlglot import exp

from headrace.extension import Asset, Source
from headrace.model import Consumer, InputMode, InputSpec, SqlBody
from headrace.plan import Compiled
from headrace.plan.compiled import own_file
from headrace.plan.impact import Lineage
from headrace.sql.values import Transformation, values_of
from headrace_advisor.analysis.checking import parse_query
from headrace_advisor.analysis.column_uses import ColumnUses
from headrace_advisor.analysis.needed_nodes import needed_nodes

SEEN_DAYS = 30
"""Reads are searched in this number of days."""
UNAGREED = ("draft", "proposed")
"""States of a contract that nobody has agreed to (ODCS)."""
_MACRO = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?(?:macro|function)\s+\"?(\w+)",
    re.IGNORECASE,
)
_MAKES_NULLS = re.compile(r"\b(join|rollup|cube|grouping)\b", re.IGNORECASE)
"""An outer join and subtotals make NULLs of a column without any."""
_CHANGING = (
    "joins", "laterals", "where", "group", "having", "qualify", "distinct", "limit", "offset",
    "sample", "with_", "connect", "pivots",
)  # fmt: skip
"""Clauses with which a SELECT doesn't give each row of its table once."""
_SHAPES = re.compile(
    r"\b(distinct|limit|sample|unnest|union|intersect|except|qualify|offset)\b", re.IGNORECASE
)


class Finding(NamedTuple):
    """Something that a project could do without, with the reason in words.

    `node` is NODE, NODE.COLUMN, or what else has a name: an owner, a contract, a macro. `files` are
    the files that go with it, empty if no file belongs to it alone.
    """

    kind: str
    node: str
    evidence: str
    files: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its id: `kind:node`."""
        return f"{self.kind}:{self.node}"


class ProjectShape:
    """The declarations of one version, with what needs what."""

    def __init__(self, compiled: Compiled, lineage: Lineage, seen: frozenset[str]) -> None:
        self.compiled, self.lineage = compiled, lineage
        self._project = compiled.project
        self.uses = ColumnUses(compiled, lineage, seen)
        """The columns that somebody needs; `seen` are the nodes of which reads were observed."""
        self.needed = needed_nodes(compiled, seen)
        """Nodes that a consumer or an observed reader needs, directly or not."""
        self.passed = {
            name: above
            for name in compiled.order
            if (above := self._passed_through(name)) is not None
        }
        """Asset → the input that it passes on unchanged."""

    def findings(self) -> Iterator[Finding]:
        """Yield every finding that the declarations show."""
        yield from self._unread()
        yield from self._unread_columns()
        yield from self._pass_through()
        yield from self._duplicates()
        yield from self._checks()
        yield from self._macros()
        yield from self._agreements()

    # Nodes and columns that nothing needs

    def _unread(self) -> Iterator[Finding]:
        files = self.own_files()
        for name in self.compiled.order:
            if name in self.needed:
                continue
            node = self._project.source_or_asset(name)
            if node is None:
                continue
            kind = "unused_source" if name in self._project.sources else "unread_asset"
            yield Finding(
                kind,
                name,
                f"no consumer needs it, and no read of it was seen in the last {SEEN_DAYS} days",
                files.get(name, ()),
            )

    def own_files(self) -> dict[str, tuple[str, ...]]:
        """Return node → the files that belong to it alone, its tests excluded."""
        places = {node.name: self._places(node) for node in self._project.nodes()}
        uses = Counter(path for paths in places.values() for path in paths)
        return {
            name: tuple(sorted(paths))
            for name, paths in places.items()
            if all(uses[path] == 1 for path in paths)
        }

    def _places(self, node: Source | Asset | Consumer) -> set[str]:
        """Return the files that declare a node."""
        if not isinstance(node, Asset):
            return {node.place.file}
        body = {node.body.file} if isinstance(node.body, SqlBody) else set()
        return {node.place.file, own_file(node) or node.place.file, *body}

    def _unread_columns(self) -> Iterator[Finding]:
        reason = "no column that a consumer reads is computed from it"
        for name in self.compiled.order:
            if name in self.needed and name in self._project.assets:
                for column in self.uses.unused(name):
                    yield Finding("unread_column", f"{name}.{column}", reason)

    # Assets that add nothing

    def _passed_through(self, name: str) -> str | None:
        """Return the input that an asset passes on unchanged; None if it changes anything."""
        node, asset = self.compiled.nodes[name], self._project.assets.get(name)
        if asset is None or not isinstance(asset.body, SqlBody) or len(node.inputs) != 1:
            return None
        lines, above = self.lineage.of(name), self.compiled.nodes[node.inputs[0].node]
        identical = all(
            len(edges) == 1
            and edges[0].transformation is Transformation.IDENTITY
            and edges[0].column.lower() == column.lower()
            for column, edges in lines.columns.items()
        )
        plain = node.sql is not None and not _SHAPES.search(node.sql) and not node.uses_self
        if not lines.columns or lines.filters or not identical or not plain:
            return None
        if not self._has_same_partitions(asset, node.inputs[0]):
            return None
        return above.name if _reads_one_table(node.sql or "") else None

    def _has_same_partitions(self, asset: Asset, spec: InputSpec) -> bool:
        """Return whether each partition of an asset is computed from that one of its input."""
        above = self._project.source_or_asset(spec.node)
        if above is None or asset.materialize not in ("table", "view"):
            return False
        if spec.mode is not InputMode.REQUIRED or spec.lookback is not None or spec.optional:
            return False
        return _partitions(asset) == _partitions(above)

    def _pass_through(self) -> Iterator[Finding]:
        for name, above in self.passed.items():
            if name in self.needed:
                columns = len(self.lineage.of(name).columns)
                yield Finding(
                    "pass_through",
                    name,
                    f"all its {columns} columns are those of {above}, its only input, unchanged",
                )

    def _duplicates(self) -> Iterator[Finding]:
        first: dict[tuple[str, str], str] = {}
        for name in self.compiled.order:
            node = self.compiled.nodes[name]
            key = (node.kind, node.fingerprint)
            if node.fingerprint and key in first:
                what = "source" if name in self._project.sources else "code"
                yield Finding("duplicate", name, f"the same {what} and inputs as {first[key]}")
            elif node.fingerprint:
                first[key] = name

    # Checks, macros and agreements

    def _checks(self) -> Iterator[Finding]:
        for name, asset in self._project.assets.items():
            contract = self._project.contracts.get(asset.contract or "")
            if not asset.checks and not (contract is not None and contract.checks):
                yield Finding("no_checks", name, "no check tests what it publishes")
            for check in asset.checks:
                reason = self._cannot_fail(name, check.kind, check.arguments)
                if reason:
                    yield Finding("obvious_check", f"{name}.{check.name}", f"proven: {reason}")

    def _cannot_fail(self, name: str, kind: str, arguments: Mapping[str, object]) -> str:
        """Return why a check can't fail: a blocking check of its input tests the same values."""
        columns = arguments.get("columns")
        if kind != "not_null" or not isinstance(columns, list) or not columns:
            return ""
        origins = [self._same_values_above(name, str(column)) for column in columns]
        known = [origin for origin in origins if origin is not None and self._never_null(*origin)]
        if len(known) < len(columns):
            return ""
        reasons = [
            f"{column} is {above}.{its_column}"
            for column, (above, its_column) in zip(columns, known, strict=True)
        ]
        return f"{', '.join(reasons)}, where a blocking check refuses NULLs"

    def _same_values_above(self, name: str, column: str) -> tuple[str, str] | None:
        """Return the input's column whose values a column has unchanged; None if it may differ."""
        node = self.compiled.nodes[name]
        edges = values_of(self.lineage.of(name).columns.get(column, ()))
        if len(edges) != 1 or edges[0].transformation is not Transformation.IDENTITY:
            return None
        if _MAKES_NULLS.search(node.sql or ""):
            return None
        above = {spec.node.lower(): spec.node for spec in node.inputs}.get(edges[0].input)
        return None if above is None else (above, edges[0].column)

    def _never_null(self, name: str, column: str) -> bool:
        node = self._project.source_or_asset(name)
        return node is not None and any(
            check.kind == "not_null"
            and check.severity == "blocking"
            and check.where is None
            and column.lower() in {str(each).lower() for each in check.arguments["columns"]}
            for check in node.checks
        )

    def _macros(self) -> Iterator[Finding]:
        for path, text in self._project.macros.items():
            names = _MACRO.findall(text)
            callers = {macro: self._callers(macro, path) for macro in names}
            yield from (
                Finding("unused_macro", macro, f"{_who(users)} calls it ({path})")
                for macro, users in callers.items()
                if len(users) <= 1
            )
            if names and not any(callers.values()):
                yield Finding("unused_macro", path, "no macro of the file is called", (path,))

    def _callers(self, macro: str, path: str) -> list[str]:
        """Return what calls a macro of a file: assets, and `another macro` for each other call."""
        call = re.compile(rf"\b{re.escape(macro)}\s*\(", re.IGNORECASE)
        texts = ((name, node.sql or "") for name, node in self.compiled.nodes.items())
        assets = [name for name, sql in texts if call.search(sql)]
        calls = sum(len(call.findall(other)) for other in self._project.macros.values())
        declared = len(call.findall(self._project.macros[path])) > 0
        return assets + ["another macro"] * max(calls - declared, 0)

    def _agreements(self) -> Iterator[Finding]:
        for name, contract in self._project.contracts.items():
            if contract.status.lower() in UNAGREED:
                yield Finding("unagreed_contract", name, f"its status is {contract.status}")
        owners = {node.owner for node in self._project.nodes()}
        for name, owner in self._project.owners.items():
            if name in owners and not owner.contact and owner.manager is None:
                yield Finding("no_contact", name, "messages to this owner reach nobody")

    # Hops

    def hops(self) -> dict[str, tuple[int, int]]:
        """Return consumer → assets on its longest path from a source, and the least possible.

        The least possible leaves out assets that pass their input through.
        """
        actual, least = self._depths(passing=1), self._depths(passing=0)
        return {
            name: (
                max((actual.get(read, 0) for read in consumer.reads), default=0),
                max((least.get(read, 0) for read in consumer.reads), default=0),
            )
            for name, consumer in self._project.consumers.items()
        }

    def _depths(self, *, passing: int) -> dict[str, int]:
        """Return node → assets on its longest path; those that pass through count `passing`."""
        depths: dict[str, int] = {}
        for name in self.compiled.order:
            above = [depths.get(spec.node, 0) for spec in self.compiled.nodes[name].inputs]
            step = passing if name in self.passed else 1
            depths[name] = max(above, default=0) + step if name in self._project.assets else 0
        return depths


def _partitions(node: Source | Asset) -> tuple[object, ...]:
    spec = node.partition
    return spec.grain, spec.key, spec.values, spec.by_delivery, node.timezone


def _reads_one_table(sql: str) -> bool:
    """Return whether a query gives each row of one table once: no joins, functions or samples."""
    statement = parse_query(sql)
    select = None if statement is None else statement.tree
    clause = select.args.get("from_") if isinstance(select, exp.Select) else None
    if select is None or clause is None or any(map(select.args.get, _CHANGING)):
        return False
    table = clause.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        return False
    return not any(map(table.args.get, ("joins", "laterals", "pivots", "sample", "when")))


def _who(users: list[str]) -> str:
    return f"only {users[0]}" if users else "no asset"
