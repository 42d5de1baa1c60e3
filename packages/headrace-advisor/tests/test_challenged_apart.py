"""Checks put to the test for who has the state open: by a process of its own, with what the command
says."""

from __future__ import annotations

from pathlib import Path

import pytest
from serve_lab import deliver, headrace, project, response, write

from headrace.model import UsageError
from headrace.project.session import ProjectSession, Silent
from headrace_advisor.services.challenge_process import challenge_in_process

NOW = "2025-03-02T08:00"


def test_it_says_what_the_command_says(tmp_path: Path) -> None:
    """Would catch: a page whose verdict isn't the command's, or a refusal that is a traceback."""
    root = project(tmp_path / "shop")
    asset = root / "assets/revenue.sql"
    write(
        asset,
        asset.read_text(encoding="utf-8").replace(
            "column: day}\n", "column: day}\nchecks: [{unique: [day]}, {row_count: {min: 0}}]\n"
        ),
    )
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    session = ProjectSession(root, "prod", None, "tester")
    try:
        result = {
            item.check: (item.verdict, item.mutations_caught)
            for item in challenge_in_process(session, ("revenue",), 20, progress=Silent())
        }
        with pytest.raises(UsageError, match="unknown node"):
            challenge_in_process(session, ("--write",), 1, progress=Silent())
    finally:
        session.close()
    said = response(root, "checks", "challenge", "revenue", "--seconds", "20")
    assert result == {item["check"]: (item["verdict"], item["mutations_caught"]) for item in said}
    assert {verdict for verdict, _ in result.values()} == {"effective", "cannot_fail"}
