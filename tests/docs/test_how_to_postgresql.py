"""docs/how-to/postgresql.md, typed against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import ROOT, follow
from postgres_cluster import Database


@pytest.mark.timeout(120)
def test_the_page_does_what_it_says(tmp_path: Path, postgresql: Database) -> None:
    follow(
        ROOT / "docs/how-to/postgresql.md",
        tmp_path,
        STORE_HOST=postgresql.host,
        STORE_PORT=str(postgresql.port),
        STORE_DATABASE=postgresql.name,
        STORE_USER=postgresql.user,
        STORE_PASSWORD=postgresql.password,
    )
