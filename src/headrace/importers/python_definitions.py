"""What a Python file defines: decorated functions, calls and known values, from its syntax tree.

Nothing is imported or run. It serves importers that leave all work to commands; the Airflow
importer follows code much further.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.importers.airflow.origin import Module, Origin, UnreadableFile

DEPTH_MAX = 50


class NotKnown(Exception):
    """A value that only a run would tell."""


@dataclass(slots=True)
class Definitions:
    """One file: its imports, its module-level constants, and its tree."""

    module: Module
    aliases: dict[str, str] = field(default_factory=dict)
    """Local name → full dotted name of what was imported by it."""
    constants: dict[str, ast.expr] = field(default_factory=dict)
    """Name → the only value that the module assigns to it."""

    @property
    def path(self) -> str:
        """The file, relative to the origin."""
        return self.module.path

    def name_of(self, node: ast.AST) -> str:
        """Return the full dotted name of a name or attribute; empty for other expressions."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.aliases.get(node.id, node.id), *reversed(parts)])

    def value(self, node: ast.AST | None, depth: int = 0) -> Any:
        """Return a literal's value, constants of the module included. Raises NotKnown."""
        if depth > DEPTH_MAX:
            raise NotKnown
        match node:
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self.value(operand, depth + 1)
                if isinstance(number, int | float):
                    return -number
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self.value(item, depth + 1) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {
                    _key(self.value(key, depth + 1)): self.value(value, depth + 1)
                    for key, value in zip(keys, values, strict=True)
                }
            case ast.Name(id=name) if name in self.constants:
                return self.value(self.constants[name], depth + 1)
            case ast.JoinedStr(values=pieces):
                return "".join(self._piece(piece, depth + 1) for piece in pieces)
        raise NotKnown

    def _piece(self, node: ast.expr, depth: int) -> str:
        if isinstance(node, ast.FormattedValue):
            if node.conversion != -1 or node.format_spec is not None:
                raise NotKnown
            node = node.value
        return str(self.value(node, depth))

    def known(self, node: ast.AST | None, default: Any = None) -> Any:
        """Return a literal's value, or the default if it isn't known."""
        try:
            return self.value(node)
        except NotKnown:
            return default

    def text(self, node: ast.AST | None) -> str:
        """Return a literal text; empty if it isn't one."""
        value = self.known(node)
        return value if isinstance(value, str) else ""

    def decorator(self, node: ast.AST, names: Mapping[str, str]) -> Decorator | None:
        """Return the first decorator of a function whose full name is in `names`."""
        for item in getattr(node, "decorator_list", ()):
            called = item.func if isinstance(item, ast.Call) else item
            kind = names.get(self.name_of(called))
            if kind is not None:
                return Decorator(kind, item if isinstance(item, ast.Call) else None)
        return None

    def original(self, node: ast.stmt | ast.expr) -> str:
        """Return the text of a definition, with its decorators."""
        return self.module.segment(first_line(node), node.end_lineno or node.lineno)

    def comments_above(self, line: int) -> list[str]:
        """Return the comment lines directly above a line, without `#`."""
        results: list[str] = []
        while line > 1 and (text := self.module.segment(line - 1, line - 1).strip()).startswith(
            "#"
        ):
            results.insert(0, text.lstrip("# "))
            line -= 1
        return results


def _key(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise NotKnown
    return value


@dataclass(frozen=True, slots=True)
class Decorator:
    """A decorator by its kind, with its call if it has arguments."""

    kind: str
    call: ast.Call | None

    def argument(self, name: str, position: int | None = None) -> ast.expr | None:
        """Return an argument's expression, or None."""
        return argument(self.call, name, position)


def argument(call: ast.Call | None, name: str, position: int | None = None) -> ast.expr | None:
    """Return an argument of a call by its name or position, or None."""
    if call is None:
        return None
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if position is not None and position < len(call.args):
        return call.args[position]
    return None


def first_line(node: ast.stmt | ast.expr) -> int:
    """Return the line of a definition's first decorator, or its own."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(item.lineno for item in decorators)])


def files_naming(origin: Origin, library: str) -> tuple[dict[str, Definitions], dict[str, str]]:
    """Return the Python files whose text names a library, and why files can't be read, by path."""
    files: dict[str, Definitions] = {}
    problems: dict[str, str] = {}
    for path in origin.python_files:
        try:
            module = origin.module(path)
        except UnreadableFile as error:
            problems[path] = str(error)
            continue
        if library in module.text:
            files[path] = definitions_of(module)
        else:
            origin.forget(path)
    return files, problems


def definitions_of(module: Module) -> Definitions:
    """Return what a parsed file imports and assigns once."""
    assigned: dict[str, list[ast.expr]] = {}
    aliases = dict(pair for node in ast.walk(module.tree) for pair in _imported(node))
    for statement in module.tree.body:
        for name, value in _assignments(statement):
            assigned.setdefault(name, []).append(value)
    constants = {name: values[0] for name, values in assigned.items() if len(values) == 1}
    return Definitions(module, aliases, constants)


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Return each name that an import gives, with the full name of what it means."""
    if isinstance(node, ast.Import):
        for item in node.names:
            local = item.asname or item.name.partition(".")[0]
            yield local, item.name if item.asname else local
    elif isinstance(node, ast.ImportFrom):
        prefix = "." * node.level + (node.module or "")
        separator = "" if prefix.endswith(".") else "."
        for item in node.names:
            yield item.asname or item.name, f"{prefix}{separator}{item.name}"


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield target.id, statement.value
    elif (
        isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.value is not None
    ):
        yield statement.target.id, statement.value


def functions_of(
    tree: ast.Module,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return all functions and methods of a file, in the order of their lines."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    yield from sorted(functions, key=lambda node: node.lineno)
