"""Evidence for incidents, and the position up to which it has been gathered."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from headrace.store.transaction import Transaction

_COLUMNS = "id, node, partition, incident_id, attempt, held, content, at, ended_at"

GAP = "gap"
"""Prefix of ids of evidence for an outage of Headrace: `gap:1741158003737995`."""
LAPSED = "lapsed"
"""Prefix of ids of evidence for a lapsed exception: `lapsed:12:0` for exception 12."""
ACCEPTED = "accepted"
"""Prefix of ids of evidence for an exception in force: `accepted:12:0` for exception 12."""


class StoredEvidence(msgspec.Struct, frozen=True, gc=False):
    """Stored evidence. `content` is msgpack of `incidents.diagnosis.evidence.Evidence`."""

    id: str
    node: str
    partition: str
    incident_id: int | None
    attempt: str | None
    held: bool
    content: bytes
    at: int
    ended_at: int | None = None


def keep(tx: Transaction, rows: Iterable[StoredEvidence]) -> None:
    """Insert evidence; known evidence is updated and active again."""
    tx.executemany(
        f"insert into evidence ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do"
        " update set content = excluded.content, held = excluded.held, ended_at ="
        " excluded.ended_at",
        [
            (
                row.id,
                row.node,
                row.partition,
                row.incident_id,
                row.attempt,
                int(row.held),
                row.content,
                row.at,
                row.ended_at,
            )
            for row in rows
        ],
    )


def active(tx: Transaction, limit: int) -> list[StoredEvidence]:
    """Return the newest active evidence."""
    rows = tx.execute(
        f"select {_COLUMNS} from evidence where ended_at is null order by at desc, id limit :limit",
        {"limit": limit},
    )
    return [
        StoredEvidence(
            row[0], row[1], row[2], row[3], row[4], bool(row[5]), bytes(row[6]), row[7], row[8]
        )
        for row in rows
    ]


def warned_last(tx: Transaction, number: int) -> int | None:
    """Return the last time of an incident's active warnings, or None.

    What a person accepted isn't a warning that anybody still has to see.
    """
    row = tx.execute(
        "select max(at) from evidence where incident_id = :id and held = 0 and ended_at is null and"
        " (id < :first or id >= :beyond)",
        {"id": number, "first": f"{ACCEPTED}:", "beyond": f"{ACCEPTED};"},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def grow_old(tx: Transaction, now: int, *, warned: int, changed: int, retained: int) -> None:
    """End old evidence that holds no data back, and delete old ended evidence without incident.

    `warned`, `changed` (for evidence of a new version) and `retained` are ages in microseconds.
    """
    tx.execute(
        "update evidence set ended_at = :now where ended_at is null and held = 0 and at < :warned"
        " and (at < :changed or id < 'version:' or id >= 'version;')",
        {"now": now, "warned": now - warned, "changed": now - changed},
    )
    tx.execute(
        "delete from evidence where ended_at < :before and incident_id is null",
        {"before": now - retained},
    )


def is_active(tx: Transaction, number: int) -> bool:
    """Return whether an incident has active evidence that holds data back."""
    sql = "select 1 from evidence where incident_id = ? and ended_at is null and held = 1 limit 1"
    return tx.execute(sql, (number,)).fetchone() is not None


def only_warned(tx: Transaction, number: int) -> bool:
    """Return whether an incident has evidence, none of which ever held data back."""
    row = tx.execute(
        "select count(*), coalesce(max(held), 0) from evidence where incident_id = :id",
        {"id": number},
    ).fetchone()
    return bool(row[0]) and not row[1]


def of_incident(tx: Transaction, number: int) -> dict[str, bool]:
    """Return an incident's evidence ids, with whether each is active and holds data back."""
    rows = tx.execute(
        "select id, ended_at is null and held = 1 from evidence where incident_id = :id",
        {"id": number},
    )
    return {str(row[0]): bool(row[1]) for row in rows}


