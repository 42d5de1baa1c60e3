"""`headrace read` and `headrace sql` beside a server: its forks run them, as if nothing ran."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serve_lab import HEADRACE, Server, deliver, headrace, project, serving, until

from headrace.cli import forwarding
from headrace.cli.command_table import Options

DAY = "2025-03-01"
COMMANDS: list[list[str]] = [
    ["read", "revenue"],
    ["read", "revenue", "--json"],
    ["read", f"revenue@{DAY}", "--format", "csv"],
    ["read", "revenue", "--format", "arrow"],
    ["read", "revenue", "--out", "rows.csv"],
    ["read", "nothing"],
    ["read", "revenue", "--limit", "x"],
    ["read", "--help"],
    ["sql", "select day, revenue from revenue", "--format", "csv"],
    ["sql", "select * from revenue where revenue > $least", "--set", "least=1", "--format=csv"],
    ["sql", "-", "--format", "csv"],
    ["sql", "select * from read_csv('/etc/passwd')"],
    ["sql", "select nothing"],
    ["--env", "dev", "read", "revenue", "--json"],
    ["read", "revenue", "--env=nowhere"],
]
RUN = """\
import atexit, sys
from headrace.cli.main import main
atexit.register(lambda: sys.stderr.write(f"in a fork: {'duckdb' not in sys.modules}\\n"))
main()
"""


class Outcome(NamedTuple):
    code: int
    out: bytes
    errors: bytes


def run(folder: Path, arguments: list[str], *command: str) -> Outcome:
    done = subprocess.run(
        [*(command or [HEADRACE]), *arguments],
        cwd=folder,
        input=b"select 1 as one",
        capture_output=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "90"},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = project(tmp_path_factory.mktemp("forwarded") / "shop")
    (root / "below").mkdir()
    deliver(root, DAY, 20)
    headrace(root, "tick", "--now", "2025-03-02T08:00")
    return root


@pytest.fixture(scope="module")
def server(shop: Path) -> Iterator[Server]:
    with serving(shop) as result:
        until(lambda: (shop / ".headrace/reads.sock").exists() or None)
        yield result


@pytest.mark.long
def test_a_command_has_the_same_outcome_with_a_server(shop: Path, server: Server) -> None:
    """Would catch: another folder, environment, standard input, encoding or exit code than those
    of the command that was typed, and a fork that reaches what the command doesn't.
    """
    below = shop / "below"
    forwarded = [run(below, command) for command in COMMANDS]
    server.process.send_signal(signal.SIGSTOP)  # it isn't needed; its fork server is
    socket = shop / ".headrace/reads.sock"
    moved = socket.rename(socket.with_suffix(".elsewhere"))
    try:
        alone = [run(below, command) for command in COMMANDS]
    finally:
        moved.rename(socket)
        server.process.send_signal(signal.SIGCONT)
    assert forwarded == alone
    assert (below / "rows.csv").read_text() == f"day,revenue\n{DAY},20\n"


@pytest.mark.parametrize("arguments", [["read", "revenue"], ["sql", "from revenue"]])
def test_the_server_runs_what_is_typed(shop: Path, server: Server, arguments: list[str]) -> None:
    """Would catch: commands that start from nothing beside a server."""
    outcome = run(shop, arguments, sys.executable, "-c", RUN)
    assert (outcome.code, b"in a fork: True" in outcome.errors) == (0, True), outcome
    missed = run(shop, ["status", "--json"], sys.executable, "-c", RUN)
    assert missed.code == 0


@pytest.mark.long
def test_a_version_that_was_just_applied_is_read(shop: Path, server: Server) -> None:
    """Would catch: forks that answer by the version that was applied when the server began."""
    asset = shop / "assets/revenue.sql"
    text = asset.read_text()
    for n in range(2):
        asset.write_text(text.replace("sum(amount)", f"sum(amount) + {n}"))
        (shop / f"assets/seen{n}.sql").write_text(
            "/* headrace\nowner: core\nmaterialize: view\n*/\n"
            f"select revenue + {n} as more from revenue\n"
        )
        assert run(shop, ["apply", "--yes"]).code == 0
        rows = _rows(
            run(shop, ["sql", f"select more - revenue as n from seen{n}, revenue", "--json"])
        )
        assert rows == [{"n": n}]
    asset.write_text(text)


def _rows(outcome: Outcome) -> Any:
    assert outcome.code == 0, outcome
    return json.loads(outcome.out)["rows"]


def test_an_interrupted_query_ends_in_the_server(shop: Path, server: Server) -> None:
    """Would catch: a query that goes on in the server after Ctrl-C."""
    query = "select sum(hash(a.range)) from range(1000000) a, range(10000000) b"
    before = _forks(server)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        client = subprocess.Popen(
            [HEADRACE, "sql", query], cwd=shop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: _forks(server) - before or None)
        client.send_signal(number)
        assert client.wait(60) == (-signal.SIGKILL if number == signal.SIGKILL else 4)
        until(lambda: _forks(server) == before or None)
    assert _rows(run(shop, ["sql", "select 1 as x", "--json"])) == [{"x": 1}]


def _forks(server: Server) -> set[str]:
    """The forks that read."""
    pids = set()
    for children in Path(f"/proc/{server.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            if b"read_server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                pids |= set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return pids


def test_another_installation_runs_its_own_command(
    shop: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a command of a new version that an old server runs."""
    monkeypatch.chdir(shop)
    monkeypatch.setattr(forwarding, "installation", lambda: "another")
    assert forwarding.forwarded(["read", "--help"]) is None
    assert forwarding.forwarded(["status"]) is None


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ("", ".headrace"),
        ("[lake]\npath = 'else/where/lake'", "else/where"),
        ("[lake]\npath = 5", None),
        ("[lake", None),
    ],
)
def test_the_folder_is_that_of_the_settings(
    tmp_path: Path, settings: str, folder: str | None
) -> None:
    """Would catch: a project whose lake is elsewhere and whose server is never found."""
    (tmp_path / "headrace.toml").write_text(settings)
    (tmp_path / "a/b").mkdir(parents=True)
    expected = None if folder is None else str(tmp_path / folder)
    assert forwarding._data_folder(str(tmp_path / "a/b"), "prod") == expected
    assert forwarding._data_folder(str(tmp_path), "dev") is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('[project]\nname = "p"\n', ".headrace"),
        ('[lake]\npath = "data/lake/"\n', "data"),
        ('"l\\u0061ke".path = "other/lake"\n', "other"),
        ('[project]\nname = "lakes"\n', ".headrace"),
        ("[lake]\n", ".headrace"),
        ('[lake]\npath = "/srv/lake"\n', "/srv"),
        ("[lake\n", None),
        ("lake = 3\n", None),
    ],
)
def test_the_data_folder_is_the_declared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, expected: str | None
) -> None:
    """Another folder's server would run the command, or none, although one runs."""
    (tmp_path / "headrace.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "assets").mkdir()
    for folder, named in ((tmp_path, None), (tmp_path / "assets", None), (tmp_path, "assets")):
        monkeypatch.chdir(folder)
        result = forwarding.data_folder(["read"], Options(project=named))
        assert result == (None if expected is None else str(tmp_path / expected))


def test_no_project_has_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for settings has to end at the top of the file system."""
    monkeypatch.chdir(tmp_path)
    assert forwarding.data_folder(["read"], Options()) is None


def test_a_forwarded_command_loads_no_parser_of_settings(tmp_path: Path) -> None:
    """Imports are most of what a read beside a server waits for."""
    (tmp_path / "headrace.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    code = (
        "import sys; before = set(sys.modules)\nfrom headrace.cli.forwarding import forwarded\n"
        "assert forwarded(['read', 'a']) is None\n"
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(forwarding.__file__).parents[2])},
    )
    assert not {"tomllib", "urllib.parse", "dataclasses"} & set(done.stdout.split())
