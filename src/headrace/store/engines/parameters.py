"""SQL text with `?` and `:name` parameters as psycopg wants it: `%s`, `%(name)s`, and every other `%` doubled.

What stands in quotes and comments, a cast (`::`) and a quoted name are left as they are. Each text is translated once.
"""

from __future__ import annotations

import re
from functools import lru_cache

TEXTS_KEPT = 4_096
"""Translations that are remembered: more than there are statements; some are composed."""

_PARTS = re.compile(
    r"""
      (?P<kept> '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | :: )
    | (?P<position> \? )
    | : (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<percent> % )
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=TEXTS_KEPT)
def translated(sql: str) -> str:
    """The same statement with psycopg's placeholders."""
    return _PARTS.sub(_part, sql)


def names(sql: str) -> tuple[str, ...]:
    """The names of a statement's parameters, each once, in the order in which they first stand; none where they have positions."""
    return tuple(dict.fromkeys(match["name"] for match in _PARTS.finditer(sql) if match["name"] is not None))


def _part(match: re.Match[str]) -> str:
    if match["kept"] is not None:
        return match["kept"].replace("%", "%%")
    if match["position"] is not None:
        return "%s"
    return "%%" if match["percent"] is not None else f"%({match['name']})s"
