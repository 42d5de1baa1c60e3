"""`audit show|verify|checkpoint`: who did what, when and why, and whether anybody has changed the record of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from headrace.govern.audit import GENESIS, verify
from headrace.model import Refused, UnknownName, UsageError
from headrace.operations.reconciling import OUTSIDE_PROVEN, reconcile
from headrace.operations.responses import Response
from headrace.operations.runs import since_when
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import trail

HASH_CHARACTERS = 64


class AuditRow(Response, frozen=True, kw_only=True):
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


class VerifyResponse(Response, frozen=True, kw_only=True):
    """`audit verify`. `broken_at` is the first entry that doesn't fit, or that is missing, and `reason` says what is wrong with it.
    `head` is the hash of the last entry that fits: noted down elsewhere, it shows later that the trail's end wasn't cut off."""

    ok: bool
    entries: int
    head: str
    broken_at: int | None
    reason: str | None
    proven_to: int | None
    """The entry up to which a checkpoint that was kept elsewhere shows that nobody wrote the trail anew; null without one."""
    reconciled: bool
    """Whether the trail, the event log and the state agree."""
    missing: list[str]
    """What one of them lacks."""
    notes: list[str]
    """What can't be known."""


class CheckpointResponse(Response, frozen=True, kw_only=True):
    """`audit checkpoint`: the trail's last entry and its hash, to be kept elsewhere. Nothing signs it yet."""

    seq: int
    head: str
    signature: None = None


class AuditQuery(msgspec.Struct, frozen=True):
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


def show(session: ProjectSession, query: AuditQuery) -> list[AuditRow]:
    """The newest entries that are wanted, newest first. UsageError for a `since` that is no time."""
    if session.store is None:
        return []
    since_us = None if query.since is None else since_when(session, query.since)
    with session.store.read() as tx:
        results = (item for item in _decoded(tx, since_us) if _is_wanted(item[1], query))
        return [_row(session, *item) for item in islice(results, query.limit)]


def entry(session: ProjectSession, seq: int) -> list[AuditRow]:
    """One entry by its number. UsageError for one that there isn't."""
    if session.store is not None:
        with session.store.read() as tx:
            results = trail.entry(tx, seq)
        if results is not None:
            return [_row(session, results[0], _DECODER.decode(results[1]), results[2])]
    raise UnknownName(f"the audit trail has no entry {seq}", hint="headrace audit show")


def checkpoint(session: ProjectSession, out: Path) -> CheckpointResponse:
    """Write the trail's head to a new file. UsageError where there is no state, or a file already; Refused for a trail that doesn't
    fit."""
    response = verified(session, None)
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    if not response.ok:
        raise Refused("the audit trail isn't as it was written", hint="headrace audit verify")
    checkpoint_response = CheckpointResponse(seq=response.entries, head=response.head)
    try:
        with out.open("xb") as file:
            file.write(msgspec.json.encode({"seq": checkpoint_response.seq, "head": checkpoint_response.head, "signature": None}) + b"\n")
    except FileExistsError as error:
        raise UsageError(f"{out} is there already", hint="name another file: a checkpoint is never overwritten") from error
    except OSError as error:
        raise Refused(f"{out} can't be written: {error.strerror}", hint="check that its folder is there and may be written to") from error
    return checkpoint_response


def read_checkpoint(path: Path) -> CheckpointResponse:
    """A checkpoint that was kept. UsageError for a file that is none."""
    try:
        response = msgspec.json.decode(path.read_bytes(), type=CheckpointResponse)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{path} is no checkpoint ({error})", hint="headrace audit checkpoint --out FILE makes one") from error
    if not _is_hash(response.head) or response.seq < 0:
        raise UsageError(f"{path} is no checkpoint", hint="headrace audit checkpoint --out FILE makes one")
    return response


def _is_hash(text: str) -> bool:
    return len(text) == HASH_CHARACTERS and not text.strip("0123456789abcdef")


def verified(session: ProjectSession, head: str | None, response: CheckpointResponse | None = None) -> VerifyResponse:
    """The whole chain computed anew, and compared with the event log and the state. `head` is a hash that `verify` once gave, `kept` a
    checkpoint: they must still be in the chain.

    UsageError for a `head` that is no hash.
    """
    if head is not None and not _is_hash(head):
        raise UsageError(f"--head {head[:20]!r} is no hash", hint="the `head` of an earlier `headrace audit verify`: 64 digits and letters")
    if session.store is None:
        missing = _missing(head, None) or _unkept(response, None)
        return VerifyResponse(
            ok=missing is None, entries=0, head=GENESIS, broken_at=None, reason=missing,
            proven_to=None, reconciled=True, missing=[], notes=[],
        )  # fmt: skip
    with session.store.read() as tx:
        verification = verify(tx)
        compared = reconcile(tx)
        missing = None
        if verification.ok:
            missing = _missing(head, None if head is None else trail.seq_of(tx, head))
            missing = missing or _unkept(response, None if response is None else trail.entry(tx, response.seq))
        if verification.ok and missing is None and compared.missing:
            missing = f"missing: {compared.missing[0]}"
    proven = response.seq if response is not None and verification.ok and missing is None else None
    return VerifyResponse(
        ok=verification.ok and missing is None,
        entries=verification.entries,
        head=verification.head,
        broken_at=verification.broken_at,
        reason=verification.reason or missing,
        proven_to=proven,
        reconciled=not compared.missing,
        missing=compared.missing,
        notes=compared.notes if proven is None else [OUTSIDE_PROVEN, *compared.notes[1:]],
    )


def _unkept(response: CheckpointResponse | None, entry: tuple[int, str, str] | None) -> str | None:
    """Why the trail isn't the one of a checkpoint that was kept."""
    if response is None or response.seq == 0 or (entry is not None and entry[2] == response.head):
        return None
    if entry is None:
        return f"the checkpoint knows entry {response.seq}, and the trail ends before it: its end was cut off"
    return f"entry {response.seq} isn't the one that the checkpoint knows: the trail was written anew"


def _missing(head: str | None, seq: int | None) -> str | None:
    if head is None or head == GENESIS or seq is not None:
        return None
    return "the head that was noted isn't in the trail: its end was cut off, or all of it was written anew"


def _decoded(tx: Transaction, since_us: int | None) -> Iterator[tuple[int, _Event, str]]:
    return ((seq, _DECODER.decode(text), digest) for seq, text, digest in trail.entries(tx, since_us=since_us))


def _is_wanted(event: _Event, query: AuditQuery) -> bool:
    thing = event.object
    names = (f"{thing.kind}:{thing.id}", thing.id, thing.id.partition("@")[0] if thing.kind == "partition" else thing.id)
    return (
        (query.object is None or any(fnmatchcase(name, query.object) for name in names))
        and (query.actor is None or fnmatchcase(event.actor.id, query.actor))
        and (query.action is None or fnmatchcase(event.action, query.action))
    )


def _row(session: ProjectSession, seq: int, event: _Event, digest: str) -> AuditRow:
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
