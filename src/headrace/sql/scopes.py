"""Scopes of a query: columns with their lineage, relations, and the resolution of names.

Edges of lineage are a dict from (input, column) to a rank, the position of the transformation in
`Transformation`; of two paths to the same column the less faithful one is stored. A path that
passes on values isn't hidden by one that only selects rows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import msgspec
from sqlglot import exp

from headrace.model import Place, Problem
from headrace.sql.types import struct_fields
from headrace.sql.values import UNKNOWN, Edge, Transformation

# Columns with their lineage, relations and scopes.

Edges = dict[tuple[str, str], int]
_RANKED = tuple(Transformation)
(
    IDENTITY,
    CAST,
    EXPRESSION,
    WINDOW_KEY,
    WINDOW,
    AGGREGATE,
    GROUP_KEY,
    JOIN_KEY,
    FILTER,
    OPAQUE,
    MENTION,
) = range(len(_RANKED))

PROBLEMS_MAX = 50
_BARE_DECIMAL_POINT = re.compile(r"(?<![\w.)\]\"])\.\d")


class BoundExpression(msgspec.Struct, frozen=True, gc=False):
    """An expression's type and lineage; edges are shared, so never modify them in place."""

    type: str
    edges: Edges


NO_EDGES: Edges = {}
CONSTANT = BoundExpression(UNKNOWN, NO_EDGES)


class Output(msgspec.Struct, frozen=True, gc=False):
    """A column of a relation; `name` is None if DuckDB would generate one from the expression."""

    name: str | None
    type: str
    edges: Edges


class Relation:
    """Columns in order, and the edges that determine the set of rows.

    `rest` names inputs with unknown columns that flow through (`select * from x`). `opaque` says
    that columns from `rest` can't be followed one by one (PIVOT).
    """

    __slots__ = ("_index", "columns", "filters", "opaque", "rest")

    def __init__(
        self,
        columns: list[Output],
        filters: Edges = NO_EDGES,
        rest: tuple[str, ...] = (),
        opaque: Edges | None = None,
    ) -> None:
        self.columns, self.filters, self.rest, self.opaque = columns, filters, rest, opaque
        self._index: dict[str, Output] | None = None

    @property
    def complete(self) -> bool:
        """Whether `columns` is the complete list."""
        return not self.rest and self.opaque is None

    def get(self, name: str) -> Output | None:
        """Return the first column with that lower-case name."""
        if self._index is None:
            self._index = {}
            for column in self.columns:
                if column.name is not None:
                    self._index.setdefault(column.name.lower(), column)
        return self._index.get(name)

    def unlisted(self, name: str) -> Output | None:
        """Return a column that isn't listed but may come from inputs with unknown columns."""
        if self.opaque is not None:
            return Output(name, UNKNOWN, self.opaque)
        if not self.rest:
            return None
        rank = IDENTITY if len(self.rest) == 1 else OPAQUE
        return Output(name, UNKNOWN, {(input_, name): rank for input_ in self.rest})

    def decided_by(self, edges: Edges) -> Relation:
        """Return the relation whose values `edges` decide, too: a row without a match has none."""
        if not edges:
            return self
        columns = [
            Output(column.name, column.type, decided(edges, column.edges))
            for column in self.columns
        ]
        opaque = None if self.opaque is None else decided(edges, self.opaque)
        return Relation(columns, self.filters, self.rest, opaque)

    def everything(self) -> Edges:
        """Return edges to everything that this relation can contain."""
        edges: Edges = dict(self.opaque or NO_EDGES)
        for column in self.columns:
            merge(edges, column.edges)
        for input_ in self.rest:
            edges[(input_, "*")] = OPAQUE
        return edges


class FromItem(NamedTuple):
    """One item of FROM: its lower-case alias, its columns, and the query or input behind it."""

    alias: str
    relation: Relation
    input: str | None = None
    query: exp.Expr | None = None
    merged: frozenset[str] = frozenset()
    """Columns that USING merged into those of an earlier source."""
    may_merge: bool = False
    """Whether a natural join may have merged any of its columns, with some that aren't known."""


