"""Erasures: what was erased, what is left to delete, and where else data of a node is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.model.erased_rows import ErasedRows
from headrace.store import Transaction

RUNNING, DONE = "running", "done"


_COLUMNS = (
    "id, subject, plan_id, state, actor, reason, progress, unnamed, certificate, started_at,"
    " finished_at"
)


class Erasure(msgspec.Struct, frozen=True):
    """One erasure. `unnamed` are files to be deleted, relative to the data folder."""

    id: int
    subject: str
    plan_id: str
    state: str
    actor: str
    reason: str
    progress: dict[str, dict[str, int]]
    """Node → what was done to it → how often."""
    unnamed: tuple[str, ...]
    certificate: str | None
    started_at: int
    finished_at: int | None


def begin(
    tx: Transaction,
    *,
    subject: str,
    plan_id: str,
    actor: str,
    reason: str,
    keys: Mapping[str, Sequence[ErasedRows]],
    now: int,
) -> Erasure:
    """Store a new erasure with its keys by node, or continue the earlier one of its subject."""
    known = of_subject(tx, subject)
    if known is None:
        tx.execute(
            "insert into erasure (subject, plan_id, state, actor, reason, progress, unnamed,"
            " started_at) values (?, ?, 'running', ?, ?, '{}', '[]', ?)",
            (subject, plan_id, actor, reason, now),
        )
    else:
        tx.execute(
            "update erasure set state = 'running', plan_id = ?, actor = ?, reason = ?,"
            " finished_at = null where id = ?",
            (plan_id, actor, reason, known.id),
        )
    result = of_subject(tx, subject)
    assert result is not None
    tx.execute("delete from erased_key where erasure_id = ?", (result.id,))
    tx.executemany(
        "insert into erased_key (erasure_id, node, alternative, field, tokens) values"
        " (?, ?, ?, ?, ?)",
        [
            (result.id, node, number, key.column, msgspec.json.encode(key.tokens).decode())
            for node, alternatives in keys.items()
            for number, rows in enumerate(alternatives)
            for key in rows.keys
        ],
    )
    return result


def of_subject(tx: Transaction, subject: str) -> Erasure | None:
    """Return the erasure of a subject."""
    row = tx.execute(f"select {_COLUMNS} from erasure where subject = ?", (subject,)).fetchone()
    return None if row is None else _erasure(row)


def get(tx: Transaction, number: int) -> Erasure | None:
    """Return an erasure by its number."""
    row = tx.execute(f"select {_COLUMNS} from erasure where id = ?", (number,)).fetchone()
    return None if row is None else _erasure(row)


def every(tx: Transaction, *, state: str | None = None) -> list[Erasure]:
    """Return all erasures, or those in a state, newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from erasure where cast(:state as text) is null or state = :state"
        " order by id desc",
        {"state": state},
    )
    return [_erasure(row) for row in rows.fetchall()]


def _erasure(row: Sequence[Any]) -> Erasure:
    values = list(row)
    values[6], values[7] = msgspec.json.decode(values[6]), tuple(msgspec.json.decode(values[7]))
    return Erasure(*values)


def note(
    tx: Transaction, erasure: Erasure, node: str, counts: Mapping[str, int], paths: Sequence[str]
) -> None:
    """Add to what was done to a node, and to the files that are to be deleted."""
    now = get(tx, erasure.id)
    assert now is not None
    done = now.progress.get(node, {})
    total = {name: done.get(name, 0) + counts.get(name, 0) for name in {*done, *counts}}
    tx.execute(
        "update erasure set progress = ?, unnamed = ? where id = ?",
        (
            msgspec.json.encode(now.progress | {node: total}).decode(),
            msgspec.json.encode([*now.unnamed, *paths]).decode(),
            erasure.id,
        ),
    )


def deleted(tx: Transaction, erasure: Erasure, paths: Sequence[str]) -> None:
    """Forget files that were deleted."""
    now = get(tx, erasure.id)
    assert now is not None
    left = [path for path in now.unnamed if path not in set(paths)]
    tx.execute(
        "update erasure set unnamed = ? where id = ?",
        (msgspec.json.encode(left).decode(), erasure.id),
    )


def finish(tx: Transaction, erasure: Erasure, certificate: str, now: int) -> None:
    """Record that an erasure is complete."""
    tx.execute(
        "update erasure set state = 'done', certificate = ?, finished_at = ? where id = ?",
        (certificate, now, erasure.id),
    )


def profiled(tx: Transaction, node: str) -> list[str]:
    """Return the partitions of which the state has profiles or metrics."""
    rows = tx.execute(
        "select partition from profile where node = :node union select partition from metric where"
        " node = :node",
        {"node": node},
    ).fetchall()
    return [partition for (partition,) in rows]


# Where data of a node is kept outside of the lake.


def nodes_with_data(tx: Transaction) -> set[str]:
    """Return the nodes and consumers of which the state knows data, declared or not."""
    rows = tx.execute(
        "select node from publication union select source from delivery union select node from"
        " quarantine union select node from profile union select node from metric"
    ).fetchall()
    return {node for (node,) in rows}


def delivered(tx: Transaction, source: str) -> list[tuple[str, str | None, str | None]]:
    """Return path, parts (JSON) and hash of all deliveries of a source, oldest first."""
    rows = tx.execute(
        "select path, parts, sha256 from delivery where source = ? order by id", (source,)
    ).fetchall()
    return [(path, parts, sha256) for path, parts, sha256 in rows]


def raw_hashes(tx: Transaction) -> set[str]:
    """Return the hashes of all stored deliveries."""
    rows = tx.execute("select distinct sha256 from delivery where sha256 is not null").fetchall()
    return {sha256 for (sha256,) in rows}


def quarantined(tx: Transaction, node: str) -> list[tuple[int, str]]:
    """Return number and path of a node's data in quarantine, decided or not."""
    rows = tx.execute(
        "select id, path from quarantine where node = ? and path is not null order by id", (node,)
    ).fetchall()
    return [(number, path) for number, path in rows]


def attempts_of(tx: Transaction, node: str) -> list[tuple[int, int]]:
    """Return all attempts of a node, as (epoch, n)."""
    rows = tx.execute("select epoch, n from attempt where node = ?", (node,)).fetchall()
    return [(epoch, n) for epoch, n in rows]


def unschedule(tx: Transaction, paths: Sequence[str]) -> None:
    """Forget files that DuckLake's maintenance would delete: they are deleted now."""
    tx.executemany(
        "delete from ducklake_files_scheduled_for_deletion where path = ?",
        [(path,) for path in paths],
    )
