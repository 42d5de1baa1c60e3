"""Observe sources: each new arrival becomes a delivery that waits to be ingested."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from headrace.connect import DetectedDelivery, Observation, SourceSchema
from headrace.connect.connectors import URL, connector_name
from headrace.connect.deliveries import arrival, claimed_arrival
from headrace.connect.files import observe
from headrace.model import HeadraceError, Project, Source
from headrace.model.connectors import origin_of
from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key
from headrace.model.times import Duration, parse_duration
from headrace.runtime.messages import ObserveTask, SourceObserved
from headrace.scheduler import AttemptId, DeliveryArrived, PartitionState
from headrace.slo.freshness import known_until
from headrace.store import Transaction
from headrace.store.queries import availability, deliveries, ingestion
from headrace.store.queries.ingestion import DeliveryRecord

# Files that were delivered before, cached between observations: each observation reads only what
# came since the one before it.


class KnownFiles:
    """Source -> path -> (size in bytes, modification time in microseconds), newest delivery."""

    def __init__(self) -> None:
        self._project: Project | None = None
        self._files: dict[str, dict[str, tuple[int, int]]] = {}
        self._newest: dict[str, int] = {}

    def read(self, tx: Transaction, project: Project, sources: Iterable[Source]) -> None:
        """Read the deliveries since the last call.

        Another project may partition its sources differently, so all deliveries are read again
        then.
        """
        if project is not self._project:
            self._project, self._files, self._newest = project, {}, {}
        for source in sources:
            results, self._newest[source.name] = ingestion.known_files(
                tx, source.name, self._newest.get(source.name, 0)
            )
            self._files.setdefault(source.name, {}).update(results)

    def of(self, source: str) -> dict[str, tuple[int, int]]:
        """Return the known files of a source."""
        return self._files[source]


# Observation of local folders, and the record of every observation.

SETTLE_WAIT_MAX_S = 4.0
"""Longest time that a pass waits for unsettled files; the next observation finds the others."""


class SourceObservation(msgspec.Struct, frozen=True):
    """The result of observing one source."""

    source: Source
    deliveries: tuple[DetectedDelivery, ...]
    warnings: tuple[str, ...]
    error: str | None
    code: str | None = None
    """Kind of the error (`access_denied`, `source_unavailable` …), if known."""
    settles: float | None = None
    """Seconds until a file that may still be written to counts as quiet; None if there is none."""


def observe_folders(
    root: Path,
    sources: Iterable[Source],
    known: Callable[[str], dict[str, tuple[int, int]]],
    *,
    patient: bool = True,
    finished: Mapping[str, tuple[int, int]] = {},
) -> list[SourceObservation]:
    """Observe each source with a local folder.

    A `patient` observation waits up to SETTLE_WAIT_MAX_S for unsettled files. `known(source)` and
    `finished` are path -> (size in bytes, modification time in microseconds).
    """
    deadline = time.monotonic() + (SETTLE_WAIT_MAX_S if patient else 0.0)
    return [
        _observe_settled(root, source, known(source.name), finished, deadline) for source in sources
    ]


def _observe_settled(
    root: Path,
    source: Source,
    known: dict[str, tuple[int, int]],
    finished: Mapping[str, tuple[int, int]],
    deadline: float,
) -> SourceObservation:
    try:
        result = observe(root, source, known=known, finished=finished)
        while result.settling and (wait := _wait(result, deadline)) is not None:
            time.sleep(wait)
            result = observe(root, source, known=known, finished=finished)
    except (OSError, HeadraceError) as error:
        return SourceObservation(source, (), (), str(error))
    unsettled = (
        f"{s.path} may still be being written; it is taken when it is quiet"
        for s in result.settling
    )
    warnings = (*(n.message for n in result.notes), *unsettled)
    observation = SourceObservation(
        source, result.found, warnings, None, settles=result.wait_seconds or None
    )
    if result.unlisted is None:
        return observation
    return msgspec.structs.replace(
        observation, error=result.unlisted.message, code=result.unlisted.code
    )


def _wait(result: Observation, deadline: float) -> float | None:
    seconds = result.wait_seconds
    return seconds if seconds <= deadline - time.monotonic() else None


def record_observations(
    tx: Transaction,
    seen: Iterable[SourceObservation],
    now: int,
    began: int,
    every_us: int | None = None,
) -> list[DeliveryArrived]:
    """Store observations that began at `began`; return arrivals as events for the core."""
    until = partial(known_until, every_us=every_us)
    arrived = []
    for observation in seen:
        place = origin_of(observation.source)
        last = ingestion.last_observation(tx, observation.source.name, place)
        rows = [
            _delivery(tx, observation.source, delivery, now, last, began)
            for delivery in _without_recorded(tx, observation, began)
        ]
        ingestion.record_deliveries(tx, rows)
        availability.note_gap(tx, observation.source.name, now, until)
        ingestion.record_observation(
            tx, observation.source.name, now, len(rows), observation.error, observation.code, place
        )
        arrived += [DeliveryArrived(row.source, row.partition, row.bundle) for row in rows]
    return arrived


def _without_recorded(
    tx: Transaction, seen: SourceObservation, began: int
) -> Iterable[DetectedDelivery]:
    """Return found files that no concurrent observation of the source has stored since `began`."""
    if not seen.deliveries:
        return ()
    known = deliveries.found_since(tx, seen.source.name, began)
    if seen.source.partition.by_delivery:  # its partitions are numbered in order of arrival
        same = {what[1:] for what in known}
        return [
            f
            for f in seen.deliveries
            if (f.path, f.size_bytes, f.modified_us, f.version) not in same
        ]
    return [
        f
        for f in seen.deliveries
        if (f.partition, f.path, f.size_bytes, f.modified_us, f.version) not in known
    ]


def _delivery(
    tx: Transaction,
    source: Source,
    delivery: DetectedDelivery,
    now: int,
    last_observation: int | None,
    began: int,
) -> DeliveryRecord:
    # the time of the observation itself is that of a delivery which tells none
    claims = now if delivery.modified_us >= began else claimed_arrival(delivery.modified_us, now)
    return DeliveryRecord(
        source=delivery.source,
        partition=ingestion.next_delivery_key(tx, source.name)
        if source.partition.by_delivery
        else delivery.partition,
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


# Observations by workers: of sources that aren't local folders, and into files whose rows belong to
# several intervals. The leader never waits for a network and holds no secret: it sends the known
# files, a worker observes, and the leader ends an observation that hangs.

LOOK_SECONDS_MAX = 60.0
"""Longest duration of an observation; beyond it the source counts as unavailable until the next."""
LOOK_INTO_SECONDS_MAX = 3600.0
"""Longest duration of reading the intervals of files, which may be large."""
WANTED_MAX = 400
"""Most intervals that one observation asks a source for; the next observation continues."""
NEWEST = 100
"""Number of the newest intervals among them, if there are more.

