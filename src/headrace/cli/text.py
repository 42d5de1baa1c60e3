"""Text from users, vendors and files, made safe to show: what could steer a terminal is shown, not obeyed."""

from __future__ import annotations

import re
import sys

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, ANSI's escape among them
    "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # invisible, and those that turn the direction of text
    "\ud800-\udfff"  # bytes of a file name that were no UTF-8
    "\u2028\u2029]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def clean(text: str) -> str:
    """`text` on one line, with control and invisible characters written as escapes (`\\x1b`)."""
    return _UNSAFE.sub(_escape, text)


def clean_lines(text: str) -> str:
    """As `clean`, keeping line breaks and writing tabs as spaces."""
    return "\n".join(clean(line.expandtabs(8)) for line in text.split("\n"))


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def symbols_fit() -> bool:
    """Whether standard output can show ✓ and …"""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "✓✗…━".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def plural(n: int, item: str, many: str | None = None) -> str:
    """`1 day`, `3 days`, with thousands set apart."""
    return f"{n:,} {item if n == 1 else many or item + 's'}"


def joined(names: list[str], shown: int = 5) -> str:
    """Names as a phrase, the rest counted: `a, b and 3 more`."""
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[: shown - 1])} and {len(names) - shown + 1} more"
