"""The process that forks workers starts before the command imports anything, or not at all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from serve_lab import ask, deliver, project, serving, until

DAY = "2025-03-01"
NOW = ("--now", "2025-03-02T08:00")
AGAIN = ("--again", "--reason", "a test")
REPORTING = """
import os, sys
from headrace.runtime import fork_server_start
pids = []
def spawn(descriptor, complaints, spawn=fork_server_start.spawn):
    print("started", "headrace.project.session" in sys.modules, file=sys.stderr)
    pids.append((process := spawn(descriptor, complaints)).pid)
    if len(pids) in KILLED:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process
fork_server_start.spawn = spawn
from headrace.cli.main import run
code = run(sys.argv[1:])
for pid in pids:
    print("ended", not os.path.exists(f"/proc/{pid}"), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = project(tmp_path_factory.mktemp("ahead") / "shop")
    deliver(root, DAY, 20)
    return root


def command(
    shop: Path, *arguments: str, killed: range = range(0)
) -> subprocess.CompletedProcess[str]:
    """Run a command that reports the fork servers it starts; `killed` ones end before it has
    imported anything, or before they are used."""
    return subprocess.run(
        [sys.executable, "-c", f"KILLED = {killed}\n{REPORTING}", *arguments],
        cwd=shop,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def starts(shop: Path, *arguments: str, killed: range = range(0)) -> list[str]:
    """Whether each fork server that a command started was started after its imports, and whether
    each has ended with the command."""
    done = command(shop, *arguments, killed=killed)
    return [line for line in done.stderr.splitlines() if line.startswith(("started ", "ended "))]


def test_a_command_that_leads_starts_one_before_its_own_imports(shop: Path) -> None:
    """Would catch: workers that wait for imports one after the other, or two fork servers."""
    assert starts(shop, "run", "revenue", *NOW) == ["started False", "ended True"]


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--help"),
        ("status",),
        ("backfill", "revenue", "--dry-run"),
        ("backfill", "revenue", "--reason", "a test"),
        ("--project", "/nowhere", "run"),
    ],
)
def test_no_command_that_starts_nothing_pays_for_it(shop: Path, arguments: tuple[str, ...]) -> None:
    assert starts(shop, *arguments) == []


@pytest.mark.long
def test_one_that_no_leader_takes_ends_with_the_command(shop: Path) -> None:
    """Would catch: a process that outlives a command which was refused."""
    assert starts(shop, "run", "no_such_asset", *NOW)[0] == "started False"
    assert starts(shop, "run", "revenue", *AGAIN, *NOW) == ["started False", "ended True"]


def test_a_command_that_asks_the_leader_starts_none(shop: Path) -> None:
    """Would catch: a quarter of a second of a processor for each request to a server. A socket
    that nobody reads any more is no leader's."""
    address = shop / ".headrace/wake.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        assert starts(shop, "run", "--again", "revenue") == []
    assert starts(shop, "run", "--again", "revenue") == ["started False", "ended True"]
    address.unlink()


@pytest.mark.long
def test_one_that_died_before_it_was_taken_is_replaced(shop: Path) -> None:
    """Would catch: "Invalid file descriptor: -1" of a command whose fork server was killed."""
    done = command(shop, "run", "revenue", *AGAIN, *NOW, killed=range(1, 2))
    assert done.returncode == 0, done.stderr
    reports = [line for line in done.stderr.splitlines() if line.startswith("started ")]
    assert reports == ["started False", "started True"]


@pytest.mark.long
def test_where_all_die_the_command_says_that_no_worker_starts(shop: Path) -> None:
    """Would catch: a ValueError about a descriptor in place of the error that has an explanation,
    where the settings can't be sent because nobody reads them."""
    done = command(shop, "run", "revenue", *AGAIN, *NOW, killed=range(1, 100))
    assert "workers died 5 times before they were ready" in done.stderr
    assert "the process that starts workers ended with code -9" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode != 0


@pytest.mark.long
def test_a_standby_whose_fork_server_was_killed_starts_another(tmp_path: Path) -> None:
    """Would catch: a server that takes over, and ends at once, because the process that it started
    hours before is gone. Without the socket, the leader seems to be on another machine."""
    root = project(tmp_path / "shop")
    with serving(root) as first:
        (root / ".headrace/wake.sock").unlink()
        with serving(root, leads=False) as second:
            assert until(lambda: ask(second.port, "/readyz").json["role"] == "standby")
            (idle,) = fork_servers_of(second.pid)
            os.kill(idle, signal.SIGKILL)
            first.process.kill()
            until(second.leads)
            deliver(root, "2026-03-02")
            until(lambda: second.ran("revenue"))
            assert idle not in fork_servers_of(second.pid)
            assert second.stop() == 0


def fork_servers_of(pid: int) -> list[int]:
    """The processes that fork workers among the children of a process."""
    children = [
        child
        for file in Path(f"/proc/{pid}/task").glob("*/children")
        for child in file.read_text().split()
    ]
    return [
        int(child)
        for child in children
        if b"headrace.runtime.fork_server" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
