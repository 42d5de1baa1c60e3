"""What arrives at sources: observations, waiting deliveries and pinned schemas.

Only the leader writes here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries import changes
from headrace.store.transaction import Transaction

OBSERVATIONS_KEPT = 50
TURNS_KEPT = 2_000
"""Of older looks so many are kept that came out otherwise than the one before."""
OBSERVATIONS_MAX = OBSERVATIONS_KEPT + TURNS_KEPT
"""So many looks of a source are kept: where there are as many, older ones may be forgotten."""
THROTTLED = ("source_throttled", "throttled_too_long")
"""Codes of looks that a server answered with a wish for a pause."""
_LEAVES = "select at, error, code, place from look where source = :source order by at desc limit 2 offset :kept"
"""The newest look that isn't one of the last any more, and the one before it."""
_ITS_WORKER = "its worker "
_BY_ITSELF = (f"{_ITS_WORKER}was ended by ", f"{_ITS_WORKER}exited with code ")
"""What the reason of a lost attempt begins with where its worker died over it."""


class DeliveryRecord(msgspec.Struct, frozen=True, gc=False):
    """A delivery that a look found."""

    source: str
    partition: str
    path: str
    size_bytes: int
    modified_us: int
    claimed_at: int
    observed_at: int
    arrived_at: int
    version: str = ""
    parts: str | None = None
    bundle: str = ""
    received: str | None = None


def known_files(tx: Transaction, source: str, after: int = 0) -> tuple[dict[str, tuple[int, int]], int]:
    """Path -> (size, modification time) of the newest delivery under each path, since the source is cut as it is, of those that
    came after one; and which the newest is."""
    rows = tx.execute(
        "select path, size_bytes, modified_us, id from delivery where source = ? and id > ? and state <> 'recut' order by id",
        (source, after),
    ).fetchall()
    return {path: (size, modified) for path, size, modified, _ in rows}, rows[-1][3] if rows else after


