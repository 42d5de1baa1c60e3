"""What keeps everything from working is said as itself, at once."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from faults_lab import Project, sound

from headrace.engine import ErrorKind
from headrace.engine.failures import kind_of
from headrace.runtime.executors import WorkersBroken
from headrace.runtime.executors.pool import Pool
from headrace.runtime.folders import Folders
from headrace.runtime.leadership import worker_settings


def test_a_lake_that_cant_be_written_is_said_at_once(tmp_path: Path) -> None:
    """Catches workers that die one after the other, for a reason that nobody hears."""
    project = Project(tmp_path / "p").declare()
    project.data.mkdir()
    (project.data / "lake").write_text("a file where the folder should be")
    ended = project.tick()
    assert ended.code == 1
    assert f"{project.data}/lakecan'tbewritten:" in "".join(
        ended.said.split()
    )  # however long the path is
    (project.data / "lake").unlink()
    assert project.tick().code == 0
    sound(project)


def test_workers_that_cant_start_are_told_of_and_not_of_how_the_pool_ended(tmp_path: Path) -> None:
    """Catches a pool whose end buries a worker twice: `Bad file descriptor` said nothing."""
    (tmp_path / "lake").write_text("a file where the folder should be")
    settings = worker_settings(Folders(str(tmp_path), str(tmp_path)), 2)
    with pytest.raises(WorkersBroken, match="before they were ready"), Pool(settings, 2) as pool:
        _wait_for_ever(pool)


@pytest.mark.parametrize(
    "said",
    [
        "No space left on device",
        "Read-only file system",
        "Input/output error",
        "Disk quota exceeded",
    ],
)
def test_a_broken_disk_isnt_the_bodys_fault(said: str) -> None:
    """Catches a partition that is never tried again because the disk was full for a minute."""
    assert kind_of(OSError(said)) is ErrorKind.RESOURCES


def _wait_for_ever(pool: Pool) -> NoReturn:
    while True:
        pool.wait(5)
