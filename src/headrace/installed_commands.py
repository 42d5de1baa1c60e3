"""Commands of other installed packages: what `headrace.extension` calls `CliCommand`.

A package names each of its commands in the entry point group `headrace.commands`. `headrace --help`
has 35 ms and importlib.metadata alone takes more than ten, so the files of entry points are read
here, and only those of distributions whose name has `headrace` in it: opening the 200 of a usual
environment takes 2 ms, these take 0.2 (docs/decisions/0187-a-trunk-and-a-leaf.md).
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

GROUP = "headrace.commands"
TABLES = "headrace.command_tables"
"""The entry points of generated tables: a module with the names that `command_tables` has."""
IN_PACKAGES = {
    **dict.fromkeys(("export", "import"), "headrace-import"),
    **dict.fromkeys(
        ("ci", "conformance", "connections", "doctor", "notify", "test", "try"), "headrace-testing"
    ),
    "demo": "headrace-demo",
    "mcp": "headrace-agents",
    "lsp": "headrace-lsp",
    "docs": "headrace-docs",
    "lock": "headrace-python",
    "badge": "headrace-ui",
    "erase": "headrace-erase",
    **dict.fromkeys(
        (
            *("ab", "bottleneck", "checks challenge", "checks suggest", "classify"),
            *("complexity", "costs", "optimize", "what-if"),
        ),
        "headrace-advisor",
    ),
}
"""Command of a package of its own that is developed with this one → the package."""
EXTENDED = {typed.partition(" ")[0] for typed in IN_PACKAGES if " " in typed}
"""Commands that aren't groups unless a package adds actions to them."""
_MARK = "headrace"
"""Part of the name of each distribution whose commands are found."""
_INFO = ".dist-info"


class CliCommand(NamedTuple):
    """One command: what `headrace --help` and permissions need before its module is imported."""

    name: str
    group: str
    """`start`, `look`, `act`, `change` or `operate`; for `checks challenge` it is `checks`."""
    summary: str
    home: str = ""
    """The module with `<name>_command`.

    For a command of Headrace whose response is printed as it is, `module:function` of
    `headrace.services`.
    """
    permissions: Mapping[str, str] = {}
    """What `permitted` asks for: the command as typed → `see`, `read`, `operate`, `change` …"""


@cache
def installed_commands() -> Mapping[str, CliCommand]:
    """Return the commands of other packages by name; of two with one name, the first on the path.

    A package whose table can't be imported has a command whose summary says so.
    """
    commands: dict[str, CliCommand] = {}
    for entry in _entries():
        for command in _commands(*entry):
            commands.setdefault(command.name, command)
    return commands


def added_actions(command: str) -> dict[str, str]:
    """Return the actions that other packages add to a command, with what is typed for each."""
    lead = f"{command} "
    return {name.removeprefix(lead): name for name in installed_commands() if name.startswith(lead)}


def missing_command(words: Sequence[str]) -> str:
    """Return the command that begins with these words if it is in a package that isn't installed.

    Empty if it isn't.
    """
    return next(
        (
            name
            for name in (" ".join(words[:1]), " ".join(words[:2]))
            if name in IN_PACKAGES and name not in installed_commands()
        ),
        "",
    )


@cache
def installed_tables() -> tuple[ModuleType, ...]:
    """Return the modules with generated tables of other packages, if they can be imported."""
    installed_commands()  # imports them
    targets = [target for group, _, target in _entries() if group == TABLES]
    return tuple(sys.modules[target] for target in targets if target in sys.modules)


def _commands(group: str, name: str, target: str) -> list[CliCommand]:
    module, _, attribute = target.partition(":")
    try:
        home = import_module(module)
        if group == TABLES:
            return [CliCommand(*row) for row in home.CLI]
        command = getattr(home, attribute)
        if isinstance(command, CliCommand) and command.name == name and command.home:
            return [command]
        problem = f"{target} isn't its CliCommand with a home"
    except Exception as error:  # noqa: BLE001 somebody else's module; help goes on without it
        problem = f"{type(error).__name__}: {error}"
    return [CliCommand(name, "operate", f"can't be used: {problem}", module)]


def _entries() -> Iterator[tuple[str, str, str]]:
    """Yield group, name and target of each entry point of the two groups."""
    for folder in sys.path:
        try:
            names = [name for name in os.listdir(folder or ".") if _MARK in name]
        except OSError:  # an archive, or nothing
            continue
        for name in sorted(names):
            if name.endswith(_INFO):
                yield from _entries_of(f"{folder or '.'}/{name}/entry_points.txt")


def _entries_of(file: str) -> Iterator[tuple[str, str, str]]:
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            text = lines.read()
    except OSError:  # a distribution without entry points
        return
    group = ""
    for line in text.splitlines():
        name, equals, target = line.partition("=")
        if line.startswith("["):
            group = line.strip("[] ")
        elif equals and group in (GROUP, TABLES):
            yield group, name.strip(), target.strip()
