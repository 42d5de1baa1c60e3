"""Evidence of attempts: anomalies of their results, failures, lost workers, slow runs.

Most evidence of an attempt ends with the partition's next attempt that doesn't show it.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from headrace.incidents.diagnosis.evidence import ENVIRONMENT, Evidence, Family, needed, says_disk
from headrace.incidents.evidence.records import Gathered
from headrace.model.causes import DATA_CAUSES, CauseKind
from headrace.store.queries import (
    attempts,
    changes,
    deliveries,
    failures,
    incidents,
    partition_states,
    publications,
)
from headrace.store.queries import evidence as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.changes import ChangedPartition, FactNews
from headrace.store.queries.failures import Working
from headrace.store.transaction import Transaction

# Attempts that succeeded nevertheless or still run: lost workers, too little memory, runs far
# longer than usual.

SLOW_LEAST_SECONDS = 5.0
SLOW_TIMES = 5.0
SLOW_RUNS = 10
WORK_NATS = 8.0
WORKERS = "workers"
"""The shared host of attempts that lost their workers."""
_FAMILIES = {"lost": Family.LOST, "resources": Family.RESOURCES}


def gather_lost_and_slow(
    tx: Transaction, result: Gathered, after: tuple[int, int], now: int
) -> tuple[int, int]:
    """Gather lost, resource-starved and slow attempts after a number; return the new number."""
    seen = [
        *_lost_workers(tx, after),
        *((evidence, None) for evidence in _slow_runs(tx, after, now)),
    ]
    known = stored.known(tx, (evidence.id for evidence, _ in seen))
    for evidence, attempt in seen:
        if evidence.id not in known and evidence.id not in result.seen:
            result.add(
                evidence,
                attempt,
                over=now if attempt is not None and _is_over(tx, evidence) else None,
            )
    return failures.ended_up_to(tx)


def _is_over(tx: Transaction, evidence: Evidence) -> bool:
    """Return whether another attempt has published the partition since."""
    partition = partition_states.get(tx, evidence.node, evidence.partition or "*")
    return partition is None or partition.state == "published"


def _lost_workers(tx: Transaction, after: tuple[int, int]) -> Iterator[tuple[Evidence, str]]:
    for item in failures.lost_or_short(tx, after):
        error = msgspec.json.decode(item.error) if item.error else {}
        family = _FAMILIES["lost" if item.state == "lost" else "resources"]
        for key in item.partitions:
            partition = "" if key == "*" else key
            evidence = Evidence(
                id=f"attempt:{item.attempt}@{partition}",
                node=item.node,
                partition=partition,
                family=family,
                observed=str(error.get("message") or item.reason),
                strength=WORK_NATS,
                at_us=item.finished_at or item.started_at,
                began_us=item.started_at,
                error_kind="lost_worker" if item.state == "lost" else "resources",
                host=WORKERS if item.state == "lost" else "",
            )
            yield evidence, item.attempt


def _slow_runs(tx: Transaction, after: tuple[int, int], now: int) -> Iterator[Evidence]:
    """Yield attempts that take, or took, far longer than those before them."""
    for item in failures.long_running(tx, after, int(SLOW_LEAST_SECONDS * 1_000_000), now):
        # Time that other processes on the machine took isn't the asset's.
        waited = item.processor_wait_seconds
        seconds = ((item.finished_at or now) - item.started_at) / 1_000_000 - waited
        usual = _usual_duration(tx, item)
        if usual is None or seconds <= max(SLOW_LEAST_SECONDS, SLOW_TIMES * usual):
            continue
        if seconds <= SLOW_TIMES * usual * _times_as_much(tx, item):
            continue
        key = item.partitions[0]
        beside = (
            f", and {waited:.1f} s more in which it waited for a processor" if waited >= 0.1 else ""
        )
        beside += _rows_read(tx, item)
        yield Evidence(
            id=f"slow:{item.attempt}",
            node=item.node,
            partition="" if key == "*" else key,
            family=Family.DURATION,
            kind=CauseKind.SLOW_RUN.value,
            expected=f"up to {usual:.1f} s",
            observed=f"{seconds:.1f} s{beside}",
            strength=WORK_NATS,
            held=False,
            at_us=item.finished_at or now,
            began_us=item.started_at,
        )


def _rows_read(tx: Transaction, item: Working) -> str:
    """Return the rows that an attempt read, compared with the median; empty if unknown."""
    known = failures.inputs_of_node(tx, item.node)
    if item.took_in is None or not item.took_in.rows or not known:
        return ""
    return (
        f"; it read {item.took_in.rows:,} rows, usually"
        f" {statistics.median(each.rows for each in known):,.0f}"
    )


def _times_as_much(tx: Transaction, item: Working) -> float:
    """Return the factor of an attempt's input compared with the median, at least 1.

    It counts partitions, rows or bytes. An attempt that still runs has reported only its
    partitions.
    """
    known = failures.inputs_of_node(tx, item.node)
    if not known:
        return 1.0
    totals = item.took_in or failures.InputTotals(len(item.partitions), 0, 0)
    pairs = (
        (totals.partitions, [each.partitions for each in known]),
        (totals.rows, [each.rows for each in known]),
        (totals.bytes, [each.bytes for each in known]),
    )
    return max(1.0, *(much / max(statistics.median(usual), 1.0) for much, usual in pairs))


def _usual_duration(tx: Transaction, item: Working) -> float | None:
    """Return the p95 duration of the other attempts in seconds; None if too few are known."""
    took = sorted(
        seconds
        for attempt, seconds in failures.seconds_of_node(tx, item.node)
        if attempt != item.attempt
    )
    return took[max(0, -(-len(took) * 95 // 100) - 1)] if len(took) >= SLOW_RUNS else None


# What a new delivery of an interval changed, parsed from the text of its restatement.

COLUMNS_TOLD_MAX = 5
"""If a restatement names 5 columns, others may have changed as well."""
ALIKE = 2.0
"""Two intervals changed alike if no share of one is more than 2 times that of the other."""
_COUNT = re.compile(r"[\d,]+")


class RestatedShares(NamedTuple):
    """Shares of an interval's rows that a restatement changed.

    `rows`: added, removed and changed rows, by these words. `columns`: rows with another value, by
    column.
    """

    rows: Mapping[str, float]
    columns: Mapping[str, float]

    def leaves(self, column: str) -> bool:
        """Return whether a column is known to have the same values as before."""
        return 0 < len(self.columns) < COLUMNS_TOLD_MAX and column not in self.columns

    def is_like(self, other: RestatedShares) -> bool:
        """Return whether another interval has the same changes, in about as many rows."""
        return _alike_shares(self.rows, other.rows) and _alike_shares(self.columns, other.columns)


def restated_shares(fact: FactNews) -> RestatedShares:
    """Return the shares from a restatement's text.

    For example `62 rows changed; amount: 62 rows, 60 values became 59`.
    """
    total = max(_count(fact.expected), _count(fact.observed), 1)
    first, *clauses = fact.detail.split("; ")
    rows = {part.rpartition(" ")[2]: _count(part) / total for part in first.split(", ")}
    columns = {}
    for clause in clauses:
        name, _, text = clause.partition(": ")
        columns[name] = _count(text) / total
    return RestatedShares(rows, columns)


def _count(text: str) -> int:
    """Return the number at the start of a text; 0 if there is none."""
    match = _COUNT.match(text)
    return int(match[0].replace(",", "") or 0) if match else 0


def _alike_shares(item: Mapping[str, float], other: Mapping[str, float]) -> bool:
    if item.keys() != other.keys():
        return False
    return all(
        max(item[name], other[name]) <= ALIKE * min(item[name], other[name]) for name in item
    )


# Held deliveries that are history: the source's first observation found them, with at least 14
# intervals. Promises begin when they are applied, so nothing about such intervals is urgent, and
# they are reported as one list.

HISTORY_INTERVALS_MIN = 14
"""A first observation of at least this many intervals is a history that is loaded at once."""


class ObservationHistory:
    """The first observations of sources, each read at most once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._first: dict[str, tuple[int, int] | None] = {}

    def intervals(self, source: str, observed_at: int | None) -> int:
        """Return the number of intervals that the source's first observation found.

        0 if `observed_at` (microseconds) isn't that observation, or if it found too few.
        """
        if observed_at is None:
            return 0
        if source not in self._first:
            self._first[source] = deliveries.first_observation(self._tx, source)
        first = self._first[source]
        if first is None or first[0] != observed_at or first[1] < HISTORY_INTERVALS_MIN:
            return 0
        return first[1]


