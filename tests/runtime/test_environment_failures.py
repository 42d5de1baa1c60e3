"""A full disk, as the fault points and a real small one show it: nothing is spent, and it goes on
by itself when there is space.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from runlab import DAYS, Lab
from warm_fork_servers import Warm

from headrace.engine.attempts import ErrorKind
from headrace.engine.failures import kind_of
from headrace.model import LakeError

pytestmark = pytest.mark.long

SQL = "select order_id, customer, amount, day from orders"


def three_days(lab: Lab) -> None:
    lab.sql("clean", SQL)
    for day in DAYS[:3]:
        lab.orders(day)


@pytest.mark.usefixtures("cold_fork_servers")
def test_nothing_is_spent_while_the_disk_is_full(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: two attempts within a second that failed for want of space, after which a person
    has to type `retry`.
    """
    three_days(lab)
    every = ",".join(f"file.staged:{time}=full" for time in range(1, 40))
    monkeypatch.setenv("HEADRACE_FAULT", every)
    for _ in range(3):
        lab.headrace("tick", code=None)
    stuck = [
        row
        for row in lab.rows("select node, state, failures, coalesce(reason, '') from partition")
        if row[1] != "published"
    ]
    assert stuck and {(state, failures) for _, state, failures, _ in stuck} == {("waiting", 0)}, (
        stuck
    )
    assert any("No space left on device" in reason for *_, reason in stuck)
    monkeypatch.delenv("HEADRACE_FAULT")
    lab.headrace("tick")
    assert lab.rows("select count(*) from partition where state <> 'published'") == [(0,)]


def test_commands_are_armed_whichever_test_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a test whose armed fault never strikes, where it is the first of its process
    that runs a command."""
    monkeypatch.setenv("HEADRACE_FAULT", "file.staged=full")
    fresh = Warm()
    try:
        assert not fresh.fits(os.environ)
    finally:
        fresh.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory; skips where that isn't allowed."""
    folder = tmp_path / "p/.headrace/lake"
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(folder: Path) -> Path:
    """A file that takes all space there is."""
    filler, refused = folder / "filler", None
    with filler.open("wb") as out:
        try:
            while out.write(b"x" * 65_536):
                out.flush()
        except OSError as full:
            refused = full.errno
    assert refused == errno.ENOSPC
    return filler


def test_a_lake_that_is_full_and_then_is_not(small: Path, tmp_path: Path) -> None:
    """Would catch: a real full disk that DuckDB speaks of in other words."""
    lab = Lab(tmp_path / "p")
    three_days(lab)
    lab.headrace("tick")
    for day in DAYS[3:5]:
        lab.orders(day)
    filler = filled(small)
    for _ in range(3):
        lab.headrace("tick", code=None)
    stuck = lab.rows("select distinct state, failures from partition where state <> 'published'")
    assert stuck == [("waiting", 0)]
    filler.unlink()
    assert len(lab.headrace("tick")["published"]) == 4


def test_a_repair_tries_everything_that_the_full_disk_keeps(small: Path, tmp_path: Path) -> None:
    """Catches "still open: no space left on the disk" of a disk that has space again, because a
    repair tried the first source only."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/prices.yaml",
        "source: prices\nowner: core\npartition: day\nfiles: landing/prices_{date:%Y-%m-%d}.csv\n",
    )
    filler = None
    for day in DAYS[:2]:
        lab.orders(day)
        (lab.root / f"landing/prices_{day}.csv").write_text("item,price\na,1.50\n")
        lab.headrace("tick", code=None)
        filler = filler or filled(small)
    lab.headrace("tick", code=None)
    (result,) = lab.headrace("incidents")
    assert result["cause"]["kind"] == "resource_exhausted"
    assert {node for (node,) in lab.rows("select distinct node from incident_partition")} == {
        "orders",
        "prices",
    }
    said = lab.headrace("why", f"orders@{DAYS[1]}")["waiting_for"][0]["text"]
    assert "failed attempt" not in said, "what waits for the disk spends no attempt"
    filler.unlink()
    fixed = lab.headrace("fix", result["id"], "--yes")
    assert (fixed["state"], fixed["still"]) == ("resolved", [])
    assert lab.rows("select count(*) from partition where state <> 'published'") == [(0,)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ErrorKind.ENVIRONMENT),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), ErrorKind.ENVIRONMENT),
        (OSError(errno.ESTALE, os.strerror(errno.ESTALE)), ErrorKind.ENVIRONMENT),
        (
            duckdb.IOException('Could not write file "x": No space left on device'),
            ErrorKind.ENVIRONMENT,
        ),
        (LakeError("can't be written: Read-only file system"), ErrorKind.ENVIRONMENT),
        (
            ValueError("No space left on device"),
            ErrorKind.RESOURCES,
        ),  # of a disk that asset code knows, and nobody mends
        (MemoryError(), ErrorKind.RESOURCES),
        (FileNotFoundError(errno.ENOENT, "x"), ErrorKind.DETERMINISTIC),
    ],
)
def test_what_is_nobodys_failure(error: Exception, kind: ErrorKind) -> None:
    """Would catch: a wait without end for what asset code says, and a failure that nobody made."""
    assert kind_of(error) is kind