def incident_held_for(tx: Transaction, node: str, partition: str, attempt: str) -> int | None:
    """Return the newest incident for which an attempt's partition was held or rejected, or None."""
    row = tx.execute(
        "select max(incident_id) from evidence where node = :node and partition = :partition and"
        " attempt = :attempt and held = 1",
        {"node": node, "partition": partition, "attempt": attempt},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def attempt_of(tx: Transaction, id_: str) -> str | None:
    """Return the attempt of a piece of evidence, or None."""
    row = tx.execute("select attempt from evidence where id = ?", (id_,)).fetchone()
    return None if row is None else row[0]


def put_down_to(tx: Transaction, ids: Iterable[str]) -> set[int]:
    """Return the incidents that evidence is attributed to."""
    rows = (
        tx.execute("select incident_id from evidence where id = ?", (item,)).fetchone()
        for item in ids
    )
    return {int(row[0]) for row in rows if row is not None and row[0] is not None}


def put_down(tx: Transaction, number: int, ids: Collection[str]) -> None:
    """Attribute evidence to an incident."""
    tx.executemany(
        "update evidence set incident_id = ? where id = ?", [(number, item) for item in ids]
    )


def end(tx: Transaction, ids: Iterable[str], now: int) -> None:
    """Mark evidence as ended."""
    tx.executemany(
        "update evidence set ended_at = ? where id = ? and ended_at is null",
        [(now, item) for item in ids],
    )


def active_at(tx: Transaction, node: str, partition: str) -> list[tuple[str, str | None, bool]]:
    """Return (id, attempt, held) of active evidence at a partition."""
    rows = tx.execute(
        "select id, attempt, held from evidence where node = :node and partition = :partition and"
        " ended_at is null",
        {"node": node, "partition": partition},
    )
    return [(row[0], row[1], bool(row[2])) for row in rows]


def contents_at(tx: Transaction, node: str, partition: str) -> list[tuple[str, bytes]]:
    """Return (id, content) of active evidence at a partition."""
    rows = tx.execute(
        "select id, content from evidence where node = :node and partition = :partition and"
        " ended_at is null",
        {"node": node, "partition": partition},
    )
    return [(str(row[0]), bytes(row[1])) for row in rows]


def all_at(tx: Transaction, node: str) -> list[tuple[str, bytes]]:
    """Return (id, content) of a node's evidence, active or ended."""
    rows = tx.execute("select id, content from evidence where node = ? order by id", (node,))
    return [(str(row[0]), bytes(row[1])) for row in rows]


def rename(tx: Transaction, id_: str, new_id: str, node: str, content: bytes) -> None:
    """Move evidence to another node, with its new id and content."""
    tx.execute(
        "update evidence set id = ?, node = ?, content = ? where id = ?",
        (new_id, node, content, id_),
    )


def contents_since(tx: Transaction, number: int, since: int) -> list[bytes]:
    """Return an incident's evidence that is active, or was seen or active since a time."""
    rows = tx.execute(
        "select content from evidence where incident_id = :id and (ended_at is null or ended_at >"
        " :since or at >= :since) order by id",
        {"id": number, "since": since},
    )
    return [bytes(row[0]) for row in rows]


def held_contents(tx: Transaction, node: str, partition: str, attempt: str) -> list[bytes]:
    """Return the evidence that held an attempt's partition back, active or ended."""
    rows = tx.execute(
        "select content from evidence where node = :node and partition = :partition and attempt ="
        " :attempt and held = 1 order by id",
        {"node": node, "partition": partition, "attempt": attempt},
    )
    return [bytes(row[0]) for row in rows]


def contents_of(tx: Transaction, kind: str) -> list[bytes]:
    """Return the evidence whose ids have a prefix, active or ended."""
    rows = tx.execute(
        "select content from evidence where id >= ? and id < ? order by id",
        (f"{kind}:", f"{kind};"),
    )
    return [bytes(row[0]) for row in rows]


def excepted_of(tx: Transaction, number: int, kind: str) -> list[tuple[str, str]]:
    """Return (node, partition) of an incident's visible exceptions, `LAPSED` or `ACCEPTED`."""
    rows = tx.execute(
        "select distinct node, partition from evidence where incident_id = :id"
        " and ended_at is null and id >= :first and id < :beyond order by node, partition",
        {"id": number, "first": f"{kind}:", "beyond": f"{kind};"},
    )
    return [(str(row[0]), str(row[1])) for row in rows]


def active_nodes(tx: Transaction) -> set[str]:
    """Return the nodes with active evidence."""
    return {
        str(row[0])
        for row in tx.execute("select distinct node from evidence where ended_at is null")
    }


def known(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Return those of the ids that are stored, active or ended."""
    return {
        item
        for item in ids
        if tx.execute("select 1 from evidence where id = ?", (item,)).fetchone() is not None
    }


def active_contents(tx: Transaction, node: str) -> list[bytes]:
    """Return the active evidence at a node."""
    return [
        content
        for (content,) in tx.execute(
            "select content from evidence where node = ? and ended_at is null", (node,)
        ).fetchall()
    ]


def active_ids(tx: Transaction, node: str) -> list[str]:
    """Return the ids of active evidence at a node."""
    return [
        str(row[0])
        for row in tx.execute(
            "select id from evidence where node = ? and ended_at is null", (node,)
        )
    ]


def active_of(tx: Transaction, kind: str) -> dict[str, tuple[str, bytes]]:
    """Return (node, content) of active evidence whose ids have a prefix, by id."""
    rows = tx.execute(
        "select id, node, content from evidence where ended_at is null and id >= :first and id <"
        " :beyond",
        {"first": f"{kind}:", "beyond": f"{kind};"},
    )
    return {str(row[0]): (str(row[1]), bytes(row[2])) for row in rows}


def cursors(tx: Transaction) -> tuple[int, str] | None:
    """Return when evidence was last gathered, and up to which position; None before that."""
    row = tx.execute("select at, content from judged where id = 1").fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def set_cursors(tx: Transaction, at: int, content: str) -> None:
    """Store the position up to which evidence has been gathered."""
    tx.execute(
        "insert into judged (id, at, content) values (1, :at, :content)"
        " on conflict (id) do update set at = excluded.at, content = excluded.content",
        {"at": at, "content": content},
    )
