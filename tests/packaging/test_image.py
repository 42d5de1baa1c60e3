"""What deploy/Dockerfile installs, without Docker."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "ui_bundle*", "tests")


def instructions(name: str) -> list[str]:
    """The arguments of each such instruction of the Dockerfile."""
    text = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line]
    return [words[1] for words in lines if words[0] == name]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_image_has_every_package_that_runs_beside_headrace(tmp_path: Path) -> None:
    """Would catch: a server without Excel, lineage events or `headrace export`."""
    for *names, target in map(str.split, instructions("COPY")):
        for name in names:
            into = tmp_path / target[1:]
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, into, ignore=LEFT_OUT)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, into)
    [*_, run] = instructions("RUN")
    locked, *own, cleared = (command.strip() for command in run.split("&&"))
    assert "/build/requirements/runtime.txt" in locked and "rm -rf /build" in cleared
    pip = f"{sys.executable} -m pip install --no-index --target {tmp_path}/site"
    for command in own:
        here = command.replace("pip install", pip).replace("/build", f"{tmp_path}/build")
        subprocess.run(here, shell=True, check=True, capture_output=True)
    projects = [
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"]
        for path in (ROOT / "pyproject.toml", *ROOT.glob("packages/*/pyproject.toml"))
    ]
    installed = {item.metadata["Name"] for item in distributions(path=[str(tmp_path / "site")])}
    assert installed == {*projects} - {"headrace-airflow"}, "that one is for Airflow's machines"
