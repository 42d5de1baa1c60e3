"""Markdown that tables survive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GENERATED = "<!-- Generated from the code by `make docs`: edit the code, not this page. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines; `|` in cells is escaped."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [
        f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"
        for row in rows
    ]


def page(title: str, lead: str, *parts: Sequence[str]) -> str:
    """A page's text, with one blank line between its parts."""
    blocks = [[f"# {title}"], [GENERATED], [lead], *parts]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def code(text: str) -> str:
    """Inline code; nothing for nothing."""
    return f"`{text}`" if text else ""
