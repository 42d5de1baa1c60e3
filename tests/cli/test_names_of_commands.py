"""Nodes that are called like commands and subcommands: position decides, `asset:NAME`
says which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

NAMES = ("accept", "fix", "runs", "status", "challenge", "drop")


@pytest.fixture
def project(tmp_path: Path, call: Callable[..., Any]) -> Project:
    root = tmp_path / "names"
    for folder in ("assets", "sources", "landing"):
        (root / folder).mkdir(parents=True)
    (root / "headrace.toml").write_text('[project]\nname = "names"\ntimezone = "UTC"\n')
    (root / "owners.yaml").write_text("core: {kind: team, contact: ['mailto:core@example.com']}\n")
    (root / "sources/infer.yaml").write_text(
        "source: infer\nowner: core\nfiles: landing/infer.csv\n"
    )
    (root / "landing/infer.csv").write_text("id,price\n1,-1\n")
    for name in NAMES:
        check = "checks: [{range: {column: price, min: 0}}]\n" if name == "accept" else ""
        (root / f"assets/{name}.sql").write_text(
            f"/* headrace\nowner: core\n{check}*/\nselect * from infer\n"
        )
    (root / "consumers.yaml").write_text(
        "- {consumer: report, owner: core, reads: [runs], max_age: 30h}\n"
    )
    return Project(root, call)


def test_position_decides_and_a_prefix_says_which(project: Project) -> None:
    """Would catch: an asset that can't be named because a command has a word of that name."""
    assert project.json("validate")["problems"] == []
    project.text("tick", code=0)
    for name in NAMES[1:]:
        assert project.json("read", name)["rows"] == [{"id": 1, "price": -1}]
        assert project.json("read", f"asset:{name}")["asset"] == name
        assert [row["name"] for row in project.json("ls", f"asset:{name}")] == [name]
    assert [row["node"] for row in project.json("quarantine", "asset:accept")] == ["accept"]
    assert "missing: ASSET@K" in project.refused("quarantine", "accept")
    project.text("quarantine", "drop", "asset:accept", "--reason", "it is wrong")
    assert project.json("quarantine", "asset:accept") == []
    assert project.json("why", "report")["subject"] == "report"
