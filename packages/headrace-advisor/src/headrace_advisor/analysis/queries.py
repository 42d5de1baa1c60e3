"""The queries of one statement: each SELECT with its scope, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from sqlglot import exp

from headrace_advisor.analysis.determinism import unrepeatable_functions
from headrace_advisor.analysis.failing_comparisons import failing_comparisons
from headrace_advisor.analysis.from_items import Item
from headrace_advisor.analysis.relations import (
    Relation,
    RenamedRelation,
    SubsetRelation,
    TableRelation,
    UnionRelation,
)
from headrace_advisor.analysis.row_order import order_dependence
from headrace_advisor.analysis.select_relation import SelectRelation
from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.statements import Statement
from headrace_advisor.analysis.tables import Catalog, TableFacts, schema_name, table_name

_Names = Mapping[str, Relation]
_OPAQUE_TABLE = ("pivots", "sample", "joins", "laterals", "when", "changes", "rows_from")


class Ignored(NamedTuple):
    """What ignores duplicate rows of a query, in words; empty if nothing does."""

    text: str = ""
    by: frozenset[int] = frozenset()
    """The ids of queries and aggregates whose DISTINCT or UNION does."""


NOT_IGNORED = Ignored()


class Queries:
    """The scopes of a statement's SELECTs."""

    def __init__(self, statement: Statement, catalog: Catalog) -> None:
        self.statement = statement
        self.catalog = catalog
        self.scopes: dict[int, SelectScope] = {}
        self.relations: dict[int, Relation] = {}
        self.contexts: dict[int, Ignored] = {}
        """By query: what ignores its duplicates."""
        for root in _roots(statement.tree):
            self._query(root, {}, None)

    def scope(self, select: exp.Expr) -> SelectScope | None:
        """Return the scope of a SELECT; None if it wasn't followed."""
        return self.scopes.get(id(select))

    def selects(self) -> Iterator[tuple[exp.Select, SelectScope]]:
        """Yield each SELECT with its scope."""
        for select in self.statement.tree.find_all(exp.Select):
            scope = self.scope(select)
            if scope is not None:
                yield select, scope

    @cached_property
    def instabilities(self) -> list[str]:
        """What must be the same in each run for a rewritten statement to give the same rows."""
        return [
            *(f"`{text[:60]}` always expands to the same SQL" for text in self.statement.templates),
            *unrepeatable_functions(self.statement.tree, self.statement.dialect),
            *order_dependence(self.statement.tree, self.scope),
            *(text for _, scope in self.selects() for text in failing_comparisons(scope)),
        ]

    # Building

    def _query(self, query: exp.Expr, names: _Names, outer: SelectScope | None) -> Relation:
        names = self._with(query, names, outer)
        if isinstance(query, exp.Subquery):
            relation = self._query(query.this, names, outer)
        elif isinstance(query, exp.Select):
            relation = self._select(query, names, outer)
        elif isinstance(query, exp.SetOperation):
            relation = self._set_operation(query, names, outer)
        else:
            relation = Relation()
        self.relations[id(query)] = relation
        return relation

    def _with(self, query: exp.Expr, names: _Names, outer: SelectScope | None) -> _Names:
        clause = query.args.get("with_")
        if clause is None:
            return names
        visible = dict(names)
        for cte in clause.expressions:
            name = cte.alias.lower()
            listed = cte.args["alias"].args.get("columns") or []
            columns = [column.name.lower() for column in listed]
            if clause.args.get("recursive") and _mentions(cte.this, name):
                inside = {**visible, name: Relation(tuple(columns) or None, is_cte=True)}
                inner = self._query(cte.this, inside, outer)
                relation = Relation(inner.columns, is_cte=True)
            else:
                relation = self._query(cte.this, visible, outer)
            visible[name] = RenamedRelation.of(relation, columns) if columns else relation
        return visible

    def _set_operation(
        self, query: exp.SetOperation, names: _Names, outer: SelectScope | None
    ) -> Relation:
        left = self._query(query.this, names, outer)
        right = self._query(query.expression, names, outer)
        if query.args.get("by_name") or query.args.get("match_by_name"):
            return Relation()
        distinct = bool(query.args.get("distinct", True))
        if isinstance(query, exp.Union):
            return UnionRelation([left, right], distinct=distinct)
        both = UnionRelation([left, right], distinct=False)
        same = all(both.type_of(c) or both.origin(c) for c in left.columns or ())
        inner = left if same and left.columns else Relation(left.columns)
        return SubsetRelation(inner, distinct=distinct)

    def _select(self, select: exp.Select, names: _Names, outer: SelectScope | None) -> Relation:
        items: list[Item] = []
        clause = select.args.get("from_")
        sources = [] if clause is None else [(clause.this, None)]
        sources += [(join.this, join) for join in select.args.get("joins") or []]
        sources += [(lateral, None) for lateral in select.args.get("laterals") or []]
        for number, (node, join) in enumerate(sources):
            relation = self._source(node, names, outer, {item.alias for item in items})
            items.append(Item(number, _alias(node, number), relation, node, join))
        scope = SelectScope(select, items, outer)
        self.scopes[id(select)] = scope
        self._inner_queries(select, names, scope)
        return SelectRelation(scope)

    def _source(
        self, node: exp.Expr, names: _Names, outer: SelectScope | None, before: set[str]
    ) -> Relation:
        relation: Relation
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            relation = self._table(node, names)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            relation = self._query(node, names, outer)
            if _uses(node, before) or node.args.get("pivots") or node.args.get("sample"):
                relation = Relation(relation.columns)
        else:
            relation = Relation()
        alias = node.args.get("alias")
        columns = alias.args.get("columns") if isinstance(alias, exp.TableAlias) else None
        if columns:
            return RenamedRelation.of(relation, [column.name.lower() for column in columns])
        return relation

    def _table(self, node: exp.Table, names: _Names) -> Relation:
        if any(node.args.get(key) for key in _OPAQUE_TABLE):
            return Relation()
        name = table_name(node)
        if not node.args.get("db") and name in names:
            return names[name]
        facts = self.catalog.get(name)
        schema = schema_name(node)
        if facts is None or (schema and facts.schema and schema != facts.schema):
            facts = TableFacts(name, schema=schema)
        return TableRelation(facts)

    def _inner_queries(self, select: exp.Select, names: _Names, scope: SelectScope) -> None:
        """Follow the queries inside of expressions."""
        from_items = {id(item.node) for item in scope.items}
        stack: list[exp.Expr] = list(select.iter_expressions())
        while stack:
            node = stack.pop()
            if id(node) in from_items or isinstance(node, exp.With):
                continue
            if isinstance(node, exp.Query):
                self._query(node, names, scope)
            else:
                stack += list(node.iter_expressions())


def _roots(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the outermost queries of a statement: the statement itself, or what it inserts."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Query):
            yield node
        else:
            stack += list(node.iter_expressions())


def _alias(node: exp.Expr, number: int) -> str:
    alias = node.alias_or_name.lower()
    return alias or f"#{number}"


def _mentions(query: exp.Expr, name: str) -> bool:
    return any(table.name.lower() == name for table in query.find_all(exp.Table))


def _uses(node: exp.Expr, aliases: set[str]) -> bool:
    """Whether a subquery in FROM uses columns of the items before it, as LATERAL allows."""
    inside = {table.alias_or_name.lower() for table in node.find_all(exp.Table)}
    return any(column.table.lower() in aliases - inside for column in node.find_all(exp.Column))
