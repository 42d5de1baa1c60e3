"""`ls` without rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from serve_lab import headrace, project

from headrace.cli.main import run


@pytest.mark.parametrize(
    ("select", "why"),
    [
        (("state:modified",), "no node differs from the applied version"),
        (("state:changed",), "no node differs from the applied version"),
        (("--exclude", "*"), "every node is excluded"),
        (("orders,revenue",), "no node matches `orders,revenue`"),
        (("revenue", "--exclude", "revenue"), "no node matches `revenue` and isn't excluded"),
    ],
)
def test_an_empty_selection_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], select: tuple[str, ...], why: str
) -> None:
    """Would catch: "nothing is declared yet" of a project that has nodes."""
    root = project(tmp_path / "shop")
    headrace(root, "apply", "--yes")
    capsys.readouterr()
    assert run(["ls", *select, "--project", str(root)]) == 0
    printed = capsys.readouterr()
    assert "no node is selected" in printed.out
    assert why in printed.err


def test_an_empty_project_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Would catch: a selection that is blamed where nothing is declared."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "shop"\ntimezone = "UTC"\n')
    assert run(["ls", "--project", str(tmp_path)]) == 0
    assert "nothing is declared yet" in capsys.readouterr().err