Old intervals that never arrive don't keep new ones from being asked for.
"""
EVERY = "1d"
"""Interval for re-reading data that can't report a change, unless `every:` declares another."""
FAILED_SECONDS = 3600.0
"""A fetch that failed in all its attempts is repeated after an hour."""
EARLY_PART = 10
EARLY_SECONDS_MAX = 3600.0
"""An observation may come early by a tenth of `every:`, and by at most an hour.

A daily `tick` never runs exactly a day after the last observation, and would re-read the source
only every second day.
"""
_WHOLE = "*"


def observe_task(
    tx: Transaction,
    project: Project,
    source: Source,
    now: int,
    *,
    number: int,
    files: Sequence[DetectedDelivery] = (),
) -> ObserveTask | None:
    """Return the question for a worker about a source; None if there is none."""
    known = ingestion.known_versions(tx, source.name)
    for key in ingestion.given_up(
        tx,
        source.name,
        failed_by=now - int(FAILED_SECONDS * 1e6),
        rejected_by=now - _rests_us(source),
    ):
        known.pop(key, None)
    listed = connector_name(source) == URL  # all of its files are asked for, as in a local folder
    intervals = () if files or listed else tuple(_due_intervals(tx, source, known, now))
    if not files and not intervals and not listed:
        return None
    pinned = ingestion.pinned_schema(tx, source.name) if files else None
    contract = project.contracts.get(source.contract or source.name) if files else None
    return ObserveTask(
        attempt=str(AttemptId(0, number)),
        source=source,
        connection=project.settings.connections.get(source.connector.get("connection", ""), {}),
        wanted=intervals,
        known={key: known[key][:2] for key in (known if listed else intervals) if key in known},
        files=tuple(files),
        pinned=msgspec.json.decode(pinned, type=SourceSchema) if pinned else None,
        promised=contract.columns if contract and contract.columns else None,
        private_addresses=project.settings.private_addresses,
        published=ingestion.newest_state(tx, source.name) == PartitionState.PUBLISHED,
        now_us=now,
    )


