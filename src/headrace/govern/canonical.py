"""Canonical JSON (RFC 8785, JCS): one value, one sequence of bytes, so that it can be hashed.

Narrower than JCS on purpose: no floats (decimals travel as strings), integers within ±2^53 − 1, strings in NFC,
times as RFC 3339 with `Z` and microseconds. Text from outside is made harmless before it is kept.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

TEXT_CHARACTERS_MAX = 4_000
"""Longer text is cut, and ends with `…`."""
_INTEGER_MAX = 2**53 - 1
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode


def canonical(value: Any) -> str:
    """The canonical JSON text of plain values.

    TypeError for what has no canonical form (floats, bytes, other objects), ValueError for integers that JSON's
    readers would round and for names that are the same in canonical form.
    """
    flat = _flat(value) if type(value) is dict else None
    return _ENCODE(_plain(value)) if flat is None else flat


def _flat(value: dict[Any, Any]) -> str | None:
    """The text of a few plain members, made at a fraction of the cost; None for anything else."""
    if not all(type(name) is str and _is_plain(name) for name in value):
        return None
    parts = []
    for name in sorted(value):
        item = value[name]
        if type(item) is int and abs(item) <= _INTEGER_MAX:
            text = str(item)
        elif isinstance(item, str) and _is_plain(item):
            text = f'"{item}"'
        else:
            return None
        parts.append(f'"{name}":{text}')
    return "{" + ",".join(parts) + "}"


def _is_plain(text: str) -> bool:
    return len(text) <= TEXT_CHARACTERS_MAX and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def canonical_text(text: str) -> str:
    """The same of a string alone; of most at a fraction of the cost."""
    return f'"{text}"' if _is_plain(text) else canonical(text)


def clean(text: str) -> str:
    """Text that can't hide or forge anything on a line: NFC, cut at TEXT_CHARACTERS_MAX, and what doesn't print
    (controls, newlines, bidirectional overrides, lone surrogates) written out as `\\u202e`."""
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 1] + "…"
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def rfc3339(at: datetime) -> str:
    """An aware datetime as RFC 3339 in UTC: `2013-02-12T04:40:00.000000Z`."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _plain(value: Any) -> Any:
    """The same value of dicts in canonical order, lists, str, int, bool and None."""
    if value is None or value is True or value is False:
        return value
    if type(value) is str and len(value) <= TEXT_CHARACTERS_MAX and value.isascii() and value.isprintable():
        return value  # nearly always, and the trail is written for every publication
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item) for item in value]
    return _text_of(value)


def _integer(value: int) -> int:
    if abs(value) > _INTEGER_MAX:
        raise ValueError(f"{value} is outside of what JSON's readers keep exactly; write it as a string")
    return int(value)


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    cleaned = {_plain_name(name): _plain(item) for name, item in value.items()}
    if len(cleaned) != len(value):
        raise ValueError("two names of an object are the same in canonical form")
    order = sorted(cleaned) if all(map(str.isascii, cleaned)) else sorted(cleaned, key=_utf16)
    return {name: cleaned[name] for name in order}


def _plain_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} can't name a member of an object")
    return str(_plain(name))


def _utf16(name: str) -> bytes:
    """JCS sorts by UTF-16 code units, which differs from code points above U+FFFF."""
    return name.encode("utf-16-be")


def _text_of(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")
