"""Deliveries that take more memory or time than an attempt may: whether the file is to blame, or the machine is short of it."""

from __future__ import annotations

from headrace.run.messages import OUTSIZED_TIMES, TooMuch
from headrace.schedule.ending import TIMED_OUT
from headrace.schedule.retry import RESOURCES_TRIES_MAX
from headrace.store import Transaction
from headrace.store.queries import arriving, attempts
from headrace.store.queries.arriving import RecordedDelivery

OUT_OF_MEMORY = "out_of_memory"
TOO_LARGE = "poison_delivery"
"""The code of an attempt's error after which its delivery is kept and rejected without being read."""


def is_to_blame(tx: Transaction, source: str, partition: str, since: int) -> bool:
    """Whether the newest delivery of a partition, which has just taken too much memory, isn't tried any more. Nothing else lacked memory
    since then, and it is far larger than what the source brought before; or nothing is known to compare it with, and it has failed as
    often as anything is tried."""
    delivery = arriving.newest_delivery(tx, source, partition)
    if delivery is None or attempts.others_short(tx, source, since, besides=TOO_LARGE):
        return False
    given_up = 1 + arriving.failures_in_a_row(tx, delivery.id, OUT_OF_MEMORY) >= RESOURCES_TRIES_MAX
    if delivery.size_bytes < 0:  # what is kept of it says its size
        return given_up
    _, largest = arriving.sizes_read(tx, source, delivery.id)
    if largest:
        return TooMuch("", largest_bytes=largest).is_of(delivery.size_bytes)
    return given_up and not arriving.as_large_elsewhere(tx, source, delivery.path, delivery.size_bytes // OUTSIZED_TIMES)


def too_much(tx: Transaction, source: str, delivery: RecordedDelivery) -> TooMuch | None:
    """Of a delivery that is only to be kept: why; None for all others. One that ran out of time is read once more, unless it is far
    larger than what the source brought before."""
    last = arriving.last_ended(tx, delivery.id)
    if last is None:
        return None
    read, largest = arriving.sizes_read(tx, source, delivery.id)
    if last.state == "failed" and last.error.get("code") == TOO_LARGE:
        return TooMuch(str(last.error["message"]), read, largest)
    why = TooMuch(last.reason, read, largest, timed_out=True)
    return why if last.state == "lost" and TIMED_OUT in last.reason and largest and why.is_of(delivery.size_bytes) else None
