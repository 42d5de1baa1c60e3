"""The script language of mapping data flows: a parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEPTH_MAX = 100
_TOKEN = re.compile(
    r"\s*(?:(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|"
    r"(?P<pattern>`[^`]*`)|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[LlFfSsDd]?)|"
    r"(?P<braces>\{[^{}]*\})|"
    r"(?P<name>[$#]?[A-Za-z_]\w*(?:\.(?:\w+|\{[^{}]*\}))*|\$\$|\$\d+)|"
    r"(?P<sign>~>|<=>|===|==|!=|<>|<=|>=|&&|\|\||[-+*/%^!<>=(),:@\[\]?]))",
    re.DOTALL,
)
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "<>", "<=>", "===", "<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)
_PRECEDENCE = {sign: level for level, signs in enumerate(_LEVELS) for sign in signs}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


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


def option(step: Step, key: str) -> str:
    """Return an option of a transformation as text; empty if it has none."""
    for argument in step.transformation.arguments:
        if isinstance(argument, Named) and argument.key == key:
            value = argument.value
            return (
                value.name if isinstance(value, Column | Function) else getattr(value, "value", "")
            )
    return ""


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
        steps: list[Step] = []
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
            steps.append(Step(tuple(inputs), transformation, self._outputs()))
        return steps

    def _stream(self) -> str:
        name = self._named("a stream")
        if self._is("@"):
            self._next()
            return f"{name}@{self._named('a stream')}"
        return name

    def _named(self, what: str) -> str:
        kind, value = self._next()
        if kind != "name":
            raise BadScriptError(f"`{value}` stands where {what} should")
        return value

    def _outputs(self) -> tuple[str, ...]:
        name = self._named("the name of a stream")
        if not self._is("@"):
            return (name,)
        self._next()
        self._expect("(")
        outputs: list[str] = []
        while True:
            outputs.append(f"{name}@{self._named('the name of a stream')}")
            if not self._is(","):
                self._expect(")")
                return tuple(outputs)
            self._next()

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
            return Assigned(_name(kind, value), self._value(depth))
        left = self._expression(depth, 0)
        if not self._is("="):
            return left
        self._next()
        value_node = self._value(depth)
        if isinstance(left, Column) and left.name.startswith(":"):
            return Assigned(left.name, value_node)
        return Function("=", (left, value_node))

    def _value(self, depth: int) -> Node:
        """Return what is assigned; `parse` writes the type of its result behind a `?`."""
        value = self._expression(depth, 0)
        if not self._is("?"):
            return value
        self._next()
        return Function("?", (value, Text(self._type())))

    def _type(self) -> str:
        written, deep = "", 0
        while deep or not (self._is(",") or self._is(")")):
            kind, value = self._next()
            if not kind:
                raise BadScriptError("a type has no end")
            deep += {"(": 1, ")": -1}.get(value, 0) if kind == "sign" else 0
            written += value
        return written

    def _expression(self, depth: int, lowest: int) -> Node:
        """Return an expression whose operators bind at least as tightly as the level `lowest`."""
        if depth > DEPTH_MAX:
            raise BadScriptError(f"it is nested more than {DEPTH_MAX} deep")
        left = self._unary(depth)
        count = 0
        while (level := self._level()) >= lowest:
            count += 1
            if count > DEPTH_MAX:
                raise BadScriptError(f"it joins more than {DEPTH_MAX} values by operators")
            sign = self._next()[1]
            left = Operation(sign, (left, self._expression(depth, level + 1)))
        return left

    def _level(self) -> int:
        kind, value = self._peek()
        return _PRECEDENCE.get(value, -1) if kind == "sign" else -1

    def _unary(self, depth: int) -> Node:
        signs: list[str] = []
        while self._is("-") or self._is("!"):
            signs.append(self._next()[1])
            if len(signs) + depth > DEPTH_MAX:
                raise BadScriptError(f"it is nested more than {DEPTH_MAX} deep")
        node = self._primary(depth)
        count = 0
        while self._is("["):
            count += 1
            if count + depth > DEPTH_MAX:
                raise BadScriptError(f"it is nested more than {DEPTH_MAX} deep")
            self._next()
            node = Function("[]", (node, self._expression(depth + 1, 0)))
            self._expect("]")
        for sign in reversed(signs):
            node = Operation(sign, (node,))
        return node

    def _primary(self, depth: int) -> Node:
        kind, value = self._next()
        if kind == "text":
            return _text(value)
        if kind == "number":
            return Number(value.rstrip("LlFfSsDd"))
        if kind == "pattern":
            return Function("`", (Text(value[1:-1]),))
        if kind == "sign":
            return self._signed(value, depth)
        if kind not in ("name", "braces"):
            raise BadScriptError("it ends too early")
        if kind == "name" and self._is("("):
            self._next()
            return Function(value, self._arguments(depth, ")"))
        if self._is("@"):
            self._next()
            return Column(_name(*self._next()), value)
        return Column(_name(kind, value))

    def _signed(self, sign: str, depth: int) -> Node:
        """Return what begins with a sign: parentheses, an array, or a local variable."""
        if sign == "(":
            inner = self._expression(depth + 1, 0)
            self._expect(")")
            return inner
        if sign == "[":
            return Function("[", self._arguments(depth, "]"))
        if sign == ":":
            return Column(f":{self._named('a local variable')}")
        raise BadScriptError(f"`{sign}` stands where a value should")

    def _arguments(self, depth: int, end: str) -> tuple[Node, ...]:
        if self._is(end):
            self._next()
            return ()
        arguments: list[Node] = []
        while True:
            arguments.append(self._argument(depth + 1))
            sign = self._next()
            if sign == ("sign", end):
                return tuple(arguments)
            if sign != ("sign", ","):
                raise BadScriptError(f"`,` or `{end}` is missing")


def _text(written: str) -> Node:
    """Return a text; with `{name}` in double quotes it isn't one but an interpolation."""
    if written[0] == '"' and re.search(r"(?<!\\)\{", written):
        return Function('"', (Text(written[1:-1]),))
    return Text(
        re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), written[1:-1], flags=re.DOTALL)
    )


def _name(kind: str, written: str) -> str:
    return written[1:-1] if kind == "braces" else written
