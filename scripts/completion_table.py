"""Write what shell completion offers for each command, from the commands' declarations.

Completion answers each press of a key, so it imports this table instead of the commands and the
functions that declare their parameters. `python -m scripts.generate` calls this; a
test compares the file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from headrace.cli.command_table import BY_NAME
from headrace.cli.completion import completed
from headrace.cli.completion_table import CompletedParameter
from headrace.cli.declared_commands import load

TARGET = Path(__file__).resolve().parent.parent / "src/headrace/cli/completion_table.py"

HEAD = '''"""The parameters of each command and the values that they take, for shell completion.

`python -m scripts.generate` writes this file from the commands' declarations.
"""

from __future__ import annotations

from typing import NamedTuple


class CompletedParameter(NamedTuple):
    """An option, or, if `options` is empty, the argument at its position."""

    options: tuple[str, ...]
    takes: str | None
    """The metavar: lower-case words are typed literally, upper-case words name a kind of value.

    None for a flag.
    """
    many: bool = False
    """Whether an argument takes all remaining words."""


'''


def main() -> None:
    """Write the file, formatted."""
    TARGET.write_text(text(), encoding="utf-8")


def text() -> str:
    """Return the file's content."""
    lines = []
    for name in BY_NAME:
        parameters = "".join(f"{_written(item)}, " for item in completed(load(name).parameters))
        lines.append(f"    {name!r}: ({parameters}),\n")
    content = (
        f"{HEAD}PARAMETERS: dict[str, tuple[CompletedParameter, ...]] = {{\n{''.join(lines)}}}\n"
    )
    ruff = [sys.executable, "-m", "ruff", "format", "-q", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(ruff, input=content, capture_output=True, text=True, check=True).stdout


def _written(item: CompletedParameter) -> str:
    many = ", many=True" if item.many else ""
    return f"CompletedParameter({item.options!r}, {item.takes!r}{many})"
