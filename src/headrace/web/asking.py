"""What a request asks: the fields of a struct, each from the path, the query or the body, judged by the struct's types.

A struct of what is asked is also what the OpenAPI document says of it, so parameters are written down once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_origin

import msgspec
from starlette.datastructures import QueryParams

from headrace.web.problem import HttpProblem

CHARACTERS_MAX = 1_000
"""Of all that one parameter says."""
INTEGER_MAX = 2**63 - 1
"""The largest that a database takes; no number that is asked for has a meaning beyond it."""
RESERVED = frozenset({"token"})
"""Parameters that are the guard's."""


class RequestParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what can be asked. Every field has a default unless it is in the path, or an act can't be without it."""


A = TypeVar("A", bound=msgspec.Struct)


def of_query(kind: type[A], path: Mapping[str, str], query: QueryParams) -> A:
    """What the path and the query say. Problem (400) for a word that isn't known, is too long, or has no such value."""
    several = {field.encode_name for field in msgspec.structs.fields(kind) if get_origin(field.type) is tuple}
    said: dict[str, Any] = dict(path)
    for name in query:
        if name in RESERVED or name in path:
            continue
        words = [word for word in query.getlist(name) if word]
        if words:
            said[name] = words if name in several else words[-1]
    for name, value in said.items():
        if sum(map(len, value)) > CHARACTERS_MAX:
            raise HttpProblem(400, f"`{name[:60]}` is longer than {CHARACTERS_MAX:,} characters")
    return _converted(said, kind, strict=False)


def of_body(kind: type[A], path: Mapping[str, str], body: bytes) -> A:
    """What the path and a JSON body say. Problem (400) for what is no JSON object, or none of this kind."""
    try:
        said = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HttpProblem(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise HttpProblem(400, "the body is nested too deeply") from None
    if not isinstance(said, dict):
        raise HttpProblem(400, "the body is no JSON object")
    return _converted({**said, **path}, kind, strict=True)


def _converted(said: Mapping[str, Any], kind: type[A], *, strict: bool) -> A:
    try:
        converted = msgspec.convert(said, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise HttpProblem(400, str(error)) from None
    for field in msgspec.structs.fields(kind):
        value = getattr(converted, field.name)
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise HttpProblem(400, f"`{field.encode_name}` is larger than {INTEGER_MAX:,}")
    return converted
