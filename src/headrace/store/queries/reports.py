"""What reports on cost, causes and sources are computed from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.model.partitions import SEPARATOR
from headrace.store.queries.publications import HAS_ITS_ROWS
from headrace.store.transaction import Transaction

_UNLIKE = re.compile(
    r"first value that isn't .+?(?:: (?P<value>'.*'))?(?: at line [\d,]+)?"
    r"(?:, (?P<rows>[\d,]+) rows?)?",
    re.DOTALL,
)
"""The clause about a column whose values aren't all of the pinned type."""

# Attempts with what they staged, incidents and deliveries of a window.


class Attempted(NamedTuple):
    """An attempt that ended in a window, and the rows that it staged."""

    epoch: int
    n: int
    node: str
    state: str
    at: int
    rows: int
    """With those that wait in quarantine and were never staged, as where a schema drifted."""
    delivery_id: int | None = None
    """The first of the deliveries of its interval that brought the same, one after the other."""
    run_us: int = 0
    audit_us: int = 0
    publish_us: int = 0
    decided: str = ""
    """What became of what it held: a state of the quarantine; empty where it held nothing."""
    before: bool = False
    """Another attempt had decided about its delivery before the window."""
    bytes_in: int = 0
    """Bytes of files or inputs that it read."""
    bytes_out: int = 0


class WindowPublication(NamedTuple):
    """A publication of such an attempt."""

    epoch: int
    n: int
    partition: str
    rows: int
    identical: bool
    published_at: int
    ended_at: int | None
    bytes: int


class WindowIncident(NamedTuple):
    """An incident that was opened in a window, or is open still."""

    id: int
    kind: str
    node: str
    owner: str
    began_at: int
    opened_at: int
    restored_at: int | None
    recurrence_of: int | None


class WindowDelivery(NamedTuple):
    """A delivery; `drifted` where its schema or format differed from what was expected, unless that
    of the interval before (or of its own interval) did in the same way. Values that only a text
    column holds do so if they are half of the rows or more, or if the first of them is the same.

    `repeated`: with the content of the delivery before it, or of what was published. `undated`: it
    doesn't tell when it came, and counts as arrived when it was observed.
    """

    id: int
    partition: str
    arrived_at: int
    drifted: bool
    repeated: bool = False
    undated: bool = False


class _Measures(msgspec.Struct):
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    audit_seconds: float = 0.0
    publish_seconds: float = 0.0


def attempts(tx: Transaction, from_us: int, until_us: int) -> list[Attempted]:
    """The attempts at data (not exports) that ended in a window, in order."""
    rows = tx.execute(
        "select a.epoch, a.n, a.node, a.state, a.finished_at, a.measures, a.delivery_id, (select"
        " sum(q.rows) from quarantine q where q.epoch = a.epoch and q.n = a.n), (select"
        " min(q.state) from quarantine q where q.epoch = a.epoch and q.n = a.n), exists (select 1"
        " from attempt b where b.delivery_id = a.delivery_id and b.finished_at <= :since and"
        " b.state in ('published', 'held', 'rejected')) or exists (select 1 from delivery d join"
        " publication p on p.node = d.source and p.partition = d.partition and p.delivery_id = d.id"
        " join attempt b on b.epoch = p.epoch and b.n = p.n where d.id = a.delivery_id and"
        " b.delivery_id is null), (select e.id from delivery d join delivery e on e.id = (select"
        " c.id from delivery c where c.source = d.source and c.partition = d.partition and c.id <"
        " d.id and c.sha256 is not null order by c.id desc limit 1) where d.id = a.delivery_id and"
        " e.sha256 = d.sha256) from attempt a where a.kind <> 'export' and a.finished_at > :since"
        " and a.finished_at <= :until order by a.epoch, a.n",
        {"since": from_us, "until": until_us},
    )
    first: dict[int | None, int] = {}
    results = []
    for *row, same in rows.fetchall():
        result = _attempted(row)
        if same is not None:
            first[result.delivery_id] = first.get(same, same)
        results.append(
            result._replace(delivery_id=first.get(result.delivery_id, result.delivery_id))
        )
    return results


def _attempted(row: Sequence[Any]) -> Attempted:
    epoch, n, node, state, at, content, delivery, withheld, decided, before = row
    measures = _Measures() if content is None else msgspec.json.decode(content, type=_Measures)
    return Attempted(
        epoch,
        n,
        node,
        state,
        at,
        max(measures.rows_out, int(withheld or 0)),
        delivery,
        round(measures.seconds * 1e6),
        round(measures.audit_seconds * 1e6),
        round(measures.publish_seconds * 1e6),
        decided or "",
        bool(before),
        measures.bytes_in,
        measures.bytes_out,
    )


