"""The filters, tests and methods of Jinja that the static evaluator knows; all are pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from headrace_import.importers.dbt.bounds import rounded
from headrace_import.importers.dbt.templates import NotStatic
from headrace_import.importers.dbt.values import Missing

RANGE_MAX = 10_000


def number_range(*bounds: int) -> list[int]:
    """Return `range(…)` as a list. Raise ValueError for more than `RANGE_MAX` numbers."""
    numbers = range(*bounds)
    if len(numbers) > RANGE_MAX:
        raise ValueError(f"more than {RANGE_MAX:,} numbers")
    return list(numbers)


def _default(value: Any, default: Any = "", boolean: bool = False) -> Any:
    return default if isinstance(value, Missing) or (boolean and not value) else value


def _join(value: Any, separator: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        raise NotStatic("`join` by an attribute isn't read")
    return separator.join(map(str, value))


def _mapped(value: Any, name: str = "", attribute: str = "", default: Any = None) -> list[Any]:
    if attribute:
        return [item.get(attribute, default) for item in value]
    if name not in FILTERS:
        raise NotStatic(f"`map` by {name[:40]} isn't read")
    return [FILTERS[name](item) for item in value]


def _selected(value: Any, name: str = "", *args: Any) -> list[Any]:
    test = TESTS[name] if name else bool
    return [item for item in value if test(item, *args)]


def _rejected(value: Any, name: str = "", *args: Any) -> list[Any]:
    test = TESTS[name] if name else bool
    return [item for item in value if not test(item, *args)]


def _unique(value: Any) -> list[Any]:
    return list(dict.fromkeys(value))


def _sorted(value: Any, reverse: bool = False) -> list[Any]:
    return sorted(value, reverse=reverse)


def _integer(value: Any, default: int = 0) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default


FILTERS: Mapping[str, Callable[..., Any]] = {
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "title": lambda value: str(value).title(),
    "capitalize": lambda value: str(value).capitalize(),
    "trim": lambda value: str(value).strip(),
    "replace": lambda value, old, new: str(value).replace(old, new),
    "string": str,
    "int": _integer,
    "float": float,
    "abs": abs,
    "length": len,
    "count": len,
    "list": list,
    "join": _join,
    "first": lambda value: next(iter(value)),
    "last": lambda value: list(value)[-1],
    "default": _default,
    "d": _default,
    "sort": _sorted,
    "unique": _unique,
    "reverse": lambda value: value[::-1],
    "map": _mapped,
    "select": _selected,
    "reject": _rejected,
    "items": lambda value: list(value.items()),
    "sum": sum,
    "min": min,
    "max": max,
    "round": rounded,
    "tojson": json.dumps,
    "as_number": lambda value: value,
    "as_bool": lambda value: value,
    "as_text": str,
    "as_native": lambda value: value,
    "safe": lambda value: value,
}

TESTS: Mapping[str, Callable[..., Any]] = {
    "defined": lambda value: not isinstance(value, Missing),
    "undefined": lambda value: isinstance(value, Missing),
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "mapping": lambda value: isinstance(value, dict),
    "sequence": lambda value: isinstance(value, str | list | tuple | dict),
    "iterable": lambda value: isinstance(value, str | list | tuple | dict),
    "in": lambda value, items: value in items,
    "eq": lambda value, other: value == other,
    "equalto": lambda value, other: value == other,
    "ne": lambda value, other: value != other,
    "odd": lambda value: value % 2 == 1,
    "even": lambda value: value % 2 == 0,
    "divisibleby": lambda value, by: value % by == 0,
}


def _formatted(self: str, *values: Any) -> str:
    """`'{}'.format(…)` with plain fields only: others read attributes."""
    parts = self.split("{}")
    if len(parts) != len(values) + 1 or any("{" in part for part in parts):
        raise NotStatic("this `format` isn't read")
    texts = [*map(str, values), ""]
    return "".join(part + text for part, text in zip(parts, texts, strict=True))


def _append(self: list[Any], value: Any) -> str:
    self.append(value)
    return ""


def _extend(self: list[Any], values: Any) -> str:
    items = list(values)
    if len(self) + len(items) > RANGE_MAX:
        raise ValueError(f"more than {RANGE_MAX:,} items")
    self.extend(items)
    return ""


def _update(self: dict[Any, Any], *args: Any, **kwargs: Any) -> str:
    self.update(*args, **kwargs)
    return ""


def _keys(self: dict[Any, Any]) -> list[Any]:
    return list(self)


_TEXT = (
    "upper lower title capitalize strip lstrip rstrip replace split rsplit startswith endswith join"
    " splitlines removeprefix removesuffix isdigit find"
)

METHODS: Mapping[type, Mapping[str, Any]] = {
    str: {**{name: getattr(str, name) for name in _TEXT.split()}, "format": _formatted},
    list: {
        "append": _append,
        "extend": _extend,
        "index": list.index,
        "count": list.count,
        "pop": list.pop,
    },
    dict: {
        "items": lambda self: list(self.items()),
        "keys": _keys,
        "values": lambda self: list(self.values()),
        "get": dict.get,
        "update": _update,
        "pop": dict.pop,
    },
}
