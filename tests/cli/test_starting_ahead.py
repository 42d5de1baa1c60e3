"""The process that forks workers starts before the command imports anything, or not at all."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from serve_lab import deliver, project

DAY = "2025-03-01"
NOW = ("--now", "2025-03-02T08:00")
REPORTING = """
import os, sys
from headrace.runtime import fork_server_start
pids = []
def spawn(descriptor, complaints, spawn=fork_server_start.spawn):
    print("started", "headrace.services.session" in sys.modules, file=sys.stderr)
    pids.append((process := spawn(descriptor, complaints)).pid)
    return process
fork_server_start.spawn = spawn
from headrace.cli.main import run
run(sys.argv[1:])
for pid in pids:
    print("ended", not os.path.exists(f"/proc/{pid}"), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = project(tmp_path_factory.mktemp("ahead") / "shop")
    deliver(root, DAY, 20)
    return root


def starts(shop: Path, *arguments: str) -> list[str]:
    """Whether each fork server that a command started was started after its imports, and whether
    each has ended with the command."""
    done = subprocess.run(
        [sys.executable, "-c", REPORTING, *arguments],
        cwd=shop,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return [line for line in done.stderr.splitlines() if line.startswith(("started ", "ended "))]


def test_a_command_that_leads_starts_one_before_its_own_imports(shop: Path) -> None:
    """Would catch: workers that wait for imports one after the other, or two fork servers."""
    assert starts(shop, "run", "revenue", *NOW) == ["started False", "ended True"]


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


def test_one_that_no_leader_takes_ends_with_the_command(shop: Path) -> None:
    """Would catch: a process that outlives a command which was refused."""
    assert starts(shop, "run", "no_such_asset", *NOW)[0] == "started False"
    assert starts(shop, "run", "revenue", "--again", *NOW) == ["started False", "ended True"]


def test_a_command_that_asks_the_leader_starts_none(shop: Path) -> None:
    """Would catch: a quarter of a second of a processor for each request to a server. A socket
    that nobody reads any more is no leader's."""
    address = shop / ".headrace/wake.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        assert starts(shop, "run", "--again", "revenue") == []
    assert starts(shop, "run", "--again", "revenue") == ["started False", "ended True"]
    address.unlink()
