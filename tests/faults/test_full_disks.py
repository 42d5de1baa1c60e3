"""F3: a disk that fills up, a limit on the size of files, a lake that can't be written: said so,
and nothing is half visible; it recovers by itself when there is space again."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import finish_and_verify
from faults_lab import DAYS, Ended, Project, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
KIB = 1024
SPACE_BYTES = (
    64 * KIB,
    300 * KIB,
    700 * KIB,
    1024 * KIB,
    1200 * KIB,
    1400 * KIB,
    1600 * KIB,
    1800 * KIB,
)
"""From what isn't enough for the state to what is nearly enough for all."""


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A file system of its own in memory; skips where that isn't allowed."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def said_why(ended: Ended, *words: str) -> None:
    """It ended by itself, and what it says names the cause."""
    assert ended.code in (0, 1), ended
    assert "Traceback" not in ended.said
    said = " ".join((ended.said + ended.out).split())  # lines break where the path's length says
    assert any(word in said for word in words), ended


def test_a_disk_that_fills_up(quiet: tuple[World, float], tmp_path: Path) -> None:
    """Catches a half-written file that is published, a state that can't be opened again, and
    failures that nobody retries."""
    for number, size in enumerate(SPACE_BYTES):
        project = Project(tmp_path / f"p{number}").declare()
        with mounted(project.data):
            remount(project.data, f"size={size}")
            said_why(project.tick(), "full", "space")
            remount(project.data, "size=64m")
            finish_and_verify(project, quiet[0])


def test_files_that_may_not_grow(quiet: tuple[World, float], tmp_path: Path) -> None:
    """As a quota of the process does: each write beyond it fails."""
    for number, size in enumerate((4 * KIB, 100 * KIB, 600 * KIB)):
        project = Project(tmp_path / f"p{number}").declare()
        process = project.start("tick", *project.now)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
        out, said = process.communicate(timeout=120)
        said_why(
            Ended(process.returncode, out, said),
            "too large",
            "full",
            "space",
            "disk reports an error",
        )
        finish_and_verify(project, quiet[0])


def test_a_lake_that_cant_be_written(quiet: tuple[World, float], tmp_path: Path) -> None:
    """The state can be: so every failure is written down, and done again once the lake can be
    written.
    """
    project = Project(tmp_path / "p").declare(DAYS)
    with mounted(project.data / "lake"):
        remount(project.data / "lake", "ro")
        said_why(project.tick(), "Read-only file system", "read-only")
        assert project.sql(
            "select count(*) from publication where ended_snapshot is null and rows > 0"
        ) == [(0,)]
        remount(project.data / "lake", "rw")
        finish_and_verify(project, quiet[0])