def publications(tx: Transaction, from_us: int, until_us: int) -> list[WindowPublication]:
    """What the attempts that ended in a window had published by its end."""
    rows = tx.execute(
        "select p.epoch, p.n, p.partition, p.rows, p.identical, p.published_at, p.ended_at, p.bytes"
        " from attempt a join publication p on p.epoch = a.epoch and p.n = a.n where a.kind <>"
        " 'export' and a.finished_at > ? and a.finished_at <= ? and p.published_at <= ? order by"
        " p.id",
        (from_us, until_us, until_us),
    )
    return [
        WindowPublication(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6], row[7])
        for row in rows
    ]


def incidents(tx: Transaction, from_us: int, until_us: int) -> list[WindowIncident]:
    """Those opened in a window, and those that were open already and still are, oldest first."""
    rows = tx.execute(
        "select id, kind, node, owner, began_at, opened_at, restored_at, resolved_at, recurrence_of"
        " from incident where opened_at <= :until and (opened_at > :since or state <> 'resolved')"
        " order by id",
        {"since": from_us, "until": until_us},
    )
    return [
        WindowIncident(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[5],
            row[7] if row[6] is None else row[6],
            row[8],
        )
        for row in rows
    ]


def deliveries(tx: Transaction, source: str, from_us: int, until_us: int) -> list[WindowDelivery]:
    """What a source delivered in a window, oldest first."""
    rows = tx.execute(
        "select d.id, d.partition, d.arrived_at, coalesce(d.fingerprint, d.sha256) = (select"
        " coalesce(e.fingerprint, e.sha256) from delivery e where e.source = d.source and"
        " e.partition = d.partition and e.id < d.id and coalesce(e.fingerprint, e.sha256) is not"
        " null order by e.id desc limit 1) or (select p.identical from"
        " publication p where p.node = d.source and p.partition = d.partition and p.delivery_id ="
        " d.id order by p.id limit 1) = 1, d.claimed_at >= d.observed_at from delivery d where"
        " d.source = ? and d.observed_at > ? and d.observed_at <= ? and d.state not in"
        " ('waiting', 'recut') order by d.id",
        (source, from_us, until_us),
    ).fetchall()
    drifts: dict[int | None, set[tuple[str, ...]]] = {}
    for id_, kind, column, to, evidence, number in tx.execute(
        "select d.delivery_id, d.kind, d.column_name, d.to_name, d.evidence, coalesce((select"
        " max(q.rows) from quarantine q where q.node = d.source and q.partition = d.partition and"
        " q.delivery_id = d.delivery_id), (select max(p.rows) from publication p where p.node ="
        " d.source and p.partition = d.partition and p.delivery_id = d.delivery_id)) from drift d"
        " where d.source = ?",
        (source,),
    ):
        named = kind in ("renamed", "dropped", "added") or to not in (None, "VARCHAR")
        became = to or "" if named else _way(evidence, number)
        drifts.setdefault(id_, set()).add((kind, column, became))
    return [
        WindowDelivery(
            id_,
            partition,
            arrived_at,
            id_ in drifts
            and not drifts[id_] <= drifts.get(_delivery_before(tx, source, partition, id_), set()),
            bool(repeated),
            bool(undated),
        )
        for id_, partition, arrived_at, repeated, undated in rows
    ]


def _way(evidence: str, rows: int | None) -> str:
    """Return what of a drift's evidence is the same for as long as the difference lasts.

    `rows` are those of the delivery. An encoding's evidence ends with the first line that shows it.
    """
    clauses = map(_UNLIKE.fullmatch, msgspec.json.decode(evidence, type=list[str]))
    unlike = next(filter(None, clauses), None)
    if unlike is None:
        return evidence.partition(" (line ")[0]
    number = int((unlike["rows"] or "0").replace(",", ""))
    most = rows is not None and 2 * number >= rows
    return "" if most else unlike["value"] or evidence


def _delivery_before(tx: Transaction, source: str, partition: str, id_: int) -> int | None:
    """Return the newest delivery of the same interval before another one, or else of the interval
    before it; both of the same key.
    """
    key = "".join(partition.partition(SEPARATOR)[1:])
    row = tx.execute(
        "select id from delivery where source = ? and (partition < ? or (partition = ? and id < ?))"
        " and state not in ('waiting', 'recut') and substr(partition, length(partition) + 1 - ?) ="
        " ? order by partition desc, id desc limit 1",
        (source, partition, partition, id_, len(key), key),
    ).fetchone()
    return None if row is None else int(row[0])


