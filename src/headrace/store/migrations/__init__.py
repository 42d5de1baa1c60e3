"""Migrations: numbered .sql files, applied in order and recorded with the checksum of their text.

All missing migrations are applied in one transaction. A released file never changes: Headrace
refuses a store that was created by another text of a file, and one with an unknown migration. The
files are written for SQLite; `store.postgresql_dialect` translates them for PostgreSQL.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from headrace.model.errors import StoreError
from headrace.store.transaction import RESTORE, missing

RECORD = """create table if not exists migration (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at bigint not null
)"""


class Migration(NamedTuple):
    """One migration file: its number from 1, name, text, and the text's SHA-256."""

    number: int
    name: str
    text: str
    checksum: str


@cache
def known() -> tuple[Migration, ...]:
    """Return the migrations of this version of Headrace, in order."""
    migrations = [_load(path) for path in sorted(Path(__file__).parent.glob("[0-9]*.sql"))]
    numbers = [migration.number for migration in migrations]
    assert numbers == sorted(set(numbers)), "no two migrations have the same number"
    return tuple(migrations)


def _load(path: Path) -> Migration:
    text = path.read_text("utf-8")
    return Migration(
        int(path.name.partition("_")[0]), path.stem, text, hashlib.sha256(text.encode()).hexdigest()
    )


def check(done: Mapping[int, str], where: str) -> None:
    """Raise StoreError unless exactly this version's migrations have been applied.

    `done` maps numbers of applied migrations to checksums.
    """
    if not done:
        raise missing(where)
    refuse_unknown(done, where)
    refuse_gap(done, where)
    if len(done) < len(known()):
        raise StoreError(
            f"the state database {where} is of an older Headrace (version {len(done)}, this one"
            f" needs {len(known())})",
            hint=(
                "`headrace db upgrade` brings it up to date, as the next `headrace run` or"
                " `headrace tick` does"
            ),
        )


def refuse_unknown(done: Mapping[int, str], where: str) -> None:
    """Raise StoreError for an applied migration that is unknown or has another checksum."""
    ours = {migration.number: migration.checksum for migration in known()}
    if unknown := sorted(done.keys() - ours.keys()):
        raise StoreError(
            f"the state database {where} is of a newer Headrace (version {unknown[-1]}, this one"
            f" knows {len(ours)})",
            hint=f"use the Headrace that wrote it, or a newer one; if none did, {RESTORE}",
        )
    if changed := sorted(number for number, checksum in done.items() if ours[number] != checksum):
        raise StoreError(
            f"the state database {where} was made by another text of migration {changed[0]}",
            hint=(
                f"it was damaged, or comes from an unreleased Headrace: use that one, or {RESTORE}"
            ),
        )


def refuse_gap(done: Mapping[int, str], where: str) -> None:
    """Raise StoreError if the record of an earlier migration is missing.

    Each migration is recorded in the transaction that applies it, so a gap means damage.
    """
    earlier = {item.number for item in known() if item.number < max(done, default=0)}
    missing_numbers = sorted(earlier - done.keys())
    if missing_numbers:
        raise StoreError(
            f"the state database {where} is damaged: its record of migration {missing_numbers[0]}"
            f" is missing, though migration {max(done)} was applied",
            hint=RESTORE,
        )


def unappliable(migration: Migration, where: str, error: object) -> StoreError:
    """Return the error for a migration that fails, because the tables aren't as recorded."""
    return StoreError(
        f"the state database {where} can't be brought up to date: migration {migration.number}"
        f" fails ({error}), so its tables aren't those that its records say",
        hint=RESTORE,
    )


def statements(text: str) -> Iterator[str]:
    """Yield the statements of a migration; each one must begin on its own line.

    `executescript` isn't used because it commits.
    """
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending
