"""What is locked, and how the environment is made from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest

from scripts import environment

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_no_address(lock: Path) -> None:
    """A mirror's address in the lock would send everybody else to it."""
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index|--find-links|@ file", text)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_each_locked_package_has_an_exact_version_and_hashes(lock: Path) -> None:
    """A package without a hash would make pip refuse the whole lock, or take what it is given."""
    text = re.sub(r"\s*\\\n\s*", " ", lock.read_text(encoding="utf-8"))
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    for line in packages:
        assert re.match(r"[a-z0-9.\-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_locks_hold_what_is_declared() -> None:
    """pyproject.toml got a dependency, and nobody ran `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, dev = (
        names((ROOT / "requirements" / f"{kind}.txt").read_text(encoding="utf-8"))
        for kind in ("runtime", "dev")
    )
    declared = names(
        "\n".join([*project["project"]["dependencies"], *project["dependency-groups"]["setup"]])
    )
    assert declared <= runtime <= dev
    assert names("\n".join(project["dependency-groups"]["dev"])) <= dev


def names(text: str) -> set[str]:
    """Names as PEP 503 compares them."""
    return {
        re.sub(r"[-_.]+", "-", match).lower()
        for match in re.findall(r"^([A-Za-z][A-Za-z0-9._-]*)", text, re.MULTILINE)
    }


def test_the_wheel_holds_everything_that_is_read_at_run_time(tmp_path: Path) -> None:
    """Installed from a registry, the demo, the migrations or the explanations are missing."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-q",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "HEADRACE_SKIP_UI": "1"},
    )
    [wheel] = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "headrace"
    wanted = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert any(name.endswith(".sql") for name in wanted)
    assert wanted <= inside


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0,
    reason="cutting off the network takes root on Linux",
)
def test_without_a_network_it_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """A newcomer without a network waits for minutes and finds half an environment."""
    for name in ("Makefile", "pyproject.toml", "requirements", "scripts"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    for leaf in ROOT.glob("packages/*/pyproject.toml"):
        there = tmp_path / leaf.relative_to(ROOT)
        there.parent.mkdir(parents=True)
        shutil.copy(leaf, there)
    hidden = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    alone = hidden | {"PIP_CONFIG_FILE": os.devnull, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = ["unshare", "-n", "make", "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode != 0
    assert "can't be fetched" in done.stderr
    assert "PIP_FIND_LINKS" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("kept_by_python", [True, False])
def test_bytecode_is_there_where_python_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_by_python: bool
) -> None:
    """Would catch: each process of each command compiles all that it imports."""
    for module in ("src/headrace/a.py", ".venv/lib/python3/site-packages/b.py"):
        (tmp_path / module).parent.mkdir(parents=True)
        (tmp_path / module).write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "" if kept_by_python else "1")
    environment.compile_bytecode()
    compiled = {path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")}
    assert compiled == (set() if kept_by_python else {"a", "b"})


def test_uv_is_told_what_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: packages from another registry than the company's; uv where only pip can do what
    is configured.
    """
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in [name for name in os.environ if name.startswith("PIP_") and "CONFIG" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path} {tmp_path}/none")
    settings = environment.pip_settings()
    assert settings["index-url"] == "https://mirror.example/simple"
    assert settings["find-links"] == str(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    fetched = Mock(side_effect=AssertionError("uv is fetched"))
    monkeypatch.setattr(environment.tempfile, "TemporaryDirectory", fetched)
    assert not environment.by_uv(["nothing"])
    monkeypatch.delenv("PIP_NO_INDEX")
    with pytest.raises(AssertionError, match="uv is fetched"):
        environment.by_uv(["nothing"])
