"""What caused a partition to be made again, and when: the wait for it begins there. Pure."""

from __future__ import annotations

from headrace.observe.ledger.inputs import LedgerInputs, PartitionRef
from headrace.observe.ledger.records import LedgerPublication, LedgerRecords, Try

STEPS_MAX = 200


def cause_us(inputs: LedgerInputs, records: LedgerRecords, place: PartitionRef, before: LedgerPublication, to_us: int) -> int:
    """Of what replaces the publication `before`, and was there (or isn't yet) at `to_us`: when the delivery arrived that caused it, else
    when code was applied, a backfill was asked for, or a run."""
    for _ in range(STEPS_MAX):
        tries = [item for item in records.tries(*place) if before.at_us <= item.queued_us <= to_us]
        first = tries[0] if tries else None
        node = inputs.known(place.node)
        if node is not None and node.is_source:
            return _arrived(records, place, before, to_us, first)
        above = _renewed(inputs, records, place, before, first.queued_us if first is not None else to_us)
        if above is None:
            return _asked(records, before, first, to_us)
        place, earlier, to_us = above
        if earlier is None:
            return to_us
        before = earlier
    return to_us


def _arrived(records: LedgerRecords, place: PartitionRef, before: LedgerPublication, to_us: int, first: Try | None) -> int:
    later = [
        arrival.arrived_us for arrival in records.arrivals(*place) if arrival.observed_us > before.at_us - 1 and arrival.arrived_us <= to_us
    ]
    return max(later) if later else _asked(records, before, first, to_us)


def _asked(records: LedgerRecords, before: LedgerPublication, first: Try | None, to_us: int) -> int:
    """When somebody asked for it, or took back what was there."""
    if before.ended_us is not None and first is not None and before.at_us < before.ended_us <= first.queued_us:
        return before.ended_us
    if first is None:
        return max(before.at_us, before.ended_us) if before.ended_us is not None and before.ended_us <= to_us else to_us
    if first.plan is not None:
        return max(before.at_us, first.plan.created_us)
    applied = records.applied_us(first.version) if first.version is not None else None
    asked = [at for at in (applied, first.asked_us) if at is not None and before.at_us <= at <= first.queued_us]
    return max(asked, default=first.queued_us)


def _renewed(
    inputs: LedgerInputs, records: LedgerRecords, place: PartitionRef, before: LedgerPublication, until_us: int
) -> tuple[PartitionRef, LedgerPublication | None, int] | None:
    """The input that was published last since then, what it replaced, and when; None where none was."""
    read_us = next((item.dispatched_us for item in records.tries(*place) if item.id == before.id), before.at_us)
    results: list[tuple[int, PartitionRef, LedgerPublication | None]] = []
    for ready_input in inputs.of(place, until_us):
        publications = [each for each in records.shown(*ready_input.place) if each.at_us <= until_us]
        if publications and publications[-1].at_us > read_us:
            results.append((publications[-1].at_us, ready_input.place, publications[-2] if len(publications) > 1 else None))
    if not results:
        return None
    at_us, above, earlier = max(results, key=lambda each: (each[0], each[1]))
    return above, earlier, at_us
