"""Accessors for values of files, which may hold anything anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace_import.importers.adf.json_text import JsonObject

_EMPTY = JsonObject()


def object_of(value: Any, *keys: str) -> JsonObject:
    """Return the object at a path of keys; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, JsonObject):
        return value
    if isinstance(value, dict):
        result = JsonObject()
        result.update(value)
        return result
    return _EMPTY


def list_of(value: Any, *keys: str) -> list[Any]:
    """Return the list at a path of keys; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []


def objects_of(value: Any, *keys: str) -> list[JsonObject]:
    """Return the objects of the list at a path of keys."""
    return [object_of(item) for item in list_of(value, *keys) if isinstance(item, dict)]


def objects_within(value: Any) -> Iterator[JsonObject]:
    """Yield a value's objects at any depth, itself among them."""
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, JsonObject):
            pending.extend(node.values())
            yield node


def text_at(value: Any, *keys: str) -> str:
    """Return the text at a path of keys; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def one_line(text: str) -> str:
    """Return a text without line breaks and other characters that aren't printable."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