class NameScope:
    """The names visible at one place of a query."""

    __slots__ = (
        "aliases", "correlated", "ctes", "filters", "locals",
        "parent", "sources", "using", "windows",
    )  # fmt: skip

    def __init__(self, ctes: Mapping[str, FromItem], parent: NameScope | None = None) -> None:
        self.ctes: Mapping[str, FromItem] = ctes
        self.parent = parent
        self.sources: list[FromItem] = []
        self.using: dict[str, BoundExpression] = {}
        self.aliases: dict[str, BoundExpression] = {}
        self.locals: dict[str, BoundExpression] = {}
        self.filters: Edges = {}
        self.windows: Mapping[str, exp.Expr] = {}
        """The definitions of `WINDOW name AS (…)`."""
        self.correlated = False
        """Whether a query inside uses a column of this scope."""


class BoundSelect(NamedTuple):
    """A bound SELECT, for the structural rules."""

    scope: NameScope
    outputs: list[tuple[str | None, exp.Expr | None, int | None]]
    """For each output column: its name, its expression, or (for a star) the position of its
    source."""
    relation: Relation


class BindingContext:
    """The shared state of binding one query: inputs' columns, the statement's text, and results."""

    def __init__(
        self,
        schemas: Mapping[str, tuple[tuple[str, str], ...]],
        parameters: Mapping[str, str],
        sql: str,
        place: Place,
    ) -> None:
        self.parameters = parameters
        self.sql = sql
        self.problems: list[Problem] = []
        self.selected: dict[int, BoundSelect] = {}
        self.bound: set[int] = set()
        """The columns and queries that are bound; `unattributed` binds the others."""
        self.mentions: set[tuple[str, str]] = set()
        """Each (input, column) that the text names."""
        self.last: set[int] = set()
        """The queries whose order is that of the whole result."""
        self.quiet = False
        """Whether problems aren't recorded."""
        self.bind_query: Callable[[BindingContext, exp.Expr, NameScope], Relation]
        self._schemas, self._place = schemas, place
        self._inputs: dict[str, Relation] = {}
        self._said: set[tuple[str, str, int]] = set()

    @cached_property
    def bare_point(self) -> bool:
        """Whether the text has a number such as `.5`; few statements ask."""
        return _BARE_DECIMAL_POINT.search(self.sql) is not None

    def opaque(self, relation: Relation) -> Relation:
        """Return a relation of which only the inputs are known; the text names all of them."""
        edges = raised(union([relation.everything(), relation.filters]), OPAQUE)
        self.mentions.update(edges)
        return Relation([], filters=edges, opaque=edges)

    def input(self, name: str) -> Relation:
        """Return the columns of an input; if they are unknown, a relation that accepts any name."""
        known = self._inputs.get(name)
        if known is None:
            schema = self._schemas.get(name)
            known = self._inputs[name] = (
                Relation([], rest=(name,)) if schema is None else _declared(name, schema)
            )
        return known

    def say(self, code: str, message: str, node: exp.Expr | None, hint: str = "") -> None:
        """Record a problem at the line of `node`, once."""
        if self.quiet:
            return
        line = self._place.line + (line_of(node) or 1) - 1
        if (code, message, line) not in self._said and len(self.problems) < PROBLEMS_MAX:
            self._said.add((code, message, line))
            self.problems.append(
                Problem(
                    code=code,
                    message=message,
                    hint=hint,
                    place=Place(file=self._place.file, line=line),
                )
            )


def _declared(name: str, schema: tuple[tuple[str, str], ...]) -> Relation:
    return Relation([Output(column, type_, {(name, column): IDENTITY}) for column, type_ in schema])


def line_of(node: exp.Expr | None) -> int | None:
    """Return the line (from 1) of a node in its statement, from its first part with a line."""
    if node is None:
        return None
    for part in node.walk():
        line = part.meta.get("line")
        if line is not None:
            return int(line)
    return None


def merge(into: Edges, edges: Edges) -> None:
    """Add edges to a dict that the caller owns."""
    for key, rank in edges.items():
        known = into.get(key)
        if known != rank:
            into[key] = rank if known is None else _of_both(known, rank)


def _of_both(first: int, second: int) -> int:
    """Return the rank of two paths from the same column."""
    low, high = min(first, second), max(first, second)
    if low < GROUP_KEY <= high < OPAQUE:  # only one of them passes on values
        return max(low, EXPRESSION)
    return high


def decided(by: Edges, edges: Edges) -> Edges:
    """Return the edges of a value that others decide, too; being a key of its rows is less."""
    return {
        **by,
        **{key: rank for key, rank in edges.items() if rank != GROUP_KEY or key not in by},
    }


