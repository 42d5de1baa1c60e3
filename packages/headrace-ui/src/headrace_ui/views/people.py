"""People that the search finds: those who acted lately, and those whom `access.yaml` names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from headrace.access.permissions import may_call, rules_of
from headrace.access.same_person import USER, names_of_people
from headrace.extension import ProjectSession
from headrace.model.access import AccessRules
from headrace.model.intervals import to_us
from headrace.project.caches import cached
from headrace.services.audit import EntryActor
from headrace.store.queries import audit_trail
from headrace_ui.responses.catalog import FoundRow

ENTRIES_MAX = 2_000
"""The newest entries of the audit trail whose actors are found."""
PERSON = "person"


class _Entry(msgspec.Struct):
    at: datetime
    actor: EntryActor


_DECODE = msgspec.json.Decoder(_Entry).decode


def people_like(session: ProjectSession, words: list[str]) -> Iterator[FoundRow]:
    """Yield people whose names contain all words, for who may read the whole audit trail."""
    if session.visible is not None or not may_call(session, "audit:show", None):
        return
    last = cached(session, "people", lambda: _last_acts(session))
    rules = rules_of(session)
    acted = {name: last[name] for name in _matching(last, words)}
    found_already = names_of_people(rules, acted)
    declared = {
        name: _last_act_of(rules, last, name)
        for name in _matching(declared_people(session), words)
        if name not in found_already
    }
    for name, at in {**acted, **declared}.items():
        detail = "no entry lately" if at is None else f"last entry {session.instant(at):%Y-%m-%d}"
        yield FoundRow(kind="person", name=name, of=None, said=detail)


def _matching(names: Iterable[str], words: list[str]) -> list[str]:
    return [name for name in names if all(word in name.lower() for word in words)]


def _last_act_of(rules: AccessRules | None, last: dict[str, int], name: str) -> int | None:
    """Return the time of the last entry under any name of the person that a name is of."""
    times = (at for other, at in last.items() if name in names_of_people(rules, [other]))
    return max(times, default=None)


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