def record_deliveries(tx: Transaction, rows: Sequence[DeliveryRecord]) -> None:
    """New deliveries wait to be ingested; those of the same interval that still waited are superseded."""
    tx.executemany(
        "update delivery set state = 'superseded' where source = ? and partition = ? and state = 'waiting'",
        [(r.source, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at, observed_at, arrived_at, version, parts,"
        " bundle, received, state) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
        [
            (r.source, r.partition, r.path, r.size_bytes, r.modified_us, r.claimed_at, r.observed_at, r.arrived_at, r.version, r.parts,
             r.bundle, r.received)
            for r in rows
        ],
    )  # fmt: skip


def known_versions(tx: Transaction, source: str) -> dict[str, tuple[str, str, int]]:
    """Interval -> path, version and time of observation of its newest delivery; `*` is the newest of all."""
    rows = tx.execute(
        "select partition, path, version, observed_at from delivery where source = ? and state <> 'recut' order by id", (source,)
    ).fetchall()
    results = {partition: (path, version, at) for partition, path, version, at in rows}
    if rows:
        results["*"] = rows[-1][1:]
    return results


def given_up(tx: Transaction, source: str, *, failed_by: int, rejected_by: int) -> list[str]:
    """Intervals whose newest delivery failed, or was rejected and can't say whether it has changed, and was seen by then."""
    rows = tx.execute(
        "select d.partition from delivery d where d.source = :source and d.state in ('failed', 'rejected')"
        " and ((d.state = 'failed' and d.observed_at <= :failed)"
        " or (d.state = 'rejected' and d.version = '' and d.observed_at <= :rejected))"
        " and not exists (select 1 from delivery n where n.source = d.source and n.partition = d.partition and n.id > d.id)",
        {"source": source, "failed": failed_by, "rejected": rejected_by},
    ).fetchall()
    return [partition for (partition,) in rows]


def oldest_delivery(tx: Transaction, source: str) -> str | None:
    """The oldest interval that was ever delivered."""
    oldest: str | None = tx.execute("select min(partition) from delivery where source = ? and state <> 'recut'", (source,)).fetchone()[0]
    return oldest


def next_delivery_key(tx: Transaction, source: str) -> str:
    """The partition of a source's next delivery, where each delivery is one."""
    row = tx.execute("select max(partition) from delivery where source = ? and state <> 'recut'", (source,)).fetchone()
    return f"{int(row[0] or 0) + 1:012}"


def record_observation(
    tx: Transaction,
    source: str,
    at: int,
    result: int,
    error: str | None,
    code: str | None = None,
    place: str = "",
) -> None:
    """Somebody looked: `at` is when that began. Of looks before the last LOOKS_KEPT only those are kept
    where a source began to fail or to ask for a pause, could be read again, or was looked for in another
    `place` (`model.connectors.origin_of`): for as long as somebody asks why an interval was late."""
    tx.execute(
        "insert into look (source, at, found, error, code, place) values (?, ?, ?, ?, ?, ?)"
        " on conflict (source, at) do update set found = excluded.found, error = excluded.error,"
        " code = excluded.code, place = excluded.place",
        (source, at, result, error, code, place),
    )
    leaves = tx.execute(_LEAVES, {"source": source, "kept": OBSERVATIONS_KEPT}).fetchall()
    if len(leaves) > 1 and _turn(*leaves[0][1:]) == _turn(*leaves[1][1:]):
        tx.execute("delete from look where source = ? and at = ?", (source, leaves[0][0]))
    tx.execute(
        "delete from look where source = :source"
        " and at <= (select at from look where source = :source order by at desc limit 1 offset :kept)",
        {"source": source, "kept": OBSERVATIONS_MAX},
    )


def observation_outcome(error: str | None, code: str | None) -> str:
    """What a look came to: `read`, `throttled` or `failed`."""
    return "read" if error is None else "throttled" if code in THROTTLED else "failed"


def _turn(error: str | None, code: str | None, place: str) -> tuple[str, str]:
    return observation_outcome(error, code), place


def last_observation(tx: Transaction, source: str, place: str) -> int | None:
    """When somebody last looked at a source in a place: looks before places were kept count as well."""
    sql = "select max(at) from look where source = ? and place in (?, '')"
    result: int | None = tx.execute(sql, (source, place)).fetchone()[0]
    return result


def last_place(tx: Transaction, source: str) -> str:
    """Where a source was looked for last (`model.connectors.origin_of`); empty where that isn't known."""
    row = tx.execute("select place from look where source = ? order by at desc limit 1", (source,)).fetchone()
    return "" if row is None else str(row[0])


def last_place_read(tx: Transaction, source: str) -> str:
    """Where a source was looked for when it could last be read; empty where it never could, or that
    isn't known."""
    sql = "select place from look where source = ? and error is null order by at desc limit 1"
    row = tx.execute(sql, (source,)).fetchone()
    return "" if row is None else str(row[0])


def waiting_deliveries(tx: Transaction) -> list[tuple[str, str, str]]:
    """(source, partition, bundle) of what arrived and wasn't ingested."""
    rows = tx.execute("select source, partition, bundle from delivery where state = 'waiting' order by id").fetchall()
    return [(source, partition, bundle) for source, partition, bundle in rows]


def waiting_since(tx: Transaction, source: str, partition: str) -> int | None:
    """When what arrived for a partition of a source, and wasn't ingested, was seen; None if nothing waits."""
    sql = "select min(observed_at) from delivery where source = ? and partition = ? and state = 'waiting'"
    result: int | None = tx.execute(sql, (source, partition)).fetchone()[0]
    return result


def bundled(tx: Transaction, source: str, bundle: str, keys: Sequence[str]) -> dict[str, int]:
    """Partition → id of its newest delivery, of those that came in one file and are ingested together."""
    rows = tx.execute("select partition, id from delivery where source = ? and bundle = ? order by id", (source, bundle)).fetchall()
    wanted = set(keys)
    return {partition: number for partition, number in rows if partition in wanted}


def newest_bundles(tx: Transaction, source: str) -> dict[str, str]:
    """Partition → the file that its newest delivery came in together with others; without those that came alone."""
    rows = tx.execute("select partition, bundle from delivery where source = ? order by id", (source,)).fetchall()
    newest: dict[str, str] = dict(rows)
    return {partition: bundle for partition, bundle in newest.items() if bundle}


def replaced_in(tx: Transaction, source: str, bundle: str) -> list[str]:
    """The partitions that came in a file together with others, and in a newer file since."""
    newest = "select max(id) from delivery newer where newer.source = d.source and newer.partition = d.partition"
    rows = tx.execute(
        "select distinct d.partition from delivery d where d.source = :source and d.bundle = :bundle"
        f" and exists (select 1 from delivery n where n.id = ({newest}) and n.bundle <> d.bundle) order by d.partition",
        {"source": source, "bundle": bundle},
    )
    return [key for (key,) in rows]


class RecordedDelivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery as it was recorded. `parts` is JSON, where it consists of several files."""

    id: int
    partition: str
    path: str
    size_bytes: int
    modified_us: int
    version: str
    parts: str | None
    bundle: str
    sha256: str | None
    """Of one that was ingested before."""


_DELIVERED = "id, partition, path, size_bytes, modified_us, version, parts, bundle, sha256"


def newest_delivery(tx: Transaction, source: str, partition: str) -> RecordedDelivery | None:
    """The newest delivery of an interval."""
    row = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and partition = ? order by id desc limit 1", (source, partition)
    ).fetchone()
    return RecordedDelivery(*row) if row else None


def other_waiting(tx: Transaction, source: str, besides: int, limit: int) -> list[RecordedDelivery]:
    """Other deliveries that wait, spread over all that do."""
    rows = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and state = 'waiting' and id <> ? order by id", (source, besides)
    ).fetchall()
    step = max(1, len(rows) // limit)
    return [RecordedDelivery(*row) for row in rows[::step][:limit]]


def worker_deaths(tx: Transaction, delivery: int) -> list[str]:
    """How workers ended by themselves while they were at a delivery, oldest first, since it last came to anything else. What ended
    them on purpose (a time-out, a person, the executor's end) isn't told."""
    rows = tx.execute(
        "select epoch, n, reason from attempt where delivery_id = ? and state = 'lost' order by epoch, n", (delivery,)
    ).fetchall()
    if not rows:
        return []
    last = tx.execute(
        "select epoch, n from attempt where delivery_id = ? and state not in ('lost', 'queued', 'running', 'cancelled', 'skipped')"
        " order by epoch desc, n desc limit 1",
        (delivery,),
    ).fetchone()
    return [
        reason.removeprefix(_ITS_WORKER)
        for epoch, n, reason in rows
        if reason.startswith(_BY_ITSELF) and (last is None or (epoch, n) > tuple(last))
    ]


class LastEnded(NamedTuple):
    """The newest attempt at a delivery that came to something."""

    state: str
    reason: str
    error: dict[str, Any]


def last_ended(tx: Transaction, delivery: int) -> LastEnded | None:
    """What the newest attempt at a delivery came to; None where none has come to anything."""
    return next(iter(_newest_ended(tx, delivery, 1)), None)


def failures_in_a_row(tx: Transaction, delivery: int, code: str) -> int:
    """How many of the newest attempts at a delivery (at most 10) failed with an error of this code."""
    newest = _newest_ended(tx, delivery, 10)
    failed = (item.state == "failed" and item.error.get("code") == code for item in newest)
    return sum(itertools.takewhile(bool, failed))


def _newest_ended(tx: Transaction, delivery: int, limit: int) -> list[LastEnded]:
    rows = tx.execute(
        "select state, coalesce(reason, ''), error from attempt where delivery_id = ?"
        " and state not in ('queued', 'running', 'cancelled', 'skipped')"
        " order by epoch desc, n desc limit ?",
        (delivery, limit),
    )
    return [LastEnded(state, reason, msgspec.json.decode(error) if error else {}) for state, reason, error in rows]


def sizes_read(tx: Transaction, source: str, besides: int) -> tuple[int, int]:
    """How many other deliveries of a source could be read, and the bytes of the largest."""
    sql = (
        "select count(*), coalesce(max(size_bytes), 0) from delivery where source = ? and id <> ?"
        " and state in ('published', 'held') and size_bytes >= 0"
    )
    count, largest = tx.execute(sql, (source, besides)).fetchone()
    return count, largest


def as_large_elsewhere(tx: Transaction, source: str, path: str, size_bytes: int) -> bool:
    """Whether another file of a source, which waits or failed, is as large."""
    sql = "select 1 from delivery where source = ? and path <> ? and state in ('waiting', 'failed') and size_bytes >= ? limit 1"
    return tx.execute(sql, (source, path, size_bytes)).fetchone() is not None


def settle_deliveries(tx: Transaction, rows: Iterable[tuple[str, str | None, str | None, str | None, int, int]]) -> None:
    """What became of deliveries: (state, reason, sha256, fingerprint, bytes, id); the bytes count where the look couldn't tell them."""
    tx.executemany(
        "update delivery set state = ?, reason = ?, sha256 = coalesce(?, sha256), fingerprint = coalesce(?, fingerprint),"
        " size_bytes = case when size_bytes < 0 then ? else size_bytes end where id = ?",
        rows,
    )


def pinned_schema(tx: Transaction, source: str) -> str | None:
    """The schema that a source is held to, as JSON."""
    row = tx.execute("select schema from source_schema where source = ?", (source,)).fetchone()
    return row[0] if row else None


def pin_schema(tx: Transaction, source: str, schema: str, now: int) -> None:
    """Hold a source to a schema from now on."""
    tx.execute(
        "insert into source_schema (source, schema, pinned_at) values (?, ?, ?)"
        " on conflict (source) do update set schema = excluded.schema, pinned_at = excluded.pinned_at",
        (source, schema, now),
    )


def unpin(tx: Transaction, sources: Iterable[str]) -> None:
    """What these sources are held to is read anew from the contract, or learnt from the next delivery."""
    tx.executemany("delete from source_schema where source = ?", [(s,) for s in sources])


# Sources whose newest observation failed, and since when.

FAILURES_MAX = OBSERVATIONS_KEPT + 1
"""How many looks in a row are counted. The first of those with one outcome is among them: of older looks only such are kept."""


class Failing(msgspec.Struct, frozen=True, gc=False):
    """A source whose newest look failed. `since` is the first of those in a row that failed, or that a server answered with a wish for a
    pause; `gap` is how long before the newest look the one before it was; microseconds."""

    source: str
    at: int
    error: str
    code: str | None
    since: int
    times: int
    gap: int | None


def failing_sources(tx: Transaction) -> list[Failing]:
    """The sources whose newest look failed."""
    rows = tx.execute("select source, max(at) from look where error is not null group by source").fetchall()
    return [result for source, _ in rows if (result := failing_source(tx, source)) is not None]


def failing_source(tx: Transaction, source: str) -> Failing | None:
    """One source whose newest look failed; None where it didn't."""
    observations = tx.execute(
        "select at, error, code from look where source = :source order by at desc limit :limit", {"source": source, "limit": FAILURES_MAX}
    ).fetchall()
    failed = []
    for at, error, code in observations:
        if error is None or observation_outcome(error, code) != observation_outcome(*observations[0][1:]):
            break
        failed.append((at, error, code))
    if not failed:
        return None
    gap = observations[0][0] - observations[1][0] if len(observations) > 1 else None
    return Failing(source, observations[0][0], str(observations[0][1]), observations[0][2], failed[-1][0], len(failed), gap)


# Sources whose servers asked for a pause, and how many of their intervals are loaded.


def throttled_sources(tx: Transaction, now: int) -> list[tuple[str, int]]:
    """(source, since when) of the sources of which a partition waits for a server's pause to end."""
    rows = tx.execute(
        "select node, min(partition), min(since) from partition"
        " where state = 'waiting' and failures = 0 and not_before > ? group by node order by node",
        (now,),
    ).fetchall()
    return [(node, since) for node, key, since in rows if _end_reason(tx, node, key) == "throttled"]


def loaded_intervals(tx: Transaction, source: str) -> tuple[int, int, str | None]:
    """How many of a source's intervals are published, how many are known, and the oldest of them."""
    row = tx.execute(
        "select count(case when publication_id is not null then 1 end), count(*), min(partition) from partition where node = ?",
        (source,),
    ).fetchone()
    return row[0], row[1], row[2]


def _end_reason(tx: Transaction, node: str, key: str) -> str:
    """Why the newest attempt at a partition ended."""
    ended = changes.newest_ended(tx, node, key)
    return "" if ended is None or not ended.error else str(msgspec.json.decode(ended.error).get("kind", ""))
