"""Names that a rename would make mean something else, though everything still compiles.

In SQL an alias, a CTE or a column of another table can take a name, and some clauses use columns
by their names without naming them. A query in which that can't be excluded isn't renamed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlglot import exp
from sqlglot.optimizer.scope import Scope
from sqlglot.tokenizer_core import TokenType

from headrace.extension import FileKind, NodeGraph, Refused, SqlBody
from headrace_lsp.index import Index, sql_parts
from headrace_lsp.occurrences import Role, words
from headrace_lsp.sql_occurrences import Syntax, in_order, in_query, results, span, syntax

_FOR_EACH = re.compile(r"^[\s-]*for_each\s*:|\bfor_each\s*=", re.MULTILINE)
_DESCRIPTION = re.compile(r"[\s-]*(?:description\s*:|#)")


class _Change(NamedTuple):
    node: str
    column: str | None
    new: str


class _Query(NamedTuple):
    """The query of an asset in its file."""

    asset: str
    path: str
    text: str
    begin: int
    syntax: Syntax

    @property
    def sql(self) -> str:
        return self.text[self.begin :]

    def refuse(self, offsets: Iterable[int], reason: str) -> None:
        """Raise Refused with the first of these places, if there is one."""
        _refuse_at(self.path, self.text, (self.begin + at for at in offsets), reason)


def refuse_captures(index: Index, node: str, column: str | None, new: str) -> None:
    """Raise Refused if a query or a check may mean something else after a rename."""
    for name in (node, *NodeGraph(index.compiled).below.get(node, ())):
        declared = index.compiled.project.node(name)
        assert declared is not None
        refuse_for_each(index, declared.place.file)
        body = getattr(declared, "body", None)
        if isinstance(body, SqlBody):
            query = _query(index, name, body.file)
            if new.lower() != (column or node).lower():
                query.refuse(_named(query.syntax, new), f"`{new}` is a name there already")
            if column is not None:
                _refuse_column(index, query, _Change(node, column, new))
    if column is not None:
        _refuse_macros(index, column, new)
        _refuse_declarations(index, node, column)


def refuse_for_each(index: Index, path: str) -> None:
    """Raise Refused if a file declares several tables or consumers by the same text."""
    if _FOR_EACH.search(index.snapshot.text(path)):
        raise Refused(f"{path} has `for_each`, whose texts aren't renamed in: rename by hand")


def _query(index: Index, name: str, path: str) -> _Query:
    text = index.snapshot.text(path)
    begin = sql_parts(text).query
    read = syntax(text[begin:])
    if read is None:
        raise Refused(f"{path} can't be read as one SELECT: rename by hand")
    return _Query(name, path, text, begin, read)


def _refuse_column(index: Index, query: _Query, change: _Change) -> None:
    node, column, new = change
    assert column is not None
    occurrences = in_query(query.sql, query.asset, index.tables)
    sure = {item.start for item in occurrences} | set(_of_others(query))
    unsure = (at for at in _named(query.syntax, column) if at not in sure)
    query.refuse(unsure, f"`{column}` may be an alias or the column")
    if query.asset != node:
        query.refuse(_uses_names(query), "the names of columns are used there, not only columns")
    elif not any(
        (item.node, item.column, item.role) == (node, column, Role.READS) for item in occurrences
    ):
        return
    for spec in index.compiled.nodes[query.asset].inputs:
        if spec.node != node and not index.tables.lacks(spec.node, new):
            raise Refused(
                f"`{new}` may be a column of `{spec.node}`, which `{query.asset}` reads as well"
            )


def _refuse_macros(index: Index, column: str, new: str) -> None:
    for file in index.snapshot.files.scan.files:
        if file.kind is FileKind.MACRO:
            text = index.snapshot.text(file.path)
            for name in (column, new):
                _refuse_at(file.path, text, words(text, name), f"`{name}` may be the column")


def _refuse_declarations(index: Index, node: str, column: str) -> None:
    """Refuse a column whose name is in the declaration of a check in a way that isn't read."""
    for name, compiled in index.compiled.nodes.items():
        declared = index.compiled.project.source_or_asset(name)
        if declared is not None and (name == node or node in compiled.check_references):
            path = declared.place.file
            text = index.snapshot.text(path)
            unsure = _unread_words(index, path, text, column)
            _refuse_at(path, text, unsure, f"`{column}` may be the column")


def _unread_words(index: Index, path: str, text: str, word: str) -> Iterator[int]:
    """Yield where a declaration has a word that is no occurrence, outside of descriptions."""
    begin, end = sql_parts(text).front if path.endswith(".sql") else (0, len(text))
    occurrences = {item.start for item in index.occurrences(path)}
    for at in words(text, word):
        line = text.rfind("\n", 0, at) + 1
        within = begin <= at < end and at not in occurrences
        if within and not _DESCRIPTION.match(text, line):
            yield at


def _refuse_at(path: str, text: str, offsets: Iterable[int], reason: str) -> None:
    """Raise Refused with the first of these places, if there is one."""
    at = next(iter(offsets), None)
    if at is not None:
        raise Refused(f"{path}:{text.count(chr(10), 0, at) + 1}: {reason}")


def _named(read: Syntax, name: str) -> Iterator[int]:
    """Yield where a query has a name outside of texts, comments and `$parameters`."""
    parameter = False
    for token in read.tokens:
        is_text = token.token_type in (TokenType.STRING, TokenType.NUMBER)
        if token.text.lower() == name.lower() and not parameter and not is_text:
            yield token.start + (token.token_type is TokenType.IDENTIFIER)
        parameter = token.token_type is TokenType.PARAMETER


def _of_others(query: _Query) -> Iterator[int]:
    """Yield the names that a rename of a table's column can't concern.

    They are aliases, columns of a named table, columns that only a CTE or a subquery has, and
    results that ORDER BY names.
    """
    tree, scopes, _ = query.syntax
    for name in (*_aliases(tree), *_ordered_results(tree), *_columns_of_queries(scopes)):
        if isinstance(name, exp.Identifier) and "start" in name.meta:
            yield span(query.sql, name)[0]


def _aliases(tree: exp.Expr) -> Iterator[exp.Expr | None]:
    for alias in tree.find_all(exp.Alias):
        yield alias.args["alias"]
    for table in tree.find_all(exp.TableAlias):
        yield table.this
        yield from table.args.get("columns") or ()


def _ordered_results(tree: exp.Expr) -> Iterator[exp.Expr]:
    for column in tree.find_all(exp.Column):
        select = column.find_ancestor(exp.Select)
        if select is None or column.table or not in_order(column, select):
            continue
        if column.name.lower() in map(str.lower, select.named_selects):
            yield column.this


def _columns_of_queries(scopes: Iterable[Scope]) -> Iterator[exp.Expr]:
    for scope in scopes:
        sources = scope.sources.values()
        inner = [
            item for source in sources if isinstance(source, Scope) for item in results(source)
        ]
        for column in scope.columns:
            if column.table or column.name.lower() in inner:
                yield column.this


def _uses_names(query: _Query) -> Iterator[int]:
    """Yield where a query uses whole rows, or joins or pivots by the names of columns."""
    tree, scopes, tokens = query.syntax
    yield from (token.start for token in tokens if token.token_type is TokenType.NATURAL)
    for scope in scopes:
        tables = {name.lower() for name in scope.sources}
        for column in scope.columns:
            whole_row = not column.table and column.name.lower() in tables
            if whole_row and "start" in column.this.meta:
                yield span(query.sql, column.this)[0]
    yield from (0 for _ in tree.find_all(exp.Pivot))