BACKFILLS = "backfills"
"""Prefix of the ids of evidence about a backfill's attempts."""
NEWS_MAX = 20_000
"""At most this many partitions and facts per evaluation; the next one continues."""
FULL_TIMES = 2
"""This many attempts in a row without space are an incident; one may be a short shortage."""
EXACT_NATS = 12.0
HOLD_NATS = 4.0
FAMILIES = {
    CauseKind.SCHEMA_CHANGE: Family.SCHEMA,
    CauseKind.TYPE_CHANGE: Family.TYPE,
    CauseKind.CONFIGURATION_ERROR: Family.TYPE,
    CauseKind.FORMAT_CHANGE: Family.FORMAT,
    CauseKind.POISON_DELIVERY: Family.FORMAT,
    CauseKind.STALE_DATA: Family.STALE,
    CauseKind.RESTATEMENT: Family.RESTATED,
    CauseKind.DUPLICATE_ROWS: Family.DUPLICATES,
    CauseKind.VOLUME_ANOMALY: Family.VOLUME,
    CauseKind.NULL_SPIKE: Family.NULLS,
    CauseKind.DISTRIBUTION_SHIFT: Family.DISTRIBUTION,
    CauseKind.REFERENCE_BROKEN: Family.REFERENCE,
}
READABLE = ("published", "waived", "withdrawn")
"""States from which nothing starts, and which may end evidence of the partition."""
_WRONG = {kind.value for kind in DATA_CAUSES} - {CauseKind.RESTATEMENT.value}
SAME_ROWS = "the same rows, written otherwise"
_CHECK = "check "
_SAID = "report:"


