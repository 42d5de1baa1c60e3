"""The values that binding a query works with: columns with their lineage, relations, scopes.

Edges are kept as a dict from (input, column) to a rank, the position of the transformation in `Transformation`;
combining two ways to the same column keeps the one that is less faithful.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sqlglot import exp

from headrace.model import Place, Problem
from headrace.sql.values import UNKNOWN, Edge, Transformation

Edges = dict[tuple[str, str], int]
_RANKED = tuple(Transformation)
IDENTITY, CAST, EXPRESSION, WINDOW, AGGREGATE, JOIN_KEY, FILTER, OPAQUE = range(len(_RANKED))

PROBLEMS_MAX = 50
_BARE_POINT = re.compile(r"(?<![\w.)\]\"])\.\d")


class BoundExpression(NamedTuple):
    """An expression's type and where its value comes from. Edges are shared: never modify them in place."""

    type: str
    edges: Edges


NOTHING: Edges = {}
CONSTANT = BoundExpression(UNKNOWN, NOTHING)


class Output(NamedTuple):
    """A column of a relation. `name` is None where DuckDB would make one up from the expression."""

    name: str | None
    type: str
    edges: Edges


class Relation:
    """Columns in order, and what decides which rows there are.

    `rest` names inputs whose columns aren't known and flow through (`select * from x`); `opaque` says that what
    comes through `rest` can't be followed column by column (PIVOT).
    """

    __slots__ = ("_index", "columns", "filters", "opaque", "rest")

    def __init__(self, columns: list[Output], filters: Edges = NOTHING, rest: tuple[str, ...] = (), opaque: Edges | None = None) -> None:
        self.columns, self.filters, self.rest, self.opaque = columns, filters, rest, opaque
        self._index: dict[str, int] | None = None

    @property
    def complete(self) -> bool:
        """Whether `columns` are all that there are."""
        return not self.rest and self.opaque is None

    def position(self, name: str) -> int | None:
        """Where the column of that lower-case name is."""
        if self._index is None:
            self._index = {}
            for at, column in enumerate(self.columns):
                if column.name is not None:
                    self._index.setdefault(column.name.lower(), at)
        return self._index.get(name)

    def get(self, name: str) -> Output | None:
        at = self.position(name)
        return None if at is None else self.columns[at]

    def unlisted(self, name: str) -> Output | None:
        """A column that isn't listed but may come through what isn't known."""
        if self.opaque is not None:
            return Output(name, UNKNOWN, self.opaque)
        if not self.rest:
            return None
        rank = IDENTITY if len(self.rest) == 1 else OPAQUE
        return Output(name, UNKNOWN, {(input_, name): rank for input_ in self.rest})

    def everything(self) -> Edges:
        """Edges to all that this relation can show."""
        edges: Edges = dict(self.opaque or NOTHING)
        for column in self.columns:
            merge(edges, column.edges)
        for input_ in self.rest:
            edges[(input_, "*")] = OPAQUE
        return edges


class FromItem(NamedTuple):
    """One thing in FROM: its lower-case alias, its columns, and the query or input behind it."""

    alias: str
    relation: Relation
    input: str | None = None
    query: exp.Expr | None = None
    merged: frozenset[str] = frozenset()
    """Columns that USING merged into an earlier source's."""


class NameScope:
    """What names mean at one place of a query."""

    __slots__ = ("aliases", "ctes", "filters", "locals", "parent", "sources", "using")

    def __init__(self, ctes: Mapping[str, FromItem], parent: NameScope | None = None) -> None:
        self.ctes: Mapping[str, FromItem] = ctes
        self.parent = parent
        self.sources: list[FromItem] = []
        self.using: dict[str, BoundExpression] = {}
        self.aliases: dict[str, BoundExpression] = {}
        self.locals: dict[str, BoundExpression] = {}
        self.filters: Edges = {}


class BoundSelect(NamedTuple):
    """A bound SELECT, for the rules that look at its structure afterwards."""

    scope: NameScope
    outputs: list[tuple[str | None, exp.Expr | None, int | None]]
    """Per output column: its name, its expression, or (for a star) the position of the source that it comes from."""
    relation: Relation


class BindingContext:
    """What binding one body shares: the inputs' columns, the statement's text, and what was found."""

    def __init__(self, schemas: Mapping[str, tuple[tuple[str, str], ...]], parameters: Mapping[str, str], sql: str, place: Place) -> None:
        self.parameters = parameters
        self.sql = sql
        self.bare_point = _BARE_POINT.search(sql) is not None
        self.problems: list[Problem] = []
        self.selected: dict[int, BoundSelect] = {}
        self.incomplete_names = False
        self.bind_query: Callable[[BindingContext, exp.Expr, NameScope], Relation]
        self._schemas, self._place = schemas, place
        self._inputs: dict[str, Relation] = {}
        self._said: set[tuple[str, str, int]] = set()

    def input(self, name: str) -> Relation:
        """The columns of an input; a relation that lets any name through where they aren't known."""
        known = self._inputs.get(name)
        if known is None:
            schema = self._schemas.get(name)
            known = self._inputs[name] = Relation([], rest=(name,)) if schema is None else _declared(name, schema)
        return known

    def say(self, code: str, message: str, node: exp.Expr | None, hint: str = "") -> None:
        """Note a problem at the line of `node`, once."""
        line = self._place.line + (line_of(node) or 1) - 1
        if (code, message, line) not in self._said and len(self.problems) < PROBLEMS_MAX:
            self._said.add((code, message, line))
            self.problems.append(Problem(code=code, message=message, hint=hint, place=Place(file=self._place.file, line=line)))


def _declared(name: str, schema: tuple[tuple[str, str], ...]) -> Relation:
    return Relation([Output(column, type_, {(name, column): IDENTITY}) for column, type_ in schema])


def line_of(node: exp.Expr | None) -> int | None:
    """The line (from 1) of a node in its statement, from the first of its parts that carries one."""
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
        if into.get(key, -1) < rank:
            into[key] = rank


def raised(edges: Edges, rank: int) -> Edges:
    """The edges after one more step, which is at least as unfaithful as `rank`."""
    if not edges:
        return NOTHING
    return {key: max(rank, known) for key, known in edges.items()}


def union(parts: Iterable[Edges], rank: int = IDENTITY) -> Edges:
    """All edges of several parts, raised."""
    results: Edges = {}
    for part in parts:
        for key, known in part.items():
            step = known if known > rank else rank  # noqa: FURB136  (the hot loop of lineage: a call costs a third of it)
            if results.get(key, -1) < step:
                results[key] = step
    return results or NOTHING


def as_edges(edges: Edges) -> tuple[Edge, ...]:
    """For keeping: sorted, so that the same body always gives the same bytes."""
    return tuple(Edge(input_, column, _RANKED[rank]) for (input_, column), rank in sorted(edges.items()))
