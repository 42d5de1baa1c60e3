"""What is wrong with a request's parameters, in words: which one, what was given, what is allowed.

The HTTP API and the agents' tools say it. Text from a body isn't repeated: it may be a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from headrace.model.errors import did_you_mean

GIVEN_CHARACTERS_MAX = 60
NAMES_MAX = 10


def parameter_error(
    values: Mapping[str, Any], kind: type[msgspec.Struct], *, strict: bool
) -> tuple[str, str]:
    """Return why values, which msgspec doesn't convert to `kind`, are wrong, and a hint.

    `strict` are values of a JSON body; others are words of a query.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = values.keys() - fields.keys()
    if unknown and kind.__struct_config__.forbid_unknown_fields:
        name = min(unknown)
        known = f"parameters: {', '.join(list(fields)[:NAMES_MAX]) or 'none'}"
        return f"there is no parameter `{_short(name)}`", did_you_mean(name, fields) or known
    for name, field in fields.items():
        if name in values and not _fits(values[name], field.type, strict=strict):
            given = _given(values[name], strict=strict)
            return f"`{name}` {given}: it is {allowed(field.type)}", ""
        if name not in values and field.required:
            return f"`{name}` is missing: it is {allowed(field.type)}", ""
    return "the parameters don't fit together", ""


def _fits(value: Any, kind: Any, *, strict: bool) -> bool:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _given(value: Any, *, strict: bool) -> str:
    if value is None:
        return "can't be null"
    if strict and not isinstance(value, (bool, int, float)):
        return "is of another kind"
    return f"can't be {_short(str(value))!r}"


def _short(text: str) -> str:
    cut = len(text) > GIVEN_CHARACTERS_MAX
    return f"{text[:GIVEN_CHARACTERS_MAX]}…" if cut else text


def allowed(kind: Any) -> str:
    """Return what values a parameter of this type takes."""
    return _allowed(inspect.type_info(kind))


def _allowed(info: inspect.Type) -> str:
    if isinstance(info, inspect.UnionType):
        kinds = [item for item in info.types if not isinstance(item, inspect.NoneType)]
        return " or ".join(_allowed(item) for item in kinds)
    if isinstance(info, inspect.IntType):
        return f"a whole number{_between(info.ge, info.le)}"
    if isinstance(info, inspect.EnumType):
        return " or ".join(f"{item.value}" for item in info.cls)
    if isinstance(info, (inspect.ListType, inspect.VarTupleType, inspect.CollectionType)):
        return f"a list of {_allowed(info.item_type).removeprefix('a ')}s"
    return _NAMES.get(type(info), "a value of another kind")


def _between(least: int | None, most: int | None) -> str:
    if least is None or most is None:
        return "" if least is None else f" of at least {least:,}"
    return f" from {least:,} to {most:,}"


_NAMES: Mapping[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.DateType: "a date such as 2025-03-31",
    inspect.DictType: "an object of names with values",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
}
