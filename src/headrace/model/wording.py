"""Counts and lists of names, as messages give them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, what: str, several: str = "") -> str:
    """Return a count with its noun: `1 row`, `3,210 rows`."""
    return f"{number:,} {what if number == 1 else several or what + 's'}"


def few(names: Sequence[str], most: int = 5, mark: str = ", ") -> str:
    """Return the first names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return mark.join(names[:most]) + more
