"""Functions and methods that the reader computes itself, for arguments that it knows.

Each is a total function of constants: nothing here reads a clock, an environment or a network.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
import string
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace_import.importers.airflow.values import (
    TEXT_CHARACTERS_MAX,
    External,
    Text,
    Unknown,
    Value,
    is_known,
    joined,
    pieces_of,
)

ITEMS_MAX = 20_000
LISTS_SUMMED_MAX = 100
_WIDE = re.compile(r"\d{4,}")


class NotComputed(Exception):
    """The reader doesn't compute this call."""


def _range(*args: Any) -> list[int]:
    values = range(*args)
    if len(values) > ITEMS_MAX:
        raise NotComputed
    return list(values)


def _timedelta(*args: Any, **kwargs: Any) -> dt.timedelta:
    return dt.timedelta(*args, **kwargs)


UNKNOWN_ZONE = dt.timezone(dt.timedelta(0), "unknown")
"""The time zone of a time whose zone isn't in the file."""


def _datetime(*args: Any, **kwargs: Any) -> dt.datetime:
    given = kwargs.pop("tzinfo", None) or kwargs.pop("tz", None)
    zone = args[7] if len(args) > 7 else given
    return dt.datetime(*args[:7], **kwargs).replace(tzinfo=_zone(zone))  # noqa: DTZ001


def _zone(value: Value) -> dt.tzinfo | None:
    """The time zone that an argument names; `UNKNOWN_ZONE` if a run decides it."""
    if value is None or isinstance(value, dt.tzinfo):
        return value
    if isinstance(value, External) and value.last.lower() == "utc":
        return dt.UTC
    if not isinstance(value, str):
        return UNKNOWN_ZONE
    try:
        return ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return UNKNOWN_ZONE


def _parse_datetime(text: str, *_: Any, **kwargs: Any) -> dt.datetime:
    parsed = dt.datetime.fromisoformat(text)
    zone = _zone(kwargs.get("tz"))
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=zone)


def _strptime(text: str, pattern: str) -> dt.datetime:
    return dt.datetime.strptime(text, pattern)  # noqa: DTZ007


def _sized(value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict | set | frozenset):
        return value
    raise NotComputed


def _constant(value: Any) -> Any:
    if not isinstance(value, PurePosixPath) and not is_known(value):
        raise NotComputed
    return value


def _text(value: Any) -> Any:
    return value if isinstance(value, str | Text) else str(_constant(value))


def _join_paths(*parts: Any) -> str:
    texts = [str(part) for part in parts]
    if sum(map(len, texts)) > TEXT_CHARACTERS_MAX:
        raise NotComputed
    return posixpath.join(*texts)


def _chained(*values: Any) -> list[Any]:
    if sum(len(_sized(value)) for value in values) > ITEMS_MAX:
        raise NotComputed
    return [item for value in values for item in value]


