"""The how-to page on change data, typed against a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import ROOT, follow
from postgres_cluster import Database


@pytest.mark.timeout(180)
def test_the_page_does_what_it_says(tmp_path: Path, postgresql: Database) -> None:
    """A page that promises what the command no longer does."""
    postgresql.execute(f"alter database {postgresql.name} set synchronous_commit = on")
    follow(
        ROOT / "docs" / "how-to" / "change-data.md",
        tmp_path,
        PGHOST=postgresql.host,
        PGPORT=str(postgresql.port),
        PGDATABASE=postgresql.name,
        PGUSER=postgresql.user,
        PGPASSWORD=postgresql.password,
        BANK_HOST=postgresql.host,
        BANK_PORT=str(postgresql.port),
        BANK_DATABASE=postgresql.name,
        BANK_USER=postgresql.user,
        BANK_PASSWORD=postgresql.password,
    )
