"""Freezes, holds, approvals and removed rows, in SQLite and PostgreSQL."""

from __future__ import annotations

from headrace.store import Store
from headrace.store.queries import approvals, freezes, holds, removed_rows


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


def test_questions_about_removed_rows_and_approvals_have_answers(store: Store) -> None:
    """Would catch: a parameter without a type, which PostgreSQL refuses and SQLite takes."""
    with store.write(None) as tx:
        assert list(removed_rows.keys_of(tx, "orders")) == []
        assert removed_rows.vectors_of(tx, "orders", "2026-03-01") == []
        assert removed_rows.publications_at(tx, "orders", "2026-03-01") == []
        assert removed_rows.published_before(tx, "orders", "2026-03-01") is None
        assert removed_rows.first_published(tx, "orders", "2026-03-01") is None
        assert removed_rows.quarantined_before(tx, "orders", "2026-03-01") == []
        assert not removed_rows.is_emptied(tx, "orders", "2026-03-01")
        removed_rows.scrub(tx, "orders", ["2026-03-01"])
        assert removed_rows.forget_quarantined(tx, []) == []
        assert approvals.request(tx, 1) is None
        assert approvals.requests(tx, 9) == approvals.unused(tx, 1) == []
        assert approvals.newest_of_plan(tx, "p-1") is None
        assert approvals.backfills(tx, 9) == []
