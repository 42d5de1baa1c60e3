"""What is asked all the time costs the same with twice the history."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.history import NODES, History
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.store.engines.sqlite import SqliteEngine, SqliteTransaction
from headrace.store.queries import (
    attempts,
    backfill_plans,
    deliveries,
    ingestion,
    lake_maintenance,
    leader_writes,
    obligations,
    partition_states,
    publications,
    quality,
    quarantine,
    runs,
    scheduling,
)

graph_history = pytest.importorskip("headrace_ui.queries.graph_history")

DAYS, KEY, NODE, SOURCE = 8, "2024-01-05", "a1_1", "s1"
START = dt.date(2024, 1, 1)
LATER = 9 * 10**15
"""A time after all of the history, in microseconds."""
ALLOWED = 1.3
"""How much more the large history may cost: pages of an index are deeper."""
EVENT = AuditEvent(
    action=Action.RUN_FINISHED, actor=Actor(ActorType.SYSTEM, "x"), object=Object("run", "1")
)
Asked = Callable[[SqliteTransaction], object]


def publish_backfill(tx: SqliteTransaction) -> object:
    """Publish staged results of all partitions of a node."""
    plan = backfill_plans.add(
        tx,
        state="running",
        request="{}",
        actor="ann",
        reason="",
        version=1,
        content=b"",
        estimate=None,
        needs=None,
        now=1,
    )
    keys = tx.execute("select partition from partition where node = ?", (NODE,)).fetchall()
    staged = [backfill_plans.OverlayRow(plan, NODE, key, 9, 9, "staged") for (key,) in keys]
    backfill_plans.stage(tx, staged)
    first = publications.last_id(tx) + 1
    published = backfill_plans.publish_staged(
        tx, plan, [NODE], first=first, snapshot=10**6, now=9 * 10**15, version=1
    )
    assert len(published) == len(keys) == DAYS
    return published


ASKED: dict[str, Asked] = {
    "waiting deliveries": ingestion.waiting_deliveries,
    "newest publication": publications.last_id,
    "open work": lambda tx: leader_writes.lose_open_work(tx, 0, 0),
    "revision": partition_states.next_revision,
    "changed partitions": lambda tx: list(partition_states.stored_states(tx, after=10)),
    "running": attempts.running,
    "attempts of a node": lambda tx: attempts.of_node(tx, NODE, limit=5),
    "newest runs": lambda tx: runs.newest(tx, limit=5),
    "failed runs": lambda tx: runs.failed(tx, limit=5),
    "durations": lambda tx: attempts.p95_durations(tx, [NODE]),
    "bytes of a partition": lambda tx: attempts.mean_partition_bytes(tx, NODE),
    "unmet": lambda tx: obligations.unmet(tx, "c1"),
    "newest obligations": lambda tx: obligations.newest(tx, "c1", limit=10),
    "recorded obligations": lambda tx: obligations.recorded(tx, ["c1"], limit=10),
    "last observations": lambda tx: deliveries.observed_times(tx, [SOURCE], limit=10),
    "extent": lambda tx: partition_states.extent(tx, NODE),
    "count between": lambda tx: publications.count_between(tx, NODE, KEY, "2024-01-07"),
    "partitions around one": lambda tx: partition_states.known_around(tx, [NODE], KEY, 8),
    "waiting since": ingestion.waiting_since,
    "first publication": lambda tx: publications.first_published(tx, NODE, KEY),
    "current publication": lambda tx: publications.current(tx, NODE, KEY),
    "quarantine": quarantine.waiting,
    "restated lately": lambda tx: publications.replaced_since(tx, 9 * 10**15, 10),
    "results of an attempt": lambda tx: quality.checks_of_attempt(tx, 2, 40),
    "open attempts": lambda tx: pytest.importorskip("headrace_observe.queries").open_work(tx),
    "publications of a node": lambda tx: publications.of_node(tx, NODE, limit=5),
    "whether anything was delivered": lambda tx: deliveries.has_arrived(tx, SOURCE, "2024-02-01"),
    "oldest delivery": lambda tx: ingestion.oldest_deliveries(tx, [SOURCE]),
    "files since": lambda tx: ingestion.known_files(tx, SOURCE, 1_000_000),
    "given up": lambda tx: ingestion.given_up(tx, SOURCE, failed_by=1, rejected_by=1),
    "found since": lambda tx: deliveries.found_since(tx, SOURCE, 9 * 10**15),
    "attempts of a partition": lambda tx: attempts.of_partition(tx, NODE, KEY, limit=3),
    "damaged publications": lake_maintenance.damaged_publications,
    "publication of a backfill": publish_backfill,
    "last attempt by a time": lambda tx: graph_history.last_ended(tx, NODE, LATER),
    "data through at a time": lambda tx: graph_history.data_through(tx, NODE, LATER),
    "running at a time": lambda tx: graph_history.running_at(tx, LATER),
    "ended in a window": lambda tx: graph_history.ended_between(tx, LATER, LATER + 1, 9),
    "published in a window": lambda tx: graph_history.published_later(tx, LATER, LATER + 1, 9),
    "incidents at a time": lambda tx: graph_history.incidents_at(tx, LATER),
    "version at a time": lambda tx: graph_history.version_at(tx, LATER),
    "audit": lambda tx: append(tx, 1, EVENT),
    "journal": lambda tx: scheduling.append_events(
        tx, [scheduling.JournalRow(9, 2, 1, b"\x90", bytes(16))]
    ),
}


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same partitions, with 30 and with 60 attempts each."""
    return tuple(_history(tmp_path_factory.mktemp(f"tries{tries}"), tries) for tries in (30, 60))  # type: ignore[return-value]


