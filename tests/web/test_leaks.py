"""Canaries in classified columns × everything that Headrace serves × all roles: none in the clear
where it may not be. `make leaks` tries it with 1,000 of them. TRUST F20."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from leaks_lab import (
    CANARY,
    DAYS,
    FORMS,
    MARK,
    OPEN,
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
from leaks_outlets import (
    backed_up,
    collector,
    in_environment,
    in_python,
    more_of_the_project,
    play_in_environment,
    written,
)
from legacy_formats import NEEDS_LEGACY

pytest.importorskip("headrace_observe")

pytestmark = NEEDS_LEGACY


def test_every_command_is_asked_or_says_why_not() -> None:
    """Would catch: a new command that nobody tries for leaks."""
    assert undecided() == set()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_canary_leaves_where_it_may_not(tmp_path: Path) -> None:
    """Would catch: a value of a classified column in a page, a command, an error, a log, a sample,
    a message or an event for a role that may not read it."""
    tried(tmp_path, 20, ("viewer", "operator", "owner"), FORMS[1:])


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
    values = canaries(number, seed)
    root = project(folder / "people", values)
    more_of_the_project(root, values)
    with collector() as traces:
        tokens = _of(roles, play(root))
    in_test = _of(roles, play_in_environment(root))
    answers = [
        *served(root, tokens),
        *typed(root, tokens, forms),
        *in_python(root, tokens),
        *in_environment(root, in_test),
        *backed_up(root, in_test),
        *sent(root),
        *written(root),
        *traces,
    ]
    assert leaks(iter(answers)) == {}
    stored = [path for path in (root / ".headrace").rglob("*") if path.is_file()]
    assert any(MARK.search(path.read_bytes()) for path in stored)
    _finds_them(answers)


def _of(roles: tuple[str, ...], tokens: dict[str, str]) -> dict[str, str]:
    return {role: tokens[role] for role in roles}


def _finds_them(answers: list[Answered]) -> None:
    """Else the laboratory proves nothing: roles that may read canaries get them."""
    shown = {item.outlet for item in answers if item.role == "owner" and CANARY.search(item.body)}
    assert {
        "headrace read people",
        "headrace logs letters@2025-03-01",
        "headrace logs program@2025-03-01",
        "headrace read clean --env test",
        "Session.read(people)",
        "Session.sql(select * from visible)",
    } <= shown
    told = {item.outlet for item in answers if item.role == "owner" and OPEN.search(item.body)}
    assert f"headrace why branches@{DAYS[-1]}" in told
    outlets = {item.outlet for item in answers}
    files = {"guests_2025-03-01.csv", "people_2025-03-01.xlsx", "visible_2025-03-01.jsonl"}
    assert {"traces", "exports/warehouse.db", *(f"exports/{name}" for name in files)} <= outlets
