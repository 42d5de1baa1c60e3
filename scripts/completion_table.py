"""Write what shell completion offers for each command, from the commands' declarations.

    python -m scripts.completion_table

Completion answers each press of a key, so it imports this table instead of the commands and the
functions that declare their parameters. `make docs` runs this; a test compares the file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from headrace.cli.command_table import BY_NAME
from headrace.cli.declared_commands import Parameter, load
from headrace.services.parameters import Argument, Option

TARGET = Path(__file__).resolve().parent.parent / "src/headrace/cli/completion_table.py"

HEAD = '''"""What can be typed behind each command, for shell completion.

`python -m scripts.completion_table` writes this file from the commands' declarations.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """An option, or an argument by its position (without `options`)."""

    options: tuple[str, ...]
    takes: str | None
    """Small words that are typed as they are, capital words for what is named; None for a flag."""
    many: bool = False
    """Whether an argument takes all remaining words."""


'''


def main() -> None:
    """Write the file, formatted."""
    TARGET.write_text(text(), encoding="utf-8")
    print(TARGET.relative_to(Path.cwd()) if TARGET.is_relative_to(Path.cwd()) else TARGET)


def text() -> str:
    """The file's content."""
    lines = [
        f"    {name!r}: ({''.join(f'{_place(item)}, ' for item in load(name).parameters)}),\n"
        for name in BY_NAME
    ]
    content = f"{HEAD}PLACES: dict[str, tuple[Place, ...]] = {{\n{''.join(lines)}}}\n"
    ruff = [sys.executable, "-m", "ruff", "format", "-q", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(ruff, input=content, capture_output=True, text=True, check=True).stdout


def _place(item: Parameter) -> str:
    said = item.declaration
    if isinstance(said, Argument):
        many = ", many=True" if item.many else ""
        return f"Place((), {said.names or said.metavar!r}{many})"
    assert isinstance(said, Option)
    options = tuple(name for name in (said.name, said.short) if name)
    return f"Place({options!r}, {None if item.type is bool else said.metavar!r})"


if __name__ == "__main__":
    main()
