"""Renames of tables and columns: the edits, and the proof that nothing else changes.

Where names are is found by rules for each kind of file. Whether these were all is proved: the
project is compiled with the edits, and must have the same nodes, inputs and columns under the
new name. A rename that isn't proved is refused, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from headrace.extension import (
    Asset,
    Compiled,
    HeadraceError,
    Lineage,
    NodeGraph,
    Problem,
    ProblemLevel,
    PythonBody,
    Refused,
    SqlBody,
    counted,
    few,
)
from headrace_lsp.captured_names import refuse_captures
from headrace_lsp.index import Index, sql_parts
from headrace_lsp.occurrences import Occurrence, Role, words
from headrace_lsp.projects import EditedProject, Snapshot

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_WORDS_ELSEWHERE = ("headrace.toml", "access.yaml", "owners.yaml")


class Edit(NamedTuple):
    """A replacement in a text, by offsets."""

    start: int
    end: int
    new: str


class Renaming(NamedTuple):
    """A proved rename; nothing of it is written."""

    edits: Mapping[str, Sequence[Edit]]
    """By the path that a file has before it is moved."""
    moves: Mapping[str, str]
    summary: str
    """Which files change, and who is affected."""


class _Names(NamedTuple):
    node: str
    column: str | None
    new: str

    def of_node(self, name: str) -> str:
        return self.new if self.column is None and name == self.node else name

    def of_columns(self, node: str, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is None or self.column is None or node != self.node:
            return columns
        return tuple(self.new if name == self.column else name for name in columns)

    def of_edges(self, edges: Iterable[Any]) -> set[tuple[str, str, str]]:
        """Return input, column and transformation of each, without case."""
        rows = set()
        for edge in edges:
            node = self.node if edge.input == self.node.lower() else edge.input
            renamed = node == self.node and edge.column.lower() == (self.column or "").lower()
            column = self.new if renamed else edge.column
            rows.add((self.of_node(node).lower(), column.lower(), edge.transformation))
        return rows


def renaming(
    index: Index, project: EditedProject, target: Occurrence, new: str, *, applied: bool
) -> Renaming:
    """Return the rename of a table or column. Raise Refused with the reason if there is none.

    `applied` says whether the table is in the applied project.
    """
    names = _Names(target.node, target.column, new)
    _refuse_at_once(index, names, applied=applied)
    refuse_captures(index, *names)
    edits = _edits(index, names)
    moves: dict[str, str] = {}
    if names.column is None:
        moves = _moves(index, names)
        if applied:
            path, edit = _renamed_from(index, names.node)
            edits.setdefault(path, []).append(edit)
    for changes in edits.values():
        changes.sort()
    _prove(index, project, names, edits, moves)
    return Renaming(edits, moves, _summary(index, names, edits, moves, applied=applied))


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Return a text with edits, which are sorted and don't overlap."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join((*parts, text[at:]))


def _refuse_at_once(index: Index, names: _Names, *, applied: bool) -> None:
    errors = (
        problem.place
        for problem in index.snapshot.compilation.problems
        if problem.level is ProblemLevel.ERROR
    )
    if place := next(errors, None):
        raise Refused(f"the project has errors, first in {place.file}:{place.line}: mend them")
    if not _NAME.fullmatch(names.new):
        raise Refused(f"{names.new[:60]!r} is no name: letters, digits and _, no digit first")
    if names.column is None:
        _refuse_table(index, names, applied=applied)
    else:
        _refuse_column(index, names)


def _refuse_table(index: Index, names: _Names, *, applied: bool) -> None:
    if names.node.lower() != names.new.lower() and index.tables.name(names.new) is not None:
        raise Refused(f"`{names.new}` is declared already")
    if applied and names.node not in index.compiled.project.assets:
        raise Refused(
            f"`{names.node}` is applied, and only assets keep their history under a new name"
        )


def _refuse_column(index: Index, names: _Names) -> None:
    """Refuse a column that a delivery names, or code that isn't SQL may name."""
    assets = index.compiled.project.assets
    if names.node not in assets:
        raise Refused("the deliveries of a source name its columns; `headrace contract` maps them")
    opaque = [
        name
        for name in (names.node, *NodeGraph(index.compiled).below.get(names.node, ()))
        if name in assets and not isinstance(assets[name].body, SqlBody)
    ]
    if opaque:
        raise Refused(f"`{names.column}` may be used in the code of {few(opaque)}, which isn't SQL")


