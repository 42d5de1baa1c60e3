"""Texts that aren't UTF-8 any more: their rows are named, their neighbours aren't."""

from __future__ import annotations

from headrace.lake import catalog
from headrace.runtime.event_log import compared
from headrace.runtime.folders import Folders
from headrace.store import Store
from headrace.store.transaction import Dialect

DAMAGED = "66f56f"
LONG = "x" * 100


def test_the_row_of_a_damaged_text_is_named_alone(store: Store) -> None:
    """Catches: rows that were read before the damaged one and are told as rows too many."""
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
        for number in range(5):
            tx.execute("insert into firing (node, at) values (?, ?)", (f"n{number}", number))
            row = (f"subject {number}", LONG)
            tx.execute(
                "insert into notice (kind, subject, recipient, channel, title, body, said, state,"
                " not_before, created_at) values ('k', ?, 'r', 'c', 't', ?, '', 'waiting', 0, 0)",
                row,
            )
    _damage(store)
    place = Folders(str(store.folder.parent), str(store.folder))
    with store.read() as tx, compared(tx, place) as result:
        assert result.unreadable == {}
        differing = [(difference.table, difference.field) for difference in result.differences]
    assert sorted(differing, key=str) == [
        ("firing", None),
        ("firing", None),
        ("notice", "body"),
    ], "the row with another key, the one that is missing, and the text"


def _damage(store: Store) -> None:
    """In PostgreSQL, that refuses such a text from a client, by a cast that checks nothing."""
    with store.write(None) as tx:
        if tx.dialect is Dialect.POSTGRESQL:
            tx.unrecorded("create cast (bytea as text) without function")
            value, long = f"'\\x{DAMAGED}'::bytea::text", f"'\\x{DAMAGED * 50}'::bytea::text"
        else:
            value, long = f"cast(x'{DAMAGED}' as text)", f"cast(x'{DAMAGED * 50}' as text)"
        tx.unrecorded(f"update firing set node = {value} where node = 'n3'")
        tx.unrecorded(f"update notice set body = {long} where subject = 'subject 3'")
