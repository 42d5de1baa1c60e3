"""The script that a command asset runs, as far as its words say it."""

from __future__ import annotations

from collections.abc import Sequence

_ENDINGS = (
    ".py", ".sh", ".bash", ".js", ".mjs", ".ts", ".rb", ".pl", ".php", ".r", ".R", ".jl", ".jar",
    ".dll", ".ps1", ".sql", ".ipynb", ".lua",
)  # fmt: skip
_CODE_OPTIONS = ("-c", "-e", "-m", "--eval", "--command")
"""What follows is code, or the name of a module, and nothing after it is a script of the project."""


def script_of(command: Sequence[str]) -> str | None:
    """The first argument that is a script by its ending, a path relative to the project or absolute;
    None for a command without one."""
    for argument in command[1:]:
        if argument in _CODE_OPTIONS:
            return None
        if not argument.startswith("-") and argument.endswith(_ENDINGS):
            return argument
    return None
