"""Commands with their arguments and options, as their functions' signatures say."""

from __future__ import annotations

import inspect
import textwrap

from headrace.cli.command_table import GROUPS, NOT_BUILT, OPTIONS_HELP, CliCommand, all_commands
from headrace.cli.declared_commands import Command, CommandGroup, Parameter, load
from headrace.cli.parser import words_of
from headrace.model import errors
from headrace.project.parameters import Argument, Option
from scripts.reference_pages.markdown import code, table
from scripts.reference_pages.markdown import page as written

EXIT_CODES = (
    ("0", "done"),
    ("1", "the work failed, or a problem was found"),
    ("2", "wrong use: what was typed can't be understood"),
    ("3", "refused by policy: not allowed, needs `--yes`, an approval, or `apply` first"),
    ("4", "interrupted; what was published stays"),
)


def page() -> str:
    """The page."""
    lead = "Every command, its arguments and options. `headrace COMMAND --help` says the same."
    parts = [["## Options of every command", "", "```", OPTIONS_HELP, "```"]]
    for group in GROUPS:
        parts.append([f"## {group.capitalize()}"])
        parts += [_command(command) for command in all_commands() if command.group == group]
    codes = [
        "## Exit codes",
        "",
        *table(("code", "means"), EXIT_CODES),
        "",
        "Errors and the codes that they mean:",
        "",
        "```",
    ]
    parts.append([*codes, _tree(), "```"])
    taken = "These names are taken, and say what to use instead until they are built."
    later = table(
        ("command", "instead"), ((code(name), hint) for name, hint in sorted(NOT_BUILT.items()))
    )
    parts.append(["## Not built yet", "", taken, "", *later])
    return written("Commands", lead, *parts)


def _tree() -> str:
    """The failure vocabulary, as it stands at the head of its module."""
    paragraphs = (inspect.getdoc(errors) or "").split("\n\n")
    return textwrap.dedent(next(text for text in paragraphs if text.startswith("    ")))


def _command(command: CliCommand) -> list[str]:
    loaded = load(command.name)
    lead = f"{command.summary[0].upper()}{command.summary[1:]}."
    lines = [f"### {command.name}", "", lead, "", *_typed(command.name, loaded)]
    for word, action in loaded.actions.items() if isinstance(loaded, CommandGroup) else ():
        typed = f"{command.name} {word}"
        lines += ["", f"#### {typed}", "", *_typed(typed, action)]
    return lines


def _typed(name: str, command: Command) -> list[str]:
    """The words, the description and the table of arguments of a command or an action."""
    lines = [f"    headrace {name} {words_of(command)}".rstrip(), ""]
    said = command.text if isinstance(command, CommandGroup) else command.description
    lines += said.splitlines()
    rows = [
        (_name(item), item.declaration.help, _default(item))
        for item in command.parameters
        if item.declaration.help or item.declaration.metavar
    ]
    return [*lines, "", *table(("argument", "means", "default"), rows)] if rows else lines


def _name(item: Parameter) -> str:
    if isinstance(item.declaration, Argument):
        return code(item.declaration.metavar)
    assert isinstance(item.declaration, Option)
    value = (
        ""
        if item.type is bool
        else f" {item.declaration.metavar or item.declaration.name.lstrip('-').upper()}"
    )
    short = f"{item.declaration.short}, " if item.declaration.short else ""
    return code(f"{short}{item.declaration.name}{value}")


def _default(item: Parameter) -> str:
    if item.required:
        return "needed"
    return (
        code(str(getattr(item.default, "value", item.default)))
        if isinstance(item.default, int | str) and item.type is not bool
        else ""
    )
