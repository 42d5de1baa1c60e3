"""Standard output as people read it: lines, marks and colours; and its width."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

from headrace.cli.text import symbols_fit

_CODES = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1"}
_ASCII = str.maketrans({"✓": "+", "✗": "x", "…": "~", "·": "-", "←": "<-", "→": "->", "━": "=", "–": "-"})
NATURAL = 10_000
"""The width where nothing limits it: not a terminal, and COLUMNS isn't set."""


def width_of(stream: TextIO) -> int:
    """Columns that `stream` can show. COLUMNS wins; what is piped into another program isn't cut."""
    if not os.environ.get("COLUMNS", "").isdecimal() and not stream.isatty():
        return NATURAL
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def colour_wanted(stream: TextIO, no_color: bool) -> bool:
    """Whether to colour: on a terminal that can, unless told otherwise."""
    return stream.isatty() and not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Screen:
    """Writes lines to one stream. Text handed in is already safe to show (`text.clean`)."""

    def __init__(self, stream: TextIO | None = None, *, no_color: bool = False) -> None:
        self.stream = stream or sys.stdout
        self.width = width_of(self.stream)
        self.colour = colour_wanted(self.stream, no_color)
        self._symbols = symbols_fit()

    def style(self, text: str, style: str) -> str:
        """`text` coloured as `good`, `bad`, `warn`, `dim` or `bold`, where colour is wanted."""
        code = _CODES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.colour and text else text

    def line(self, text: str = "", style: str = "") -> None:
        """One line, as long as it is."""
        self.stream.write(self.style(self.fit(text.rstrip()), style) + "\n")

    def fit(self, text: str) -> str:
        """`text` with the symbols that the stream's encoding can't show written in ASCII."""
        return text if self._symbols else text.translate(_ASCII)