def _history(folder: Path, tries: int) -> Path:
    path = folder / "state.db"
    engine = SqliteEngine(path)
    engine.create()
    with contextlib.closing(engine):
        database = engine.write_connection()
        database.execute(
            "insert into version (hash, manifest, compiled, applied_at, actor) values ('x', '{}',"
            " x'', 0, 'x')"
        )
        for n in range(4):
            database.execute(
                "insert into promise (consumer, terms, from_at) values (?, '{}', 0)", (f"c{n}",)
            )
        assert History(database, START, DAYS, tries).write() == NODES * DAYS * tries
    return path


@pytest.mark.parametrize("what", ASKED)
def test_cost_does_not_grow_with_the_history(histories: tuple[Path, Path], what: str) -> None:
    """Would catch: a query that reads the table of attempts, publications, check results, runs or
    the journal from end to end."""
    small, large = (_steps(path, ASKED[what]) for path in histories)
    assert large <= small * ALLOWED + 60, (
        f"{what}: {small} steps of SQLite's machine became {large}"
    )


RARE: dict[str, Asked] = {
    "throttled sources": lambda tx: ingestion.throttled_sources(tx, 1),
    "damaged publications": lake_maintenance.damaged_publications,
    "last ended publication": lambda tx: publications.last_ended(tx, 5),
}


@pytest.mark.parametrize("what", RARE)
def test_what_is_rare_is_found_without_all_partitions(
    histories: tuple[Path, Path], what: str
) -> None:
    """Would catch: each response of `status` that reads all partitions, once SQLite knows by
    `analyze` how many there are."""
    with contextlib.closing(sqlite3.connect(histories[0], isolation_level=None)) as database:
        database.execute("analyze")
        (partitions,) = database.execute("select count(*) from partition").fetchone()
    assert partitions == NODES * DAYS
    reading_the_schema = _steps(histories[0], lambda tx: tx.execute("select 1 from partition"))
    assert _steps(histories[0], RARE[what]) < reading_the_schema + partitions


def _steps(path: Path, ask: Asked) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("begin")
        database.set_progress_handler(count, 1)
        ask(SqliteTransaction(database))
        database.set_progress_handler(None, 0)
        database.execute("rollback")
    return counted
