"""The how-to page on databases, typed against a real PostgreSQL and a real SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from page_lab import ROOT, follow
from postgres_cluster import Database


@pytest.mark.timeout(180)
def test_the_page_does_what_it_says(tmp_path: Path, postgresql: Database) -> None:
    """A page that promises what the command no longer does."""
    postgresql.execute((ROOT / "examples" / "postgresql-source" / "bank.sql").read_text())
    till = sqlite3.connect(tmp_path / "till.db")
    till.executescript((ROOT / "examples" / "sqlite-source" / "till.sql").read_text())
    till.close()
    follow(
        ROOT / "docs" / "how-to" / "databases.md",
        tmp_path,
        BANK_HOST=postgresql.host,
        BANK_PORT=str(postgresql.port),
        BANK_DATABASE=postgresql.name,
        BANK_USER=postgresql.user,
        BANK_PASSWORD=postgresql.password,
    )
