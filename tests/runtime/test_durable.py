"""What a commit names is on the disk before it: with the real system calls, as far as the machine
lets us look."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from runlab import DAYS, Lab

from headrace.engine import Measures
from headrace.lake import files
from headrace.runtime import durable_files
from headrace.runtime.durable_files import with_durable_files
from headrace.runtime.executors import TaskFinished
from headrace.runtime.messages import RejectedOutcome, StagedOutcome
from headrace.scheduler import AttemptId


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
def test_every_commit_that_publishes_comes_after_a_sync(lab: Lab, tmp_path: Path) -> None:
    """A power cut after the commit must not leave a catalog that names a file which was never
    written.
    """
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    for day in DAYS[:3]:
        lab.orders(day)
    lab.deliver(DAYS[3], ["1"], header="other")
    out = tmp_path / "calls"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=syncfs,fsync,fdatasync",
        "-o",
        str(out),
        *lab.command("tick", "--now", "2025-01-10T12:00:00+00:00"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=55)
    assert len(re.findall(r"syncfs\(", out.read_text())) >= 2


def test_a_staged_file_that_vanished_is_not_published(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a publication of what isn't there (any more): the attempt is tried again, and nothing
    else suffers."""
    from headrace.runtime import leader_loop as module
    from headrace.runtime.durable_files import make_durable

    removed: list[str] = []

    def losing(folders, finished):  # type: ignore[no-untyped-def]
        for item in finished:
            if (
                isinstance(item.outcome, StagedOutcome)
                and item.outcome.staged is not None
                and not removed
                and item.outcome.staged.path.startswith("main/clean/")
            ):
                removed.append(item.outcome.staged.path)
                (folders.lake / item.outcome.staged.path).unlink()
        return make_durable(folders, finished)

    monkeypatch.setattr(module, "make_durable", losing)
    lab.sql("clean", "select order_id, cast(day as date) as day from orders")
    lab.orders(DAYS[0])
    response = lab.tick()
    assert removed
    assert [a.state for a in response.attempts if a.asset == "clean"] == ["failed", "published"]
    assert len(lab.read("clean")) == 10


@pytest.mark.parametrize(
    ("number", "own"), [(5, False), (1_000_000_005, True), (1_900_000_001, True)]
)
def test_a_plans_worker_syncs_what_it_wrote_and_productions_leader_does(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int, *, own: bool
) -> None:
    """Would catch: a file of a backfill that nobody syncs before it is named, or that production's
    turns wait for; and one of production's that its worker syncs, one by one."""
    folders = lab.session().folders
    file = Path(folders.data, "taken-out.parquet")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    each: list[Path] = []
    together: list[Path] = []
    monkeypatch.setattr(files, "full_sync", each.append)
    monkeypatch.setattr(durable_files, "sync", together.extend)
    outcome = RejectedOutcome(attempt=f"3.{number}", measures=Measures(), quarantined=file.name)
    assert with_durable_files(outcome, folders) is outcome
    assert durable_files.make_durable(folders, [TaskFinished(AttemptId(3, number), outcome)]) == {}
    assert (file in each, file in together) == (own, not own)
