"""The table of verbs: what runs can run, what doesn't says what to use instead."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from headrace.cli.help import text
from headrace.cli.parsing import Argument, parameters
from headrace.cli.verbs import BY_NAME, FOREIGN, GROUPS, NOT_BUILT, VERBS, Verb


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_each_verb_has_its_module_and_a_description(verb: object) -> None:
    module = import_module(verb.module)  # type: ignore[attr-defined]
    assert module.command.__doc__, "its --help would be empty"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_each_word_of_a_verb_is_explained(verb: Verb) -> None:
    """Would catch: an option or an argument in `--help` with nothing beside it."""
    shown = [one.said for one in parameters(import_module(verb.module).command) if not isinstance(one.said, Argument) or one.said.metavar]
    assert [said for said in shown if not said.help] == []


def test_help_prints_only_what_runs() -> None:
    printed = set(re.findall(r"^  (\w+)  ", text(), re.MULTILINE))
    assert printed == {verb.name for verb in VERBS}
    assert not printed & NOT_BUILT.keys()
    assert [group.capitalize() + ":" in text() for group in GROUPS] == [True] * len(GROUPS)


def test_a_verb_is_in_one_table_only() -> None:
    tables = [set(BY_NAME), set(NOT_BUILT), set(FOREIGN)]
    assert len(set.union(*tables)) == sum(map(len, tables))


def test_hints_name_only_verbs_that_run() -> None:
    """A hint that names a verb which isn't built sends people round in circles."""
    for hints in (NOT_BUILT, FOREIGN):
        for name, hint in hints.items():
            for verb in re.findall(r"`headrace ([a-z-]+)", hint):
                assert verb.startswith("--") or verb in BY_NAME, (name, hint)
