"""Evidence of how attempts went that came to something all the same, or are still under way: lost workers, too little memory, slow runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import msgspec

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.gathered import Gathered
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored
from headrace.store.queries import partitions, workings
from headrace.store.queries.workings import Working

SLOW_LEAST_SECONDS = 5.0
SLOW_TIMES = 5.0
SLOW_RUNS = 10
NATS = 8.0
WORKERS = "workers"
"""What attempts have in common whose workers ended: where they ran."""
_FAMILIES = {"lost": Family.LOST, "resources": Family.RESOURCES}


def gather(tx: Transaction, result: Gathered, after: tuple[int, int], now: int) -> tuple[int, int]:
    """What attempts after a number were lost, lacked resources or took long; up to which number that is known now."""
    seen = [*_lost(tx, after), *((evidence, None) for evidence in _slow(tx, after, now))]
    known = stored.known(tx, (evidence.id for evidence, _ in seen))
    for evidence, attempt in seen:
        if evidence.id not in known and evidence.id not in result.seen:
            result.add(evidence, attempt, over=now if attempt is not None and _is_over(tx, evidence) else None)
    return workings.known_up_to(tx)


def _is_over(tx: Transaction, evidence: Evidence) -> bool:
    """Whether the partition was made by another attempt since."""
    partition = partitions.get(tx, evidence.node, evidence.partition or "*")
    return partition is None or partition.state == "published"


def _lost(tx: Transaction, after: tuple[int, int]) -> Iterator[tuple[Evidence, str]]:
    for item in workings.troubled(tx, after):
        error = msgspec.json.decode(item.error) if item.error else {}
        family = _FAMILIES["lost" if item.state == "lost" else "resources"]
        for key in item.partitions:
            partition = "" if key == "*" else key
            evidence = Evidence(
                id=f"attempt:{item.attempt}@{partition}", node=item.node, partition=partition, family=family,
                observed=str(error.get("message") or item.reason), strength=NATS, at_us=item.finished_at or item.started_at,
                began_us=item.started_at, error_kind="lost_worker" if item.state == "lost" else "resources",
                host=WORKERS if item.state == "lost" else "",
            )  # fmt: skip
            yield evidence, item.attempt


def _slow(tx: Transaction, after: tuple[int, int], now: int) -> Iterator[Evidence]:
    """Attempts that take, or took, far longer than those before them."""
    for item in workings.long_ones(tx, after, int(SLOW_LEAST_SECONDS * 1_000_000), now):
        # What others on the machine took from it says nothing of the asset.
        waited = item.processor_wait_seconds
        seconds = ((item.finished_at or now) - item.started_at) / 1_000_000 - waited
        usual = _usual(tx, item)
        if usual is None or seconds <= max(SLOW_LEAST_SECONDS, SLOW_TIMES * usual):
            continue
        if seconds <= SLOW_TIMES * usual * _times_as_much(tx, item):
            continue
        key = item.partitions[0]
        beside = f", and {waited:.1f} s more in which it waited for a processor" if waited >= 0.1 else ""
        beside += _read(tx, item)
        yield Evidence(
            id=f"slow:{item.attempt}", node=item.node, partition="" if key == "*" else key, family=Family.DURATION,
            kind=CauseKind.SLOW_RUN.value, expected=f"up to {usual:.1f} s", observed=f"{seconds:.1f} s{beside}", strength=NATS, held=False,
            at_us=item.finished_at or now, began_us=item.started_at,
        )  # fmt: skip


def _read(tx: Transaction, item: Working) -> str:
    """How many rows an attempt read, beside how many are usual; empty where it isn't known."""
    known = workings.inputs_of(tx, item.node)
    if item.took_in is None or not item.took_in.rows or not known:
        return ""
    return f"; it read {item.took_in.rows:,} rows, usually {statistics.median(each.rows for each in known):,.0f}"


def _times_as_much(tx: Transaction, item: Working) -> float:
    """How many times as much went into an attempt as usual, in partitions, rows or bytes; at least 1.
    An attempt that still runs has said only how many partitions it computes."""
    known = workings.inputs_of(tx, item.node)
    if not known:
        return 1.0
    totals = item.took_in or workings.InputTotals(len(item.partitions), 0, 0)
    pairs = (
        (totals.partitions, [each.partitions for each in known]),
        (totals.rows, [each.rows for each in known]),
        (totals.bytes, [each.bytes for each in known]),
    )
    return max(1.0, *(much / max(statistics.median(usual), 1.0) for much, usual in pairs))


def _usual(tx: Transaction, item: Working) -> float | None:
    """What 95 of 100 attempts before this one stayed within; None where too few are known."""
    took = sorted(seconds for attempt, seconds in workings.seconds_of(tx, item.node) if attempt != item.attempt)
    return took[max(0, -(-len(took) * 95 // 100) - 1)] if len(took) >= SLOW_RUNS else None
