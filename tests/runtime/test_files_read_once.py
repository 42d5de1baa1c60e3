"""What is stored as a version is what was compiled and runs, whatever is saved, moved or deleted
while `apply` works.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runlab import DAYS, Lab
from serve_lab import serving

from headrace.compiler.compiling import compile_project
from headrace.compiler.project_files import ProjectFiles
from headrace.faults import FaultPoint
from headrace.model import ProjectError
from headrace.plan import Compiled

pytestmark = pytest.mark.long

BODY = "select order_id, amount * {} as amount, day from orders"
STOP = f"{FaultPoint.FILES_READ}=stop"


@pytest.fixture
def applied(lab: Lab) -> Lab:
    """A project that is applied and has published a day; its file says something else since:
    `amount * 2`.
    """
    lab.sql("clean", BODY.format(1))
    lab.orders(DAYS[0])
    lab.tick()
    lab.sql("clean", BODY.format(2))
    return lab


def vouched_for(lab: Lab) -> str:
    """The text of `clean` in the newest version: stored under its own hash, and the one that was
    compiled."""
    manifest, compiled = lab.rows(
        "select manifest, compiled from version order by id desc limit 1"
    )[0]
    sha256 = msgspec.json.decode(manifest)["assets/clean.sql"]
    ((data,),) = lab.rows("select bytes from content where hash = ?", sha256)
    text = bytes(data).decode()
    assert hashlib.sha256(data).hexdigest() == sha256
    body = msgspec.msgpack.decode(compiled, type=Compiled).nodes["clean"].sql
    assert body is not None and body.strip() in text
    return text


def stopped(pid: int) -> None:
    """Wait until a child process has stopped at its fault point."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status


def applying(lab: Lab, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "headrace",
            "apply",
            "--yes",
            "--json",
            "--project",
            str(lab.root),
            *arguments,
        ],
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def saved(lab: Lab) -> None:
    lab.sql("clean", BODY.format(1000))


def deleted(lab: Lab) -> None:
    (lab.root / "assets/clean.sql").unlink()


def replaced_by_a_link(lab: Lab) -> None:
    path, elsewhere = lab.root / "assets/clean.sql", lab.root / "elsewhere.txt"
    elsewhere.write_text(path.read_text().replace("* 2", "* 1000"))
    path.unlink()
    path.symlink_to(elsewhere)


def replaced_by_a_folder(lab: Lab) -> None:
    (lab.root / "assets/clean.sql").unlink()
    (lab.root / "assets/clean.sql").mkdir()


def replaced_by_a_pipe(lab: Lab) -> None:
    (lab.root / "assets/clean.sql").unlink()
    os.mkfifo(lab.root / "assets/clean.sql")


MEANWHILE = [saved, deleted, replaced_by_a_link, replaced_by_a_folder, replaced_by_a_pipe]


@pytest.mark.parametrize("happens", MEANWHILE)
def test_what_was_read_is_what_is_stored_and_runs(applied: Lab, happens: Any) -> None:
    process = applying(applied, HEADRACE_FAULT=STOP)
    stopped(process.pid)
    happens(applied)
    process.send_signal(signal.SIGCONT)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, (said, errors)
    assert "amount * 2 " in vouched_for(applied)
    applied.orders(DAYS[1])
    applied.tick()
    assert {row["amount"] for row in applied.read("clean") if str(row["day"]) == DAYS[1]} == {3.0}


def test_a_server_stores_what_it_compiled(applied: Lab) -> None:
    with serving(applied.root, HEADRACE_FAULT=STOP) as server:
        process = applying(applied)
        stopped(server.pid)
        saved(applied)
        server.process.send_signal(signal.SIGCONT)
        said, errors = process.communicate(timeout=300)
        assert process.returncode == 0, (said, errors)
    assert "amount * 2 " in vouched_for(applied)


def test_a_cache_of_other_bytes_is_not_applied(applied: Lab) -> None:
    """What looks like the file that was cached, in size and times, may hold something else."""
    path = applied.root / "assets/clean.sql"
    os.utime(path, (1_600_000_000, 1_600_000_000))
    cache = applied.root / ".headrace" / "cache"
    compile_project(applied.root, cache=cache)
    files = ProjectFiles(applied.root)
    seen = files.scan
    applied.sql("clean", BODY.format(7))
    files.__dict__["scan"] = seen
    result = compile_project(applied.root, cache=cache, files=files).compiled
    assert result is not None and "amount * 7" in (result.nodes["clean"].sql or "")
    assert (
        b"amount * 7"
        in files.declaration(
            next(file for file in seen.files if file.path == "assets/clean.sql")
        ).data
    )


def test_a_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_text("[project]\n")
    (tmp_path / "helpers.py").write_text("x = 1\n")
    files = ProjectFiles(tmp_path)
    (settings,) = files.scan.files
    first = files.declaration(settings), files.code("helpers.py")
    (tmp_path / "headrace.toml").write_text("[project]\nname = 'other'\n")
    (tmp_path / "helpers.py").unlink()
    assert (files.declaration(settings), files.code("helpers.py")) == first
    with pytest.raises(ProjectError, match=r"nothing\.py can't be read"):
        files.code("nothing.py")
    (tmp_path / "nothing.py").write_text("too late")
    with pytest.raises(ProjectError, match=r"nothing\.py can't be read"):
        files.code("nothing.py")
