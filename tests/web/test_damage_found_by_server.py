"""A server looks at the lake's files by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from serve_lab import deliver, headrace, project, serving, until


@pytest.mark.long
def test_a_server_finds_a_deleted_file(tmp_path: Path) -> None:
    """Catches: damage that only `headrace tick` looks for, while a server runs for weeks."""
    root = project(tmp_path / "shop")
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day, 10)
    headrace(root, "tick")
    with serving(root) as server:
        files = root / ".headrace/lake/main/revenue"
        files.rename(tmp_path / "deleted")  # both at once: the server may look between two
        files.mkdir()
        result = until(
            lambda: [
                item
                for item in server.get("/api/v1/incidents").json
                if item["cause"]["kind"] == "data_corrupted"
            ]
        )
        assert [item["cause"]["node"] for item in result] == ["revenue"]
        assert server.get("/api/v1/status").json["lake"]["damaged"] == 2
