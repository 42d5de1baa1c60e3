"""People who acted lately, by the audit trail: what the search finds of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from headrace.model.intervals import to_us
from headrace.services.caches import cached
from headrace.services.permissions import may_call
from headrace.services.responses.catalog import FoundRow
from headrace.services.session import ProjectSession
from headrace.store.queries import audit_trail

ENTRIES_MAX = 2_000
"""The newest entries of the audit trail whose actors are found."""
PERSON = "person"


class _Actor(msgspec.Struct):
    id: str
    type: str


class _Entry(msgspec.Struct):
    at: datetime
    actor: _Actor


_DECODE = msgspec.json.Decoder(_Entry).decode


def people_like(session: ProjectSession, words: list[str]) -> Iterator[FoundRow]:
    """Yield people whose names contain all words, for who may read the whole audit trail."""
    if session.visible is not None or not may_call(session, "audit:show", None):
        return
    for name, at in cached(session, "people", lambda: _last_acts(session)).items():
        if all(word in name.lower() for word in words):
            detail = f"last entry {session.instant(at):%Y-%m-%d}"
            yield FoundRow(kind="person", name=name, of=None, said=detail)


def _last_acts(session: ProjectSession) -> dict[str, int]:
    """Return people of the newest entries with the time of their last one, in µs."""
    if session.store is None:
        return {}
    last = dict[str, int]()
    with session.store.read() as tx:
        for text in audit_trail.newest(tx, ENTRIES_MAX):
            entry = _DECODE(text)
            if entry.actor.type == PERSON:
                last.setdefault(entry.actor.id, to_us(entry.at))
    return last
