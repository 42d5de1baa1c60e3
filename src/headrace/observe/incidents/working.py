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


def gather(tx: Transaction, found: Gathered, after: tuple[int, int], now: int) -> tuple[int, int]:
    """What attempts after a number were lost, lacked resources or took long; up to which number that is known now."""
    seen = [*_lost(tx, after), *((one, None) for one in _slow(tx, after, now))]
    known = stored.known(tx, (one.id for one, _ in seen))
    for one, attempt in seen:
        if one.id not in known and one.id not in found.seen:
            found.add(one, attempt, over=now if attempt is not None and _is_over(tx, one) else None)
    return workings.known_up_to(tx)


def _is_over(tx: Transaction, one: Evidence) -> bool:
    """Whether the partition was made by another attempt since."""
    standing = partitions.get(tx, one.node, one.partition or "*")
    return standing is None or standing.state == "published"


def _lost(tx: Transaction, after: tuple[int, int]) -> Iterator[tuple[Evidence, str]]:
    for one in workings.troubled(tx, after):
        error = msgspec.json.decode(one.error) if one.error else {}
        family = _FAMILIES["lost" if one.state == "lost" else "resources"]
        for key in one.partitions:
            partition = "" if key == "*" else key
            evidence = Evidence(
                id=f"attempt:{one.attempt}@{partition}", node=one.node, partition=partition, family=family,
                observed=str(error.get("message") or one.reason), strength=NATS, at_us=one.finished_at or one.started_at,
                began_us=one.started_at, error_kind="lost_worker" if one.state == "lost" else "resources",
                host=WORKERS if one.state == "lost" else "",
            )  # fmt: skip
            yield evidence, one.attempt


def _slow(tx: Transaction, after: tuple[int, int], now: int) -> Iterator[Evidence]:
    """Attempts that take, or took, far longer than those before them."""
    for one in workings.long_ones(tx, after, int(SLOW_LEAST_SECONDS * 1_000_000), now):
        # What others on the machine took from it says nothing of the asset.
        waited = one.processor_wait_seconds
        seconds = ((one.finished_at or now) - one.started_at) / 1_000_000 - waited
        usual = _usual(tx, one)
        if usual is None or seconds <= max(SLOW_LEAST_SECONDS, SLOW_TIMES * usual):
            continue
        if seconds <= SLOW_TIMES * usual * _times_as_much(tx, one):
            continue
        key = one.partitions[0]
        beside = f", and {waited:.1f} s more in which it waited for a processor" if waited >= 0.1 else ""
        beside += _read(tx, one)
        yield Evidence(
            id=f"slow:{one.attempt}", node=one.node, partition="" if key == "*" else key, family=Family.DURATION,
            kind=CauseKind.SLOW_RUN.value, expected=f"up to {usual:.1f} s", observed=f"{seconds:.1f} s{beside}", strength=NATS, held=False,
            at_us=one.finished_at or now, began_us=one.started_at,
        )  # fmt: skip


def _read(tx: Transaction, one: Working) -> str:
    """How many rows an attempt read, beside how many are usual; empty where it isn't known."""
    known = workings.inputs_of(tx, one.node)
    if one.took_in is None or not one.took_in.rows or not known:
        return ""
    return f"; it read {one.took_in.rows:,} rows, usually {statistics.median(each.rows for each in known):,.0f}"


def _times_as_much(tx: Transaction, one: Working) -> float:
    """How many times as much went into an attempt as usual, in partitions, rows or bytes; at least 1.
    An attempt that still runs has said only how many partitions it computes."""
    known = workings.inputs_of(tx, one.node)
    if not known:
        return 1.0
    own = one.took_in or workings.InputTotals(len(one.partitions), 0, 0)
    pairs = (
        (own.partitions, [each.partitions for each in known]),
        (own.rows, [each.rows for each in known]),
        (own.bytes, [each.bytes for each in known]),
    )
    return max(1.0, *(much / max(statistics.median(usual), 1.0) for much, usual in pairs))


def _usual(tx: Transaction, one: Working) -> float | None:
    """What 95 of 100 attempts before this one stayed within; None where too few are known."""
    took = sorted(seconds for attempt, seconds in workings.seconds_of(tx, one.node) if attempt != one.attempt)
    return took[max(0, -(-len(took) * 95 // 100) - 1)] if len(took) >= SLOW_RUNS else None
