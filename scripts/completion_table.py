"""Write what shell completion offers for each command, from the commands' declarations.

Completion answers each press of a key, so it imports this table instead of the commands and the
functions that declare their parameters. `python -m scripts.generate` calls this.
"""

from __future__ import annotations

from headrace.cli.command_table import BY_NAME
from headrace.cli.completion import completed
from headrace.cli.declared_commands import load_alone

TEXT = '''\
"""The parameters of each command and the values that they take, for shell completion.

`python -m scripts.generate` writes this file from the commands' declarations.
"""

PARAMETERS: dict[str, tuple[tuple[tuple[str, ...], str | None, bool], ...]] = {{
{rows}}}
"""Command → its parameters, each the fields of a `CompletedParameter`."""
'''


def text() -> str:
    """Return the file's content; commands of other packages are completed by their modules."""
    rows = [row for name in BY_NAME for row in completed(name, load_alone(name)).items()]
    return TEXT.format(
        rows="".join(f"    {name!r}: {tuple(map(tuple, row))!r},\n" for name, row in rows)
    )