def _sum(values: Any, start: Any = 0) -> Any:
    if not isinstance(start, int | float | dt.timedelta) and len(_sized(values)) > LISTS_SUMMED_MAX:
        raise NotComputed
    return sum(values, start)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": lambda value: len(_sized(value)),
    "str": lambda value="": _text(value),
    "int": int,
    "float": float,
    "bool": bool,
    "list": lambda value=(): list(_sized(value)),
    "tuple": lambda value=(): tuple(_sized(value)),
    "set": lambda value=(): set(_sized(value)),
    "frozenset": lambda value=(): frozenset(_sized(value)),
    "dict": lambda value=(), **kwargs: dict(value, **kwargs),
    "range": _range,
    "sorted": lambda value, reverse=False: sorted(_sized(value), reverse=reverse),
    "reversed": lambda value: list(reversed(_sized(value))),
    "enumerate": lambda value, start=0: list(enumerate(_sized(value), start)),
    "zip": lambda *values, strict=False: list(zip(*map(_sized, values), strict=strict)),
    "min": min,
    "max": max,
    "sum": _sum,
    "abs": abs,
    "round": round,
    "any": any,
    "all": all,
    "repr": lambda value: repr(_constant(value)),
    "os.path.join": _join_paths,
    "os.path.dirname": lambda path: posixpath.dirname(str(path)),
    "os.path.basename": lambda path: posixpath.basename(str(path)),
    "os.path.abspath": str,
    "os.path.realpath": str,
    "os.path.normpath": lambda path: posixpath.normpath(str(path)),
    "os.path.splitext": lambda path: posixpath.splitext(str(path)),
    "os.fspath": str,
    "pathlib.Path": PurePosixPath,
    "pathlib.PurePath": PurePosixPath,
    "pathlib.PurePosixPath": PurePosixPath,
    "datetime.timedelta": _timedelta,
    "datetime.datetime": _datetime,
    "datetime.date": dt.date,
    "datetime.datetime.strptime": _strptime,
    "datetime.datetime.fromisoformat": _parse_datetime,
    "pendulum.datetime": _datetime,
    "pendulum.duration": dt.timedelta,
    "pendulum.parse": _parse_datetime,
    "pendulum.timezone": lambda name: name,
    "pendulum.tz.timezone": lambda name: name,
    "pytz.timezone": lambda name: name,
    "zoneinfo.ZoneInfo": lambda name: name,
    "dateutil.tz.gettz": lambda name: name,
    "airflow.utils.timezone.datetime": _datetime,
    "textwrap.dedent": textwrap.dedent,
    "itertools.chain": _chained,
    "copy.deepcopy": lambda value: value,
    "copy.copy": lambda value: value,
}

_TEXT_METHODS = frozenset(
    ("capitalize", "casefold", "count", "endswith", "find", "format", "index", "isalnum",
     "isalpha", "isdigit", "islower", "isupper", "join", "lower", "lstrip", "partition",
     "removeprefix", "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip",
     "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper")
)  # fmt: skip
_METHODS: Mapping[type, frozenset[str]] = {
    str: _TEXT_METHODS,
    list: frozenset(("copy", "count", "index", "append", "extend", "insert")),
    tuple: frozenset(("count", "index")),
    dict: frozenset(("get", "items", "keys", "values", "copy", "update", "setdefault", "pop")),
    set: frozenset(("add", "union", "intersection", "difference", "copy", "update")),
    dt.datetime: frozenset(("strftime", "isoformat", "date", "replace")),
    dt.date: frozenset(("strftime", "isoformat", "replace")),
    dt.timedelta: frozenset(("total_seconds",)),
    PurePosixPath: frozenset(
        ("joinpath", "as_posix", "resolve", "absolute", "with_suffix", "with_name", "expanduser")
    ),
}
_PATH_ATTRIBUTES = frozenset(("parent", "name", "stem", "suffix", "parents", "parts"))
_MUTATORS = frozenset(("append", "extend", "insert", "update", "add", "setdefault", "pop"))


def has_method(owner: Value, name: str) -> bool:
    """Whether the reader computes this method of a known value."""
    if isinstance(owner, Text):
        return name in ("format", "strip", "join", "lower", "upper", "replace")
    return any(isinstance(owner, kind) and name in names for kind, names in _METHODS.items())


def attribute(owner: Value, name: str) -> Value:
    """Return an attribute of a known value. Raises `NotComputed`."""
    if isinstance(owner, PurePosixPath) and name in _PATH_ATTRIBUTES:
        value = getattr(owner, name)
        return list(value) if name in ("parents", "parts") else value
    if isinstance(owner, dt.date | dt.timedelta) and name in (
        "year", "month", "day", "hour", "minute", "days", "seconds",
    ):  # fmt: skip
        return getattr(owner, name, None)
    raise NotComputed