def rows_of_deliveries(
    tx: Transaction, source: str, from_us: int, until_us: int, removed: Mapping[str, int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Delivery → rows that were published of it; delivery → rows of it that quarantine holds, or
    held until they were dropped or delivered again.

    `removed` are the published rows that were removed since then, by attempt (`EPOCH.N`).
    """
    window = (source, from_us, until_us)
    published = tx.execute(
        f"select d.id, p.epoch, p.n, p.rows, case when {HAS_ITS_ROWS} then 1 else 0 end from"
        " delivery d join publication p on p.node = d.source and p.partition = d.partition and"
        " p.delivery_id = d.id where d.source = ? and d.observed_at > ? and d.observed_at <= ?"
        " order by d.id, p.id",
        window,
    ).fetchall()
    refused = tx.execute(
        "select d.id, max(q.rows) from delivery d join quarantine q on q.node = d.source and"
        " q.partition = d.partition and q.delivery_id = d.id where d.source = ? and d.observed_at >"
        " ? and d.observed_at <= ? and q.state <> 'released' and q.rows is not null"
        " group by d.id",
        window,
    )
    return _with_removed([_DeliveryRows(*row) for row in published], removed), {
        int(delivery): int(rows) for delivery, rows in refused.fetchall()
    }


class _DeliveryRows(NamedTuple):
    """A publication of a delivery."""

    delivery: int
    epoch: int
    n: int
    rows: int
    has_its_rows: int


def _with_removed(
    publications: Sequence[_DeliveryRows], removed: Mapping[str, int]
) -> dict[int, int]:
    """Return the rows of each delivery when it was published.

    Removed rows are known by attempt: publications that have none any more had equal parts.
    """
    by_attempt: dict[str, list[_DeliveryRows]] = {}
    for publication in publications:
        by_attempt.setdefault(f"{publication.epoch}.{publication.n}", []).append(publication)
    results: dict[int, int] = {}
    for attempt, items in by_attempt.items():
        lost = removed.get(attempt, 0)
        emptied = [item for item in items if not item.has_its_rows] or items
        for item in items:
            place = emptied.index(item) if item in emptied else None
            share = 0 if place is None else _share(lost, place, len(emptied))
            results[item.delivery] = max(results.get(item.delivery, 0), item.rows + share)
    return results


def _share(total: int, place: int, number: int) -> int:
    """Return one of `number` parts of a total that are as equal as whole numbers can be."""
    return total * (place + 1) // number - total * place // number


def seconds(tx: Transaction, from_us: int, until_us: int) -> list[tuple[str, float]]:
    """Node → how long the attempts took that ended in a window."""
    rows = tx.execute(
        "select node, sum(finished_at - started_at) from attempt where finished_at > ? and"
        " finished_at <= ? and started_at is not null group by node",
        (from_us, until_us),
    )
    return [(str(node), int(took) / 1e6) for node, took in rows.fetchall()]


def replacements(
    tx: Transaction, source: str, from_us: int, until_us: int
) -> list[tuple[int, int, str, int]]:
    """Deliveries published in a window that replaced what others had brought by something else.

    Each is (delivery, replaced delivery, partition, when the replaced one was published).
    """
    return tx.execute(
        "select distinct p.delivery_id, q.delivery_id, q.partition, q.published_at from publication"
        " p join publication q on q.node = p.node and q.partition = p.partition and q.id < p.id"
        " where p.node = ? and p.published_at > ? and p.published_at <= ? and p.identical = 0 and"
        " q.delivery_id <> p.delivery_id order by p.delivery_id, q.published_at, q.delivery_id",
        (source, from_us, until_us),
    ).fetchall()


# Attempt durations for sums over a sliding window: the attempts that entered it and the ones that
# left it.

_COLUMNS = "epoch, n, node, started_at, finished_at"


class Worked(NamedTuple):
    """An attempt; times are microseconds of the store's clock, `finished_at` None while it is under
    way."""

    epoch: int
    n: int
    node: str
    started_at: int | None
    finished_at: int | None

    @property
    def took_us(self) -> int:
        """From its beginning to its end; nothing for one that was never begun or isn't over."""
        return (
            0
            if self.started_at is None or self.finished_at is None
            else self.finished_at - self.started_at
        )


def newest_attempt(tx: Transaction) -> tuple[int, int]:
    """The newest attempt."""
    row = tx.execute("select epoch, n from attempt order by epoch desc, n desc limit 1").fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def attempts_under_way(tx: Transaction) -> list[Worked]:
    """Those that aren't over."""
    return [
        Worked(*row)
        for row in tx.execute(
            f"select {_COLUMNS} from attempt where state in ('queued', 'running')"
        )
    ]


def attempts_after(tx: Transaction, place: tuple[int, int]) -> list[Worked]:
    """Those after one of them."""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where epoch > ? or (epoch = ? and n > ?)",
        (place[0], *place),
    )
    return [Worked(*row) for row in rows]


def attempts_of(tx: Transaction, places: Sequence[tuple[int, int]]) -> list[Worked]:
    """Some of them."""
    result = (
        tx.execute(f"select {_COLUMNS} from attempt where epoch = ? and n = ?", place).fetchone()
        for place in places
    )
    return [Worked(*row) for row in result if row is not None]


def attempts_ended(tx: Transaction, from_us: int, until_us: int) -> list[Worked]:
    """Those that ended in a window (without its beginning)."""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where finished_at > ? and finished_at <= ?",
        (from_us, until_us),
    )
    return [Worked(*row) for row in rows]
