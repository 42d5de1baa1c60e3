"""Tables and columns that a query names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.tokenizer_core import Token

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


class Syntax(NamedTuple):
    """A query: its tree, the scopes of its SELECTs and its tokens."""

    tree: exp.Expr
    scopes: tuple[Scope, ...]
    tokens: tuple[Token, ...]


@lru_cache(TREES_MAX)
def syntax(sql: str) -> Syntax | None:
    """Return the syntax of a query; None if it can't be read."""
    try:
        parsed = parse(_SELF.sub("_self", sql))
        tree = parsed.tree.copy()
        return Syntax(tree, tuple(traverse_scope(tree)), tuple(parsed.tokens))
    except (InvalidSelect, SqlglotError, RecursionError, ValueError, KeyError, AttributeError):
        return None


def in_query(sql: str, asset: str | None, tables: Tables) -> list[Occurrence]:
    """Return the tables and columns that a query names; `asset` has its results, if one does."""
    read = syntax(sql)
    if read is None:
        return list(_after_from(sql, tables))
    places = list(_tables(sql, read.scopes, tables))
    seen: set[int] = set()
    for scope in read.scopes:
        for column in (*scope.columns, *_after_grouping(scope)):
            if id(column) not in seen:
                seen.add(id(column))
                places += _column(sql, scope, column, tables)
    if asset is None:
        return places
    uses = list(_uses_of_results(sql, asset, read, tables))
    named = {item.start for item in uses}
    return [
        *(item for item in places if item.start not in named),
        *uses,
        *_declared(sql, asset, read),
    ]


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
                yield Occurrence(*span(sql, table.this), node)


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
            yield Occurrence(*span(sql, table), node)
    if owner is not None:
        bare = isinstance(column.parent, exp.Select) and column.arg_key == "expressions"
        yield Occurrence(*span(sql, name), owner.node, owner.column, bare=bare, direct=owner.direct)


def _table_of(scope: Scope, written: str, tables: Tables) -> str | None:
    source = scope.sources.get(written)
    if source is None and scope.parent is not None:
        return _table_of(scope.parent, written, tables)
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


def _after_grouping(scope: Scope) -> Iterator[exp.Column]:
    """Yield the columns in HAVING and QUALIFY that no result hides; `Scope.columns` has none."""
    select = scope.expression
    hidden = results(scope)
    for key in ("having", "qualify"):
        clause = select.args.get(key)
        if clause is not None:
            for column in clause.find_all(exp.Column):
                within = column.find_ancestor(exp.Select) is select
                if within and not column.table and column.name.lower() not in hidden:
                    yield column


def results(scope: Scope) -> list[str]:
    """Return the names of a SELECT's results in lower case; `*` for those that aren't written."""
    query = scope.expression
    return [name.lower() for name in query.named_selects] if isinstance(query, exp.Query) else []


def _declared(sql: str, asset: str, read: Syntax) -> Iterator[Occurrence]:
    for item in _outputs(read.tree):
        for name, bare in _output_name(item):
            if _placed(name):
                yield Occurrence(*span(sql, name), asset, name.name, Role.DECLARES, bare=bare)


def _uses_of_results(sql: str, asset: str, read: Syntax, tables: Tables) -> Iterator[Occurrence]:
    """Yield the aliases of a query's results that its other clauses name.

    ORDER BY takes a result before a column of a table, other clauses only if no table has it.
    """
    tree, scopes, _ = read
    if not isinstance(tree, exp.Select):
        return
    aliases = {item.alias.lower(): item.alias for item in _outputs(tree) if item.alias}
    for column in tree.find_all(exp.Column):
        alias = aliases.get(column.name.lower())
        if alias is None or column.table or not _placed(column.this):
            continue
        if column.find_ancestor(exp.Select) is tree and (
            in_order(column, tree) or _in_no_table(scopes[-1], column.name, tables)
        ):
            yield Occurrence(*span(sql, column.this), asset, alias)


def in_order(column: exp.Column, select: exp.Select) -> bool:
    """Return whether a column is in ORDER BY of a SELECT, and not of a window in it."""
    clause = column.find_ancestor(exp.Order, exp.Window, exp.Select)
    return isinstance(clause, exp.Order) and clause.parent is select


def _in_no_table(scope: Scope, name: str, tables: Tables) -> bool:
    """Return whether no table or subquery of a FROM has a column of that name."""
    for source in scope.sources.values():
        if isinstance(source, exp.Table):
            if not tables.lacks(tables.name(source.name), name):
                return False
        elif {"*", name.lower()} & set(results(source)):
            return False
    return True


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


def span(sql: str, name: exp.Expr) -> tuple[int, int]:
    """Return start and end of a name without its quotes."""
    start, end = name.meta["start"], name.meta["end"] + 1
    return (start + 1, end - 1) if sql[start] == '"' else (start, end)
