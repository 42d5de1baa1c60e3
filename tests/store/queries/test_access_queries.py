"""Freezes, holds, approvals and erasures, in SQLite and PostgreSQL."""

from __future__ import annotations

from headrace.store import Store
from headrace.store.queries import approvals, erasures, freezes, holds
from headrace.store.queries.scheduling import JournalRow, append_events, events_of_epoch


def test_a_freeze_and_a_hold_are_in_force_until_they_are_lifted(store: Store) -> None:
    """Would catch: a freeze that outlives its end, and SQL that one of the databases refuses."""
    with store.write(None) as tx:
        freezes.add(tx, subject="token:ci", reason="it loops", actor="ana", now=1)
        hold = holds.set_hold(tx, "orders", reason="a lawsuit", actor="ana", now=1)
        assert [row.subject for row in freezes.in_force(tx)] == ["token:ci"]
        assert holds.in_force(tx) == [hold]
        freezes.lift(tx, subject="token:ci", actor="bob", now=2)
        holds.release(tx, hold, reason="settled", actor="bob", now=2)
        assert freezes.in_force(tx) == [] and holds.in_force(tx) == []
        assert [row.node for row in holds.every(tx, 9)] == ["orders"]


def test_questions_about_erasures_and_approvals_have_answers(store: Store) -> None:
    """Would catch: a parameter without a type, which PostgreSQL refuses and SQLite takes."""
    with store.write(None) as tx:
        assert erasures.of_subject(tx, "s-1") is None
        assert erasures.get(tx, 1) is None
        assert erasures.every(tx) == erasures.every(tx, state="done") == []
        assert list(erasures.keys_of(tx, "orders")) == []
        assert erasures.profiled(tx, "orders") == []
        assert erasures.vectors_of(tx, "orders", "2026-03-01") == []
        assert erasures.publications_at(tx, "orders", "2026-03-01") == []
        assert erasures.delivered(tx, "orders") == []
        assert erasures.raw_hashes(tx) == set()
        assert erasures.quarantined(tx, "orders") == []
        assert erasures.attempts_of(tx, "orders") == []
        assert erasures.published_before(tx, "orders", "2026-03-01") is None
        assert erasures.first_published(tx, "orders", "2026-03-01") is None
        assert erasures.quarantined_before(tx, "orders", "2026-03-01") == []
        assert not erasures.is_emptied(tx, "orders", "2026-03-01")
        erasures.scrub(tx, "orders", ["2026-03-01"])
        erasures.overwrite(tx, ["C-1001"])
        assert erasures.forget_quarantined(tx, []) == []
        assert approvals.request(tx, 1) is None
        assert approvals.requests(tx, 9) == approvals.unused(tx, 1) == []
        assert approvals.newest_of_plan(tx, "p-1") is None
        assert approvals.backfills(tx, 9) == []


def test_a_value_in_compressed_events_is_found_and_overwritten(store: Store) -> None:
    """Would catch: events of many partitions, which are compressed, and a search that reads them
    as they are stored."""
    events = b" C-77310 failed" * 1_000
    decisions = bytes.fromhex("78") * 16  # a hash may begin like compressed events
    rows = [
        JournalRow(1, 4, at, content, decisions) for at, content in ((1, events), (2, b"C-77310"))
    ]
    with store.write(None) as tx:
        append_events(tx, rows)
    with store.read() as tx:
        assert "journal" in erasures.tables_with(tx, ["C-77310"])
    with store.write(None) as tx:
        erasures.overwrite(tx, ["C-77310"])
    with store.read() as tx:
        assert "journal" not in erasures.tables_with(tx, ["C-77310"])
        assert [row.events for row in events_of_epoch(tx, 1)] == [
            events.replace(b"C-77310", b"*******"),
            b"*******",
        ]
