"""The expression language of Azure Data Factory and of ARM templates: a parser.

`@pipeline().parameters.x` is an expression, `a @{item().name} b` a text with expressions within,
`@@` an at sign. ARM templates write `[concat(parameters('factoryName'), '/X')]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

DEPTH_MAX = 100
_TOKEN = re.compile(
    r"\s*(?:('(?:[^']|'')*')|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|([A-Za-z_][\w-]*)|(\?\[|\?\.|[()\[\],.]))"
)


class BadExpressionError(Exception):
    """An expression that isn't one, or is nested too deep."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number, true, false or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """`of.name` or `of['name']`, or an item of a list by its position."""

    of: Expression
    key: Expression
    optional: bool


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A text with expressions within."""

    parts: tuple[Expression, ...]


Expression = Literal | Call | Property | Interpolation


def parse_value(text: str) -> Expression:
    """Return what a text of a factory means: an expression, an interpolation or itself.

    Raise BadExpressionError.
    """
    if text.startswith("@@"):
        return Literal(text[1:])
    if text.startswith("@") and not text.startswith("@{"):
        return parse_expression(text[1:])
    if "@{" not in text:
        return Literal(text)
    return _interpolation(text)


def parse_arm(text: str) -> Expression:
    """Return what a text of an ARM template means. Raise BadExpressionError."""
    if text.startswith("[["):
        return Literal(text[1:])
    if text.startswith("[") and text.endswith("]"):
        return parse_expression(text[1:-1])
    return Literal(text)


def parse_expression(text: str) -> Expression:
    """Return the tree of an expression without its `@`. Raise BadExpressionError."""
    parser = _Parser(text, 0)
    tree = parser.expression(0)
    if text[parser.at :].strip():
        raise BadExpressionError(f"`{text[parser.at :].strip()[:40]}` follows the expression")
    return tree


def _interpolation(text: str) -> Interpolation:
    parts: list[Expression] = []
    at = 0
    while (start := text.find("@{", at)) >= 0:
        if start and text[start - 1] == "@":
            parts.append(Literal(text[at : start - 1] + "@{"))
            at = start + 2
            continue
        if start > at:
            parts.append(Literal(text[at:start]))
        parser = _Parser(text, start + 2)
        parts.append(parser.expression(0))
        end = re.compile(r"\s*\}").match(text, parser.at)
        if end is None:
            raise BadExpressionError("`}` is missing after `@{`")
        at = end.end()
    if at < len(text):
        parts.append(Literal(text[at:]))
    return Interpolation(tuple(parts))


class _Parser:
    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def _peek(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        return match[4] or "" if match else ""

    def _take(self) -> re.Match[str]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            rest = self.text[self.at : self.at + 40].strip()
            raise BadExpressionError(f"`{rest}` isn't understood" if rest else "it ends too early")
        self.at = match.end()
        return match

    def _expect(self, sign: str) -> None:
        if self._take()[4] != sign:
            raise BadExpressionError(f"`{sign}` is missing")

    def expression(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise BadExpressionError(f"it is nested more than {DEPTH_MAX} deep")
        token = self._take()
        if token[1] is not None:
            return self._path(Literal(token[1][1:-1].replace("''", "'")), depth)
        if token[2] is not None:
            return Literal(_number(token[2]))
        if token[3] is None:
            raise BadExpressionError(f"`{token[4]}` stands where a value should")
        return self._path(self._named(token[3], depth), depth)

    def _named(self, name: str, depth: int) -> Expression:
        if self._peek() == "(":
            self._expect("(")
            return Call(name, self._arguments(depth))
        words: dict[str, bool | None] = {"true": True, "false": False, "null": None}
        if name.lower() in words:
            return Literal(words[name.lower()])
        raise BadExpressionError(f"`{name}` is neither a function nor a text in quotes")

    def _arguments(self, depth: int) -> tuple[Expression, ...]:
        arguments: list[Expression] = []
        if self._peek() == ")":
            self._expect(")")
            return ()
        while True:
            arguments.append(self.expression(depth + 1))
            sign = self._take()[4]
            if sign == ")":
                return tuple(arguments)
            if sign != ",":
                raise BadExpressionError("`,` or `)` is missing")

    def _path(self, tree: Expression, depth: int) -> Expression:
        steps = 0
        while (sign := self._peek()) in (".", "?.", "[", "?["):
            steps += 1
            if depth + steps > DEPTH_MAX:
                raise BadExpressionError(f"it is nested more than {DEPTH_MAX} deep")
            self._expect(sign)
            if sign.endswith("["):
                key = self.expression(depth + steps)
                self._expect("]")
            else:
                name = self._take()[3]
                if name is None:
                    raise BadExpressionError("a name is missing after `.`")
                key = Literal(name)
            tree = Property(tree, key, sign.startswith("?"))
        return tree


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def walk(tree: Expression) -> Iterator[Expression]:
    """Yield an expression and all expressions in it."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, Call):
            pending.extend(node.arguments)
        elif isinstance(node, Property):
            pending.extend((node.of, node.key))
        elif isinstance(node, Interpolation):
            pending.extend(node.parts)