def _due_intervals(
    tx: Transaction, source: Source, known: dict[str, tuple[str, str, int]], now: int
) -> Iterator[str]:
    if source.partition.grain is None:
        newest = known.get(_WHOLE)
        if newest is None or newest[1] or now - newest[2] >= _rests_us(source):
            yield _WHOLE
        return
    keys = list(_intervals(tx, source, known, now))
    yield from keys if len(keys) <= WANTED_MAX else (*keys[: WANTED_MAX - NEWEST], *keys[-NEWEST:])


def read_again_every(tx: Transaction, source: Source) -> str | None:
    """Return how often a source that can't report changes is re-read whole; None for others.

    Other sources are observed in each pass.
    """
    observed_each_pass = (
        connector_name(source) in (None, URL)
        or source.partition.grain is not None
        or source.partition.by_delivery
    )
    newest = None if observed_each_pass else ingestion.known_versions(tx, source.name).get(_WHOLE)
    return None if newest is None or newest[1] else source.every or EVERY


def _rests_us(source: Source) -> int:
    """Return the microseconds after a read before the source is read again.

    That is `every:` minus the time by which an observation may come early.
    """
    every = parse_duration(source.every or EVERY).total_seconds()
    return int((every - min(every / EARLY_PART, EARLY_SECONDS_MAX)) * 1_000_000)


def _intervals(
    tx: Transaction, source: Source, known: dict[str, tuple[str, str, int]], now: int
) -> Iterator[str]:
    """Yield ended intervals: those without a delivery, and those that may still be restated."""
    grain, zone = source.partition.time_grain, source.timezone
    current = key_at_us(now, grain, zone)
    last = (
        current if bounds_us(current, grain, zone)[1] <= now else previous_key(current, grain, zone)
    )
    first = source.start or ingestion.oldest_deliveries(tx, [source.name])[source.name] or last
    restated = Duration.parse(source.restate_within)
    for key in keys_between(first, last, grain, zone) if first <= last else ():
        delivered = known.get(key)
        if delivered is None:
            yield key
            continue
        tells = delivered[1] or (
            source.every is not None and now - delivered[2] >= _rests_us(source)
        )
        if tells and restated.after_us(bounds_us(key, grain, zone)[1], zone) > now:
            yield key


def observe_seconds_max(question: ObserveTask) -> float:
    """Return the longest duration of the observation in seconds."""
    return LOOK_INTO_SECONDS_MAX if question.files else LOOK_SECONDS_MAX


def observation_of(question: ObserveTask, looked: SourceObserved) -> SourceObservation:
    """Return a worker's answer as an observation."""
    return SourceObservation(question.source, looked.found, looked.notes, looked.error, looked.code)
