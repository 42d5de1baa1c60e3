"""Publications that took the place of others with other content: the past, as readers see it, changed."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """One publication in the place of another. `version` is what was applied when it was made, `version_before` when that one was;
    `at` is microseconds of the store's clock."""

    node: str
    partition: str
    rows_before: int
    rows: int
    at: int
    version_before: int
    version: int
    id: int
    corrects: bool
    """Whether what it replaced was an exception, or an incident says that it was wrong: nobody
    takes that for sound."""
    hash_before: str | None = None
    hash: str | None = None
    """Of the rows that were replaced, and of those in their place; None where it isn't known."""
    reread: bool = False
    """Whether both are of the same delivery, which was ingested again."""


def replaced(tx: Transaction, since_us: int, limit: int) -> list[Replaced]:
    """Those since a time, oldest first; the newest, where there are more. What was taken back and published again isn't one."""
    rows = tx.execute(
        "select q.node, q.partition, q.rows, p.rows, p.published_at, q.version, p.version, p.id,"
        " exists (select 1 from accepted a where a.publication_id = q.id)"
        " or exists (select 1 from unsound u where u.publication_id = q.id), q.content_hash, p.content_hash,"
        " case when p.delivery_id = q.delivery_id then 1 else 0 end from publication q"
        " join publication p on p.node = q.node and p.partition = q.partition and p.published_at = q.ended_at and p.id > q.id"
        " where q.ended_at >= ? and q.partition <> '*' and p.identical = 0 order by p.id + 0 desc limit ?",  # not by the key: from all
        (since_us, limit),
    ).fetchall()
    return [Replaced(*row) for row in reversed(rows)]


def proposed(tx: Transaction, limit: int) -> list[tuple[str, str]]:
    """(node, partition) of what is stale and is made again only if somebody asks."""
    rows = tx.execute(
        "select node, partition from partition where stale <> 0 and proposed <> 0 order by node || '', partition limit ?",  # not by the key
        (limit,),
    ).fetchall()
    return [(node, key) for node, key in rows]
