"""`examples/postgresql-store`, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_lab import Example, published
from postgres_cluster import Database

NOW = "2026-03-04T08:00:00Z"


def environment(database: Database) -> dict[str, str]:
    return {
        "STORE_HOST": database.host,
        "STORE_PORT": str(database.port),
        "STORE_DATABASE": database.name,
        "STORE_USER": database.user,
        "STORE_PASSWORD": database.password,
    }


@pytest.mark.long
def test_the_example_runs(tmp_path: Path, postgresql: Database) -> None:
    """What is published is in the server's two schemas, and nothing of it in a SQLite file."""
    example = Example("postgresql-store", tmp_path, **environment(postgresql))
    assert len(published(example.tick(NOW))) == 4
    assert sorted(row["revenue"] for row in example.rows("revenue")) == [7.0, 30.75]
    assert example.consumer("shop-report", NOW)["state"] == "served"
    assert postgresql.rows("select count(*) from shop.publication") == [(4,)]
    assert postgresql.rows("select count(*) from shop_lake.ducklake_data_file") == [(4,)]
    assert not list(example.root.rglob("*.db"))
    assert example.tick(NOW)["state"] == "nothing_due"


@pytest.mark.long
def test_the_password_is_told_nowhere(tmp_path: Path, postgresql: Database) -> None:
    """Not in a message of a server that refuses it, and not in what the project keeps."""
    wrong = {**environment(postgresql), "STORE_PASSWORD": "canary-4711"}
    example = Example("postgresql-store", tmp_path, **wrong)
    done = example.run("tick", "-v", code=1)
    assert "refuses" in done.stderr
    assert "canary-4711" not in done.stdout + done.stderr
    example = Example("postgresql-store", tmp_path / "right", **environment(postgresql))
    example.tick(NOW)
    kept = b"".join(
        path.read_bytes() for path in (example.root / ".headrace").rglob("*") if path.is_file()
    )
    assert postgresql.password.encode() not in kept
