"""`audit show|verify`: who did what, when and why, and whether anybody has changed the record of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import msgspec

from headrace.govern.audit import GENESIS, verify
from headrace.model import UnknownName, UsageError
from headrace.operations.documents import Document
from headrace.operations.runs import since_when
from headrace.operations.session import Session
from headrace.store import Transaction
from headrace.store.queries import trail

HASH_CHARACTERS = 64


class AuditRow(Document, frozen=True, kw_only=True):
    """`audit show`: one entry. `at` is the store's time and `real_at` the machine's (they differ in a replay); `actor` is who did it,
    `actor_type` what kind of actor that is; `object` is what it was done to, as `kind:id`."""

    seq: int
    at: datetime
    real_at: datetime
    actor: str
    actor_type: str
    action: str
    object: str
    version: str | None
    outcome: str
    reason: str
    before: Any
    after: Any
    run_id: str | None
    hash: str


class VerifyDocument(Document, frozen=True, kw_only=True):
    """`audit verify`. `broken_at` is the first entry that doesn't fit, or that is missing, and `reason` says what is wrong with it.
    `head` is the hash of the last entry that fits: noted down elsewhere, it shows later that the trail's end wasn't cut off."""

    ok: bool
    entries: int
    head: str
    broken_at: int | None
    reason: str | None


class Wanted(msgspec.Struct, frozen=True):
    """Which entries: patterns with `*`. `object` is compared with `kind:id`, the id, and the node that a partition is of."""

    object: str | None = None
    actor: str | None = None
    action: str | None = None
    since: str | None = None
    limit: int = 50


class _Actor(msgspec.Struct):
    id: str
    type: str


class _Object(msgspec.Struct):
    kind: str
    id: str
    version: str | None = None


class _Event(msgspec.Struct):
    at: datetime
    real_at: datetime
    action: str
    actor: _Actor
    object: _Object
    outcome: str
    reason: str = ""
    before: Any = None
    after: Any = None
    run_id: str | None = None


_DECODER = msgspec.json.Decoder(_Event)


def show(session: Session, wanted: Wanted) -> list[AuditRow]:
    """The newest entries that are wanted, newest first. UsageError for a `since` that is no time."""
    if session.store is None:
        return []
    since_us = None if wanted.since is None else since_when(session, wanted.since)
    with session.store.read() as tx:
        found = (one for one in _decoded(tx, since_us) if _is_wanted(one[1], wanted))
        return [_row(session, *one) for one in islice(found, wanted.limit)]


def entry(session: Session, seq: int) -> list[AuditRow]:
    """One entry by its number. UsageError for one that there isn't."""
    if session.store is not None:
        with session.store.read() as tx:
            found = trail.entry(tx, seq)
        if found is not None:
            return [_row(session, found[0], _DECODER.decode(found[1]), found[2])]
    raise UnknownName(f"the audit trail has no entry {seq}", hint="headrace audit show")


def verified(session: Session, head: str | None) -> VerifyDocument:
    """The whole chain computed anew. With `head`, a hash that `verify` once gave: it must still be in the chain.

    UsageError for a `head` that is no hash.
    """
    if head is not None and (len(head) != HASH_CHARACTERS or head.strip("0123456789abcdef")):
        raise UsageError(f"--head {head[:20]!r} is no hash", hint="the `head` of an earlier `headrace audit verify`: 64 digits and letters")
    if session.store is None:
        return VerifyDocument(ok=head is None, entries=0, head=GENESIS, broken_at=None, reason=_missing(head, None))
    with session.store.read() as tx:
        found = verify(tx)
        missing = _missing(head, None if head is None else trail.seq_of(tx, head)) if found.ok else None
    return VerifyDocument(
        ok=found.ok and missing is None, entries=found.entries, head=found.head, broken_at=found.broken_at, reason=found.reason or missing
    )


def _missing(head: str | None, seq: int | None) -> str | None:
    if head is None or head == GENESIS or seq is not None:
        return None
    return "the head that was noted isn't in the trail: its end was cut off, or all of it was written anew"


def _decoded(tx: Transaction, since_us: int | None) -> Iterator[tuple[int, _Event, str]]:
    return ((seq, _DECODER.decode(text), digest) for seq, text, digest in trail.entries(tx, since_us=since_us))


def _is_wanted(event: _Event, wanted: Wanted) -> bool:
    thing = event.object
    names = (f"{thing.kind}:{thing.id}", thing.id, thing.id.partition("@")[0] if thing.kind == "partition" else thing.id)
    return (
        (wanted.object is None or any(fnmatchcase(name, wanted.object) for name in names))
        and (wanted.actor is None or fnmatchcase(event.actor.id, wanted.actor))
        and (wanted.action is None or fnmatchcase(event.action, wanted.action))
    )


def _row(session: Session, seq: int, event: _Event, digest: str) -> AuditRow:
    return AuditRow(
        seq=seq,
        at=event.at.astimezone(session.zone),
        real_at=event.real_at.astimezone(session.zone),
        actor=event.actor.id,
        actor_type=event.actor.type,
        action=event.action,
        object=f"{event.object.kind}:{event.object.id}",
        version=event.object.version,
        outcome=event.outcome,
        reason=event.reason,
        before=event.before,
        after=event.after,
        run_id=event.run_id,
        hash=digest,
    )
