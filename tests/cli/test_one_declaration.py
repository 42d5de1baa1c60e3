"""Each parameter of a command is declared once: by its function in `headrace.services`, or by the
command line where only a terminal has it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args

import pytest
from typed_commands import typed_commands

from headrace.cli.declared_commands import (
    Command,
    HelpPrefix,
    TerminalCommand,
    terminal_command,
)
from headrace.cli.invocation import Invocation
from headrace.project import parameters
from headrace.project.parameters import Argument, Option

DECLARED_TWICE = {
    ("read", "--as"): "tools of agents have what functions declare, and not this",
    ("sql", "query"): "a terminal may name a file with the query, or standard input",
}
"""Command and option → why both declare it."""


COMMANDS = typed_commands()


def own_declarations(command: Command) -> Iterator[tuple[str, Argument | Option]]:
    """What the command line declares itself, with the parameter's name."""
    if isinstance(command, TerminalCommand):
        signature = inspect.signature(command._body, eval_str=True)
        for parameter in list(signature.parameters.values())[1:]:
            for extra in get_args(parameter.annotation)[1:]:
                if isinstance(extra, Argument | Option):
                    yield parameter.name, extra


def functions(command: Command) -> list[Callable[..., Any]]:
    return [parameters.command_function(path) for path in command.functions.values()]


def declared_twice(name: str, command: Command) -> list[tuple[str, str]]:
    """Parameters that the command line and one of the command's functions declare apart."""
    theirs = [item for function in functions(command) for item in parameters.flattened(function)]
    shared = [item.declaration for item in theirs]
    results = []
    for own_name, said in own_declarations(command):
        if any(said is given for given in shared):
            continue  # a type of project/parameters.py, which both use
        if isinstance(said, Argument):
            alike = own_name in {item.name for item in theirs} and len(command.functions) == 1
        else:
            alike = any(
                item.name == own_name
                or (isinstance(item.declaration, Option) and item.declaration.name == said.name)
                for item in theirs
            )
        if alike:
            results.append((name, said.name if isinstance(said, Option) else own_name))
    return results


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_declares_nothing_that_its_function_declares(name: str) -> None:
    """Would catch: an option whose help, type or limit differs between terminal and API."""
    twice = declared_twice(name, COMMANDS[name])
    assert [item for item in twice if item not in DECLARED_TWICE] == []


def test_the_exceptions_are_needed() -> None:
    """Would catch: an exception that hides a later second declaration."""
    twice = {item for name in COMMANDS for item in declared_twice(name, COMMANDS[name])}
    assert set(DECLARED_TWICE) <= twice


@pytest.mark.parametrize("name", COMMANDS)
def test_a_parameter_has_the_type_that_its_function_declares(name: str) -> None:
    """Would catch: a command whose own function expects a text where the parser gives a path."""
    command = COMMANDS[name]
    if not isinstance(command, TerminalCommand):
        return
    hints = inspect.signature(command._body, eval_str=True).parameters
    for parameter in command.parameters:
        hint = hints[parameter.name].annotation if parameter.name in hints else None
        if hint is None or any(isinstance(extra, Argument | Option) for extra in get_args(hint)):
            continue
        base = get_args(hint)[0] if any(isinstance(e, HelpPrefix) for e in get_args(hint)) else hint
        expected: Any = list[parameter.type] if parameter.many else parameter.type  # type: ignore[name-defined]
        if parameter.mapping:
            expected = dict[str, str]
        accepted = (expected, expected | None)
        assert base in accepted, f"{name} {parameter.name}: {base} instead of {expected}"


def test_a_second_declaration_is_noticed() -> None:
    """Would catch: a test that lets everything pass."""

    @terminal_command("runs:runs")
    def runs_command(
        invocation: Invocation,
        newest: Annotated[int, Option("--limit", metavar="N", help="rows")] = 5,
    ) -> int:
        return 0

    assert declared_twice("runs", runs_command) == [("runs", "--limit")]


def test_a_parameter_that_no_function_declares_is_refused() -> None:
    """Would catch: a misspelt name that becomes a parameter without help or type."""

    @terminal_command("runs:runs")
    def runs_command(invocation: Invocation, limt: int) -> int:
        return 0

    with pytest.raises(LookupError, match="limt"):
        _ = runs_command.parameters
