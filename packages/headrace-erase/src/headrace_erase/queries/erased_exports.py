"""Exports with rows of an erased subject: which intervals, and what was done to each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.transaction import Transaction

WAITING, ERASED, KEPT = "waiting", "erased", "kept"


_GONE = " (gone)"


class ErasedExport(NamedTuple):
    """One interval of an export: `rows` were in it and aren't any more.

    `why` says why it was kept; of an erased one it names the files or tables, one a line. Those
    that weren't there any more are marked (`as_gone`).
    """

    consumer: str
    interval: str
    publication: int
    state: str
    rows: int
    why: str


class NewestExport(NamedTuple):
    """What an interval's newest export has written; `manifest` has its files or tables."""

    interval: str
    publication: int
    epoch: int
    n: int
    snapshot: int
    published_at: int
    manifest: tuple[dict[str, Any], ...]

    @property
    def targets(self) -> list[str]:
        """The files or tables."""
        return sorted(str(item["target"]) for item in self.manifest)

    @property
    def rows(self) -> int:
        """The number of exported rows."""
        return sum(int(item["rows"]) for item in self.manifest)


def as_gone(target: str) -> str:
    """Return a target with the mark of one that isn't there any more."""
    return f"{target}{_GONE}"


def gone_and_written(targets: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the marked targets, without their marks, and the others."""
    gone: list[str] = []
    written: list[str] = []
    for name in targets:
        (gone if name.endswith(_GONE) else written).append(name.removesuffix(_GONE))
    return gone, written


def newest_exports(tx: Transaction, consumer: str) -> list[NewestExport]:
    """Return the newest export of each interval."""
    rows = tx.execute(
        "select partition, id, epoch, n, snapshot, published_at, manifest from publication where"
        " node = ? and ended_snapshot is null and manifest is not null order by partition",
        (consumer,),
    ).fetchall()
    return [
        NewestExport(interval, number, epoch, n, snapshot, at, tuple(msgspec.json.decode(manifest)))
        for interval, number, epoch, n, snapshot, at, manifest in rows
    ]


def every_target(tx: Transaction, consumer: str) -> set[str]:
    """Return all files or tables that an export has ever written, as far as it is known."""
    rows = tx.execute(
        "select distinct manifest from publication where node = ? and manifest is not null",
        (consumer,),
    ).fetchall()
    return {str(item["target"]) for (text,) in rows for item in msgspec.json.decode(text)}


def of_erasure(tx: Transaction, erasure: int) -> list[ErasedExport]:
    """Return the exports of an erasure."""
    rows = tx.execute(
        "select consumer, interval_key, publication_id, state, rows, why from erased_export where"
        " erasure_id = ? order by consumer, interval_key",
        (erasure,),
    ).fetchall()
    return [ErasedExport(*row) for row in rows]


def wait_for(tx: Transaction, erasure: int, exports: Iterable[tuple[str, str, int]]) -> None:
    """Note exports that are to be written again: consumer, interval, publication."""
    tx.executemany(
        "insert into erased_export (erasure_id, consumer, interval_key, publication_id, state,"
        " rows, why) values (?, ?, ?, ?, 'waiting', 0, '') on conflict (erasure_id, consumer,"
        " interval_key) do update set publication_id = excluded.publication_id, state = 'waiting',"
        " why = ''",
        [(erasure, *item) for item in exports],
    )


def keep(tx: Transaction, erasure: int, export: tuple[str, str, int], why: str) -> None:
    """Note that an export couldn't be written again."""
    wait_for(tx, erasure, [export])
    _set(tx, erasure, export, KEPT, 0, why)


def erase(
    tx: Transaction,
    erasure: int,
    export: tuple[str, str, int],
    rows: int,
    manifest: Sequence[dict[str, Any]],
) -> bool:
    """Note that an export was written again without `rows` rows.

    Return False if another export of the interval is shown by now, and change nothing.
    """
    consumer, interval, publication = export
    row = tx.execute(
        "select id from publication where node = ? and partition = ? and ended_snapshot is null",
        (consumer, interval),
    ).fetchone()
    if row is None or row[0] != publication:
        return False
    tx.execute(
        "update publication set rows = rows - ?, manifest = ? where id = ?",
        (rows, msgspec.json.encode(manifest).decode(), publication),
    )
    wait_for(tx, erasure, [export])
    targets = "\n".join(
        sorted(
            as_gone(item["target"]) if item.get("gone") else str(item["target"])
            for item in manifest
        )
    )
    _set(tx, erasure, export, ERASED, rows, targets)
    return True


def _set(
    tx: Transaction, erasure: int, export: tuple[str, str, int], state: str, rows: int, why: str
) -> None:
    consumer, interval, _ = export
    tx.execute(
        "update erased_export set state = ?, rows = rows + ?, why = ? where erasure_id = ? and"
        " consumer = ? and interval_key = ?",
        (state, rows, why, erasure, consumer, interval),
    )
