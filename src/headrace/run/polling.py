"""Looks at sources that aren't local folders, and into files whose rows are several intervals': done by workers, asked for here.

A leader never waits on a network itself, and holds no secret: it says what it knows, a worker looks, and one that hangs is ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from headrace.connect import DetectedDelivery, SourceSchema
from headrace.connect.kinds import name_of
from headrace.model import Project, Source
from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key
from headrace.model.times import Duration, parse_duration
from headrace.run.messages import ObserveTask, SourceObserved
from headrace.run.observing import SourceObservation
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import arriving

LOOK_SECONDS_MAX = 60.0
"""A look that takes longer is ended; the source counts as unavailable until the next one."""
LOOK_INTO_SECONDS_MAX = 3600.0
"""The same for looks into files, which may be large."""
WANTED_MAX = 400
"""Intervals that one look asks a source for; the next look goes on."""
NEWEST = 100
"""Of those, so many are the newest, where there are more: old intervals that never come don't keep new ones from being asked for."""
EVERY = "1d"
"""How often what can't say whether it has changed is read again, unless `every:` says otherwise."""
FAILED_SECONDS = 3600.0
"""What couldn't be fetched in all its attempts is asked for again after an hour."""
EARLY_PART = 10
EARLY_SECONDS_MAX = 3600.0
"""A look counts as one `every:` later if at most a tenth of it, and at most an hour, is missing: a daily `tick`
never falls exactly a day after the moment at which the last one observed the source, and would read it every second day."""
_WHOLE = "*"


def question(
    tx: Transaction, project: Project, source: Source, now: int, *, number: int, files: Sequence[DetectedDelivery] = ()
) -> ObserveTask | None:
    """What a worker is asked about a source; None where there is nothing to ask."""
    known = arriving.known_versions(tx, source.name)
    for key in arriving.given_up(tx, source.name, failed_by=now - int(FAILED_SECONDS * 1e6), rejected_by=now - _rests_us(source)):
        known.pop(key, None)
    listed = name_of(source) == "url"  # all that lies there is asked for, as in a local folder
    wanted = () if files or listed else tuple(_wanted(tx, source, known, now))
    if not files and not wanted and not listed:
        return None
    pinned = arriving.pinned_schema(tx, source.name) if files else None
    contract = project.contracts.get(source.contract or source.name) if files else None
    return ObserveTask(
        attempt=str(AttemptId(0, number)),
        source=source,
        connection=project.settings.connections.get(source.connector.get("connection", ""), {}),
        wanted=wanted,
        known={key: known[key][:2] for key in (known if listed else wanted) if key in known},
        files=tuple(files),
        pinned=msgspec.json.decode(pinned, type=SourceSchema) if pinned else None,
        promised=contract.columns if contract and contract.columns else None,
        now_us=now,
    )


def _wanted(tx: Transaction, source: Source, known: dict[str, tuple[str, str, int]], now: int) -> Iterator[str]:
    if source.partition.grain is None:
        newest = known.get(_WHOLE)
        if newest is None or newest[1] or now - newest[2] >= _rests_us(source):
            yield _WHOLE
        return
    keys = list(_intervals(tx, source, known, now))
    yield from keys if len(keys) <= WANTED_MAX else (*keys[: WANTED_MAX - NEWEST], *keys[-NEWEST:])


def read_again_every(tx: Transaction, source: Source) -> str | None:
    """How often a source is read whole that can't say whether it has changed; None of others, at
    which each pass looks."""
    kept = name_of(source) in (None, "url") or source.partition.grain is not None or source.partition.by_delivery
    newest = None if kept else arriving.known_versions(tx, source.name).get(_WHOLE)
    return None if newest is None or newest[1] else source.every or EVERY


def _rests_us(source: Source) -> int:
    """How long after it was read a source isn't read again, microseconds: `every:`, less what a look may come early."""
    every = parse_duration(source.every or EVERY).total_seconds()
    return int((every - min(every / EARLY_PART, EARLY_SECONDS_MAX)) * 1_000_000)


def _intervals(tx: Transaction, source: Source, known: dict[str, tuple[str, str, int]], now: int) -> Iterator[str]:
    """Intervals that have ended: those that nothing was delivered for, and those that may still be restated."""
    grain, zone = source.partition.grain, source.timezone
    assert grain is not None
    current = key_at_us(now, grain, zone)
    last = current if bounds_us(current, grain, zone)[1] <= now else previous_key(current, grain, zone)
    first = source.start or arriving.oldest_delivery(tx, source.name) or last
    restated = Duration.parse(source.restate_within)
    for key in keys_between(first, last, grain, zone) if first <= last else ():
        delivered = known.get(key)
        if delivered is None:
            yield key
            continue
        tells = delivered[1] or (source.every is not None and now - delivered[2] >= _rests_us(source))
        if tells and restated.after_us(bounds_us(key, grain, zone)[1], zone) > now:
            yield key


def observe_seconds_max(question: ObserveTask) -> float:
    """How long a look may take."""
    return LOOK_INTO_SECONDS_MAX if question.files else LOOK_SECONDS_MAX


def seen_by(question: ObserveTask, looked: SourceObserved) -> SourceObservation:
    """A worker's answer as what was seen."""
    return SourceObservation(question.source, looked.found, looked.notes, looked.error, looked.code)