def _edits(index: Index, names: _Names) -> dict[str, list[Edit]]:
    edits: dict[str, list[Edit]] = {}
    for path, at in index.everywhere(names.node, names.column):
        if not at.direct:
            continue
        declares = at.role is Role.DECLARES
        if at.bare and declares:
            edit = Edit(at.end, at.end, f" as {names.new}")
        elif at.bare:
            edit = Edit(at.start, at.end, f"{names.new} as {names.column}")
        else:
            edit = Edit(at.start, at.end, names.new)
        edits.setdefault(path, []).append(edit)
    return edits


def _moves(index: Index, names: _Names) -> dict[str, str]:
    """Return the files that have the table's name: of its query, and of its contract."""
    known = {file.path for file in index.snapshot.files.scan.files}
    moves = {}
    for path in _named_by_table(index, names.node):
        if path in known:
            old = PurePosixPath(path)
            target = str(old.with_name(names.new + old.name[old.name.index(".") :]))
            if target in known:
                raise Refused(f"{target} is there already")
            moves[path] = target
    return moves


def _named_by_table(index: Index, name: str) -> Iterator[str]:
    node = index.compiled.project.node(name)
    if node is not None and "contract" not in dict(node.place.lines):
        yield f"contracts/{name}.odcs.yaml"
    if not isinstance(node, Asset) or not isinstance(node.body, SqlBody):
        return
    places = [
        item for path in {node.place.file, node.body.file} for item in index.occurrences(path)
    ]
    if not any(
        (item.node, item.column, item.role) == (name, None, Role.DECLARES) for item in places
    ):
        yield node.body.file
        yield f"{node.body.file.removesuffix('.sql')}.yaml"


def _renamed_from(index: Index, node: str) -> tuple[str, Edit]:
    """Return the edit that keeps the history of an applied asset."""
    asset = index.compiled.project.assets[node]
    if asset.renamed_from is not None:
        raise Refused(f"`{node}` is `renamed_from: {asset.renamed_from}`: apply that first")
    path = asset.place.file
    text = index.snapshot.text(path)
    if isinstance(asset.body, PythonBody):
        at = _after_call(text, asset.place.line)
        return path, Edit(at, at, f'renamed_from="{node}", ')
    if path.endswith(".sql"):
        at = sql_parts(text).front[0]
        return path, Edit(at, at, f"\nrenamed_from: {node}")
    declaring = next((item for item in index.occurrences(path) if item.role is Role.DECLARES), None)
    if declaring is None:  # the front matter in a file of its declaring
        return path, Edit(0, 0, f"renamed_from: {node}\n")
    begin = text.rfind("\n", 0, declaring.start) + 1
    key = text[begin : declaring.start].rstrip()
    indent = " " * (len(key) - len(key.lstrip(" -")))
    end = text.find("\n", declaring.end)
    end = len(text) if end < 0 else end
    return path, Edit(end, end, f"\n{indent}renamed_from: {node}")


def _after_call(text: str, line: int) -> int:
    """Return the offset behind `asset(` at a line or above it."""
    lines = text.split("\n")
    end = sum(len(item) + 1 for item in lines[:line])
    opening = text.rfind("asset(", 0, end)
    if opening < 0:
        raise Refused("its decorator has no arguments to add `renamed_from` to")
    return opening + len("asset(")


def _prove(
    index: Index,
    project: EditedProject,
    names: _Names,
    edits: Mapping[str, Sequence[Edit]],
    moves: Mapping[str, str],
) -> None:
    """Compile the project with the edits. Raise Refused unless it is the same but for the name."""
    snapshot = index.snapshot
    contents = dict(snapshot.files.changed)
    for path in {*edits, *moves}:
        text = edited(snapshot.text(path), edits.get(path, ()))
        contents.pop(path, None)
        contents[moves.get(path, path)] = text.encode()
    try:
        after = project.compile(contents, frozenset(moves))
        problems = project.bound_whole(after).problems
    except HeadraceError as error:
        raise Refused(f"the rename can't be proved: {error}") from error
    difference = _error(problems) or _difference(index, project, after, names)
    if difference:
        raise Refused(f"this rename isn't one of the name alone: {difference}")


