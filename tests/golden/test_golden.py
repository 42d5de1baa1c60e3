"""What people and programs see stays what it is: every command's screens, documents and exit codes,
compared with commands/.

`HEADRACE_FIXTURES=write` writes them anew; read what changed before you keep it.
`HEADRACE_FIXTURES=release` also keeps the state in which the story ends, as that of this version.
What the HTTP API gives is kept in ui/openapi.json.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from story import PROJECT, steps
from transcripts import played
from warm_fork_servers import headrace

from headrace import __version__
from headrace.cli.command_table import all_commands

HERE = Path(__file__).parent
FILTER: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python has filters since 3.11.4."""
COMMANDS, KEPT = HERE / "commands", HERE / "kept"
GO_ON = {"ci", "conformance", "demo", "serve", "dev", "lock", "lsp", "mcp"}
"""Commands that make projects of their own, ask an index, run programs, or go on until they are ended."""
LINES_SHOWN = 60
RELEASES = os.environ.get("HEADRACE_FIXTURES") == "release"
WRITES = RELEASES or os.environ.get("HEADRACE_FIXTURES") == "write"
WRITTEN = Path(tempfile.gettempdir()) / "headrace-golden"
"""Where the story is played that is kept: a state names its folder."""


@pytest.mark.timeout(900)
def test_commands_say_what_they_said(tmp_path: Path) -> None:
    """Would catch: a rename inside that changes a key of a document, a screen or an exit code."""
    from headrace_testing.examinations import FREE_BYTES_ENOUGH

    root = (WRITTEN if WRITES else tmp_path) / "shop"
    result = played(root, steps())
    names = {command.name for command in all_commands()}
    assert names - GO_ON == set(result) & names
    if WRITES:
        _write(result)
        if RELEASES:
            _keep_state(root)
        shutil.rmtree(WRITTEN)
    kept = {path.stem: path.read_text(encoding="utf-8") for path in sorted(COMMANDS.glob("*.txt"))}
    named = sorted(result | kept)
    if shutil.disk_usage(tmp_path).free < FREE_BYTES_ENOUGH:
        named.remove("doctor")  # which says so, and the transcript is of a machine with room
    differences = [
        line
        for name in named
        for line in _difference(name, kept.get(name, ""), result.get(name, ""))
    ]
    assert not differences, "\n".join(differences[:LINES_SHOWN])


@pytest.mark.parametrize("archive", sorted(KEPT.glob("*.tar.xz")), ids=lambda path: path.name)
def test_a_state_of_before_opens(archive: Path, tmp_path: Path) -> None:
    """Would catch: a backup, a store or a lake of an earlier version that later code can't read, or
    reads otherwise."""
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, **FILTER)
    root, now = tmp_path / "shop", ("--now", "2025-03-09T06:30+01:00")
    (root / "landing").mkdir()
    for line in (
        ["db", "restore", "backup", "--yes"],
        ["db", "upgrade"],
        ["db", "check", "--deep"],
        ["audit", "verify"],
        ["tick"],
    ):
        done = headrace([*line, *now], root, dict(os.environ), 120)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    read = headrace(
        ["read", "revenue@2025-03-06", "--format", "csv", *now], root, dict(os.environ), 120
    )
    assert "2025-03-06,GB,39.80,1" in read.stdout, (read.stdout, read.stderr)


def _difference(name: str, before: str, after: str) -> list[str]:
    return list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"{name}.txt", f"{name} now", n=1, lineterm=""
        )
    )


def _write(transcripts: dict[str, str]) -> None:
    COMMANDS.mkdir(exist_ok=True)
    for path in COMMANDS.glob("*.txt"):
        path.unlink()
    for name, text in transcripts.items():
        (COMMANDS / f"{name}.txt").write_text(text, encoding="utf-8")


def _keep_state(root: Path) -> None:
    KEPT.mkdir(exist_ok=True)
    with tarfile.open(KEPT / f"{__version__}.tar.xz", "w:xz") as packed:
        for path in (*PROJECT, "contracts", "backup"):
            packed.add(root / path, f"shop/{path}", filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name of who wrote it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
