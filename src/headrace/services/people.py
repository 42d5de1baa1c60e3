"""People that the search finds: those who acted lately, and those whom `access.yaml` names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from headrace.model.intervals import to_us
from headrace.services.caches import cached
from headrace.services.permissions import may_call, rules_of
from headrace.services.responses.catalog import FoundRow
from headrace.services.same_person import USER, names_of_people
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
    last = cached(session, "people", lambda: _last_acts(session))
    acted = names_of_people(rules_of(session), last)
    for name in (*last, *(name for name in declared_people(session) if name not in acted)):
        if all(word in name.lower() for word in words):
            at = last.get(name)
            detail = (
                "no entry lately" if at is None else f"last entry {session.instant(at):%Y-%m-%d}"
            )
            yield FoundRow(kind="person", name=name, of=None, said=detail)


def declared_people(session: ProjectSession) -> list[str]:
    """Return the people, as `user:NAME`, to whom `access.yaml` gives a role that hasn't ended.

    Members of groups aren't known.
    """
    rules, today = rules_of(session), session.now().date()
    names = [
        subject
        for grant in (rules.grants if rules is not None else ())
        if grant.until is None or grant.until >= today
        for subject in sorted(grant.to)
        if subject.startswith(USER)
    ]
    return list(dict.fromkeys(names))


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
