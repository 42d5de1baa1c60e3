"""Changes of deliveries that were read all the same: in another format, under other names."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.store.database import Transaction

TAKEN_MAX = 5_000


class Mapped(msgspec.Struct, frozen=True, gc=False):
    """One change that policy let through. `why` is a clause for people; times are microseconds."""

    id: int
    source: str
    partition: str
    attempt: str
    kind: str
    column: str
    to: str | None
    why: str
    at: int
    arrived_at: int | None


def mapped(tx: Transaction, after: int) -> tuple[list[Mapped], int]:
    """The changes after a number that were mapped for the first time, and the number of the newest change."""
    rows = tx.execute(
        "select d.id, d.source, d.partition, d.epoch, d.n, d.kind, d.column_name, d.to_name, d.evidence, d.at, v.arrived_at, d.score"
        " from drift d left join delivery v on v.id = d.delivery_id where d.id > ? and d.policy = 'map'"
        " and d.kind in ('format', 'renamed') order by d.id limit ?",
        (after, TAKEN_MAX),
    ).fetchall()
    newest = int(tx.execute("select coalesce(max(id), 0) from drift").fetchone()[0])
    upto = rows[-1][0] if len(rows) == TAKEN_MAX else newest
    return [_mapped(row) for row in rows if _is_new(tx, row)], max(upto, after)


def _is_new(tx: Transaction, row: tuple[Any, ...]) -> bool:
    """Whether the delivery before didn't come so already, and nobody has agreed to it: names that are
    agreed on are certain, and what held the same delivery before was let through by somebody."""
    if row[5] == "renamed" and row[11] is not None and float(row[11]) >= 1:
        return False
    if _held_before(tx, row[0]):
        return False
    before = tx.execute(
        "select max(id) from drift where source = ? and id < ? and (epoch, n) <> (?, ?) and kind = ? and column_name = ?"
        " and coalesce(to_name, '') = coalesce(?, '') and policy in ('map', 'allow')",
        (row[1], row[0], row[3], row[4], row[5], row[6], row[7]),
    ).fetchone()[0]
    if before is None:
        return True
    since = tx.execute(
        "select count(distinct partition) from delivery where source = ? and id > (select coalesce(max(delivery_id), 0)"
        " from drift where id = ?)",
        (row[1], before),
    ).fetchone()[0]
    return int(since) > 1


def _held_before(tx: Transaction, drift: int) -> bool:
    """Whether the values or the format of the same column held the same delivery, when it was read
    before."""
    row = tx.execute(
        "select 1 from drift d join drift b on b.source = d.source and b.partition = d.partition"
        " and b.delivery_id = d.delivery_id and b.column_name = d.column_name and b.id < d.id"
        " where d.id = ? and b.policy = 'block' and b.kind in ('type', 'format', 'nested') limit 1",
        (drift,),
    ).fetchone()
    return row is not None


def _mapped(row: tuple[Any, ...]) -> Mapped:
    why = "; ".join(msgspec.json.decode(row[8], type=tuple[str, ...]))
    return Mapped(row[0], row[1], row[2], f"{row[3]}.{row[4]}", row[5], row[6], row[7], why, row[9], row[10])
