"""F4: a power cut. What a commit names was on the disk before it; a database that lost its last
commits leads to the same result.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from campaign import finish_and_verify
from faults_lab import MODULE, Project, World

from headrace.faults import FaultPoint

NAMED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.parquet")
CALLS = "trace=openat,write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2"
FRAME_HEAD_BYTES = 24
WAL_HEAD_BYTES = 32


class Call(NamedTuple):
    """One system call of a trace. `line` is where it had come to its end, `began` where
    it began.
    """

    began: int
    line: int
    name: str
    text: str


def calls(trace: Path) -> list[Call]:
    """The calls in the order in which they ended; those that failed are left out."""
    pending: dict[str, tuple[int, str]] = {}
    result = []
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        pid, _, text = line.partition(" ")
        text = text.strip()
        began = number
        if text.endswith("<unfinished ...>"):
            pending[pid] = (number, text)
            continue
        if text.startswith("<... "):
            began, first = pending.pop(pid, (number, ""))
            text = first + text
        name = text.partition("(")[0]
        if name in CALLS and " = -1 " not in text[-80:]:
            result.append(Call(began, number, name, text))
    return result


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
def test_what_a_commit_names_was_synced_before_it(tmp_path: Path) -> None:
    """Catches a file of the lake, an export or unpacked code that a power cut would leave empty
    although it has its name.
    """
    project = Project(tmp_path / "p").declare()
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-y",
        "-s",
        "5000",
        "-e",
        CALLS,
        "-o",
        str(trace),
        *MODULE,
        "tick",
        *project.now,
        "--project",
        str(project.root),
    ]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        timeout=250,
        env={**os.environ, "WAREHOUSE": str(tmp_path / "warehouse.db")},
    )
    made = calls(trace)
    syncs = [call for call in made if call.name == "syncfs" and str(project.data) in call.text]
    log = [call for call in made if "state.db-wal>" in call.text and "write" in call.name]
    registered = [Path(path).name for (path,) in project.sql("select path from ducklake_data_file")]
    assert len(registered) > 20
    for name in registered:
        written = max(
            call.line
            for call in made
            if name in call.text.partition(",")[0] and "write" in call.name
        )
        named = min(call.began for call in log if name in call.text)
        assert any(written < sync.began and sync.line < named for sync in syncs), name
    _exports_are_synced(made)
    _code_is_synced(made, project)


def _exports_are_synced(made: list[Call]) -> None:
    """An export's bytes before its name, its name before the answer, and all commits before any of
    it."""
    renames = [
        call for call in made if call.name.startswith("rename") and ".headrace-" in call.text
    ]
    assert len(renames) == 3
    for rename in renames:
        temporary = re.findall(r'"([^"]*)"', rename.text)[0]
        assert any(
            call.name == "fsync" and temporary in call.text and call.line < rename.began
            for call in made
        )
        assert any(
            call.name == "fsync" and "/exports>" in call.text and call.began > rename.line
            for call in made
        )
        assert any(
            call.name in ("fsync", "fdatasync")
            and "state.db-wal" in call.text
            and call.line < rename.began
            for call in made
        )


def _code_is_synced(made: list[Call], project: Project) -> None:
    folder = str(project.data / "code")
    (rename,) = [call for call in made if call.name.startswith("rename") and folder in call.text]
    written = max(call.line for call in made if call.name == "write" and f"<{folder}/" in call.text)
    assert any(
        "sync" in call.name and written < call.began and call.line < rename.began for call in made
    )


def commits(wal: bytes) -> list[int]:
    """Where each transaction in a write-ahead log ends."""
    page = int.from_bytes(wal[8:12], "big")
    ends, at = [], WAL_HEAD_BYTES
    while at + FRAME_HEAD_BYTES + page <= len(wal) and wal[at + 8 : at + 16] == wal[16:24]:
        last = int.from_bytes(wal[at + 4 : at + 8], "big") > 0
        at += FRAME_HEAD_BYTES + page
        if last:
            ends.append(at)
    return ends


def without_the_last(project: Project, wal: bytes, copy: Path) -> Project:
    """The same project, whose database has only this much of its log."""
    shutil.copytree(project.root, copy, ignore=shutil.ignore_patterns("*.sock"))
    lost = Project(copy)
    (lost.data / "state.db-wal").write_bytes(wal)
    (lost.data / "state.db-shm").unlink(missing_ok=True)
    return lost


def cut(project: Project, ends: list[int], where: int, chance: random.Random) -> bytes:
    """The log up to a commit, with what a torn write may leave behind it."""
    wal = (project.data / "state.db-wal").read_bytes()
    end = ends[where]
    torn = bytearray(wal[end : end + chance.randrange(3 * 4096)])
    for _ in range(min(len(torn), 3)):
        torn[chance.randrange(len(torn))] ^= 1 << chance.randrange(8)
    return wal[:end] + bytes(torn)


def crashed(tmp_path: Path, stop_at: FaultPoint, kill_at: str) -> tuple[Project, int]:
    """A first tick that was killed at one point, and how many bytes of the log had been synced at
    an earlier one. A power cut never loses those."""
    project = Project(tmp_path / "p").declare()
    process = project.start("tick", *project.now, HEADRACE_FAULT=f"{stop_at}=stop,{kill_at}=kill")
    while "T (stopped)" not in Path(f"/proc/{process.pid}/status").read_text():
        assert process.poll() is None
    synced = (project.data / "state.db-wal").stat().st_size
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    return project, synced


@pytest.mark.slow
def test_a_database_that_lost_its_last_commits_leads_to_the_same(
    quiet: tuple[World, float], tmp_path: Path
) -> None:
    """Catches a restart that takes the files of lost commits for published ones, or stumbles over
    them. Nothing was exported yet."""
    project, synced = crashed(tmp_path, FaultPoint.LEASE_TAKEN, FaultPoint.TURN_DURABLE)
    _lose(quiet[0], project, tmp_path, how_many=1, synced=synced)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_database_that_lost_any_of_its_last_commits_leads_to_the_same(
    quiet: tuple[World, float], tmp_path: Path
) -> None:
    project, synced = crashed(tmp_path, FaultPoint.LEASE_TAKEN, FaultPoint.TURN_DURABLE)
    _lose(quiet[0], project, tmp_path, how_many=40, synced=synced)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_export_whose_end_was_lost_is_written_again_and_no_row_twice(
    quiet: tuple[World, float], tmp_path: Path
) -> None:
    """What was committed before an export was sent can't be lost: it was synced. Its end can."""
    project, synced = crashed(tmp_path, FaultPoint.TURN_DURABLE, f"{FaultPoint.TURN_DURABLE}:3")
    assert len(list((project.root / "exports").glob("*"))) > 0
    _lose(quiet[0], project, tmp_path, how_many=40, synced=synced)


def _lose(wanted: World, project: Project, tmp_path: Path, *, how_many: int, synced: int) -> None:
    """Each of so many copies lost all commits after a drawn one; none that was synced."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    ends = commits((project.data / "state.db-wal").read_bytes())
    first = next(number for number, end in enumerate(ends) if end >= synced)
    places = list(range(first, len(ends) - 1))
    assert len(places) >= 3
    for number, where in enumerate(sorted(chance.sample(places, min(how_many, len(places))))):
        lost = without_the_last(
            project, cut(project, ends, where, chance), tmp_path / f"cut{number}"
        )
        finish_and_verify(lost, wanted)
        shutil.rmtree(lost.root)
