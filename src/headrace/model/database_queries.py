"""A query of a database source, as far as anything here reads it: where its placeholders are. Its SQL is the database's own."""

from __future__ import annotations

import re
from collections.abc import Callable

PLACEHOLDERS = ("partition_start", "partition_end")
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
_BEGINS = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*(?:(?!\*/).)*\*/)*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)


def placeholders(query: str) -> list[str]:
    """The names after `$`, in order, without those inside of strings, quoted names and comments."""
    return [match["name"] for match in _STANDARD.finditer(query) if match["name"]]


def with_parameters(query: str, replace: Callable[[str], str], *, percent: bool, backslashes: bool = False) -> str:
    """`query` with each `$name` replaced by what `replace` makes of it: a driver's own mark, never a value.

    `percent` doubles every other `%`, as drivers whose marks are `%s` want it; `backslashes` reads strings as MySQL does."""

    def text(part: str) -> str:
        return part.replace("%", "%%") if percent else part

    out, at = [], 0
    for match in (_BACKSLASHES if backslashes else _STANDARD).finditer(query):
        if match["name"]:
            out += [text(query[at : match.start()]), replace(match["name"])]
            at = match.end()
    return "".join([*out, text(query[at:])])


def one_select(query: str) -> str | None:
    """`query` without what ends it (`;`, comments), fit to stand in parentheses; None where it isn't one SELECT."""
    text = query[: _end_of(query)]
    depth = 0
    for match in _STANDARD.finditer(text):
        sign = match["sign"]
        depth += {"(": 1, ")": -1}.get(sign or "", 0)
        if sign == ";" or depth < 0:
            return None
    return text if depth == 0 and _BEGINS.match(text) else None


def _end_of(query: str) -> int:
    """Where the statement's last sign ends: what follows is spaces, comments and semicolons."""
    end = len(query.rstrip())
    for match in reversed(list(_STANDARD.finditer(query))):
        if match.end() < end or not match[0].startswith((";", "--", "/*")):
            break
        end = len(query[: match.start()].rstrip())
    return end
