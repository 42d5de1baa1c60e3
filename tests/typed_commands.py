"""Each command and each action of a command, by what is typed."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.cli.command_table import BY_NAME
from headrace.cli.declared_commands import Command, CommandGroup, load


def typed_commands(names: Iterable[str] = BY_NAME) -> dict[str, Command]:
    """Return what can be typed, such as `incidents` and `incidents mute`, with its command."""
    results: dict[str, Command] = {}
    for name in names:
        command = load(name)
        if not isinstance(command, CommandGroup):
            results[name] = command
            continue
        if command.otherwise is not None:
            results[name] = command.otherwise
        results |= {f"{name} {word}": action for word, action in command.actions.items()}
    return results
