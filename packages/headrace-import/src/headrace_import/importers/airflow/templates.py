"""Read Jinja fields of Airflow tasks without rendering them.

A field becomes text and the values that stand in it. Expressions of Jinja that Airflow documents
are also expressions of Python, so that `ast` parses them; nothing is evaluated but dates of the
interval, parameters and constants.
"""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from headrace_import.importers.airflow.values import Text, Unknown, Value, text_of

EXPRESSION_CHARACTERS_MAX = 500
_TAG = re.compile(r"\{\{-?(.*?)-?\}\}|\{%-?(.*?)-?%\}|\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Instant:
    """A time of the interval: its start or end, moved by `offset`, written in `pattern`.

    `pattern` is strftime's; empty for Airflow's own form of a time with its offset. `intervals`
    moves it by whole intervals of the schedule.
    """

    end: bool = False
    offset: dt.timedelta = dt.timedelta(0)
    intervals: int = 0
    pattern: str = ""

    @property
    def is_date(self) -> bool:
        return self.pattern == DATE


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that Airflow keeps: a `param`, a `variable` or a `connection`."""

    kind: str
    name: str
    default: Value = None


@dataclass(frozen=True, slots=True)
class XComPull:
    """A value that other tasks return; no ids for those directly before."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """An expression that an import doesn't follow; `reason` is a phrase."""

    reason: str


Piece = str | Instant | Setting | XComPull | Refused
DATE = "%Y-%m-%d"
NO_DASHES = "%Y%m%d"
_STAMP = "%Y-%m-%dT%H:%M:%S+00:00"
_DAY = dt.timedelta(days=1)

_NAMES: Mapping[str, Instant] = {
    "ds": Instant(pattern=DATE),
    "ds_nodash": Instant(pattern=NO_DASHES),
    "ts": Instant(pattern=_STAMP),
    "ts_nodash": Instant(pattern="%Y%m%dT%H%M%S"),
    "execution_date": Instant(),
    "logical_date": Instant(),
    "data_interval_start": Instant(),
    "data_interval_end": Instant(end=True),
    "next_execution_date": Instant(end=True),
    "next_ds": Instant(end=True, pattern=DATE),
    "next_ds_nodash": Instant(end=True, pattern=NO_DASHES),
    "prev_ds": Instant(intervals=-1, pattern=DATE),
    "prev_ds_nodash": Instant(intervals=-1, pattern=NO_DASHES),
    "prev_execution_date": Instant(intervals=-1),
    "tomorrow_ds": Instant(offset=_DAY, pattern=DATE),
    "tomorrow_ds_nodash": Instant(offset=_DAY, pattern=NO_DASHES),
    "yesterday_ds": Instant(offset=-_DAY, pattern=DATE),
    "yesterday_ds_nodash": Instant(offset=-_DAY, pattern=NO_DASHES),
}
_FILTERS = {
    "ds": DATE,
    "ds_nodash": NO_DASHES,
    "ts": _STAMP,
    "ts_nodash": "%Y%m%dT%H%M%S",
    "string": None,
    "trim": None,
    "int": None,
    "safe": None,
}
_PENDULUM = (("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"))


@dataclass(frozen=True, slots=True)
class Template:
    """A field taken apart."""

    pieces: tuple[Piece, ...]

    @property
    def pulls(self) -> list[XComPull]:
        return [piece for piece in self.pieces if isinstance(piece, XComPull)]


@dataclass(slots=True)
class Context:
    """What a field's expressions may name: params, the DAG's id, the task's id."""

    params: Mapping[str, Value] = field(default_factory=dict)
    dag_id: str = ""
    task_id: str = ""


def parse(value: Value, context: Context | None = None) -> Template:
    """Take a templated field apart."""
    if isinstance(value, Text):
        parts: list[Piece] = []
        for piece in value.pieces:
            parts += (
                parse(piece, context).pieces if isinstance(piece, str) else (Refused(piece.reason),)
            )
        return Template(tuple(parts))
    if isinstance(value, Unknown):
        return Template((Refused(value.reason),))
    text = text_of(value)
    if text is None or not isinstance(value, str | int | float):
        return Template((Refused("a value known only at run time"),))
    return Template(tuple(_pieces(text, context or Context())))


def _pieces(text: str, context: Context) -> list[Piece]:
    results: list[Piece] = []
    end = 0
    for match in _TAG.finditer(text):
        if match.start() > end:
            results.append(text[end : match.start()])
        end = match.end()
        if match.group(1) is not None:
            results.append(_expression(match.group(1).strip(), context))
        elif match.group(2) is not None:
            results.append(Refused(f"`{{% {match.group(2).strip()[:60]} %}}` of Jinja"))
    if end < len(text):
        results.append(text[end:])
    return [piece for piece in results if piece != ""]


def _expression(text: str, context: Context) -> Piece:
    refused = Refused(f"`{{{{ {text[:80]} }}}}`")
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        return refused
    try:
        tree = ast.parse(text, mode="eval").body
        return _piece(_Reader(context).read(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, _NotFollowed):
        return refused


def _piece(value: object) -> Piece:
    """What the value of an expression is as a part of a text."""
    if isinstance(value, Instant | Setting | XComPull | str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    raise _NotFollowed


class _NotFollowed(Exception):
    """An expression that isn't one of those known."""


class _Reader:
    """Evaluates one expression of Jinja."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def read(self, node: ast.expr) -> object:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self.read(node.operand)
            return -value if isinstance(value, int | dt.timedelta) else self._none()
        if isinstance(node, ast.Attribute | ast.Subscript):
            return self._member(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise _NotFollowed

    @staticmethod
    def _none() -> object:
        raise _NotFollowed

    @staticmethod
    def _name(name: str) -> object:
        if name in _NAMES:
            return _NAMES[name]
        raise _NotFollowed

    def _binary(self, node: ast.BinOp) -> object:
        left = self.read(node.left)
        if isinstance(node.op, ast.BitOr):
            return self._filtered(left, node.right)
        right = self.read(node.right)
        if isinstance(left, Instant) and isinstance(right, dt.timedelta) and not left.pattern:
            sign = -1 if isinstance(node.op, ast.Sub) else 1
            return replace(left, offset=left.offset + sign * right)
        raise _NotFollowed

    def _filtered(self, value: object, node: ast.expr) -> object:
        if isinstance(node, ast.Name) and node.id in _FILTERS:
            pattern = _FILTERS[node.id]
            if pattern is None:
                return value
            return replace(value, pattern=pattern) if isinstance(value, Instant) else self._none()
        if isinstance(node, ast.Call) and _path(node.func) == ["default"] and node.args:
            default = self.read(node.args[0])
            return replace(value, default=default) if isinstance(value, Setting) else value
        raise _NotFollowed

    def _member(self, node: ast.Attribute | ast.Subscript) -> object:
        path = _path(node)
        if path[:1] == ["params"] and len(path) == 2:
            return self._param(path[1])
        if path[:2] in (["var", "value"], ["var", "json"]) and len(path) >= 3:
            return Setting("variable", path[2])
        if path[:1] == ["conn"] and len(path) >= 2:
            return Setting("connection", path[1])
        if path in (["dag", "dag_id"], ["task", "task_id"], ["task_instance", "task_id"]):
            return self._context.dag_id if path[0] == "dag" else self._context.task_id
        raise _NotFollowed

    def _param(self, name: str) -> object:
        value = self._context.params.get(name)
        if isinstance(value, str | int | float):
            return Setting("param", name, value)
        raise _NotFollowed

    def _call(self, node: ast.Call) -> object:
        path = _path(node.func)
        if path[-1:] == ["xcom_pull"]:
            return XComPull(_pulled(node))
        if path[:1] == ["macros"]:
            return self._macro(path[1:], node)
        if path in (["var", "value", "get"], ["var", "json", "get"]):
            return self._variable(node)
        if isinstance(node.func, ast.Attribute):
            owner = self.read(node.func.value)
            method = _METHODS.get(node.func.attr)
            if isinstance(owner, Instant) and method is not None:
                return method(owner, *self._arguments(node))
        raise _NotFollowed

    def _arguments(self, node: ast.Call) -> tuple[list[object], dict[str, object]]:
        kwargs = {word.arg: self.read(word.value) for word in node.keywords if word.arg}
        return [self.read(arg) for arg in node.args], kwargs

    def _variable(self, node: ast.Call) -> object:
        args, kwargs = self._arguments(node)
        default = kwargs.get("default_var", args[1] if len(args) > 1 else None)
        if not args or not isinstance(args[0], str):
            raise _NotFollowed
        return Setting("variable", args[0], default)

    def _macro(self, path: list[str], node: ast.Call) -> object:
        args, kwargs = self._arguments(node)
        if path[-1:] == ["timedelta"]:
            return _duration(args, kwargs)
        if path == ["ds_add"] and len(args) == 2:
            start, days = args
            if isinstance(start, Instant) and start.is_date and isinstance(days, int):
                return replace(start, offset=start.offset + dt.timedelta(days=days))
        if path == ["ds_format"] and len(args) == 3:
            start, given, wanted = args
            if isinstance(start, Instant) and start.pattern == given and isinstance(wanted, str):
                return replace(start, pattern=wanted)
        raise _NotFollowed


def _duration(args: list[object], kwargs: dict[str, object]) -> dt.timedelta:
    values = {key: value for key, value in kwargs.items() if isinstance(value, int | float)}
    days = args[0] if args and isinstance(args[0], int) else 0
    if len(values) != len(kwargs):
        raise _NotFollowed
    return dt.timedelta(days) + dt.timedelta(**values)


def _formatted(owner: Instant, args: list[object], kwargs: dict[str, object]) -> Instant:
    if not kwargs and len(args) == 1 and isinstance(args[0], str) and not owner.pattern:
        return replace(owner, pattern=args[0])
    raise _NotFollowed


def _pendulum_format(owner: Instant, args: list[object], kwargs: dict[str, object]) -> Instant:
    if kwargs or len(args) != 1 or not isinstance(args[0], str) or owner.pattern:
        raise _NotFollowed
    pattern = args[0]
    for theirs, ours in _PENDULUM:
        pattern = pattern.replace(theirs, ours)
    if re.search(r"[A-Za-z]", re.sub(r"%[A-Za-z]", "", pattern)):
        raise _NotFollowed
    return replace(owner, pattern=pattern)


def _as_date(owner: Instant, args: list[object], kwargs: dict[str, object]) -> Instant:
    if args or kwargs:
        raise _NotFollowed
    return replace(owner, pattern=DATE) if not owner.pattern else owner


def _as_stamp(owner: Instant, args: list[object], kwargs: dict[str, object]) -> Instant:
    if args or kwargs:
        raise _NotFollowed
    return owner


def _moved(sign: int) -> Callable[[Instant, list[object], dict[str, object]], Instant]:
    def move(owner: Instant, args: list[object], kwargs: dict[str, object]) -> Instant:
        if owner.pattern or set(kwargs) - {"days", "hours", "weeks"}:
            raise _NotFollowed
        return replace(owner, offset=owner.offset + sign * _duration(args, kwargs))

    return move


_METHODS: Mapping[str, Callable[[Instant, list[object], dict[str, object]], Instant]] = {
    "strftime": _formatted,
    "format": _pendulum_format,
    "date": _as_date,
    "to_date_string": _as_date,
    "isoformat": _as_stamp,
    "to_iso8601_string": _as_stamp,
    "to_datetime_string": _as_stamp,
    "add": _moved(1),
    "subtract": _moved(-1),
}


def _path(node: ast.expr) -> list[str]:
    """`a.b["c"]` as its names; empty if it is something else."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            parts.append(str(node.slice.value))
            node = node.value
        elif isinstance(node, ast.Name):
            return [node.id, *reversed(parts)]
        else:
            return list(reversed(parts))


def _pulled(node: ast.Call) -> tuple[str, ...]:
    """The ids that `xcom_pull` names."""
    given = next((word.value for word in node.keywords if word.arg == "task_ids"), None)
    given = given or (node.args[0] if node.args else None)
    items = given.elts if isinstance(given, ast.List | ast.Tuple) else [given]
    return tuple(
        item.value
        for item in items
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    )


def pulled_in_code(tree: ast.AST) -> set[str]:
    """Return the task ids that a function pulls values of; `*` if it names none."""
    results: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _path(node.func)[-1:] == ["xcom_pull"]:
            results |= set(_pulled(node)) or {"*"}
    return results
