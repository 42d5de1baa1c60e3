"""Literals of the syntax tree as declared values, with their lines."""

from __future__ import annotations

import ast
from typing import Any

from headrace.model.documents import Items, LocatedMapping
from headrace.model.reporting import shown

DEPTH_MAX = 20
_INTEGER_LIMIT = 1 << 63


class NotLiteral(Exception):
    """An expression that would have to be run."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def literal(node: ast.expr, depth: int = 0) -> Any:
    """The value of a literal: text, number, true, false, None, list, tuple or dict of those. NotLiteral otherwise."""
    if depth > DEPTH_MAX:
        raise NotLiteral("it is nested too deep", node.lineno)
    match node:
        case ast.Constant():
            return _constant(node.value, node.lineno)
        case ast.List() | ast.Tuple():
            items = Items(node.lineno)
            for element in node.elts:
                items.put(literal(element, depth + 1), element.lineno)
            return items
        case ast.Dict():
            return _mapping(node, depth)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(number, bool):
            return _constant(-number, node.lineno)
        case _:
            raise NotLiteral(f"{_shortened(node)} would have to be run", node.lineno)


def _constant(value: object, line: int) -> Any:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise NotLiteral("the text holds characters that can't be kept", line)
        return value
    if isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise NotLiteral("the number has more than 64 bits", line)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise NotLiteral("texts, numbers, lists and dicts can be declared", line)


def _mapping(node: ast.Dict, depth: int) -> LocatedMapping:
    block = LocatedMapping(node.lineno)
    for key, value in zip(node.keys, node.values, strict=True):
        name = _constant(key.value, key.lineno) if isinstance(key, ast.Constant) else None
        if key is None or not isinstance(name, str):
            raise NotLiteral("a key must be a text", value.lineno)
        if name in block:
            raise NotLiteral(f"the key {shown(name)} is here twice", key.lineno)
        block.put(name, literal(value, depth + 1), key.lineno)
    return block


def _shortened(node: ast.expr) -> str:
    try:
        return shown(" ".join(ast.unparse(node).split()))
    except RecursionError:
        return "this"
