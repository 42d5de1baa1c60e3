"""Backups beside a running server: the one that its own process makes each day, and `db backup`,
which asks nobody."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from serve_lab import FILES, deliver, project, response, serving, until, write

from headrace.security.state import FILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECONDS = 60.0


def backups(root: Path) -> list[Path]:
    return [
        path for path in (root / ".headrace/backups").glob("*") if not path.name.startswith(".")
    ]


def test_a_server_makes_the_backup_that_is_due(tmp_path: Path) -> None:
    """Catches: a backup that only commands make; one that a server makes of another project, or
    again and again."""
    root = project(tmp_path / "shop")
    with serving(root) as server:
        (made,) = until(lambda: backups(root), SECONDS)
        manifest = json.loads((made / "manifest.json").read_text())
        assert (
            manifest["identity"]
            == json.loads((root / ".headrace/lake" / FILE).read_text())["identity"]
        )
        assert manifest["state_only"] is True
        deliver(root, "2026-03-02")
        until(lambda: server.ran("revenue"), SECONDS)
        assert backups(root) == [made]
        assert "no backup was made" not in server.said
        assert server.stop() == 0
    assert response(root, "db", "check")["ok"]


def test_a_server_says_why_no_backup_is_made(tmp_path: Path) -> None:
    """Catches: a server without a backup for a year, and nobody knows."""
    root = project(tmp_path / "shop")
    write(root / "headrace.toml", FILES["headrace.toml"] + '[backup]\nto = "taken/backups"\n')
    write(root / "taken", "a file where the folder should be")
    with serving(root) as server:
        until(lambda: "no backup was made: " in server.said, SECONDS)
        assert str(root / "taken/backups") in server.said
        result = {row["name"]: row for row in response(root, "doctor")}
        assert result["backups"]["state"] == "warn"
        assert server.stop() == 0


def test_db_backup_does_not_ask_the_leader(tmp_path: Path) -> None:
    """Catches: files that are copied and hashed while a server can't publish anything."""
    root = project(tmp_path / "shop")
    with serving(root) as server:
        deliver(root, "2026-03-02")
        until(lambda: server.ran("revenue"), SECONDS)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            made = response(root, "db", "backup", str(tmp_path / "kept"))
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert made["tables"]["publication"] == 2
        assert server.stop() == 0
    restored = response(root, "db", "restore", str(tmp_path / "kept"), "--force")
    assert restored["tables"]["publication"] == 2
    assert response(root, "db", "check")["ok"]
