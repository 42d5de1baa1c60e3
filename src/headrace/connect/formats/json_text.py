"""JSON text as Python values, for the texts that DuckDB's reader accepts.

DuckDB accepts a comma after the last value of an object or array, and whole numbers of any length.
It refuses an escaped half of a character (a lone surrogate), which Python accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_TRAILING_COMMA = re.compile(
    r'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|,(?=[ \t\r\n]*[}\]])',  # a text may be cut off at the end
    re.DOTALL,
)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} isn't a number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_LONG_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=str)
"""Whole numbers become text: Python converts at most 4,300 digits. It is slower."""


def decoded(text: str, at: int) -> tuple[Any, int]:
    """Return the value that begins at a position, and its end; raise ValueError if none does."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _LONG_DECODER.raw_decode(text, at)


def loaded(text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return the value of a whole text, as `json.loads`; `pairs` makes objects."""
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError:
        shorter = without_trailing_commas(text)
        if shorter == text:
            raise
    except ValueError:
        shorter = text
    return json.loads(shorter, object_pairs_hook=pairs, parse_int=str)


def without_trailing_commas(text: str) -> str:
    """Return text of the same length, in which a blank replaces each comma after a last value."""
    return _TRAILING_COMMA.sub(lambda match: " " if match[0] == "," else match[0], text)


_PROBLEMS = {
    "Expecting value": "a value is missing, or isn't JSON",
    "Expecting property name": "a key is missing, or isn't in double quotes",
    "Expecting ','": "no comma after a value",
    "Expecting ':'": "no colon after a key",
    "Extra data": "there is more after the value",
    "Unterminated string": "a text without its closing quote",
    "Invalid control character": (
        "a control character in a text; JSON writes it with a backslash, such as `\\t`"
    ),
    "Invalid \\u": "`\\u` without the four digits of a character",
    "Invalid \\": "a backslash that begins no escape of JSON",
}
"""How messages of Python's reader begin → what is wrong."""


def problem_of(error: json.JSONDecodeError) -> str:
    """Return what Python's reader refused, in words."""
    return next(
        (words for start, words in _PROBLEMS.items() if error.msg.startswith(start)),
        "no valid JSON",
    )


def require_characters(text: str, value: Any) -> None:
    """Raise ValueError if a value, which was read from `text`, has half of a character."""
    if "\\u" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start]).strip("'")
        raise ValueError(f"{half} is half of a character, without its other half") from None
