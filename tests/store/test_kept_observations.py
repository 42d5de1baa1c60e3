"""Which looks at a source are kept: the newest, and those at which an outage began or ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.ledger.records import Unread
from headrace.ledger.stored_records import StoreRecords
from headrace.model import Settings
from headrace.store import Store
from headrace.store.queries import ingestion

POLL = 30_000_000
DOWN = range(20, 30)


def opened(path: Path) -> Store:
    return Store.open(path, Settings(name="t"), create=True)


def test_an_outage_is_known_however_often_its_source_was_looked_at_since(tmp_path: Path) -> None:
    """Would catch: `why` of one interval that tells of an outage, and half an hour later doesn't,
    because a source that is polled each 30 seconds has been looked at 50 times meanwhile."""
    store, refused = opened(tmp_path), f"connection refused ({DOWN[0]})"
    outage = Unread(DOWN[0] * POLL, (DOWN[-1] + 1) * POLL, refused)
    for n in range(600):
        with store.write(None) as tx:
            error = f"connection refused ({n})" if n in DOWN else None
            ingestion.record_observation(tx, "s", n * POLL, 0, error)
        if n > DOWN[-1] and n % 20 == 0:
            with store.read() as tx:
                assert StoreRecords(tx, n * POLL).unread("s") == [outage], n
    with store.read() as tx:
        rows = tx.execute("select at from look where source = 's' order by at").fetchall()
        given = {"source": "s", "kept": 50}
        plan = tx.execute(f"explain query plan {ingestion._LEAVES}", given).fetchall()
    assert [at // POLL for (at,) in rows] == [0, 20, 30, *range(550, 600)]
    assert "USING" in str(plan) and "TEMP B-TREE" not in str(plan), plan


COUNT = ingestion.OBSERVATIONS_MAX + 150
"""More looks than are kept."""


def test_looks_at_a_source_that_fails_every_other_time_are_bounded(tmp_path: Path) -> None:
    """Would catch: a ledger that leaves out the oldest outages of a source that comes and goes
    without a word.
    """
    with (store := opened(tmp_path)).write(None) as tx:
        for n in range(COUNT):
            ingestion.record_observation(tx, "s", n * POLL, 0, "refused" if n % 2 else None)
    most = ingestion.OBSERVATIONS_MAX
    with store.read() as tx:
        rows = tx.execute("select at from look where source = 's' order by at").fetchall()
        result = StoreRecords(tx, COUNT * POLL).unread("s")
    assert result[0].reason == "refused (older outages aren't kept)"
    assert {item.reason for item in result[1:]} == {"refused"}
    assert [at // POLL for (at,) in rows] == [*range(COUNT - most, COUNT)]


@pytest.mark.parametrize("polls", [3, 60, 600])
def test_since_when_a_source_cant_be_read_is_known_however_often_it_was_looked_at(
    tmp_path: Path, polls: int
) -> None:
    """Would catch: "throttled since 09:35" of a source that was throttled on Monday and is polled
    each 30 seconds."""
    with (store := opened(tmp_path)).write(None) as tx:
        ingestion.record_observation(tx, "s", POLL, 0, None)
        for n in range(2, 2 + polls):
            ingestion.record_observation(tx, "s", n * POLL, 0, "429", "source_throttled")
    with store.read() as tx:
        (result,) = ingestion.failing_sources(tx)
    assert (result.since, result.at) == (2 * POLL, (1 + polls) * POLL)


@pytest.mark.parametrize("polls", [3, 60, 600])
def test_a_pause_and_an_outage_before_it_have_a_beginning_each(tmp_path: Path, polls: int) -> None:
    """Would catch: "throttled since Mon" of a server that was down on Monday and asks for a pause
    since Thursday."""
    with (store := opened(tmp_path)).write(None) as tx:
        for n in range(polls):
            ingestion.record_observation(tx, "s", n * POLL, 0, "refused", "source_unavailable")
        for n in range(polls, 2 * polls):
            ingestion.record_observation(
                tx, "s", n * POLL, 0, "429", "source_throttled" if n % 2 else "throttled_too_long"
            )
    with store.read() as tx:
        (result,) = ingestion.failing_sources(tx)
    assert result.since == polls * POLL
