"""The table of commands: what runs can run, what doesn't says what to use instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typed_commands import typed_commands

from headrace.cli import command_table
from headrace.cli.command_table import (
    BY_NAME,
    COMMANDS,
    GROUPS,
    NOT_BUILT,
    OTHER_TOOLS,
    RENAMED,
    CliCommand,
    all_commands,
    help_text,
)
from headrace.cli.declared_commands import load
from headrace.cli.main import run
from headrace.installed_commands import IN_PACKAGES
from headrace.project.parameters import Argument


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_has_its_function_and_a_description(command: CliCommand) -> None:
    assert load(command.name).description, "its --help would be empty"


@pytest.mark.parametrize("name", typed_commands())
def test_each_word_of_a_command_is_explained(name: str) -> None:
    """Would catch: an option or an argument in `--help` with nothing beside it."""
    shown = [
        parameter.declaration
        for parameter in typed_commands()[name].parameters
        if not isinstance(parameter.declaration, Argument) or parameter.declaration.metavar
    ]
    assert [said for said in shown if not said.help] == []


@pytest.mark.parametrize("name", sorted({*BY_NAME, *typed_commands()}))
def test_each_help_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Would catch: a text such as `99%` that argparse takes for a format, and fails."""
    assert run([*name.split(), "--help"]) == 0
    assert f"usage: headrace {name}" in capsys.readouterr().out


def test_a_number_has_the_limits_of_the_api(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a limit that only the API and `Session` have."""
    tried = set()
    for name, command in typed_commands().items():
        for parameter in command.parameters:
            option = parameter.declaration
            if isinstance(option, Argument) or option.most is None:
                continue
            words = [*name.split(), option.name, str(option.most + 1), "--project", str(tmp_path)]
            assert run(words) == 2
            assert f"{option.most + 1} is more than {option.most}" in capsys.readouterr().err
            tried.add(f"{name} {option.name}")
    assert {"runs --limit", "audit show --limit", "deliveries --limit"} <= tried, tried


def test_help_prints_only_what_runs() -> None:
    printed = set(re.findall(r"^  (\w[\w-]*)  ", help_text(), re.MULTILINE))
    assert printed == {command.name for command in all_commands()}
    assert not printed & NOT_BUILT.keys()
    assert [group.capitalize() + ":" in help_text() for group in GROUPS] == [True] * len(GROUPS)


def test_the_order_of_the_help_names_only_commands() -> None:
    """Would catch: a command that is gone and stays in the order."""
    assert set(command_table._ORDER) <= {*BY_NAME, *IN_PACKAGES}


def test_a_command_is_in_one_table_only() -> None:
    tables = [set(BY_NAME), set(NOT_BUILT), set(OTHER_TOOLS), set(RENAMED)]
    assert len(set.union(*tables)) == sum(map(len, tables))


def test_hints_name_only_commands_that_run() -> None:
    """A hint that names a command which isn't built sends people round in circles."""
    for hints in (NOT_BUILT, OTHER_TOOLS):
        for name, hint in hints.items():
            for command in re.findall(r"`headrace ([a-z-]+)", hint):
                known = command in BY_NAME or command in IN_PACKAGES
                assert command.startswith("--") or known, (name, hint)


def test_a_renamed_command_says_its_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Would catch: a script with the former name that fails after an upgrade, or isn't told."""
    assert set(RENAMED.values()) <= set(BY_NAME)
    assert run(["withdraw", "--help"]) == 0
    output, errors = capsys.readouterr()
    assert "usage: headrace unpublish ASSET@K" in output
    assert "`headrace withdraw` is called `headrace unpublish` now" in errors
