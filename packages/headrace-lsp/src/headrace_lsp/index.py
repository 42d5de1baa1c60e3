"""What the files of a compiled project name, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from headrace.extension import (
    Asset,
    Compiled,
    Consumer,
    FileKind,
    Lineage,
    Place,
    Source,
    SqlBody,
    file_kind,
)
from headrace_lsp.occurrences import Occurrence, Role, Tables, has_words
from headrace_lsp.projects import Snapshot
from headrace_lsp.python_occurrences import in_python
from headrace_lsp.sql_occurrences import in_query
from headrace_lsp.yaml_occurrences import in_yaml

_FRONT = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$))*/\*\s*headrace\b[ \t]*:?(.*?)(?:\*/|\Z)", re.DOTALL | re.IGNORECASE
)


class SqlParts(NamedTuple):
    """The two parts of a file of SQL, as offsets in it."""

    front: tuple[int, int]
    """The YAML of the front matter; empty without one."""
    query: int
    """Where the query begins."""


def sql_parts(text: str) -> SqlParts:
    """Return where a file of SQL has its front matter and its query."""
    front = _FRONT.match(text)
    return SqlParts((0, 0), 0) if front is None else SqlParts(front.span(1), front.end())


class Location(NamedTuple):
    """An occurrence in a file."""

    path: str
    at: Occurrence


class Index:
    """The names in the files of one snapshot; `compiled` may be older where it has errors."""

    def __init__(self, snapshot: Snapshot, compiled: Compiled, lineage: Lineage) -> None:
        self.snapshot, self.compiled, self.lineage = snapshot, compiled, lineage
        project = compiled.project
        self.tables = Tables(
            {name: node.column_names for name, node in compiled.nodes.items()},
            tuple(project.consumers),
            {
                project.contracts[node.contract].place.file: node.name
                for node in tables_of(compiled)
                if node.contract in project.contracts
            },
        )
        self.by_file = _by_file(compiled)
        self._known: dict[str, list[Occurrence]] = {}

    def asset_of(self, path: str) -> str | None:
        """Return the SQL asset whose query a file has."""
        return next(
            (
                name
                for name in self.by_file.get(path, ())
                if isinstance(getattr(self.compiled.project.assets.get(name), "body", 0), SqlBody)
            ),
            None,
        )

    def occurrences(self, path: str) -> list[Occurrence]:
        """Return what a file names, by place."""
        if path not in self._known:
            self._known[path] = sorted(self._read(path), key=lambda item: (item.start, item.end))
        return self._known[path]

    def _read(self, path: str) -> list[Occurrence]:
        kind, text = file_kind(path), self.snapshot.text(path)
        if kind is FileKind.SQL:
            asset = self.asset_of(path)
            (start, end), query = sql_parts(text)
            front = in_yaml(text[start:end], FileKind.SQL, self.tables, node=asset)
            body = in_query(text[query:], asset, self.tables)
            return [*_moved(front, start), *_moved(body, query)]
        if kind is FileKind.PYTHON:
            return in_python(text, self.tables)
        if kind in (FileKind.SETTINGS, FileKind.OWNERS, FileKind.ACCESS, FileKind.MACRO, None):
            return []
        node = self.tables.contracts.get(path) if kind is FileKind.CONTRACT else None
        if kind is FileKind.YAML_ASSET:
            node = self.asset_of(path.removesuffix(".yaml") + ".sql")
        return in_yaml(text, kind, self.tables, node=node)

    def at(self, path: str, offset: int) -> Occurrence | None:
        """Return what a place names.

        A column comes before its table, and one that is read before the output of the same name.
        """
        return min(
            (item for item in self.occurrences(path) if item.start <= offset <= item.end),
            key=lambda item: (item.column is None, item.role is Role.DECLARES),
            default=None,
        )

    def everywhere(self, node: str, column: str | None) -> Iterator[Location]:
        """Yield each place of a table or of a column of it, in all files that can name it."""
        declaring = {
            *(path for path, names in self.by_file.items() if node in names),
            *(path for path, name in self.tables.contracts.items() if name == node),
        }
        for file in self.snapshot.files.scan.files:
            needed = (column or node,) if file.path in declaring else (column or node, node)
            if has_words(self.snapshot.text(file.path), needed):
                yield from self._named(file.path, node, column)

    def _named(self, path: str, node: str, column: str | None) -> Iterator[Location]:
        for item in self.occurrences(path):
            if (item.node, item.column) == (node, column):
                yield Location(path, item)

    def definition(self, node: str, column: str | None) -> Location | Place | None:
        """Return where a table or a column is declared: in its query, else by its declaration."""
        declared = self.compiled.project.node(node)
        if declared is None or column is None:
            return None if declared is None else declared.place
        places = (
            place
            for path in self._declaring(declared)
            for place in self._named(path, node, column)
            if place.at.role is Role.DECLARES
        )
        return next(places, declared.place)

    def _declaring(self, declared: Source | Asset | Consumer) -> Iterator[str]:
        """Yield the files that may declare the columns of a table: its query, its contract."""
        if isinstance(declared, Asset) and isinstance(declared.body, SqlBody):
            yield declared.body.file
        yield from (path for path, name in self.tables.contracts.items() if name == declared.name)


def tables_of(compiled: Compiled) -> list[Source | Asset]:
    """Return the sources and assets."""
    return [*compiled.project.sources.values(), *compiled.project.assets.values()]


def _by_file(compiled: Compiled) -> Mapping[str, list[str]]:
    files: dict[str, list[str]] = {}
    for node in compiled.project.nodes():
        body = getattr(node, "body", None)
        places = {node.place.file} | ({body.file} if body is not None else set())
        for file in places:
            files.setdefault(file, []).append(node.name)
    return files


def _moved(occurrences: list[Occurrence], by: int) -> list[Occurrence]:
    return [item._replace(start=item.start + by, end=item.end + by) for item in occurrences]
