"""Queries and tables of database sources: placeholders, whether a query is one SELECT, names.

A query is in the database's own dialect, so nothing else in it is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKENS = (
    r"(?P<skip>"
    r"{string}|\"(?:[^\"]|\"\")*\"|`[^`]*`"
    r"|--[^\n]*|/\*.*?\*/"
    r"|\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)"
    r"|\$(?P<name>\w+)"
    r"|(?P<sign>[;()])"
)
_STANDARD = re.compile(_TOKENS.replace("{string}", "'(?:[^']|'')*'"), re.DOTALL)
_BACKSLASHES = re.compile(_TOKENS.replace("{string}", r"'(?:[^'\\]|\\.|'')*'"), re.DOTALL)
_QUERY_START = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*(?:(?!\*/).)*\*/)*(select|with|values|table)\b",
    re.IGNORECASE | re.DOTALL,
)


def placeholders(query: str) -> list[str]:
    """Return the names after `$`, in order, except in strings, quoted names and comments."""
    return [match["name"] for match in _STANDARD.finditer(query) if match["name"]]


def with_parameters(
    query: str, replace: Callable[[str], str], *, percent: bool, backslashes: bool = False
) -> str:
    """Replace each `$name` in a query by the driver's placeholder from `replace`, never by a value.

    `percent` doubles all other `%`, as drivers with `%s` placeholders require. `backslashes` parses
    strings as MySQL does.
    """

    def text(part: str) -> str:
        return part.replace("%", "%%") if percent else part

    out, at = [], 0
    for match in (_BACKSLASHES if backslashes else _STANDARD).finditer(query):
        if match["name"]:
            out += [text(query[at : match.start()]), replace(match["name"])]
            at = match.end()
    return "".join([*out, text(query[at:])])


def one_select(query: str) -> str | None:
    """Return the query without trailing `;` and comments, so that it can be put in parentheses.

    Returns None if it isn't a single SELECT.
    """
    text = query[: _end_of(query)]
    depth = 0
    for match in _STANDARD.finditer(text):
        sign = match["sign"]
        depth += {"(": 1, ")": -1}.get(sign or "", 0)
        if sign == ";" or depth < 0:
            return None
    return text if depth == 0 and _QUERY_START.match(text) else None


def _end_of(query: str) -> int:
    """Return the end of the statement, before trailing blanks, comments and semicolons."""
    end = len(query.rstrip())
    for match in reversed(list(_STANDARD.finditer(query))):
        if match.end() < end or not match[0].startswith((";", "--", "/*")):
            break
        end = len(query[: match.start()].rstrip())
    return end


# Names of tables.

NAME_CHARACTERS_MAX = 128
NAME_PARTS_MAX = 3


def parts_of(table: str) -> tuple[str, ...] | None:
    """Return the parts of a table's name, at most 3; None if it is invalid."""
    parts = tuple(part.strip() for part in table.split("."))
    usable = all(part and len(part) <= NAME_CHARACTERS_MAX and part.isprintable() for part in parts)
    return parts if usable and len(parts) <= NAME_PARTS_MAX else None
