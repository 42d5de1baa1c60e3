"""Tables and columns that a YAML file, or the front matter of a query, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import yaml

from headrace.extension import FileKind
from headrace_lsp.occurrences import Occurrence, Role, Tables, words

Node: TypeAlias = yaml.nodes.Node
_DECLARING = {
    FileKind.SOURCE: "source",
    FileKind.YAML_ASSET: "asset",
    FileKind.CONSUMERS: "consumer",
}
_LISTS = ("inputs", "depends", "reads")
_COLUMN_KEYS = ("column", "columns", "keys")
_KEY = re.compile(r"([A-Za-z_]\w*)\s*:\s*[^:{}\[\]]*(?:[\[{][^\]}:]*)?$")
_ITEM = re.compile(r"\s*-\s*[\"']?\w*")
_OPENING = re.compile(r"([\s-]*)([A-Za-z_]\w*)\s*:\s*")


def in_yaml(
    text: str, kind: FileKind, tables: Tables, *, node: str | None = None
) -> list[Occurrence]:
    """Return the tables and columns that a file names.

    `node` is the source or asset that a front matter or a contract belongs to.
    """
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return []
    reader = _Reader(text, tables)
    if kind is FileKind.CONTRACT:
        return list(reader.contract(document, node)) if node is not None else []
    return [
        occurrence for block in _items(document) for occurrence in reader.block(block, kind, node)
    ]


def key_at(text: str, offset: int) -> str:
    """Return the key whose value is written at an offset; empty if a key is written there."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    if on_line := _KEY.search(line):
        return on_line[1]
    if not _ITEM.fullmatch(line):
        return ""
    indent = len(line) - len(line.lstrip())
    for above in reversed(text[: offset - len(line)].splitlines()):
        if (opening := _OPENING.fullmatch(above)) and len(opening[1]) <= indent:
            return opening[2]
    return ""


def _items(document: Node | None) -> list[Node]:
    if isinstance(document, yaml.SequenceNode):
        return list(document.value)
    return [document] if document is not None else []


def _pairs(node: Node | None) -> list[tuple[str, Node, Node]]:
    """Return key, the key's node and the value of a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [
        (key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)
    ]


def _within(node: Node | None, wanted: str) -> list[Node]:
    """Return the items of a mapping's field, or its value."""
    return [item for key, _, value in _pairs(node) if key == wanted for item in _items(value)]


def _scalars(node: Node) -> list[yaml.ScalarNode]:
    """Return a scalar, those of a list, or the keys of a mapping."""
    if isinstance(node, yaml.ScalarNode):
        return [node]
    if isinstance(node, yaml.MappingNode):
        return [key for _, key, _ in _pairs(node)]  # type: ignore[misc]  # keys are scalars
    return [
        scalar
        for item in node.value
        if isinstance(item, yaml.ScalarNode | yaml.MappingNode)
        for scalar in _scalars(item)
    ]


