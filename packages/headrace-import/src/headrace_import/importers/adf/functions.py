"""Functions of expressions: the pure ones, computed; the others, by name."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from headrace_import.importers.adf import dates

RUN_TIME = frozenset(
    ("utcnow", "guid", "newguid", "rand", "getfuturetime", "getpasttime", "iterationindexes")
)
"""Functions whose value differs from run to run."""
NOT_EVALUATED = frozenset(
    ("binary", "base64tobinary", "datauritobinary", "uricomponenttobinary", "xml", "xpath")
)
"""Pure functions over XML and bytes, which this importer doesn't compute."""
RANGE_MAX = 10_000
TEXT_MAX = 1_000_000


def text_of(value: Any) -> str:
    """Return a value as `string()` and interpolation write it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, int):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _float_text(value: float) -> str:
    """Return a number's text; raise ValueError for one whose digits depend on who writes them."""
    if value == int(value) and abs(value) < _WHOLE_BELOW:
        return str(int(value))
    text = repr(value)
    if "e" in text or len(text.strip("-0.")) > _DIGITS_MAX:
        raise ValueError(f"the digits of {text} aren't known")
    return text


_DIGITS_MAX = 16
"""15 digits and a point, with which every floating-point number is written alike."""
_WHOLE_BELOW = 1e15


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("a number is needed")
    if isinstance(value, float) and value != int(value):
        raise ValueError("the number isn't whole")
    return int(value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is needed")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is needed")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is needed")
    return value


def _sized(value: Any) -> Any:
    if not isinstance(value, list | str | dict):
        raise TypeError("a list or a text is needed")
    return value


def _concat(*parts: Any) -> str:
    joined = "".join(map(text_of, parts))
    if len(joined) > TEXT_MAX:
        raise ValueError("the text is too long")
    return joined


def _substring(text: Any, start: Any, length: Any = None) -> str:
    text, start = _text(text), _integer(start)
    length = len(text) - start if length is None else _integer(length)
    if start < 0 or length < 0 or start + length > len(text):
        raise ValueError("the part is outside of the text")
    return str(text[start : start + length])


def _index_of(text: Any, part: Any) -> int:
    return _text(text).lower().find(_text(part).lower())


def _last_index_of(text: Any, part: Any) -> int:
    return _text(text).lower().rfind(_text(part).lower())


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _contains(within: Any, part: Any) -> bool:
    if isinstance(within, str):
        return _text(part) in within
    return bool(part in _sized(within))


def _ordered(text: str, other: str) -> str:
    """Return a text as it is ordered: without regard to case, letters and digits alone."""
    plain = text.isascii() and text.isalnum()
    if text != other and (not plain or text.lower() == other.lower()):
        raise ValueError("the order of these texts depends on a language")
    return text.lower()


