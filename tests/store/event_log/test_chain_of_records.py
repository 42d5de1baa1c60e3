"""The chain of the event log's records, as it is read: what is missing, changed or unreadable."""

from __future__ import annotations

import pytest

from headrace.store import Store, Transaction
from headrace.store.event_log import replaying
from headrace.store.event_log.replaying import Misfit
from headrace.store.event_recording import GENESIS, EventRecordKind, append_event, chained


@pytest.fixture
def recorded(store: Store) -> Store:
    """Four records: the migrations, and three commits."""
    for number in (2, 3, 4):
        with store.write(None) as tx:
            tx.execute("insert into firing (node, at) values (?, ?)", (f"n{number}", number))
    return store


def _hash(tx: Transaction, seq: int) -> bytes:
    row = tx.execute("select hash from event_log where seq = ?", (seq,)).fetchone()
    return bytes(row[0])


def _content(tx: Transaction, seq: int) -> bytes:
    row = tx.execute("select content from event_log where seq = ?", (seq,)).fetchone()
    return bytes(row[0])


def test_a_sound_chain_has_a_head_and_no_misfits(recorded: Store) -> None:
    """Would catch: a chain that is called broken from its first record on; a number too low for
    what a checkpoint then covers."""
    with recorded.read() as tx:
        log = replaying.read(tx)
        assert (log.records, log.last, log.head) == (4, 4, _hash(tx, 4))
        assert (log.checkpoint, log.misfits, log.trail) == (None, (), None)
        assert log.first is not None and log.first.kind is EventRecordKind.MIGRATED
        assert (log.begins, log.waits) == (True, False)
        assert replaying.has_begun(tx)
        assert replaying.last(tx) == 4


def test_the_newest_entry_of_the_audit_trail_is_known_to_the_log(store: Store) -> None:
    """Would catch: an audit trail cut at its end that nobody notices."""
    with store.write(None) as tx:
        tx.executemany(
            "insert into audit (seq, at, event, prev_hash, hash) values (?, ?, ?, ?, ?)",
            [(1, 5, "{}", "", "h1"), (2, 6, "{}", "h1", "h2")],
        )
    with store.write(None) as tx:
        tx.execute("insert into firing (node, at) values ('a', 1)")
    with store.read() as tx:
        assert replaying.read(tx).trail == (2, "h2")


def test_a_missing_record_is_named(recorded: Store) -> None:
    """Would catch: a deleted record for which all records after it are called wrong, or none."""
    with recorded.write(None) as tx:
        tx.unrecorded("delete from event_log where seq = 3")
    with recorded.read() as tx:
        log = replaying.read(tx)
        assert log.misfits == (Misfit(4, "seq", "4", "3"),)
        assert (log.records, log.last, log.begins) == (3, 4, True)


def test_changed_content_and_changed_hashes_are_named(recorded: Store) -> None:
    """Would catch: an edited record; an edited hash that only the next record shows."""
    with recorded.write(None) as tx:
        tx.unrecorded("update event_log set content = ? where seq = 3", (b"junk",))
    with recorded.read() as tx:
        expected = chained(3, _hash(tx, 2), b"junk")
        junk = Misfit(3, "hash", _hash(tx, 3).hex(), expected.hex())
        assert replaying.read(tx).misfits == (junk,)
    with recorded.write(None) as tx:
        tx.unrecorded("update event_log set hash = ? where seq = 1", (b"\1\2",))
    with recorded.read() as tx:
        first = Misfit(1, "hash", "0102", chained(1, GENESIS, _content(tx, 1)).hex())
        second = Misfit(2, "hash", _hash(tx, 2).hex(), chained(2, b"\1\2", _content(tx, 2)).hex())
        assert replaying.read(tx).misfits == (first, second, junk)


def test_a_log_without_its_first_record_is_lost(recorded: Store) -> None:
    """Would catch: tables recomputed from a log that was cut at its beginning, so that every row
    differs."""
    with recorded.write(None) as tx:
        tx.unrecorded("delete from event_log where seq = 1")
    with recorded.read() as tx:
        log = replaying.read(tx)
        assert log.misfits == (Misfit(2, "seq", "2", "its first record"),)
        assert (log.begins, log.waits, log.first) == (False, False, None)
        assert replaying.has_begun(tx)


def test_an_empty_log_is_lost(store: Store) -> None:
    """Would catch: a log that was deleted taken for one that hasn't begun yet."""
    with store.write(None) as tx:
        tx.unrecorded("delete from event_log")
    with store.read() as tx:
        log = replaying.read(tx)
        assert log.misfits == (Misfit(0, "seq", "no record", "its first record"),)
        assert (log.records, log.last, log.head) == (0, 0, GENESIS)
        assert (log.begins, log.waits) == (False, False)
        assert replaying.has_begun(tx)
        assert replaying.last(tx) == 0


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ([(1, "0001_initial", "c", 5), (2, "0002", "c", 5)], True),
        ([(14, "0014_event_log", "c", 5)], False),
        ([], False),
    ],
)
def test_the_log_of_an_upgraded_state_waits_for_its_leader(
    store: Store, changes: list[tuple[int, str, str, int]], begins: bool
) -> None:
    """Would catch: tables of an older state recomputed from a log that begins in the middle; a log
    that is begun anew at each start."""

    def log_of(*more: tuple[EventRecordKind, list[tuple[int, str, str, int]]]) -> replaying.Log:
        with store.write(None) as tx:
            tx.unrecorded("delete from event_log")
            for kind, rows in more:
                append_event(tx.execute, kind, changes=rows)
        with store.read() as tx:
            assert replaying.has_begun(tx) is (begins or more[0][0] is EventRecordKind.COMMIT)
            return replaying.read(tx)

    log = log_of((EventRecordKind.MIGRATED, changes))
    assert (log.begins, log.waits, log.misfits) == (begins, not begins, ())
    log = log_of((EventRecordKind.COMMIT, changes), (EventRecordKind.MIGRATED, changes))
    assert (log.begins, log.waits) == (False, False)
    assert log.misfits[0] == Misfit(1, "seq", "1", "its first record")
