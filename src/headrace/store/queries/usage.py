"""Usage: observed reads of nodes by day, and exports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headrace.store.transaction import Transaction


class ReadUsage(NamedTuple):
    """Number of reads of a node on a day (UTC) by `read`, `sql` or `data`, and the last time."""

    node: str
    reader: str
    via: str
    day: str
    reads: int
    last_at: int


class ExportUsage(NamedTuple):
    """Number of publications of a consumer's export, and the last one's time."""

    consumer: str
    exports: int
    last_at: int


def add_reads(tx: Transaction, rows: Iterable[ReadUsage]) -> None:
    """Add observed reads."""
    tx.executemany(
        "insert into usage (node, reader, via, day, reads, last_at) values (?, ?, ?, ?, ?, ?) on"
        " conflict (node, reader, via, day) do update set reads = usage.reads + excluded.reads,"
        " last_at = case when excluded.last_at > usage.last_at then excluded.last_at else"
        " usage.last_at end",
        [tuple(row) for row in rows],
    )


def reads_since(tx: Transaction, day: str) -> list[ReadUsage]:
    """Return the reads since a day."""
    rows = tx.execute(
        "select node, reader, via, day, reads, last_at from usage where day >= ? order by node,"
        " reader, via, day",
        (day,),
    )
    return [ReadUsage(*row) for row in rows]


def exports(
    tx: Transaction, consumers: Iterable[str], from_us: int, until_us: int
) -> list[ExportUsage]:
    """Return the exports of consumers in a window."""
    usages = []
    for consumer in consumers:
        row = tx.execute(
            "select count(*), max(published_at) from publication where node = ? and published_at >"
            " ? and published_at <= ?",
            (consumer, from_us, until_us),
        ).fetchone()
        if row[0]:
            usages.append(ExportUsage(consumer, int(row[0]), int(row[1])))
    return usages


def forget(tx: Transaction, before: str) -> None:
    """Delete reads of days before a day."""
    tx.execute("delete from usage where day < ?", (before,))
