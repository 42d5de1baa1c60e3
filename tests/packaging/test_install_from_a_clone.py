"""`pip install` from a fresh clone, as docs/how-to/install.md says: with what pip fetches itself.

It installs what is committed, from the package registry and npm's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.installed_commands import IN_PACKAGES

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 900
NOT_PIP = ("HEADRACE_", "PYTHON")
"""Prefixes of variables that would hide a failure."""


def run(*words: str | Path, folder: Path = ROOT) -> str:
    """Return the output of a command that must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PIP)}
    done = subprocess.run(
        words,
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def packages() -> Iterator[str]:
    """Yield the folder of each package that extends Headrace, after those that it needs."""
    projects = {
        str(project["name"]): [str(name).partition("==")[0] for name in project["dependencies"]]
        for file in sorted(ROOT.glob("packages/*/pyproject.toml"))
        for project in [tomllib.loads(file.read_text(encoding="utf-8"))["project"]]
    }
    del projects["headrace-airflow"]  # for Airflow's machines
    for name in sorted(projects, key=lambda name: not projects.keys().isdisjoint(projects[name])):
        yield f"packages/{name}"


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(3600)
def test_headrace_and_each_package_are_installed(tmp_path: Path) -> None:
    """Would catch: tables whose generation needs what pip doesn't install for the build."""
    clone, environment = tmp_path / "clone", tmp_path / "env"
    run("git", "clone", "--quiet", ROOT, clone)
    run(sys.executable, "-m", "venv", environment)
    for folder in (".", *packages()):
        run("git", "clean", "-fdxq", folder=clone)
        run(environment / "bin/pip", "install", f"./{folder}", folder=clone)
        assert run(environment / "bin/headrace", "--version").startswith("headrace ")
    helped = run(environment / "bin/headrace", "--help")
    assert [name for name in IN_PACKAGES if f"\n  {name.split()[0]} " not in helped] == []