HostOf: TypeAlias = Callable[[str], str]
"""The server, connection or folder from which a node is read; empty for all but sources."""


def gather(
    tx: Transaction, host_of: HostOf, result: Gathered, after_fact: int, after_revision: int
) -> tuple[int, int]:
    """Gather facts and partitions after these numbers; return the new numbers."""
    history = ObservationHistory(tx)
    facts = changes.facts_after(tx, after_fact, NEWS_MAX)
    for fact in facts:
        _add_fact(tx, result, fact, history)
    changed = changes.changed_partitions(tx, after_revision, NEWS_MAX)
    concerned = stored.active_nodes(tx) | result.touched if changed else set()
    for partition in changed:
        if partition.state not in READABLE or partition.node in concerned:
            _of_partition(tx, host_of, result, partition, history)
    return (facts[-1].id if facts else after_fact), (
        changed[-1].revision if changed else after_revision
    )


def _add_fact(
    tx: Transaction, result: Gathered, fact: FactNews, history: ObservationHistory
) -> None:
    """Add the evidence of a fact, or the earlier warnings that it confirms.

    A restatement that only corrects what is known adds nothing.
    """
    cured = _cured(tx, fact)
    for was in cured:
        known = msgspec.structs.replace(
            _of_fact(tx, was, history), held=False, repeated=False, corrected=True
        )
        result.add(known, was.attempt, over=fact.at)
    if not cured and not _echoes(tx, fact):
        result.add(_of_fact(tx, fact, history), fact.attempt)


def _cured(tx: Transaction, fact: FactNews) -> list[FactNews]:
    """Return the earlier warnings that a corrected delivery confirms.

    Then the cause is what was wrong before, not a restatement, unless an incident says so already.
    """
    if (
        fact.kind != CauseKind.RESTATEMENT
        or incidents.open_kinds_at(tx, fact.node, _partition(fact.partition), fact.attempt) & _WRONG
    ):
        return []
    fact_news = [item for item in changes.cured(tx, fact) if item.kind in _WRONG]
    return [item for item in fact_news if _shown_by(fact, item) or _taken_back(tx, fact, item)]


def _shown_by(fact: FactNews, fact_news: FactNews) -> bool:
    """Return whether a fact comes from comparing both versions, not from an earlier warning."""
    return fact_news.observed_at is not None and fact_news.observed_at == fact.observed_at


def _taken_back(tx: Transaction, fact: FactNews, warning: FactNews) -> bool:
    """Return whether a corrected delivery reverts what a warning is about.

    It doesn't if it leaves the column unchanged: then only the column's baseline has changed. It
    doesn't either if it changes another interval without that warning in the same way: then it
    restates all of them.
    """
    change = restated_shares(fact)
    if warning.column and change.leaves(warning.column):
        return False
    for other in changes.restated_with(tx, fact):
        warned = {(fact_news.kind, fact_news.column) for fact_news in changes.cured(tx, other)}
        if (warning.kind, warning.column) not in warned and restated_shares(other).is_like(change):
            return False
    return True


