"""What commands print for people, compared with files, and what all of it has in common.

`HEADRACE_FIXTURES=write` writes the files anew; read what changed before you keep it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from headrace.cli.output import CommandOutput, TimeFormatter
from headrace.cli.terminal import Screen
from headrace.responses import ErrorRow

WIDTHS = (60, 80, 120, 200)
NOW = datetime(2013, 2, 14, 12, 20, tzinfo=UTC)
ERROR = ErrorRow(
    kind="deterministic",
    message='column "dep_dely" not found',
    file="assets/clean.sql",
    line=7,
    hint="did you mean dep_delay?",
    code="body_failed",
)
HOSTILE = "x\x1b[31m[bold]\u202e\nDROP"


def printed(response: Any, render: Callable[[Any, CommandOutput], None], width: int) -> str:
    """Return what a command prints in a terminal of a width."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.width = width
    render(response, CommandOutput(screen, TimeFormatter.at(NOW, "America/New_York", replay=True)))
    return stream.getvalue()


def require_same(text: str, path: Path) -> None:
    """Fail unless a file has the printed text."""
    if os.environ.get("HEADRACE_FIXTURES") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def require_fit(text: str, width: int) -> None:
    """Fail for characters that steer the terminal, and for lines that it would break.

    Lines that people paste (the next command, SQL, paths to enter) are never broken.
    """
    for line in text.splitlines():
        assert line.isprintable(), "data must not steer the terminal"
        pasted = line.startswith(
            ("next:", "    cd ", "    . ", "    headrace", "select ", "where ")
        )
        assert pasted or cell_len(line) <= width, line


def require_next(text: str) -> None:
    """Fail unless the last line is the next command."""
    assert text.splitlines()[-1].startswith("next: headrace ")
