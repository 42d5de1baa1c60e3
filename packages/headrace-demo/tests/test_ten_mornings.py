"""The challenge: each fault is seen, ends with its owner's answer, and is worth its points."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

import headrace
from headrace.extension import Silent, UsageError
from headrace_demo import challenge as challenge_of
from headrace_demo import demo_data
from headrace_demo.challenge import POINTS, challenge
from headrace_demo.challenge_faults import FAULTS, OWNERS, Fault, damage, recode
from headrace_demo.demo import copy_project
from headrace_demo.demo_data import DemoFault

DAY = date(2013, 1, 10)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.title for fault in FAULTS])
def test_a_fault_changes_what_it_says_and_is_taken_back(fault: Fault, tmp_path: Path) -> None:
    """Would catch: a fault that stays in the code, or one that damages nothing."""
    if fault.code:
        copy_project(tmp_path)
        path = tmp_path / "assets" / fault.code
        before = path.read_text()
        recode(fault, tmp_path)
        assert path.read_text() != before
        recode(fault, tmp_path, undo=True)
        assert path.read_text() == before
        return
    demo_data.deliver(tmp_path, DAY, DemoFault.NONE)
    path = tmp_path / f"{fault.file}_{DAY}.csv"
    before = path.read_text()
    damage(fault, tmp_path, DAY)
    assert not path.exists() or path.read_text() != before
    demo_data.deliver(tmp_path, DAY, DemoFault.NONE)
    assert path.read_text() == before


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_mornings_are_found_and_repaired(tmp_path: Path) -> None:
    """Would catch: a fault that nobody is told of, a morning that can't be ended, points for
    guessing.
    """
    root = tmp_path / "demo"
    response = challenge(root, None, progress=Silent())
    owners = {"flight-feed-inc", "flight-data", "operations"}
    for number, fault in enumerate(FAULTS, 1):
        assert (response.number, response.faults) == (number, len(FAULTS))
        session = headrace.Session(root)
        assert session.incidents(), fault.title
        assert any(row.state == "late" for row in session.status().consumers), fault.title
        if number == 1:
            answers = challenge(root, min(owners - {fault.owner}), progress=Silent()).answers
            assert "nothing wrong on our side" in answers[0]
            assert challenge(root, None, progress=Silent()).answers[0] == "Not yet."
            with pytest.raises(UsageError, match="no owner of the demo") as typo:
                challenge(root, "flight-feed-ink", progress=Silent())
            assert "flight-feed-inc" in typo.value.hint
        challenge(root, fault.owner, progress=Silent())
        response = challenge(root, None, progress=Silent())
        assert response.answers[0].startswith(f"Repaired: {fault.title}"), response.answers
    assert response.day is None
    assert (response.points, response.points_max) == (POINTS * 10 - 5, POINTS * 10)
    assert challenge(root, None, progress=Silent()).answers == []
    assert challenge(root, "compliance", progress=Silent()).points == response.points


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_morning_that_was_broken_off_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a challenge that can't be gone on with after Ctrl-C in its first minute."""
    root = tmp_path / "demo"
    with monkeypatch.context() as patched:
        patched.setattr(challenge_of, "damage", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            challenge(root, None, progress=Silent())
    response = challenge(root, None, progress=Silent())
    assert (response.number, response.answers) == (1, [])
    assert headrace.Session(root).incidents()


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_owners_are_those_of_the_project(tmp_path: Path) -> None:
    copy_project(tmp_path)
    declared = re.findall(r"^([\w-]+):", (tmp_path / "owners.yaml").read_text(), re.MULTILINE)
    assert sorted(declared) == sorted(OWNERS)
