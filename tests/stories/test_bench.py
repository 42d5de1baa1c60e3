"""`headrace bench` measures commands as a user types them, each beside its floor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.services.bench import NAMES_HELP, WORKS


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_every_figure_has_its_floor(tmp_path: Path) -> None:
    """Would catch: a work whose command fails by now, a figure without a floor, a folder left
    behind, a figure that compares in the wrong direction.
    """
    done = bench("--quick", "--json", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    figures = {item["name"]: item for item in document["figures"]}
    names = [name for work in WORKS for name in work.units]
    assert list(figures) == [shown for name in names for shown in (name, f"floor/{name}")]
    for name in names:
        assert figures[name]["against"] == {"floor": figures[f"floor/{name}"]["value"]}
        assert figures[name]["value"] > 0
        assert figures[name]["compare"] == (">=" if name.endswith("per_second") else "<=")
    assert document["quick"] is True
    assert not [*tmp_path.iterdir()]


def test_help_lists_all_works() -> None:
    """Would catch: a new work that `headrace bench --help` doesn't name."""
    assert NAMES_HELP.partition(";")[0].split(", ") == [work.name for work in WORKS]


@pytest.mark.long
def test_only_named_works_run(tmp_path: Path) -> None:
    """Would catch: names that are ignored, and a table that lacks the floor or the ratio."""
    done = bench("start", "--quick", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "headrace status" in done.stdout
    assert "×" in done.stdout
    assert "no-ops" not in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sorting",), "there is no work `sorting`"),
        (("start", "--folder", "missing"), "missing is no folder"),
    ],
)
def test_a_wrong_word_says_what_there_is(words: tuple[str, ...], message: str) -> None:
    """Would catch: a benchmark that runs for a minute before it finds that a word is wrong."""
    done = bench(*words)
    assert done.returncode == 2
    assert message in done.stderr
