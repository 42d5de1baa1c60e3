"""Random tables in each format and database, written by other libraries: what is published is what
was delivered, and a refusal says why.

`make values SEED=… TABLES=…` runs many. A table that fails is shrunk, and printed with what repeats
it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from legacy_formats import NEEDS_LEGACY
from mariadb_server import MariaDatabase
from postgres_cluster import Database
from value_databases import mariadb_writer, postgresql_writer, sqlite_writer
from value_harness import Harness, described, drawn, shrunk
from value_tables import Difference
from value_writers import WRITERS, Writer

pytestmark = NEEDS_LEGACY

SHOWN_MAX = 20
TABLES = int(os.environ.get("TABLES") or 10_000)
ONLY = os.environ.get("ONLY") or ""
"""The name of a writer, or a part of it."""
PARTS = 2
"""The tables of `make values` are divided among as many processes."""


def run(
    root: Path, writers: Sequence[Writer], seeds: range, server: Database | None = None
) -> None:
    """Run the table of each seed; fail with those that differ, shrunk.

    `server`: a PostgreSQL, to export to.
    """
    print(f"SEED={seeds.start} TABLES={len(seeds)}", flush=True)
    chosen = [writer for writer in writers if ONLY in writer.name]
    harness, failed = Harness(root, server), list[str]()
    for seed in seeds:
        writer, table = drawn(seed, chosen)
        try:
            harness.run(writer, table)
        except Difference as difference:
            smallest = shrunk(harness, writer, table, str(difference))
            failed.append(described(writer, *smallest))
    harness.close()
    for kind, count in sorted(harness.refused.items()):
        print(f"{count:6} {kind}")
    summary = f"{len(failed)} of {len(seeds)} tables from SEED={seeds.start} differ"
    assert not failed, "\n".join([summary, *failed[:SHOWN_MAX]])


def first_seed(otherwise: int) -> int:
    return int(os.environ.get("SEED") or otherwise)


@pytest.mark.long
def test_files(tmp_path: Path) -> None:
    """Would catch: a value that is published other than it was delivered, or refused in words that
    say nothing."""
    first = first_seed(1)
    run(tmp_path, [*WRITERS, sqlite_writer(tmp_path)], range(first, first + 40))


@pytest.mark.long
def test_servers(tmp_path: Path, postgresql: Database, mariadb: MariaDatabase) -> None:
    """The same, of database servers."""
    first = first_seed(1)
    writers = [postgresql_writer(postgresql), mariadb_writer(mariadb)]
    run(tmp_path, writers, range(first, first + 20), postgresql)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_many(tmp_path: Path, postgresql: Database, mariadb: MariaDatabase, part: int) -> None:
    """`make values`."""
    first, each = first_seed(random.randrange(10**6)), -(-TABLES // PARTS)
    seeds = range(first + part * each, first + min((part + 1) * each, TABLES))
    writers = [sqlite_writer(tmp_path), postgresql_writer(postgresql), mariadb_writer(mariadb)]
    run(tmp_path, [*WRITERS, *writers], seeds, postgresql)
