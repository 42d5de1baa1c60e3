"""A look at the sources: what arrived since the last one becomes a delivery that waits to be ingested."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import msgspec

from headrace.connect import DetectedDelivery, Observation
from headrace.connect.arrival import arrival, claimed
from headrace.connect.files import observe
from headrace.model import HeadraceError, Source
from headrace.model.connectors import place_of
from headrace.observe.observed import known_until
from headrace.schedule import DeliveryArrived
from headrace.store import Transaction
from headrace.store.queries import arriving, availability, deliveries
from headrace.store.queries.arriving import DeliveryRecord

SETTLE_WAIT_MAX_S = 4.0
"""How long a pass waits for files that may still be being written; those left are found by the next look."""


class SourceObservation(msgspec.Struct, frozen=True):
    """What one look at one source saw, and how it went."""

    source: Source
    found: tuple[DetectedDelivery, ...]
    notes: tuple[str, ...]
    error: str | None
    code: str | None = None
    """What kind of error it is (`access_denied`, `source_unavailable` …), where that is known."""
    settles: float | None = None
    """After how many seconds a file that may still be being written is quiet, if nobody writes on; None where there is none."""


def look_at(
    root: Path, sources: Iterable[Source], known: Callable[[str], dict[str, tuple[int, int]]], *, patient: bool = True
) -> list[SourceObservation]:
    """Look at each source of a local folder; a `patient` look waits a little for files that aren't settled. `known(source)` is
    path -> (size, mtime)."""
    deadline = time.monotonic() + (SETTLE_WAIT_MAX_S if patient else 0.0)
    return [_look_settled(root, source, known(source.name), deadline) for source in sources]


def _look_settled(root: Path, source: Source, known: dict[str, tuple[int, int]], deadline: float) -> SourceObservation:
    try:
        result = observe(root, source, known=known)
        while result.settling and (wait := _wait(result, deadline)) is not None:
            time.sleep(wait)
            result = observe(root, source, known=known)
    except (OSError, HeadraceError) as error:
        return SourceObservation(source, (), (), str(error))
    unsettled = (f"{s.path} may still be being written; it is taken when it is quiet" for s in result.settling)
    notes = (*(n.message for n in result.notes), *unsettled)
    observation = SourceObservation(source, result.found, notes, None, settles=result.wait_seconds or None)
    if result.unlisted is None:
        return observation
    return msgspec.structs.replace(observation, error=result.unlisted.message, code=result.unlisted.code)


def _wait(result: Observation, deadline: float) -> float | None:
    wanted = result.wait_seconds
    return wanted if wanted <= deadline - time.monotonic() else None


def record(tx: Transaction, seen: Iterable[SourceObservation], now: int, began: int, every_us: int | None = None) -> list[DeliveryArrived]:
    """Write the looks, which began then, and what they found; what arrived, as events for the core."""
    until = partial(known_until, every_us=every_us)
    arrived = []
    for observation in seen:
        place = place_of(observation.source)
        last = arriving.last_observation(tx, observation.source.name, place)
        rows = [_delivery(tx, observation.source, delivery, now, last) for delivery in _new(tx, observation, began)]
        arriving.record_deliveries(tx, rows)
        availability.note_gap(tx, observation.source.name, now, until)
        arriving.record_observation(tx, observation.source.name, now, len(rows), observation.error, observation.code, place)
        arrived += [DeliveryArrived(row.source, row.partition, row.bundle) for row in rows]
    return arrived


def _new(tx: Transaction, seen: SourceObservation, began: int) -> Iterable[DetectedDelivery]:
    """What another look hasn't written down since this one began: two may be under way at one source."""
    if not seen.found:
        return ()
    known = deliveries.found_since(tx, seen.source.name, began)
    if seen.source.partition.by_delivery:  # its partitions are numbered as they come
        same = {what[1:] for what in known}
        return [f for f in seen.found if (f.path, f.size_bytes, f.modified_us, f.version) not in same]
    return [f for f in seen.found if (f.partition, f.path, f.size_bytes, f.modified_us, f.version) not in known]


def _delivery(tx: Transaction, source: Source, delivery: DetectedDelivery, now: int, last_observation: int | None) -> DeliveryRecord:
    claims = claimed(delivery.modified_us, now)
    return DeliveryRecord(
        source=delivery.source,
        partition=arriving.next_delivery_key(tx, source.name) if source.partition.by_delivery else delivery.partition,
        path=delivery.path,
        size_bytes=delivery.size_bytes,
        modified_us=delivery.modified_us,
        claimed_at=claims,
        observed_at=now,
        arrived_at=arrival(claims, now, last_observation),
        version=delivery.version,
        parts=msgspec.json.encode(delivery.parts).decode() if delivery.parts else None,
        bundle=delivery.bundle,
    )