def _compared(sign: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return sign(_ordered(left, right), _ordered(right, left))
        return sign(_number(left), _number(right))

    return compare


def _div(left: Any, right: Any) -> int | float:
    left, right = _number(left), _number(right)
    if right == 0:
        raise ValueError("a division by zero")
    if isinstance(left, int) and isinstance(right, int):
        return int(abs(left) // abs(right)) * (1 if (left < 0) == (right < 0) else -1)
    return float(left / right)


def _mod(left: Any, right: Any) -> int | float:
    left, right = _number(left), _number(right)
    if right == 0:
        raise ValueError("a division by zero")
    result = math.fmod(left, right)
    return int(result) if isinstance(left, int) and isinstance(right, int) else result


def _range(start: Any, count: Any) -> list[int]:
    if not 0 < _integer(count) <= RANGE_MAX:
        raise ValueError("the range is empty or too long")
    return list(range(_integer(start), _integer(start) + _integer(count)))


def _many(values: tuple[Any, ...]) -> list[int | float]:
    given = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return [_number(value) for value in given]


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        words = {"true": True, "false": False, "1": True, "0": False}
        if value.lower() not in words:
            raise ValueError(f"`{value[:40]}` is neither true nor false")
        return words[value.lower()]
    return bool(value)


def _union(*values: Any) -> Any:
    if all(isinstance(value, dict) for value in values):
        return {key: item for value in values for key, item in value.items()}
    result: list[Any] = []
    for value in values:
        result += [item for item in _items(value) if item not in result]
    return result


def _intersection(first: Any, *others: Any) -> Any:
    if isinstance(first, dict):
        return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
    kept: list[Any] = []
    for item in _items(first):
        if item not in kept and all(item in _items(other) for other in others):
            kept.append(item)
    return kept


def _data_uri(text: Any) -> str:
    return "data:text/plain;charset=utf-8;base64," + _base64(text)


def _base64(text: Any) -> str:
    return base64.b64encode(_text(text).encode()).decode("ascii")


def _from_base64(text: Any) -> str:
    return base64.b64decode(_text(text), validate=True).decode()


def _from_data_uri(text: Any) -> str:
    return _from_base64(_text(text).partition("base64,")[2])


def _json(text: Any) -> Any:
    try:
        return json.loads(_text(text))
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _shifted(seconds: int) -> Callable[..., str]:
    def shift(when: Any, amount: Any, pattern: Any = dates.ROUND_TRIP) -> str:
        moved = dates.instant(_text(when)) + timedelta(seconds=seconds * _integer(amount))
        return dates.formatted(moved, _text(pattern))

    return shift


def _to_time(sign: int) -> Callable[..., str]:
    def shift(when: Any, amount: Any, unit: Any, pattern: Any = dates.ROUND_TRIP) -> str:
        moved = dates.added(dates.instant(_text(when)), sign * _integer(amount), _text(unit))
        return dates.formatted(moved, _text(pattern))

    return shift


def _start_of(**fields: int) -> Callable[..., str]:
    def start(when: Any, pattern: Any = dates.ROUND_TRIP) -> str:
        moved = dates.instant(_text(when)).replace(minute=0, second=0, microsecond=0)
        moved = moved.replace(hour=fields.get("hour", moved.hour), day=fields.get("day", moved.day))
        return dates.formatted(moved, _text(pattern))

    return start


def _format_datetime(when: Any, pattern: Any = dates.ROUND_TRIP) -> str:
    return dates.formatted(dates.instant(_text(when)), _text(pattern))


def _from_utc(when: Any, zone: Any, pattern: Any = dates.ROUND_TRIP) -> str:
    local = dates.in_zone(dates.instant(_text(when)), _text(zone))
    return dates.formatted(local, _text(pattern), suffix="")


def _to_utc(when: Any, zone: Any, pattern: Any = dates.ROUND_TRIP) -> str:
    return dates.formatted(dates.from_zone(dates.instant(_text(when)), _text(zone)), _text(pattern))


def _convert_zone(when: Any, source: Any, target: Any, pattern: Any = dates.ROUND_TRIP) -> str:
    moved = dates.from_zone(dates.instant(_text(when)), _text(source))
    return dates.formatted(dates.in_zone(moved, _text(target)), _text(pattern), suffix="")


def _ticks(when: Any) -> int:
    since = dates.instant(_text(when)).replace(tzinfo=None) - datetime(1, 1, 1)  # noqa: DTZ001
    return (since.days * 86_400 + since.seconds) * 10_000_000 + since.microseconds * 10


PURE: Mapping[str, Callable[..., Any]] = {
    "concat": _concat,
    "endswith": lambda text, part: _text(text).lower().endswith(_text(part).lower()),
    "startswith": lambda text, part: _text(text).lower().startswith(_text(part).lower()),
    "indexof": _index_of,
    "lastindexof": _last_index_of,
    "replace": lambda text, old, new: _text(text).replace(_text(old), _text(new)),
    "split": lambda text, sign: _text(text).split(_text(sign)),
    "substring": _substring,
    "tolower": lambda text: _text(text).lower(),
    "toupper": lambda text: _text(text).upper(),
    "trim": lambda text: _text(text).strip(),
    "contains": _contains,
    "empty": lambda value: value is None or len(_sized(value)) == 0,
    "first": lambda value: _sized(value)[0],
    "last": lambda value: _sized(value)[-1],
    "length": lambda value: len(_sized(value)),
    "join": lambda values, sign: _text(sign).join(map(text_of, _items(values))),
    "skip": lambda values, count: _items(values)[_integer(count) :],
    "take": lambda values, count: _sized(values)[: _integer(count)],
    "union": _union,
    "intersection": _intersection,
    "and": lambda left, right: _flag(left) and _flag(right),
    "or": lambda left, right: _flag(left) or _flag(right),
    "not": lambda value: not _flag(value),
    "equals": _equal,
    "greater": _compared(lambda left, right: left > right),
    "greaterorequals": _compared(lambda left, right: left >= right),
    "less": _compared(lambda left, right: left < right),
    "lessorequals": _compared(lambda left, right: left <= right),
    "array": lambda value: [value],
    "createarray": lambda *values: list(values),
    "base64": _base64,
    "base64tostring": _from_base64,
    "decodebase64": _from_base64,
    "bool": _bool,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "datauri": _data_uri,
    "datauritostring": _from_data_uri,
    "decodedatauri": _from_data_uri,
    "encodeuricomponent": lambda text: quote(_text(text), safe="~()*!.'-_"),
    "uricomponent": lambda text: quote(_text(text), safe="~()*!.'-_"),
    "decodeuricomponent": lambda text: unquote(_text(text)),
    "uricomponenttostring": lambda text: unquote(_text(text)),
    "float": float,
    "int": _integer,
    "json": _json,
    "string": text_of,
    "add": lambda left, right: _number(left) + _number(right),
    "sub": lambda left, right: _number(left) - _number(right),
    "mul": lambda left, right: _number(left) * _number(right),
    "div": _div,
    "mod": _mod,
    "max": lambda *values: max(_many(values)),
    "min": lambda *values: min(_many(values)),
    "range": _range,
    "adddays": _shifted(86_400),
    "addhours": _shifted(3600),
    "addminutes": _shifted(60),
    "addseconds": _shifted(1),
    "addtotime": _to_time(1),
    "subtractfromtime": _to_time(-1),
    "convertfromutc": _from_utc,
    "converttoutc": _to_utc,
    "converttimezone": _convert_zone,
    "dayofmonth": lambda when: dates.instant(_text(when)).day,
    "dayofweek": lambda when: dates.instant(_text(when)).isoweekday() % 7,
    "dayofyear": lambda when: dates.instant(_text(when)).timetuple().tm_yday,
    "formatdatetime": _format_datetime,
    "startofday": _start_of(hour=0),
    "startofhour": _start_of(),
    "startofmonth": _start_of(hour=0, day=1),
    "ticks": _ticks,
}
"""Pure functions by their name in lower case; they raise ValueError and the like."""