def _error(problems: Sequence[Problem]) -> str:
    for problem in problems:
        if problem.level is ProblemLevel.ERROR:
            return f"{problem.place.file}:{problem.place.line}: {problem.message}"
    return ""


def _difference(index: Index, project: EditedProject, after: Snapshot, names: _Names) -> str:
    old, new = index.compiled, after.compilation.compiled
    if new is None:
        return "it doesn't compile"
    readers = (names.node, *NodeGraph(old).below.get(names.node, ()))
    changed = [name for name in readers if name in old.project.assets]
    same = _Names("", None, "")
    expected = _shape(old, names) | _values(index.lineage, changed, names)
    actual = _shape(new, same) | _values(
        project.lineage(new), [names.of_node(name) for name in changed], same
    )
    for name in expected.keys() | actual.keys():
        if expected.get(name) != actual.get(name):
            return f"`{name}` would read or return something else"
    return ""


def _shape(compiled: Compiled, names: _Names) -> dict[str, object]:
    """Return what each node reads and returns, under the new names."""
    nodes: dict[str, object] = {
        names.of_node(name): (
            sorted((names.of_node(spec.node), spec.mode, spec.lookback) for spec in node.inputs),
            sorted(map(names.of_node, node.depends)),
            sorted(map(names.of_node, node.check_references)),
            names.of_columns(name, node.column_names),
            [type_ for _, type_ in node.columns or ()],
        )
        for name, node in compiled.nodes.items()
    }
    nodes |= {
        names.of_node(name): sorted(map(names.of_node, consumer.reads))
        for name, consumer in compiled.project.consumers.items()
    }
    tests = [names.of_node(test.asset) for test in compiled.project.tests]
    return {**nodes, "the tests": sorted(tests)}


def _values(lineage: Lineage, nodes: Sequence[str], names: _Names) -> dict[str, object]:
    """Return what decides the values of each column of nodes, under the new names."""
    values: dict[str, object] = {}
    for name in nodes:
        of_node = lineage.of(name)
        columns = names.of_columns(name, tuple(of_node.columns)) or ()
        for column, edges in zip(columns, of_node.columns.values(), strict=True):
            values[f"{names.of_node(name)}.{column}"] = names.of_edges(edges)
        values[f"{names.of_node(name)}.*"] = names.of_edges((*of_node.filters, *of_node.mentions))
    return values


def _summary(
    index: Index,
    names: _Names,
    edits: Mapping[str, Sequence[Edit]],
    moves: Mapping[str, str],
    *,
    applied: bool,
) -> str:
    project = index.compiled.project
    reached = list(NodeGraph(index.compiled).downstream([names.node]))
    assets = [name for name in reached if name in project.assets and name != names.node]
    consumers = [name for name in reached if name in project.consumers and name != names.node]
    owners = {node.owner for name in reached if (node := project.node(name)) is not None}
    old = names.node if names.column is None else f"{names.node}.{names.column}"
    left = list(_left(index, names.column or names.node, edits))
    parts = [
        f"{old} becomes {names.new} in {counted(len({*edits, *moves}), 'file')}",
        f"downstream: {few(assets) or 'no asset'}; consumers: {few(consumers) or 'none'}",
        f"owners: {few(sorted(owners))}",
        *(["what is published continues under the new name"] * (names.column is None and applied)),
        *(["`headrace plan` shows which tables become stale"] * applied),
        *([f"also named in {few(left)}, which stays as it is"] * bool(left)),
    ]
    return "; ".join(parts)


def _left(index: Index, word: str, edits: Mapping[str, object]) -> Iterator[str]:
    """Yield where settings, access rules and owners name what is renamed."""
    for path in _WORDS_ELSEWHERE:
        if path not in edits:
            text = index.snapshot.text(path)
            for at in words(text, word):
                yield f"{path}:{text.count(chr(10), 0, at) + 1}"