def raised(edges: Edges, rank: int) -> Edges:
    """Return the edges after one more step, at least as unfaithful as `rank`."""
    if not edges:
        return NO_EDGES
    return {key: max(rank, known) for key, known in edges.items()}


def union(parts: Iterable[Edges], rank: int = IDENTITY) -> Edges:
    """Return all edges of several parts, raised to at least `rank`."""
    results: Edges = {}
    for part in parts:
        for key, known in part.items():
            # (the hot loop of lineage: a call would cost a third of its time)
            step = known if known > rank else rank  # noqa: FURB136
            before = results.get(key, step)
            results[key] = step if before == step else _of_both(before, step)
    return results or NO_EDGES


def as_edges(edges: Edges) -> tuple[Edge, ...]:
    """Return sorted edges for the cache, so that the same query always gives the same bytes."""
    return tuple(
        Edge(input_, column, _RANKED[rank]) for (input_, column), rank in sorted(edges.items())
    )


# Resolution of names: a column, a field of a struct, an alias, a whole row; or a problem with the
# nearest known name.

_CONSTANT_NAMES = {
    "current_user",
    "current_role",
    "session_user",
    "user",
    "current_schema",
    "current_catalog",
    "current_database",
}
"""Functions that DuckDB calls without brackets; all return text."""


def bind_column(context: BindingContext, scope: NameScope, node: exp.Column) -> BoundExpression:
    """Return the column, struct field or row that a name refers to.

    An unknown name is reported as a problem and counts as a constant.
    """
    parts = _parts(node)
    first = parts[0].lower()
    context.bound.add(id(node))
    results = list(_matching(context, scope, node, parts))
    if len(results) == 1:
        return results[0]
    if results:  # a table of unknown columns may have it, or one around
        return BoundExpression(UNKNOWN, union([item.edges for item in results], EXPRESSION))
    if len(parts) == 1 and first in _CONSTANT_NAMES:
        return BoundExpression("VARCHAR", NO_EDGES)
    _say_unknown(context, scope, node, parts)
    return CONSTANT


def _parts(node: exp.Column) -> list[str]:
    """Return the names of a column: fast where it has one or two, as almost all have."""
    args = node.args
    name, table = args["this"], args.get("table")
    if type(name) is exp.Identifier and args.get("db") is None and args.get("catalog") is None:
        if table is None:
            return [name.args["this"]]
        if type(table) is exp.Identifier:
            return [table.args["this"], name.args["this"]]
    return [part.name for part in node.parts]


def _in_scope(
    context: BindingContext, scope: NameScope, node: exp.Column, parts: list[str], first: str
) -> BoundExpression | None:
    if len(parts) > 1:
        for source in scope.sources:
            if source.alias == first:
                return _qualified(context, source, node, parts[1:])
    expression = _unqualified(context, scope, node, first)
    if expression is None or len(parts) == 1:
        return expression
    return _field_of(expression, parts[1:])


def _matching(
    context: BindingContext, scope: NameScope, node: exp.Column, parts: list[str]
) -> Iterator[BoundExpression]:
    """Yield what a name may mean, from the innermost scope to the first that surely has it."""
    quiet, first = context.quiet, parts[0].lower()
    at: NameScope | None = scope
    while at is not None:
        expression = _in_scope(context, at, node, parts, first)
        if expression is not None:
            at.correlated = at.correlated or at is not scope
            context.mentions.update(expression.edges)
            context.quiet = True
            yield expression
            if _is_certain(at, parts, first):
                break
        at = at.parent
    context.quiet = quiet


def _is_certain(scope: NameScope, parts: list[str], first: str) -> bool:
    """Return whether no scope around can have what was found: a column of unknown columns can."""
    if all(source.relation.complete for source in scope.sources):
        return True
    if len(parts) > 1 and any(source.alias == first for source in scope.sources):
        return True
    return first in scope.locals or first in scope.using or bool(_listed(scope, first))


def _qualified(
    context: BindingContext, source: FromItem, node: exp.Column, rest: list[str]
) -> BoundExpression:
    name = rest[0].lower()
    column = source.relation.get(name) or source.relation.unlisted(name)
    if column is None:
        _say_no_column(context, node, rest[0], [source])
        return CONSTANT
    expression = BoundExpression(column.type, column.edges)
    return expression if len(rest) == 1 else _field_of(expression, rest[1:])


