"""What a Python file defines: decorated functions, calls and known values, from its syntax tree.

Nothing is imported or run. It serves importers that leave all work to commands; the Airflow
importer follows code much further.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_import.importers.airflow.origin import Module

DEPTH_MAX = 50
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _no_library(_: str) -> str:
    return ""


class NotKnown(Exception):
    """A value that only a run would tell."""


@dataclass(slots=True)
class Definitions:
    """One file: its imports, its module-level constants, and its tree."""

    module: Module
    aliases: dict[str, list[str]] = field(default_factory=dict)
    """Local name → full dotted names of what was imported by it (`try:` may import another)."""
    stars: list[str] = field(default_factory=list)
    """Modules of which everything is imported."""
    local: frozenset[str] = frozenset()
    """Names that the module itself defines."""
    constants: dict[str, ast.expr] = field(default_factory=dict)
    """Name → the only value that the module assigns to it."""
    library_name: Callable[[str], str] = _no_library
    """Returns the name in the library that a full dotted name means; empty if it means none."""
    followed: set[int] = field(default_factory=set)
    """Ids of the nodes that name the library and were understood."""

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
        names = [".".join([name, *reversed(parts)]) for name in self.meanings(node.id)]
        known = [self.library_name(name) for name in names]
        return next(filter(None, known), names[-1])

    def meanings(self, name: str) -> list[str]:
        """Return the full dotted names that a local name may have, the likeliest last."""
        imported = self.aliases.get(name)
        if imported is not None:
            return imported
        stars = [] if name in self.local or hasattr(builtins, name) else self.stars
        return [*(dotted(star, name) for star in stars), name]

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
            decorator = self._decorator(item, names, 0)
            if decorator is not None:
                return decorator
        return None

    def _decorator(self, item: ast.expr, names: Mapping[str, str], depth: int) -> Decorator | None:
        """Return what an expression means as a decorator, through variables of the module."""
        call = item if isinstance(item, ast.Call) else None
        named = call.func if call is not None else item
        if call is not None and self.name_of(named).endswith("partial") and call.args:
            named = call.args[0]
        kind = names.get(self.name_of(named))
        if kind is not None:
            self.followed.add(id(named))
            return Decorator(kind, call)
        constant = self.constants.get(named.id) if isinstance(named, ast.Name) else None
        if constant is None or depth > DEPTH_MAX:
            return None
        decorator = self._decorator(constant, names, depth + 1)
        return decorator if call is None or decorator is None else Decorator(decorator.kind, call)

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


def definitions_of(module: Module) -> Definitions:
    """Return what a parsed file imports and assigns once."""
    assigned: dict[str, list[ast.expr]] = {}
    aliases: dict[str, list[str]] = {}
    imports = [pair for node in ast.walk(module.tree) for pair in imported_names(node)]
    for local, name in imports:
        aliases.setdefault(local, []).append(name)
    stars = [_module_of_star(name) for name in aliases.pop("*", [])]
    statements = list(module_statements(module.tree))
    for statement in statements:
        for name, value in _assignments(statement):
            assigned.setdefault(name, []).append(value)
    defined = {item.name for item in statements if isinstance(item, _NAMED)}
    constants = {name: values[0] for name, values in assigned.items() if len(values) == 1}
    return Definitions(module, aliases, stars, frozenset({*defined, *assigned}), constants)


def _module_of_star(name: str) -> str:
    """Return the module of `module.*`, which is only dots for a package of the file itself."""
    module = name.removesuffix("*")
    return module.removesuffix(".") if module.strip(".") else module


def module_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those of its `if`, `try`, `with` and loops included.

    Those that only run as a program (`if __name__ == "__main__"`) aren't among them.
    """
    pending: list[ast.stmt] = list(reversed(tree.body))
    while pending:
        statement = pending.pop()
        yield statement
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = [] if _is_program(statement) else _blocks(statement)
            pending.extend(reversed(inner))


def _is_program(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "'__main__'" in ast.unparse(statement.test)


def _blocks(statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements within a compound statement."""
    results: list[ast.stmt] = []
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            results.append(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            results += child.body
    return results


def dotted(module: str, name: str) -> str:
    """Return the full name of a name in a module, which may be relative (`.`)."""
    separator = "" if module.endswith(".") or not name else "."
    return f"{module}{separator}{name}"


def imported_names(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Return each name that an import gives, with the full name of what it means."""
    if isinstance(node, ast.Import):
        for item in node.names:
            local = item.asname or item.name.partition(".")[0]
            yield local, item.name if item.asname else local
    elif isinstance(node, ast.ImportFrom):
        prefix = "." * node.level + (node.module or "")
        for item in node.names:
            yield item.asname or item.name, dotted(prefix, item.name)


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


def decorators_of(tree: ast.Module) -> Iterator[tuple[int, ast.expr]]:
    """Yield the line of each decorator of a function, and what it names without a call."""
    for function in functions_of(tree):
        for item in function.decorator_list:
            yield item.lineno, item.func if isinstance(item, ast.Call) else item


def root_of(node: ast.expr) -> str:
    """Return the local name with which a dotted name begins; empty for other expressions."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def functions_of(
    tree: ast.Module,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return all functions and methods of a file, in the order of their lines."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    yield from sorted(functions, key=lambda node: node.lineno)


def unused(wanted: str, used: set[str]) -> str:
    """Return an id that isn't used yet, by a number if it must be, and take it."""
    number, name = 2, wanted or "*"
    while name in used:
        name = f"{wanted}~{number}"
        number += 1
    used.add(name)
    return name
