"""Erasures and quoted texts, in SQLite and PostgreSQL."""

from __future__ import annotations

from headrace.store import Store
from headrace.store.queries.scheduling import JournalRow, append_events, events_of_epoch
from headrace_erase.queries import erasures, quoted_texts


def test_questions_about_erasures_have_answers(store: Store) -> None:
    """Would catch: a parameter without a type, which PostgreSQL refuses and SQLite takes."""
    with store.write(None) as tx:
        assert erasures.of_subject(tx, "s-1") is None
        assert erasures.get(tx, 1) is None
        assert erasures.every(tx) == erasures.every(tx, state="done") == []
        assert erasures.profiled(tx, "orders") == []
        assert erasures.delivered(tx, "orders") == []
        assert erasures.raw_hashes(tx) == set()
        assert erasures.quarantined(tx, "orders") == []
        assert erasures.attempts_of(tx, "orders") == []
        quoted_texts.overwrite(tx, ["C-1001"])


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
        assert "journal" in quoted_texts.tables_with(tx, ["C-77310"])
    with store.write(None) as tx:
        quoted_texts.overwrite(tx, ["C-77310"])
    with store.read() as tx:
        assert "journal" not in quoted_texts.tables_with(tx, ["C-77310"])
        assert [row.events for row in events_of_epoch(tx, 1)] == [
            events.replace(b"C-77310", b"*******"),
            b"*******",
        ]
