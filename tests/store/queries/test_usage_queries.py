"""Who reads what: observed reads by day, and exports."""

from __future__ import annotations

from written_rows import published

from headrace.store import Store
from headrace.store.queries import usage
from headrace.store.queries.usage import ExportUsage, ReadUsage


def test_reads_of_a_day_add_up(store: Store) -> None:
    """Would catch: the last flush's number for the whole day's; a last read that goes back; reads
    over two ways under one number."""
    with store.write(None) as tx:
        usage.add_reads(
            tx,
            [
                ReadUsage("b", "ann", "sql", "2024-01-02", 3, 50),
                ReadUsage("a", "bob", "sql", "2024-01-02", 1, 70),
                ReadUsage("a", "ann", "sql", "2024-01-02", 2, 60),
                ReadUsage("a", "ann", "sql", "2024-01-01", 9, 10),
                ReadUsage("a", "ann", "data", "2024-01-02", 4, 20),
            ],
        )
        usage.add_reads(
            tx,
            [
                ReadUsage("a", "ann", "sql", "2024-01-02", 5, 40),
                ReadUsage("b", "ann", "sql", "2024-01-02", 5, 90),
            ],
        )
        assert usage.reads_since(tx, "2024-01-02") == [
            ReadUsage("a", "ann", "data", "2024-01-02", 4, 20),
            ReadUsage("a", "ann", "sql", "2024-01-02", 7, 60),
            ReadUsage("a", "bob", "sql", "2024-01-02", 1, 70),
            ReadUsage("b", "ann", "sql", "2024-01-02", 8, 90),
        ]
        assert len(usage.reads_since(tx, "2024-01-01")) == 5
        usage.forget(tx, "2024-01-02")
        assert len(usage.reads_since(tx, "")) == 4


def test_exports_of_a_window_are_counted(store: Store) -> None:
    """Would catch: a consumer without exports in the list; a bound that counts or doesn't."""
    with store.write(None) as tx:
        for number, at in enumerate((100, 101, 150, 200, 201), 1):
            published(tx, number, "report", published_at=at)
        published(tx, 9, "early", published_at=100)
        assert usage.exports(tx, ["early", "report", "never"], 100, 200) == [
            ExportUsage("report", 3, 200)
        ]
