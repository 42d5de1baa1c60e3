"""The script language of mapping data flows: a parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEPTH_MAX = 100
_TOKEN = re.compile(
    r"\s*(?:(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|"
    r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[LlFfSs]?)|(?P<braces>\{[^{}]*\})|"
    r"(?P<name>[$:]{0,2}[A-Za-z_][\w]*|\$\$)|"
    r"(?P<sign>~>|<=>|===|==|!=|<>|<=|>=|&&|\|\||[-+*/%^!<>=(),:@\[\]]))",
    re.DOTALL,
)
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "<>", "<=>", "===", "<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


class BadScriptError(Exception):
    """A script that isn't understood."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text."""

    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as it is written."""

    value: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column, perhaps of a named stream."""

    name: str
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or a transformation with its arguments."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with one or two operands."""

    sign: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """`key: value`, an option."""

    key: str
    value: Node


@dataclass(frozen=True, slots=True)
class Assigned:
    """`column = value`."""

    column: str
    value: Node


@dataclass(frozen=True, slots=True)
class Typed:
    """`column as type`."""

    column: str
    type: str


Node = Text | Number | Column | Function | Operation | Named | Assigned | Typed


@dataclass(frozen=True, slots=True)
class Step:
    """One transformation: its inputs, itself, and the streams that it gives."""

    inputs: tuple[str, ...]
    transformation: Function
    outputs: tuple[str, ...]


def parse_script(text: str) -> list[Step]:
    """Return the transformations of a script. Raise BadScriptError."""
    return _Parser(text).steps()


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise BadScriptError(f"`{text[at : at + 30].strip()}` isn't understood")
            kind = match.lastgroup or ""
            if kind != "comment":
                self.tokens.append((kind, match[kind]))
            at = match.end()
        self.at = 0

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        position = self.at + ahead
        return self.tokens[position] if position < len(self.tokens) else ("", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self.at += 1
        return token

    def _is(self, sign: str) -> bool:
        return self._peek() == ("sign", sign)

    def _expect(self, sign: str) -> None:
        if self._next() != ("sign", sign):
            raise BadScriptError(f"`{sign}` is missing")

    def steps(self) -> list[Step]:
        found: list[Step] = []
        while self.at < len(self.tokens):
            inputs: list[str] = []
            while self._peek(1) != ("sign", "("):
                inputs.append(self._stream())
                if self._is(","):
                    self._next()
            transformation = self._primary(0)
            if not isinstance(transformation, Function):
                raise BadScriptError("a transformation is missing")
            self._expect("~>")
            found.append(Step(tuple(inputs), transformation, self._outputs()))
        return found

    def _stream(self) -> str:
        kind, value = self._next()
        if kind != "name":
            raise BadScriptError(f"`{value}` stands where a stream should")
        if self._is("@"):
            self._next()
            return f"{value}@{self._next()[1]}"
        return value

    def _outputs(self) -> tuple[str, ...]:
        name = self._next()[1]
        if not self._is("@"):
            return (name,)
        self._next()
        self._expect("(")
        outputs: list[str] = []
        while True:
            outputs.append(f"{name}@{self._next()[1]}")
            if self._next() != ("sign", ","):
                return tuple(outputs)

    def _argument(self, depth: int) -> Node:
        kind, value = self._peek()
        following = self._peek(1)
        if kind in ("name", "braces") and following == ("name", "as"):
            self.at += 2
            return Typed(_name(kind, value), self._type())
        if kind == "name" and following == ("sign", ":"):
            self.at += 2
            return Named(value, self._expression(depth, 0))
        if kind in ("name", "braces") and following == ("sign", "="):
            self.at += 2
            return Assigned(_name(kind, value), self._expression(depth, 0))
        return self._expression(depth, 0)

    def _type(self) -> str:
        written, deep = "", 0
        while deep or not (self._is(",") or self._is(")")):
            kind, value = self._next()
            if not kind:
                raise BadScriptError("a type has no end")
            deep += {"(": 1, ")": -1}.get(value, 0)
            written += value
        return written

    def _expression(self, depth: int, level: int) -> Node:
        if depth > DEPTH_MAX:
            raise BadScriptError(f"it is nested more than {DEPTH_MAX} deep")
        if level == len(_LEVELS):
            return self._unary(depth)
        left = self._expression(depth, level + 1)
        while self._peek()[0] == "sign" and self._peek()[1] in _LEVELS[level]:
            sign = self._next()[1]
            left = Operation(sign, (left, self._expression(depth, level + 1)))
        return left

    def _unary(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise BadScriptError(f"it is nested more than {DEPTH_MAX} deep")
        if self._is("-") or self._is("!"):
            return Operation(self._next()[1], (self._unary(depth + 1),))
        return self._primary(depth)

    def _primary(self, depth: int) -> Node:
        kind, value = self._next()
        if kind == "text":
            return Text(re.sub(r"\\(.)", r"\1", value[1:-1]))
        if kind == "number":
            return Number(value.rstrip("LlFfSs"))
        if kind == "sign" and value == "(":
            inner = self._expression(depth + 1, 0)
            self._expect(")")
            return inner
        if kind not in ("name", "braces"):
            raise BadScriptError(
                f"`{value}` stands where a value should" if value else "it ends too early"
            )
        if kind == "name" and self._is("("):
            self._next()
            return Function(value, self._arguments(depth))
        if self._is("@"):
            self._next()
            return Column(_name(*self._next()), value)
        return Column(_name(kind, value))

    def _arguments(self, depth: int) -> tuple[Node, ...]:
        if self._is(")"):
            self._next()
            return ()
        arguments: list[Node] = []
        while True:
            arguments.append(self._argument(depth + 1))
            sign = self._next()
            if sign == ("sign", ")"):
                return tuple(arguments)
            if sign != ("sign", ","):
                raise BadScriptError("`,` or `)` is missing")


def _name(kind: str, written: str) -> str:
    return written[1:-1] if kind == "braces" else written