def call_method(owner: Value, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Call a method of a known value. Raises `NotComputed`."""
    if isinstance(owner, Text):
        return _text_method(owner, name, args, kwargs)
    if isinstance(owner, str):
        return _string_method(owner, name, args, kwargs)
    if isinstance(owner, PurePosixPath) and name in ("resolve", "absolute", "expanduser"):
        return owner
    if isinstance(owner, dt.date) and name == "replace":
        kwargs = dict(kwargs)
        if "tzinfo" in kwargs:
            kwargs["tzinfo"] = _zone(kwargs["tzinfo"])
    result = getattr(owner, name)(*args, **kwargs)
    is_view = isinstance(owner, dict) and name in ("items", "keys", "values")
    return list(result) if is_view else result


def _string_method(owner: str, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if name == "format":
        return format_text(owner, args, kwargs)
    if name == "join":
        return _join(owner, args[0])
    if name == "replace" and sum(len(str(arg)) for arg in args) * len(owner) > TEXT_CHARACTERS_MAX:
        raise NotComputed
    return getattr(owner, name)(*args, **kwargs)


def mutates(name: str) -> bool:
    """Whether a method changes the value that it is called on."""
    return name in _MUTATORS


def _text_method(owner: Text, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if name == "format":
        pieces: list[str | Unknown] = []
        for piece in owner.pieces:
            pieces += (
                pieces_of(format_text(piece, args, kwargs)) if isinstance(piece, str) else [piece]
            )
        return joined(pieces)
    if name == "join":
        return _join(owner, args[0])
    known = [
        getattr(piece, name)(*args) if isinstance(piece, str) and name != "strip" else piece
        for piece in owner.pieces
    ]
    return joined(known)


def _join(separator: Value, items: Value) -> Value:
    if not isinstance(items, list | tuple):
        return Text((Unknown(),))
    return joined(_join_pieces(separator, items))


def _join_pieces(separator: Value, items: Iterable[Value]) -> Iterator[str | Unknown]:
    for position, item in enumerate(items):
        if position:
            yield from pieces_of(separator)
        yield from pieces_of(item)


def format_text(template: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Do what `str.format` does, also for values with unknown parts. Raises `NotComputed`."""
    try:
        return joined(_format_pieces(template, args, kwargs))
    except (ValueError, IndexError, KeyError):
        raise NotComputed from None


def _format_pieces(
    template: str, args: list[Value], kwargs: dict[str, Value]
) -> Iterator[str | Unknown]:
    automatic = 0
    for text, name, spec, conversion in string.Formatter().parse(template):
        yield text
        if name is None:
            continue
        key = name or str(automatic)
        automatic += not name
        value = args[int(key)] if key.isdigit() else _field(key, kwargs)
        yield from _formatted(value, spec or "", conversion)


def _field(name: str, kwargs: dict[str, Value]) -> Value:
    if name in kwargs:
        return kwargs[name]
    head, _, rest = name.partition("[")
    value = kwargs[head.partition(".")[0]]
    if rest and isinstance(value, dict):
        return value.get(rest.rstrip("]"), Unknown())
    return Unknown()


def _formatted(value: Value, spec: str, conversion: str | None) -> tuple[str | Unknown, ...]:
    if spec and not _WIDE.search(spec) and isinstance(value, str | int | float | dt.date):
        return (format(value, spec),)
    if conversion == "r" and isinstance(value, str | int | float):
        return (repr(value),)
    return pieces_of(value)


_CONVERSION = re.compile(r"%(?:\((\w+)\))?([-#0 +]*\d*(?:\.\d+)?[sdrifgx%])")


def percent(template: str, value: Value) -> Value:
    """Do what `template % value` does, also for values with unknown parts."""
    return joined(_percent_pieces(template, value))


def _percent_pieces(template: str, value: Value) -> Iterator[str | Unknown]:
    values = iter(value if isinstance(value, tuple) else (value,))
    end = 0
    for match in _CONVERSION.finditer(template):
        yield template[end : match.start()]
        end = match.end()
        name, spec = match.groups()
        if spec == "%":
            yield "%"
        elif name is not None:
            known = value if isinstance(value, dict) else {}
            yield from _percent_piece(spec, known.get(name, Unknown()))
        else:
            yield from _percent_piece(spec, next(values, Unknown()))
    yield template[end:]


def _percent_piece(spec: str, item: Value) -> tuple[str | Unknown, ...]:
    if isinstance(item, str | int | float) and not _WIDE.search(spec):
        try:
            return (f"%{spec}" % item,)
        except (TypeError, ValueError):
            return (Unknown(),)
    return pieces_of(item)
