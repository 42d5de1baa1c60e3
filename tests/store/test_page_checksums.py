"""Whether the database finds damaged pages by itself: what `doctor` says of PostgreSQL."""

from __future__ import annotations

from headrace.store import Store
from headrace.store.queries import audit_trail


def test_page_checksums_are_what_the_server_says(store: Store) -> None:
    with store.read() as tx:
        result = audit_trail.page_checksums(tx)
        if tx.dialect == "sqlite":
            assert result is None
        else:
            (shown,) = tx.execute("show data_checksums").fetchone()
            assert result is (shown == "on")
