"""What of a Python function counts as its code: the syntax tree without places, comments and docstrings.

`ast.dump` would do, but what it writes differs between versions of Python, and an upgrade must not make every asset look
changed. Fields that are empty or absent aren't written, so that a new optional field changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IGNORED = frozenset({"kind", "type_comment", "ctx"})


def normal_form(node: ast.AST) -> str:
    """A text that is equal for trees that do the same by construction. Decorators aren't part of a decorated asset's code,
    but are of everything else's."""
    parts: list[str] = []
    _write(node, parts, top=True)
    return "".join(parts)


def digest(statements: Sequence[ast.stmt]) -> str:
    """SHA-256 of the normal form of several statements: it is repeated in each asset of a module."""
    parts: list[str] = []
    for statement in _without_docstring(statements):
        _write(statement, parts)
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def module_digest(tree: ast.Module, is_asset: Callable[[ast.expr], bool]) -> str:
    """SHA-256 of a module's normal form. The decorators for which `is_asset` is true declare an asset and aren't code."""
    parts: list[str] = []
    for statement in _without_docstring(tree.body):
        decorators = getattr(statement, "decorator_list", [])
        _write(statement, parts, top=any(is_asset(decorator) for decorator in decorators))
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _write(node: ast.AST, parts: list[str], *, top: bool = False) -> None:
    parts.append(type(node).__name__)
    parts.append("(")
    for name in node._fields:
        value: Any = getattr(node, name, None)
        if _says_nothing(node, name, value, top=top):
            continue
        parts.append(name)
        parts.append("=")
        if name == "body" and isinstance(node, _DOCUMENTED):
            value = _without_docstring(value)
        _write_value(value, parts)
        parts.append(",")
    parts.append(")")


def _says_nothing(node: ast.AST, name: str, value: object, *, top: bool) -> bool:
    """Whether a field adds nothing: what is absent, and the decorators of the asset itself (their arguments are declared)."""
    if name == "decorator_list":
        return top or value == []
    if isinstance(node, ast.Constant) and name == "value":
        return False
    return name in _IGNORED or value is None or value == []


def _write_value(value: object, parts: list[str]) -> None:
    if isinstance(value, ast.AST):
        _write(value, parts)
    elif isinstance(value, list):
        parts.append("[")
        for item in value:
            _write_value(item, parts)
            parts.append(",")
        parts.append("]")
    else:
        parts.append(ascii(value))


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0] if body else None
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if documented else body