def _echoes(tx: Transaction, fact: FactNews) -> bool:
    """Return whether a restatement is a correction, or the same rows written differently.

    A correction fixes what an incident names about an earlier delivery. An anomaly of the restating
    delivery itself (its format, its size, accepted by somebody) doesn't make it a correction.
    """
    if fact.kind != CauseKind.RESTATEMENT:
        return False
    key = _partition(fact.partition)
    same = SAME_ROWS in (fact.observed, fact.detail, fact.expected)
    corrects = bool(incidents.open_kinds_at(tx, fact.node, key, fact.attempt) & _WRONG)
    return corrects or same


def _of_fact(tx: Transaction, fact: FactNews, history: ObservationHistory) -> Evidence:
    held = fact.severity == "hold"
    check = fact.detail.removeprefix(_CHECK) if fact.detail.startswith(_CHECK) else None
    family = Family.CHECK if check is not None else FAMILIES.get(CauseKind(fact.kind), Family.CHECK)
    return Evidence(
        id=f"fact:{fact.id}",
        node=fact.node,
        partition=_partition(fact.partition),
        family=family,
        kind=fact.kind,
        column=fact.column,
        expected=fact.expected,
        observed=fact.observed,
        strength=fact.strength,
        held=held,
        at_us=fact.at,
        began_us=fact.arrived_at,
        detail=fact.detail if check is None else check,
        history=history.intervals(fact.node, fact.observed_at) if held else 0,
        repeated=not held and _repeats(tx, fact),
        let_through=bool(fact.let_through),
        alike_since_us=None if held or check is None else changes.alike_since(tx, fact, check),
    )


def _repeats(tx: Transaction, fact: FactNews) -> bool:
    """Return whether readers already had what a warning is about, without an open incident.

    An open incident continues with the same rows.
    """
    open_there = incidents.open_kinds_at(tx, fact.node, _partition(fact.partition), fact.attempt)
    return not open_there and changes.repeated(tx, fact)


def _of_partition(
    tx: Transaction,
    host_of: HostOf,
    result: Gathered,
    partition: ChangedPartition,
    history: ObservationHistory,
) -> None:
    """Add what a partition's state shows, and end the evidence that it makes obsolete."""
    if partition.state in ("held", "rejected"):
        _of_withheld(tx, result, partition, history)
    elif partition.state == "failed" or (partition.state == "waiting" and partition.failures > 0):
        _of_failure(tx, host_of, result, partition)
    elif partition.state == "waiting" and says_disk(partition.reason):
        _of_no_space(tx, result, partition)
    elif partition.state in READABLE:
        if partition.visible_attempt is not None:
            result.forget(
                partition.node, _partition(partition.partition), partition.visible_attempt
            )
        _over(tx, result, partition, partition.visible_attempt, seen=True)


def _of_withheld(
    tx: Transaction, result: Gathered, partition: ChangedPartition, history: ObservationHistory
) -> None:
    waits = changes.newest_withheld(tx, partition.node, partition.partition)
    if waits is None:
        _decided(tx, result, partition)
        return
    attempt = waits.attempt
    _over(tx, result, partition, attempt)
    key = _partition(partition.partition)
    known = any(of == attempt and held for _, of, held in stored.active_at(tx, partition.node, key))
    if known or result.of_attempt(partition.node, key, attempt):
        return
    result.add(
        Evidence(
            id=f"attempt:{attempt}@{key}",
            node=partition.node,
            partition=key,
            family=Family.CHECK,
            observed=waits.reason,
            strength=HOLD_NATS,
            at_us=waits.at,
            error_kind=partition.state,
            history=history.intervals(partition.node, waits.observed_at),
        ),
        attempt,
    )


def _decided(tx: Transaction, result: Gathered, partition: ChangedPartition) -> None:
    """End the evidence of history that somebody dropped.

    Nobody waits for such an interval unless an obligation does, and then its incident stays open.
    Other dropped deliveries leave the interval missing.
    """
    rows = stored.contents_at(tx, partition.node, _partition(partition.partition))
    history = [
        id_ for id_, content in rows if msgspec.msgpack.decode(content, type=Evidence).history
    ]
    result.end(partition.node, history)


