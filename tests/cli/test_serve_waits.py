"""A server that starts before its PostgreSQL waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_cluster import private_cluster
from serve_lab import FILES, deliver, project, serving, until, write


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_server_that_starts_first_waits_for_postgresql(tmp_path: Path) -> None:
    """After a reboot both start at once: an exit would need somebody who starts the
    server again."""
    with private_cluster() as cluster:
        database = cluster.main
        root = project(tmp_path / "shop")
        address = f"postgresql://{database.user}:${{STORE_PASSWORD}}@{database.host}:{database.port}/{database.name}"
        write(root / "headrace.toml", FILES["headrace.toml"] + f'[store]\nurl = "{address}"\n')
        cluster.crash()
        with serving(root, STORE_PASSWORD=database.password, leads=False) as server:
            until(lambda: "trying again" in server.said)
            assert server.process.poll() is None
            cluster.start()
            until(server.leads)
            deliver(root, "2026-03-02")
            until(lambda: server.ran("revenue"))
            assert server.stop() == 0
