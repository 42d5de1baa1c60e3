"""The response of a run that published many partitions."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from headrace.model import Settings
from headrace.responses import RunResponse
from headrace.runtime.runs import RunResult
from headrace.services.run_results import run_response
from headrace.store import Clock, Store, Transaction
from headrace.store.transaction import insertion

UTC = ZoneInfo("UTC")
PARTITIONS, IN_AN_ATTEMPT = 20_000, 100
BYTES_MAX = 350
"""Bytes per partition while the response is made: its row and its key (240; 740 with all fields)."""


@pytest.fixture
def store(tmp_path: Path, state_settings: Settings) -> Iterator[Store]:
    opened = Store.open(tmp_path, state_settings, create=True)
    yield opened
    opened.close()


def key_of(number: int) -> str:
    return f"2026-01-01T{number:06}+00:00"


def insert(tx: Transaction, table: str, **row: str | int | bytes) -> None:
    tx.execute(insertion(table, list(row)), list(row.values()))


def begin(tx: Transaction) -> None:
    """Run 1."""
    insert(
        tx, "run", id=1, kind="tick", request="{}", actor="ann", state="succeeded", started_at=1
    )  # fmt: skip


def tried(tx: Transaction, n: int, keys: list[str], state: str = "published") -> None:
    """An attempt of run 1 at partitions of `a`; they are published if it succeeded."""
    encoded = msgspec.json.encode(keys).decode()
    insert(
        tx, "attempt", epoch=1, n=n, run_id=1, node="a", kind="produce", partitions=encoded,
        state=state, queued_at=1,
    )  # fmt: skip
    for key in keys if state == "published" else ():
        insert(
            tx, "publication", node="a", partition=key, epoch=1, n=n, snapshot=n, published_at=1,
            rows=1, bytes=1, verdict="passed", content_hash="0" * 64, version=1,
        )  # fmt: skip


def response_of(store: Store, state: str) -> RunResponse:
    with store.read() as tx:
        clock = Clock.for_reading(tx, None)
    return run_response(store, clock, UTC, RunResult(1, state, (), ()))


@pytest.mark.long
def test_a_partition_of_a_large_run_needs_little_memory(store: Store) -> None:
    """Would catch: all fields of all publications in memory, and an index of each partition: the
    leader of a run that published 200,000 had its peak when it made the response.
    """
    keys = list(map(key_of, range(PARTITIONS)))
    with store.write(None) as tx:
        begin(tx)
        for n in range(PARTITIONS // IN_AN_ATTEMPT):
            tried(tx, n + 1, keys[n * IN_AN_ATTEMPT : (n + 1) * IN_AN_ATTEMPT])
    tracemalloc.start()
    try:
        response = response_of(store, "succeeded")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row.partition for row in response.published] == keys
    assert peak / PARTITIONS < BYTES_MAX


def test_the_last_attempt_at_a_partition_decides_whether_it_was_rejected(store: Store) -> None:
    """Would catch: a partition listed that failed first and was published then, or one left out
    that was published first; another order than that of the first attempts.
    """
    with store.write(None) as tx:
        begin(tx)
        tried(tx, 1, ["d1", "d2"], "failed")
        tried(tx, 2, ["d3", "d4"])
        tried(tx, 3, ["d2"])
        tried(tx, 4, ["d5", "d3"], "held")
        tried(tx, 5, ["d1"], "rejected")
    response = response_of(store, "partial")
    assert [(row.partition, row.state) for row in response.rejected] == [
        ("d1", "rejected"),
        ("d3", "held"),
        ("d5", "held"),
    ]