def _unqualified(
    context: BindingContext, scope: NameScope, node: exp.Column, name: str
) -> BoundExpression | None:
    local = scope.locals.get(name) or scope.using.get(name)
    if local is not None:
        return local
    listed = _listed(scope, name)
    if len(listed) > 1 and any(source.may_merge for source, _ in listed):
        return BoundExpression(UNKNOWN, union([column.edges for _, column in listed], EXPRESSION))
    if len(listed) > 1:
        _say_ambiguous(context, node, name, listed)
    if listed:
        return BoundExpression(listed[0][1].type, listed[0][1].edges)
    return _either(_unlisted(scope, name), _row(scope, name) or scope.aliases.get(name))


def _listed(scope: NameScope, name: str) -> list[tuple[FromItem, Output]]:
    results = []
    for source in scope.sources:
        column = None if name in source.merged else source.relation.get(name)
        if column is not None:
            results.append((source, column))
    return results


def _unlisted(scope: NameScope, name: str) -> BoundExpression | None:
    """Return a column of a source with an unknown schema.

    With several such sources the owner can't be determined.
    """
    possible = [
        column for source in scope.sources if (column := source.relation.unlisted(name)) is not None
    ]
    if not possible:
        return None
    if len(possible) == 1:
        return BoundExpression(possible[0].type, possible[0].edges)
    return BoundExpression(UNKNOWN, union([column.edges for column in possible], OPAQUE))


def _either(
    unlisted: BoundExpression | None, other: BoundExpression | None
) -> BoundExpression | None:
    """Return what a name means if a table with unknown columns may have a column of that name.

    DuckDB prefers the column; without one, the name is a row or an alias.
    """
    if unlisted is None or other is None:
        return unlisted or other
    return BoundExpression(UNKNOWN, union([unlisted.edges, other.edges], EXPRESSION))


def _row(scope: NameScope, name: str) -> BoundExpression | None:
    """Return all columns of a table as a struct, for a table name used as a value."""
    for source in scope.sources:
        if source.alias == name:
            return BoundExpression(UNKNOWN, raised(source.relation.everything(), EXPRESSION))
    return None


def _field_of(value: BoundExpression, path: list[str]) -> BoundExpression:
    for name in path:
        fields = struct_fields(value.type) or []
        type_ = next((type_ for field, type_ in fields if field.lower() == name.lower()), UNKNOWN)
        value = BoundExpression(type_, raised(value.edges, EXPRESSION))
    return value


def _say_unknown(
    context: BindingContext, scope: NameScope, node: exp.Column, parts: list[str]
) -> None:
    if len(parts) > 1:
        aliases = [source.alias for source in scope.sources]
        hint = nearest_name(parts[0].lower(), aliases) or _tables_hint(aliases)
        context.say(
            "unknown_column",
            f"`{'.'.join(parts)}`: nothing in FROM is called `{parts[0]}`",
            node,
            hint,
        )
    else:
        _say_no_column(context, node, parts[0], scope.sources, [*scope.aliases, *scope.using])


def _say_no_column(
    context: BindingContext,
    node: exp.Column,
    name: str,
    sources: list[FromItem],
    more: list[str] | None = None,
) -> None:
    columns = [
        column.name for source in sources for column in source.relation.columns if column.name
    ]
    where = ", ".join(source.alias for source in sources[:4]) or "nothing: there is no FROM"
    suggestion = nearest_name(name, [*columns, *(more or [])])
    some = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    context.say(
        "unknown_column",
        f"unknown column `{name}` (looked in {where})",
        node,
        suggestion or (f"there are: {some}" if some else ""),
    )


def _say_ambiguous(
    context: BindingContext, node: exp.Column, name: str, results: list[tuple[FromItem, Output]]
) -> None:
    choices = " or ".join(f"`{source.alias}.{name}`" for source, _ in results[:3])
    context.say("ambiguous_column", f"`{name}` is in several tables", node, f"write {choices}")


def _tables_hint(aliases: list[str]) -> str:
    return f"there are: {', '.join(aliases[:8])}" if aliases else ""


def nearest_name(name: str, known: list[str]) -> str:
    """Return `did you mean …?` for a similar known name; empty if there is none."""
    lowered = {candidate.lower(): candidate for candidate in known}
    results = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f"did you mean `{lowered[results[0]]}`?" if results else ""
