"""Refused attempts, failed sign-ins and reads of classified columns, until the trail has them.

Only the leader writes to the state, and the process that refuses something may not lead. So it
counts the event in a private file beside the state, and the leader moves the counts into the audit
trail: at most one entry a minute for the same event, and EVENTS_MAX entries a minute in all.
TRUST A6.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headrace.security.audit import Action
from headrace.security.private_files import exclusive, replace_private

EVENTS_FILE = "access_events.json"
"""In the data folder; readable by the server's user only."""
EVENTS_MAX = 500
"""Different events that are counted singly; all others of an action count as OTHERS."""
OTHERS = "others"
UNKNOWN = "unknown"
"""Who tried it, or as whom: a typed name that doesn't exist may be a password."""
MINUTE_SECONDS = 60


class AccessEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, without the time."""

    action: Action
    actor: str
    """As the audit trail records it; UNKNOWN for somebody who isn't signed in."""
    kind: str
    id: str
    """The object of the action: a command, a node, or the user or token that somebody claimed."""
    code: str = ""
    """Why it was refused."""
    command: str = ""
    columns: tuple[str, ...] = ()


class CountedEvent(msgspec.Struct, frozen=True):
    """How often an event happened in a minute; times are in seconds since 1970 UTC."""

    event: AccessEvent
    count: int
    first_at: float
    last_at: float

    @property
    def minute(self) -> int:
        """The minute since 1970 UTC."""
        return int(self.first_at) // MINUTE_SECONDS


def note(data_folder: Path, event: AccessEvent) -> None:
    """Count an event that happens now. Raise OSError if the file can't be written."""
    path, now = data_folder / EVENTS_FILE, time.time()
    with exclusive(path):
        counted = _read(path)
        place = _place(counted, event, now)
        if place is None and len(counted) >= EVENTS_MAX:
            event = AccessEvent(action=event.action, actor=UNKNOWN, kind=event.kind, id=OTHERS)
            place = _place(counted, event, now)
        if place is None:
            counted.append(CountedEvent(event, 1, now, now))
        else:
            before = counted[place]
            counted[place] = CountedEvent(event, before.count + 1, before.first_at, now)
        replace_private(path, msgspec.json.encode(counted))


def _place(counted: list[CountedEvent], event: AccessEvent, now: float) -> int | None:
    minute = int(now) // MINUTE_SECONDS
    for place, item in enumerate(counted):
        if item.event == event and (item.minute == minute or event.id == OTHERS):
            return place
    return None


@contextmanager
def taken(data_folder: Path, *, ended_minutes: bool) -> Iterator[list[CountedEvent]]:
    """Yield the counted events, and remove them at the end of a block that doesn't raise.

    With `ended_minutes`, those of the current minute stay. If this process ends within the block,
    they are yielded again to the next: an event may be recorded twice, and is never lost.
    """
    path = data_folder / EVENTS_FILE
    if not path.exists():
        yield []
        return
    with exclusive(path):
        counted = _read(path)
        minute = int(time.time()) // MINUTE_SECONDS
        ready = [item for item in counted if not ended_minutes or item.minute != minute]
        yield ready
        rest = [item for item in counted if item not in ready]
        if rest:
            replace_private(path, msgspec.json.encode(rest))
        else:
            path.unlink(missing_ok=True)


def waiting(data_folder: Path) -> int:
    """Return how many counted events wait for the leader."""
    return len(_read(data_folder / EVENTS_FILE))


def _read(path: Path) -> list[CountedEvent]:
    """Return the counted events; none without the file, or if it is damaged."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return msgspec.json.decode(file.read(), type=list[CountedEvent])
    except (FileNotFoundError, msgspec.DecodeError):
        return []
