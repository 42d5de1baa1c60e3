"""Options of every command stand before it or after it."""

from __future__ import annotations

import pytest

from headrace.cli.command_table import Options, ValueMissing, split_options


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
