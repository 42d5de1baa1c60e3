"""Options of every command stand before it or after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typed_commands import typed_commands

from headrace.cli.command_table import Options, ValueMissing, split_options
from headrace.cli.declared_commands import CommandGroup, load
from headrace.cli.main import run
from headrace.project.parameters import Option


def test_options_before_the_command_are_taken_and_those_after_it_left() -> None:
    before, rest = split_options(
        ["--project", "x", "--json", "--now=2013", "ls", "--utc", "--project", "y"]
    )
    assert before == Options(project="x", json=True, now="2013")
    assert rest == ["ls", "--utc", "--project", "y"]


def test_a_value_that_looks_like_a_command_is_a_value() -> None:
    assert split_options(["--project", "ls", "status"]) == (Options(project="ls"), ["status"])


def test_what_was_said_last_wins() -> None:
    assert Options(project="after", utc=True).with_defaults(
        Options(project="before", env="dev")
    ) == Options(project="after", env="dev", utc=True)


def test_a_missing_value_is_said() -> None:
    with pytest.raises(ValueMissing, match="--now"):
        split_options(["--json", "--now"])


def misplaced() -> Iterator[tuple[str, str]]:
    """Each action of a command, with an option of another one of its actions that it hasn't."""
    typed = typed_commands()
    options: dict[str, dict[str, set[str]]] = {}
    for name, command in typed.items():
        of_group = options.setdefault(name.split()[0], {})
        said = [item.declaration for item in command.parameters]
        of_group[name] = {item.name for item in said if isinstance(item, Option)}
    for of_group in options.values():
        every = set().union(*of_group.values())
        yield from ((name, option) for name, own in of_group.items() for option in every - own)


@pytest.mark.parametrize(("name", "option"), sorted(misplaced()))
def test_an_option_of_another_action_is_refused(
    name: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: `contract show f --yes`, which took the option and did nothing with it."""
    needed = ["x" for item in typed_commands()[name].parameters if item.required]
    words = [*name.split(), *needed, option, "--project", str(tmp_path)]
    assert run(words) == 2
    assert f"unknown: {option}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words", "typed"),
    [
        ("hold", ["--reason", "list", "orders"], "hold"),
        ("hold", ["--reason=list", "orders"], "hold"),
        ("incidents", ["--project", "fix"], "incidents"),
        ("incidents", ["--reason", "fix", "mute", "INC-1"], "incidents mute"),
        ("incidents", ["--json", "mute", "INC-1"], "incidents mute"),
        ("db", ["--reason", "gc", "check", "--repair"], "db check"),
        ("quarantine", ["asset:drop"], "quarantine"),
    ],
)
def test_an_options_value_is_no_action(name: str, words: list[str], typed: str) -> None:
    """Would catch: a reason or a folder that is called like an action, taken for it."""
    group = load(name)
    assert isinstance(group, CommandGroup)
    assert group.chosen(name, words)[0] == typed
