"""Write what shell completion offers for each command, from the commands' declarations.

Completion answers each press of a key, so it imports this table instead of the commands and the
functions that declare their parameters. `python -m scripts.generate` calls this.
"""

from __future__ import annotations

from headrace.cli.command_table import BY_NAME
from headrace.cli.completion import completed
from headrace.cli.declared_commands import load

TEXT = '''\
"""The parameters of each command and the values that they take, for shell completion.

`python -m scripts.generate` writes this file from the commands' declarations.
"""

PARAMETERS: dict[str, tuple[tuple[tuple[str, ...], str | None, bool], ...]] = {{
{rows}}}
"""Command → its parameters, each the fields of a `CompletedParameter`."""
'''


def text() -> str:
    """Return the file's content; a command of another package is completed by its module."""
    rows = {name: tuple(map(tuple, completed(load(name).parameters))) for name in BY_NAME}
    return TEXT.format(rows="".join(f"    {name!r}: {row!r},\n" for name, row in rows.items()))
