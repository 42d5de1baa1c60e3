"""Canaries in classified columns × everything that Headrace serves × all roles: none in the clear
where it may not be. `make leaks` tries it with 1,000 of them. TRUST F20."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from leaks_lab import (
    CANARY,
    FORMS,
    ROLES,
    Answered,
    canaries,
    leaks,
    play,
    project,
    sent,
    served,
    typed,
    undecided,
)


def test_every_command_is_asked_or_says_why_not() -> None:
    """Would catch: a new command that nobody tries for leaks."""
    assert undecided() == set()


def test_no_canary_leaves_where_it_may_not(tmp_path: Path) -> None:
    """Would catch: a value of a classified column in a page, a command, an error, a log, a sample,
    a message or an event for a role that may not read it."""
    tried(tmp_path, 20, ("viewer", "owner"), FORMS[1:])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_canary_of_a_thousand_leaves_by_any_outlet_for_any_role(tmp_path: Path) -> None:
    """Would catch: the same, for the other roles, on screens, and in larger tables."""
    tried(tmp_path, 1_000, ROLES, FORMS)


def tried(
    folder: Path, number: int, roles: tuple[str, ...], forms: tuple[tuple[str, ...], ...]
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    root = project(folder / "people", canaries(number, seed))
    tokens = {role: text for role, text in play(root).items() if role in roles}
    answers = list(itertools.chain(served(root, tokens), typed(root, tokens, forms), sent(root)))
    assert leaks(iter(answers)) == {}
    _finds_them(answers)


def _finds_them(answers: list[Answered]) -> None:
    """Else the laboratory proves nothing: roles that may read canaries get them."""
    shown = {item.outlet for item in answers if item.role == "owner" and CANARY.search(item.body)}
    assert {"headrace read people", "headrace logs letters@2025-03-01"} <= shown
