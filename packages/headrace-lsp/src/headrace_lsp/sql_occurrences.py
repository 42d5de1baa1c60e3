"""Tables and columns that a query names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from headrace.extension import InvalidSelect, parse
from headrace_lsp.occurrences import Occurrence, Role, Tables

_SELF = re.compile(r"\$self\b", re.IGNORECASE)
_AFTER_FROM = re.compile(
    r"\b(?:from|join)\s+(\"?)([A-Za-z_]\w*)\1(?:\s+(?:as\s+)?([A-Za-z_]\w*))?", re.IGNORECASE
)
_NO_ALIAS = re.compile(
    r"on|using|where|join|left|right|full|inner|cross|natural|group|order|having|limit|qualify"
    r"|union|except|intersect|window|positional|asof|semi|anti|lateral|select",
    re.IGNORECASE,
)
TREES_MAX = 128


@lru_cache(TREES_MAX)
def _tree(sql: str) -> tuple[exp.Expr, tuple[Scope, ...]] | None:
    """Return the tree of a query and its scopes; None if it can't be read."""
    try:
        tree = parse(_SELF.sub("_self", sql)).tree.copy()
        return tree, tuple(traverse_scope(tree))
    except (InvalidSelect, SqlglotError, RecursionError, ValueError, KeyError, AttributeError):
        return None


def readable(sql: str) -> bool:
    """Return whether a query can be read."""
    return _tree(sql) is not None


def in_query(sql: str, asset: str, tables: Tables) -> list[Occurrence]:
    """Return the tables and columns that the query of an asset names."""
    read = _tree(sql)
    if read is None:
        return list(_after_from(sql, tables))
    tree, scopes = read
    places = list(_tables(sql, scopes, tables))
    outputs = {id(item) for item in _outputs(tree)}
    seen: set[int] = set()
    for scope in scopes:
        for column in scope.columns:
            if id(column) not in seen:
                seen.add(id(column))
                places += _column(sql, scope, column, tables)
    places += (
        Occurrence(*_span(sql, name), asset, name.name, Role.DECLARES, bare=bare)
        for item in _outputs(tree)
        for name, bare in _output_name(item)
        if id(item) in outputs and _placed(name)
    )
    return places


def aliases(sql: str) -> Mapping[str, str]:
    """Return alias or name → table of all FROM items in a text, readable or not."""
    results: dict[str, str] = {}
    for item in _AFTER_FROM.finditer(sql):
        alias = item[3]
        if alias and not _NO_ALIAS.fullmatch(alias):
            results[alias.lower()] = item[2]
        results.setdefault(item[2].lower(), item[2])
    return results


def _after_from(sql: str, tables: Tables) -> Iterator[Occurrence]:
    for item in _AFTER_FROM.finditer(sql):
        node = tables.name(item[2])
        if node is not None:
            yield Occurrence(*item.span(2), node)


def _tables(sql: str, scopes: tuple[Scope, ...], tables: Tables) -> Iterator[Occurrence]:
    for scope in scopes:
        for table in scope.tables:
            node = tables.name(table.name)
            if (
                node is not None
                and isinstance(table.this, exp.Identifier)
                and table.name not in scope.cte_sources
                and _placed(table.this)
            ):
                yield Occurrence(*_span(sql, table.this), node)


class _Owner(NamedTuple):
    node: str
    column: str
    direct: bool


def _column(sql: str, scope: Scope, column: exp.Column, tables: Tables) -> Iterator[Occurrence]:
    name = column.this
    if not isinstance(name, exp.Identifier) or not _placed(name):
        return
    owner = _owner(scope, column.table, name.name, tables)
    table = column.args.get("table")
    if isinstance(table, exp.Identifier) and _placed(table):
        node = _table_of(scope, column.table, tables)
        if node is not None and node.lower() == column.table.lower():
            yield Occurrence(*_span(sql, table), node)
    if owner is not None:
        bare = isinstance(column.parent, exp.Select) and column.arg_key == "expressions"
        yield Occurrence(
            *_span(sql, name), owner.node, owner.column, bare=bare, direct=owner.direct
        )


def _table_of(scope: Scope, written: str, tables: Tables) -> str | None:
    source = scope.sources.get(written)
    return tables.name(source.name) if isinstance(source, exp.Table) else None


def _owner(scope: Scope | None, table: str, name: str, tables: Tables) -> _Owner | None:
    """Return the table that a column comes from, if exactly one can be."""
    if scope is None:
        return None
    chosen = [key for key in scope.sources if not table or key == table]
    owners = {owner for key in chosen if (owner := _in_source(scope, key, name, tables))}
    if owners:
        return owners.pop() if len(owners) == 1 else None
    if len(chosen) == 1:
        return _of_unknown_columns(scope, chosen[0], name, tables)
    return _owner(scope.parent, table, name, tables)


def _of_unknown_columns(scope: Scope, key: str, name: str, tables: Tables) -> _Owner | None:
    node = _table_of(scope, key, tables)
    column = None if node is None else tables.column(node, name)
    return None if node is None or column is None else _Owner(node, column, direct=True)


def _in_source(scope: Scope, key: str, name: str, tables: Tables) -> _Owner | None:
    source = scope.sources[key]
    if isinstance(source, Scope):
        return _through(source, name, tables)
    node = tables.name(source.name)
    if node is None or not tables.has(node, name):
        return None
    return _Owner(node, tables.column(node, name) or name, direct=True)


def _through(scope: Scope, name: str, tables: Tables) -> _Owner | None:
    """Return the table whose column a CTE or subquery passes on unchanged."""
    if not isinstance(scope.expression, exp.Select):
        return None
    for item in scope.expression.expressions:
        if item.alias_or_name.lower() == name.lower():
            inner = item.unalias()
            if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Identifier):
                owner = _owner(scope, inner.table, inner.name, tables)
                return owner._replace(direct=False) if owner is not None else None
    return None


def _outputs(tree: exp.Expr) -> list[exp.Expr]:
    """Return the expressions whose names are those of the query's columns."""
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    return list(tree.expressions) if isinstance(tree, exp.Select) else []


def _output_name(item: exp.Expr) -> Iterator[tuple[exp.Identifier, bool]]:
    alias = item.args.get("alias")
    if isinstance(alias, exp.Identifier):
        yield alias, False
    elif isinstance(item, exp.Column) and isinstance(item.this, exp.Identifier):
        yield item.this, True


def _placed(name: exp.Expr) -> bool:
    return "start" in name.meta


def _span(sql: str, name: exp.Expr) -> tuple[int, int]:
    """Return start and end of a name without its quotes."""
    start, end = name.meta["start"], name.meta["end"] + 1
    return (start + 1, end - 1) if sql[start] == '"' else (start, end)
