"""The examples of databases do what their READMEs say: a real SQLite file, a real PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from example_lab import Example, published
from postgres_cluster import Database

CANARY = "canary-pässwörd/@:%41-nowhere"


@pytest.mark.timeout(180)
def test_new_rows_of_a_sqlite_table(tmp_path: Path) -> None:
    """Would catch: an example that no longer runs, an increment that replaces the one before, a row
    read twice.
    """
    example = Example("sqlite-source", tmp_path, TILL_DB="till.db")
    till = sqlite3.connect(example.root / "till.db")
    till.executescript((example.root / "till.sql").read_text())
    assert example.json("validate")["problems"] == []
    assert published(example.tick()) == [("receipts", "000000000001"), ("takings", "*")]
    assert example.tick()["state"] == "nothing_due"
    till.execute("insert into receipts (sold_at, amount) values ('2026-03-03 18:00:00', 5)")
    till.commit()
    assert published(example.tick()) == [("receipts", "000000000002"), ("takings", "*")]
    assert [
        (row["day"], row["receipts"], str(row["takings"]))
        for row in sorted(example.rows("takings"), key=lambda row: row["day"])
    ] == [
        ("2026-03-02", 2, "16.25"),
        ("2026-03-03", 2, "25.00"),
    ]
    assert example.consumer("till-screen")["state"] == "served"
    till.close()


@pytest.fixture
def bank(postgresql: Database, tmp_path: Path) -> Example:
    """The example beside a database that its own `bank.sql` made, with a role whose password is a
    canary."""
    role = f"loader_{postgresql.name}"
    example = Example(
        "postgresql-source",
        tmp_path,
        BANK_HOST=postgresql.host,
        BANK_PORT=str(postgresql.port),
        BANK_DATABASE=postgresql.name,
        BANK_USER=role,
        BANK_PASSWORD=CANARY,
    )
    postgresql.execute(
        (example.root / "bank.sql").read_text(),
        f"create role {role} login password '{CANARY}'",
        f"grant usage on schema core to {role}",
        f"grant select on all tables in schema core to {role}",
    )
    return example


@pytest.mark.long
@pytest.mark.timeout(180)
def test_tables_of_a_postgresql_database(bank: Example, postgresql: Database) -> None:
    """Would catch: an example that no longer runs, a day cut at midnight UTC, a correction that
    nobody reads."""
    assert bank.json("validate")["problems"] == []
    document = bank.tick("2026-03-03T04:00:00Z")
    assert published(document) == [
        ("branches", "*"),
        ("daily_volume", "2026-03-01"),
        ("daily_volume", "2026-03-02"),
        ("transfers", "2026-03-01"),
        ("transfers", "2026-03-02"),
    ]
    assert _volumes(bank) == {
        ("2026-03-01", "Harbour", "120.50"),
        ("2026-03-01", "Old Town", "80.25"),
        ("2026-03-02", "Harbour", "310.00"),
        ("2026-03-02", "Old Town", "45.10"),
    }
    assert bank.consumer("treasury", "2026-03-03T04:05:00Z")["state"] == "served"
    assert bank.tick("2026-03-03T08:00:00Z")["state"] == "nothing_due"
    postgresql.execute(
        "update core.transfers set amount = 100, changed_at = '2026-03-03 09:00+01' where id = 2"
    )
    document = bank.tick("2026-03-03T09:00:00Z")
    assert published(document) == [("daily_volume", "2026-03-01"), ("transfers", "2026-03-01")]
    assert ("2026-03-01", "Old Town", "100.00") in _volumes(bank)


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_wrong_password_is_said_and_never_shown(bank: Example, postgresql: Database) -> None:
    """Would catch: a source that stays silent when its password was changed, and a password in any
    document, log or file.
    """
    bank.tick("2026-03-03T04:00:00Z")
    postgresql.execute(f"alter role loader_{postgresql.name} password 'another'")
    document = bank.tick("2026-03-04T04:00:00Z", code=None)
    assert "password authentication failed" in str(document)
    said = "".join(
        bank.run(*command, code=None).stdout
        for command in (
            ["status", "--json"],
            ["runs", "--json"],
            ["ls", "--json"],
            ["validate", "--json"],
        )
    )
    kept = b"".join(
        path.read_bytes() for path in (bank.root / ".headrace").rglob("*") if path.is_file()
    )
    assert b"transfers" in kept
    for form in (CANARY, CANARY.encode().hex(), "canary-p"):
        assert form not in said + str(document) and form.encode() not in kept


@pytest.mark.long
@pytest.mark.timeout(180)
def test_no_process_shows_the_password(bank: Example) -> None:
    """Would catch: a password among the arguments of a process, where `ps` shows it to
    everybody."""
    slow = bank.root / "sources" / "branches.yaml"
    slow.write_text(
        slow.read_text().replace(
            "select id, name from core.branches", "select id, name from core.branches, pg_sleep(1)"
        )
    )
    command = [sys.executable, "-m", "headrace", "tick", "--now", "2026-03-03T04:00:00Z"]
    seen = 0
    with subprocess.Popen(
        command,
        cwd=bank.root,
        env=bank.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        while running.poll() is None:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_bytes()
                    seen += b"headrace.runtime.fork_server" in line
                    assert CANARY.encode() not in line and b"canary-p" not in line
            time.sleep(
                0.02
            )  # processes live longer than that, and it wants the processor for itself
    assert running.returncode == 0 and seen, "the workers were looked at"


def _volumes(bank: Example) -> set[tuple[str, str, str]]:
    return {(row["day"], row["branch"], str(row["volume"])) for row in bank.rows("daily_volume")}
