"""Tables that the Python assets of a file declare and read; the file isn't run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from headrace_lsp.occurrences import Occurrence, Role, Tables
from headrace_lsp.texts import Text

_LISTS = ("inputs", "depends")


def in_python(text: str, tables: Tables) -> list[Occurrence]:
    """Return the tables that decorated functions name."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    reader = _Reader(text, tables)
    return [
        occurrence
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and _is_asset(decorator.func)
        for occurrence in reader.function(function, decorator)
    ]


def _is_asset(called: ast.expr) -> bool:
    return (isinstance(called, ast.Name) and called.id == "asset") or (
        isinstance(called, ast.Attribute) and called.attr == "asset"
    )


class _Reader:
    def __init__(self, text: str, tables: Tables) -> None:
        self._tables, self._text = tables, Text(text)

    def function(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, decorator: ast.Call
    ) -> Iterator[Occurrence]:
        """Yield what an asset's function declares and reads."""
        keywords = {item.arg: item.value for item in decorator.keywords}
        name = keywords.get("name")
        if isinstance(name, ast.Constant):
            yield from self._constant(name, Role.DECLARES)
        elif (node := self._tables.name(function.name)) is not None:
            at = self._offset(function.lineno, function.col_offset)
            lead = len("async def ") if isinstance(function, ast.AsyncFunctionDef) else len("def ")
            yield Occurrence(at + lead, at + lead + len(function.name), node, role=Role.DECLARES)
        read: set[str] = set()
        for key in _LISTS:
            for item in _constants(keywords.get(key)):
                for occurrence in self._constant(item):
                    read.add(str(item.value))
                    yield occurrence
        yield from self._parameters(function, read)

    def _parameters(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, read: set[str]
    ) -> Iterator[Occurrence]:
        """Yield the parameters that have the name of an input, and their uses."""
        for item in ast.walk(function.args):
            if isinstance(item, ast.arg) and item.arg in read:
                yield from self._parameter(item.arg, item)
        for statement in function.body:
            for item in ast.walk(statement):
                if isinstance(item, ast.Name) and item.id in read:
                    yield from self._parameter(item.id, item)

    def _parameter(self, name: str, item: ast.arg | ast.Name) -> Iterator[Occurrence]:
        node = self._tables.name(name)
        if node is not None:
            at = self._offset(item.lineno, item.col_offset)
            yield Occurrence(at, at + len(name), node, role=Role.PARAMETER)

    def _constant(self, item: ast.Constant, role: Role = Role.READS) -> Iterator[Occurrence]:
        if (
            not isinstance(item.value, str)
            or (node := self._tables.name(item.value)) is None
            or item.end_col_offset is None
            or item.end_lineno is None
        ):
            return
        start = self._offset(item.lineno, item.col_offset) + 1
        end = self._offset(item.end_lineno, item.end_col_offset) - 1
        if end - start == len(item.value):
            yield Occurrence(start, end, node, role=role)

    def _offset(self, line: int, column: int) -> int:
        """Return the offset of a line (from 1) and a column in bytes of UTF-8, as `ast` has it."""
        start, end = self._text.line_range(line - 1)
        before = self._text.content[start:end].encode()[:column]
        return start + len(before.decode("utf-8", "ignore"))


def _constants(value: ast.expr | None) -> Iterator[ast.Constant]:
    if isinstance(value, ast.List | ast.Tuple):
        yield from (item for item in value.elts if isinstance(item, ast.Constant))
    elif isinstance(value, ast.Dict):
        yield from (key for key in value.keys if isinstance(key, ast.Constant))
