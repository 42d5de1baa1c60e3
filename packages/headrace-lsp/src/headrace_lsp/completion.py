"""Names that fit where somebody types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lsprotocol import types

from headrace.extension import FileKind, file_kind
from headrace_lsp.index import Index, sql_parts, tables_of
from headrace_lsp.sql_occurrences import aliases
from headrace_lsp.yaml_occurrences import key_at

_QUALIFIED = re.compile(r"([A-Za-z_]\w*)\"?\.\"?\w*$")
_TABLE = re.compile(r"\b(?:from|join)\s+(?:[\w\" ]+,\s*)*\"?\w*$", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\$\w*$")
_PYTHON_LIST = re.compile(r"\b(?:inputs|depends)\s*=\s*[\[({][^\])}]*[\"']\w*$")
_BOUND = ("partition_start", "partition_end", "partition_key", "self")
_TABLE_KEYS = frozenset({"inputs", "depends", "reads", "given", "asset", "to"})
_COLUMN_KEYS = frozenset({"column", "columns", "keys", "unique", "not_null"})


def completions(index: Index, path: str, offset: int) -> list[types.CompletionItem]:
    """Return the names that fit at a place of a file."""
    text, kind = index.snapshot.text(path), file_kind(path)
    if kind is FileKind.SQL:
        parts = sql_parts(text)
        if offset >= parts.query:
            return list(_in_query(index, path, text[parts.query :], offset - parts.query))
    if kind is FileKind.PYTHON:
        return list(_tables(index)) if _PYTHON_LIST.search(text[:offset]) else []
    if kind is None or kind is FileKind.MACRO:
        return []
    return list(_in_yaml(index, path, text, offset))


def _in_query(index: Index, path: str, query: str, offset: int) -> Iterator[types.CompletionItem]:
    before, named = query[:offset], aliases(query)
    if _PLACEHOLDER.search(before):
        parameters = index.compiled.project.settings.parameters
        for name in (*_BOUND, *parameters):
            yield types.CompletionItem(label=name, kind=types.CompletionItemKind.Variable)
    elif qualified := _QUALIFIED.search(before):
        yield from _columns(index, [named.get(qualified[1].lower(), qualified[1])])
    elif _TABLE.search(before):
        yield from _tables(index, without=index.asset_of(path))
    else:
        yield from _columns(index, dict.fromkeys(named.values()))
        for alias in named:
            yield types.CompletionItem(label=alias, kind=types.CompletionItemKind.Class)


def _in_yaml(index: Index, path: str, text: str, offset: int) -> Iterator[types.CompletionItem]:
    key, project = key_at(text, offset), index.compiled.project
    if key == "to" and (qualified := _QUALIFIED.search(text[:offset])):
        yield from _columns(index, [qualified[1]])
    elif key in _TABLE_KEYS:
        yield from _tables(index)
    elif key in _COLUMN_KEYS:
        yield from _columns(index, index.by_file.get(path, ()))
    elif key in ("owner", "contract", "calendar"):
        declared = {
            "owner": [*project.owners],
            "contract": [*project.contracts],
            "calendar": [*project.calendars],
        }
        for name in declared[key]:
            yield types.CompletionItem(label=name, kind=types.CompletionItemKind.Value)


def _tables(index: Index, without: str | None = None) -> Iterator[types.CompletionItem]:
    project = index.compiled.project
    for node in tables_of(index.compiled):
        if node.name != without:
            yield types.CompletionItem(
                label=node.name,
                kind=types.CompletionItemKind.Class,
                detail=f"{project.kind(node.name)} · {node.owner}",
                documentation=node.description or None,
            )


def _columns(index: Index, written: Iterable[str]) -> Iterator[types.CompletionItem]:
    for table in written:
        name = index.tables.name(table)
        node = index.compiled.nodes.get(name or "")
        if node is None:
            continue
        known = dict(node.columns or ())
        for column in node.column_names or ():
            yield types.CompletionItem(
                label=column,
                kind=types.CompletionItemKind.Field,
                detail=f"{name} · {known.get(column, 'type unknown')}",
            )
