"""Damaged files of an environment: no incident is opened there, so the command that repairs is
named."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from runlab import SETTINGS, Lab
from warm_fork_servers import headrace

from headrace.project.session import ProjectSession
from headrace.runtime import maintenance
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import RetentionPolicy
from headrace.store import Store

DAYS = [f"2025-01-{d:02d}" for d in range(5, 10)]
QUERY = "select day, customer, sum(amount) + {n} as total from orders group by all"


def built(tmp_path: Path, front: str) -> tuple[Lab, list[Path]]:
    """What `dev` has built by itself, and its files."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", SETTINGS + "[environments.dev]\nworkers = 1\n")
    lab.sql("totals", QUERY.format(n=0), front)
    lab.write("consumers.yaml", "- {consumer: shops, owner: core, reads: [totals], due: '09:00'}\n")
    for day in DAYS:
        lab.orders(day)
    lab.tick()
    lab.sql("totals", QUERY.format(n=1), front)
    lab.headrace("apply", "--yes", "--env", "dev")
    lab.headrace("run", "totals", "--env", "dev")
    return lab, sorted((lab.root / ".headrace/env/dev/lake/main/totals").iterdir())


def typed(lab: Lab, *words: str) -> Any:
    return headrace([*words, "--project", str(lab.root)], Path.cwd(), os.environ, 50)


def hint_of(lab: Lab, key: str) -> str:
    done = typed(lab, "--env", "dev", "read", "totals", "--partition", key)
    assert done.returncode != 0
    result = re.search(r"hint: (.*)", " ".join(done.stderr.split()))
    assert result is not None, done.stderr
    return result.group(1)


def checked(lab: Lab) -> None:
    """All views name one command; typed as it stands, it repairs."""
    lab.headrace("tick", "--env", "dev")
    said = lab.headrace("status", "--env", "dev")
    assert said["lake"]["damaged"] == 1
    assert "served" not in said["headline"]
    assert said["headline"].startswith("shops reads from a damaged file.")
    assert "1 damaged file (totals)" in said["headline"]
    (item,) = [item for item in said["open"] if item["kind"] == "data_corrupted"]
    command = item["command"]
    assert command.startswith("headrace --env dev run totals --")
    assert command in hint_of(lab, DAYS[0])
    (row,) = [
        item
        for item in lab.headrace("doctor", "--env", "dev", code=None)
        if item["name"] == "lake's files"
    ]
    assert command in str(row)
    done = typed(lab, *shlex.split(command)[1:])
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    lab.headrace("tick", "--env", "dev")
    said = lab.headrace("status", "--env", "dev")
    assert said["lake"]["damaged"] == 0
    assert said["headline"].startswith("The consumer is served")
    assert len(lab.headrace("read", "totals", "--env", "dev", "--format", "json")["rows"]) == 15


def merge(lab: Lab) -> None:
    session = ProjectSession.open(lab.root, "dev", None, "tester")
    with Store.open(lab.root, session.settings, create=True) as store:
        folders = Folders.of(lab.root, session.settings)
        keep = RetentionPolicy(session.settings.retention)
        maintenance.maintain(store, None, folders, keep, session.clock.now_us())


@pytest.mark.long
@pytest.mark.parametrize("front", ["batch: off", "batch: auto"])
def test_the_command_that_is_named_repairs(tmp_path: Path, front: str) -> None:
    """Catches: hints at incidents that environments don't open, and a consumer that is called
    served over a damaged file; both a file of one day and one that days share."""
    lab, files = built(
        tmp_path, "partition: {by: day, column: day}\n" + (front if "off" in front else "")
    )
    first = next(path for path in files if len(files) == 1 or DAYS[0].encode() in path.read_bytes())
    first.unlink()
    checked(lab)


@pytest.mark.long
def test_a_merged_file_of_days_that_are_computed_one_by_one(tmp_path: Path) -> None:
    """Catches: a command that needs the rows of the damaged file for each day that it computes."""
    lab, _ = built(tmp_path, "partition: {by: day, column: day}\nbatch: off")
    merge(lab)
    for path in (lab.root / ".headrace/env/dev/lake/main/totals").iterdir():
        path.unlink()
    checked(lab)
