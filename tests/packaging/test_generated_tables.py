"""The tables of commands aren't in git: every way to install Headrace writes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts import generate

ROOT = Path(__file__).parents[2]
TABLES = [path.relative_to(ROOT).as_posix() for path in generate.targets()]
OURS = [name for name in TABLES if name.startswith("src/")]
BESIDE = sorted({str(Path(*Path(name).parts[:2])) for name in TABLES if name not in OURS})
FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python has filters since 3.11.4."""
ENVIRONMENT = {**os.environ, "HEADRACE_SKIP_UI": "1"}
LEFT_OUT = shutil.ignore_patterns("__pycache__", "ui_bundle*")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what a wheel is built from, without what isn't in git."""
    folder = tmp_path / "clone"
    for name in ("src", "scripts", *BESIDE):
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in TABLES:
        (folder / name).unlink()
    return folder


def build(folder: Path, target: str, into: Path) -> Path:
    """Build a wheel or an sdist; return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=ENVIRONMENT)
    [built] = [path for path in into.iterdir() if (path.suffix == ".whl") == (target == "wheel")]
    return built


def tables_in(wheel: Path, folder: str) -> dict[str, bytes]:
    """The generated files in a wheel, by their names in the repository; `folder` is its `src`."""
    with zipfile.ZipFile(wheel) as archive:
        found = {f"{folder}/{name}": name for name in archive.namelist()}
        return {name: archive.read(found[name]) for name in TABLES if name in found}


def test_scripts_of_another_project_are_left_alone(tmp_path: Path) -> None:
    """Would catch: the build of an sdist that somebody unpacked inside of a repository of theirs,
    which ran their own `scripts/generate.py`."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/generate.py").write_text("raise SystemExit('ours')\n")
    (tmp_path / "vendor").mkdir()
    shutil.copy(ROOT / "hatch_build.py", tmp_path / "vendor")
    code = "import hatch_build; print(hatch_build.generate())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path / "vendor", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_wheel_has_them_from_a_clone_and_from_an_sdist(clone: Path, tmp_path: Path) -> None:
    """Would catch: a wheel without the permissions, or an sdist that only builds with `scripts`."""
    sdist = build(clone, "sdist", tmp_path / "sdist")
    assert tables_in(build(clone, "wheel", tmp_path / "wheel"), "src").keys() == set(OURS)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "extracted", **FILTER)
    [folder] = (tmp_path / "extracted").iterdir()
    assert not (folder / "scripts").exists()
    ours = {name: (ROOT / name).read_bytes() for name in OURS}
    assert tables_in(build(folder, "wheel", tmp_path / "again"), "src") == ours


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", BESIDE)
def test_so_has_that_of_a_package_beside_it(package: str, clone: Path, tmp_path: Path) -> None:
    """Would catch: `pip install` of a package from a clone, without its commands."""
    theirs = {name: (ROOT / name).read_bytes() for name in TABLES if name.startswith(package)}
    sdist = build(clone / package, "sdist", tmp_path / "sdist")
    wheel = build(clone / package, "wheel", tmp_path / "wheel")
    assert tables_in(wheel, f"{package}/src") == theirs
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "extracted", **FILTER)
    [folder] = (tmp_path / "extracted").iterdir()
    again = build(folder, "wheel", tmp_path / "again")
    assert tables_in(again, f"{package}/src") == theirs


@pytest.mark.long
def test_a_change_of_a_source_is_noticed(clone: Path) -> None:
    """Would catch: an installation that goes on with the permissions before the change."""

    def needed() -> str:
        command = [sys.executable, "-m", "scripts.generate", "--requirements"]
        return subprocess.run(
            command, cwd=clone, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    assert "jinja2" in needed()
    for name in TABLES:
        shutil.copy(ROOT / name, clone / name)
    assert not needed()
    source = clone / "src/headrace/services/ls.py"
    source.write_text(source.read_text().replace('"versions", SEE', '"versions", AUDIT'))
    assert needed()
    (clone / TABLES[-1]).unlink()
    assert needed()