def _of_failure(
    tx: Transaction, host_of: HostOf, result: Gathered, partition: ChangedPartition
) -> None:
    ended = changes.newest_ended(tx, partition.node, partition.partition)
    if ended is None or ended.state not in ("failed", "lost"):
        return
    _over(tx, result, partition, ended.attempt)
    result.add(
        _failure(
            tx, host_of, partition.node, partition.partition, ended, f"attempt:{ended.attempt}"
        ),
        ended.attempt,
    )


def of_backfills(tx: Transaction, host_of: HostOf) -> list[tuple[Evidence, str]]:
    """Return failures in backfills and repairs that readers still lack, with their attempts.

    Once production has tried such a partition, its own attempt is the evidence.
    """
    return [
        (
            _failure(
                tx,
                host_of,
                backfill.node,
                backfill.partition,
                backfill.ended,
                f"{BACKFILLS}:{backfill.ended.attempt}",
            ),
            backfill.ended.attempt,
        )
        for backfill in changes.failed_in_backfills(tx, NEWS_MAX)
    ]


def _failure(
    tx: Transaction,
    host_of: HostOf,
    node: str,
    partition: str,
    ended: changes.NewestAttempt,
    id_: str,
) -> Evidence:
    """Return the evidence of a failed attempt."""
    error = msgspec.json.decode(ended.error) if ended.error else {}
    kind = str(error.get("kind") or ("lost_worker" if ended.state == "lost" else "deterministic"))
    family = {"resources": Family.RESOURCES, "lost_worker": Family.LOST}.get(kind, Family.ERROR)
    key = _partition(partition)
    return Evidence(
        id=f"{id_}@{key}",
        node=node,
        partition=key,
        family=Family.EXPORT if ended.kind == "export" and family is Family.ERROR else family,
        observed=str(error.get("message") or ended.reason),
        strength=EXACT_NATS,
        at_us=ended.finished_at,
        began_us=ended.queued_at,
        detail=str(error.get("code") or ""),
        error_kind=kind,
        host=WORKERS if family is Family.LOST else host_of(node),
        unproven=not publications.any_of(tx, node),
    )


def _of_no_space(tx: Transaction, result: Gathered, partition: ChangedPartition) -> None:
    """Add evidence if two attempts in a row found the disk full or broken.

    No node is at fault, but somebody must repair the disk. It stays one piece of evidence, however
    many attempts follow.
    """
    newest = attempts.of_partition(tx, partition.node, partition.partition, limit=FULL_TIMES)
    if len(newest) < FULL_TIMES or not all(_found_full(attempt) for attempt in newest):
        return
    key, last = _partition(partition.partition), newest[0]
    id_ = f"space:{partition.node}@{key}"
    if any(known == id_ for known, _, _ in stored.active_at(tx, partition.node, key)):
        return
    result.add(
        Evidence(
            id=id_,
            node=partition.node,
            partition=key,
            family=Family.RESOURCES,
            observed=partition.reason,
            expected=needed(partition.reason),
            strength=EXACT_NATS,
            at_us=last.finished_at or partition.since,
            began_us=newest[-1].queued_at,
            error_kind=ENVIRONMENT,
        ),
        last.id,
    )


def _found_full(attempt: Attempt) -> bool:
    error = attempt.error or {}
    return attempt.state == "skipped" and error.get("kind") == ENVIRONMENT


def _over(
    tx: Transaction,
    result: Gathered,
    partition: ChangedPartition,
    attempt: str | None,
    *,
    seen: bool = False,
) -> None:
    """End evidence of earlier attempts at a partition, except of the one that readers still see.

    `seen`: readers see this attempt, so it holds nothing back; only reports by people stay.
    """
    active = stored.active_at(tx, partition.node, _partition(partition.partition))
    over = [(id_, of, held) for id_, of, held in active if of is not None]
    result.end(
        partition.node,
        [
            id_
            for id_, of, held in over
            if of not in (attempt, partition.visible_attempt)
            or (seen and held and not id_.startswith(_SAID))
        ],
    )


def _partition(key: str) -> str:
    """Return the partition for evidence; empty for a whole node."""
    return "" if key == "*" else key