class _Reader:
    """Reads the blocks of one text."""

    def __init__(self, text: str, tables: Tables) -> None:
        self._text, self._tables = text, tables

    def block(self, block: Node, kind: FileKind, owner: str | None) -> Iterator[Occurrence]:
        """Yield what a source, asset, consumer, test or front matter names."""
        pairs = {key: value for key, _, value in _pairs(block)}
        declaring = pairs.get(_DECLARING.get(kind, "name"))
        if owner is None and declaring is not None:
            owner = self._tables.name(str(declaring.value))
        if declaring is not None and owner is not None:
            yield from self._at(declaring, owner, role=Role.DECLARES)
        if kind is FileKind.TEST:
            yield from self._test(pairs)
            return
        for key in _LISTS:
            if key in pairs:
                yield from self._nodes(pairs[key])
        if owner is not None:
            yield from self._fields(pairs, owner)

    def _fields(self, pairs: dict[str, Node], owner: str) -> Iterator[Occurrence]:
        for key in ("partition", "merge"):
            yield from self._arguments(pairs.get(key), owner)
        for check in _items(pairs.get("checks")):
            for kind, _, value in _pairs(check):
                yield from self._check(kind, value, owner)

    def _check(self, kind: str, value: Node, owner: str) -> Iterator[Occurrence]:
        if kind == "sql":
            for key, _, query in _pairs(value):
                if key == "query":
                    yield from self._within(query)
            return
        if isinstance(value, yaml.SequenceNode):
            yield from self._columns(value, owner)
        yield from self._arguments(value, owner)

    def _arguments(self, value: Node | None, owner: str) -> Iterator[Occurrence]:
        for key, _, argument in _pairs(value):
            if key in _COLUMN_KEYS:
                yield from self._columns(argument, owner)
            elif key == "to" and isinstance(argument, yaml.ScalarNode):
                yield from self._target(argument)

    def _test(self, pairs: dict[str, Node]) -> Iterator[Occurrence]:
        if "asset" in pairs:
            yield from self._nodes(pairs["asset"])
        if "given" in pairs:
            yield from self._nodes(pairs["given"])
            for name, _, rows in _pairs(pairs["given"]):
                yield from self._rows(rows, name)
        if "expect" in pairs and isinstance(pairs.get("asset"), yaml.ScalarNode):
            yield from self._rows(pairs["expect"], pairs["asset"].value)

    def _rows(self, rows: Node, written: str) -> Iterator[Occurrence]:
        node = self._tables.name(written)
        if node is not None and isinstance(rows, yaml.SequenceNode):
            for row in rows.value:
                for _, key, _ in _pairs(row):
                    yield from self._columns(key, node)

    def contract(self, document: Node | None, node: str) -> Iterator[Occurrence]:
        """Yield the columns that a contract declares for a node."""
        for schema in _within(document, "schema"):
            for column in _within(schema, "properties"):
                for name in _within(column, "name"):
                    yield from self._columns(name, node, Role.DECLARES)

    def _nodes(self, value: Node) -> Iterator[Occurrence]:
        for scalar in _scalars(value):
            node = self._tables.name(scalar.value)
            if node is not None:
                yield from self._at(scalar, node)

    def _columns(self, value: Node, node: str, role: Role = Role.READS) -> Iterator[Occurrence]:
        for scalar in _scalars(value):
            column = self._tables.column(node, scalar.value)
            if column is not None:
                yield from self._at(scalar, node, column, role)

    def _target(self, scalar: yaml.ScalarNode) -> Iterator[Occurrence]:
        """Yield `table.column` of a check that refers to another table."""
        written, _, column = scalar.value.partition(".")
        node = self._tables.name(written)
        span = self._span(scalar)
        if node is None or span is None:
            return
        yield Occurrence(span[0], span[0] + len(written), node)
        name = self._tables.column(node, column)
        if column and name is not None:
            yield Occurrence(span[1] - len(column), span[1], node, name)

    def _within(self, query: Node) -> Iterator[Occurrence]:
        start, end = query.start_mark.index, query.end_mark.index
        part = self._text[start:end]
        for word in dict.fromkeys(part.replace(".", " ").replace('"', " ").split()):
            name = word.strip("(),;'")
            node = self._tables.name(name)
            if node is not None:
                for at in words(part, name):
                    place = start + at
                    yield Occurrence(place, place + len(name), node, role=Role.WITHIN)

    def _at(
        self, scalar: Node, node: str, column: str | None = None, role: Role = Role.READS
    ) -> Iterator[Occurrence]:
        span = self._span(scalar)
        if span is not None:
            yield Occurrence(*span, node, column, role)

    def _span(self, scalar: Node) -> tuple[int, int] | None:
        """Return where the text has a scalar's value as it is; None with escapes or line breaks."""
        start, end = scalar.start_mark.index, scalar.end_mark.index
        at = self._text.find(str(scalar.value), start, end)
        return (at, at + len(scalar.value)) if at >= 0 else None
