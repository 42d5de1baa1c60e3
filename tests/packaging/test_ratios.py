"""Comparisons with a baseline commit: what counts as slower, and whose code each side runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.tree_copy import ROOT, make_environment

pytest.importorskip("headrace_demo")  # whose data a benchmark takes
from benchmarks import ratios
from benchmarks.ratios import Ratio


@pytest.mark.parametrize(
    ("base", "now", "verdict"),
    [
        pytest.param([1.0, 1.0, 1.0], [1.04, 1.04, 1.04], "", id="within five percent"),
        pytest.param([1.0, 1.0, 1.0], [1.1, 1.1, 1.1], "watch", id="a little slower"),
        pytest.param([1.0, 1.0, 1.0], [1.2, 1.2, 1.2], "slower", id="slower in each round"),
        pytest.param([1.0, 1.0, 1.0], [1.0, 1.4, 1.4], "", id="disturbed twice"),
        pytest.param([1.0, 2.0, 2.0], [1.3, 2.0, 2.0], "", id="the base was quiet once"),
        pytest.param([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], "", id="faster"),
    ],
)
def test_only_what_is_slower_throughout_counts(
    base: list[float], now: list[float], verdict: str
) -> None:
    """Would catch: one disturbed round that fails a build; a ratio the wrong way round."""
    ratio = Ratio("work", base, now)
    assert (ratio.line.split()[5:] or [""]) == [verdict]
    assert (ratio.slower > ratios.FAIL) == (verdict == "slower")


def test_an_environment_imports_its_own_tree(tmp_path: Path) -> None:
    """Would catch: a baseline that runs this checkout's code, in itself or in what it starts."""
    package = tmp_path / "src/headrace"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    make_environment(tmp_path)
    where = "import headrace; print(headrace.__file__)"
    starts = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {where!r}], check=True)"
    )
    for code in (where, starts):
        words = [tmp_path / ".venv/bin/python", "-c", code]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_without_the_commit_nothing_is_measured() -> None:
    """Would catch: a shallow clone whose build fails for a missing baseline."""
    words = [sys.executable, "-m", "benchmarks.ratios", "--base", "0" * 40]
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"git has no commit {'0' * 40} here" in done.stderr
