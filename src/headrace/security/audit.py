"""The audit trail: an append-only chain of events, each linked to the previous one by a hash.

Source: TRUST A1-A5, H1, H2.

An event is appended in the transaction of the change that it records, so neither exists without the
other. `verify` recomputes the chain and names the first entry that doesn't fit; it detects entries
that were altered, removed, inserted or moved. A chain alone can't show that its *end* was cut off,
or that someone with write access recomputed all of it. That needs a head stored elsewhere (signed
checkpoints, not built yet). Compare `verify`'s head with one that you noted down.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from headrace.model.intervals import to_us
from headrace.model.texts import hidden
from headrace.store.clock import instant
from headrace.store.transaction import Transaction

# Canonical JSON (RFC 8785, JCS): each value has exactly one sequence of bytes, which can be hashed.
#
# It is deliberately narrower than JCS: no floats (decimals are strings), integers within ±2^53 − 1,
# strings in NFC, times as RFC 3339 with `Z` and microseconds. Text from outside is made harmless
# before it is stored.

TEXT_CHARACTERS_MAX = 4_000
"""The maximum length of a text; a longer one is cut and ends with `…`."""
_INTEGER_MAX = 2**53 - 1
_ENCODE = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
).encode


def canonical(value: Any) -> str:
    """Return the canonical JSON text of plain values.

    Raises TypeError for values without a canonical form (floats, bytes, other objects). Raises
    ValueError for integers that JSON readers would round, and for names that become equal in
    canonical form.
    """
    flat = _flat(value) if type(value) is dict else None
    return _ENCODE(_plain(value)) if flat is None else flat


def _flat(value: dict[Any, Any]) -> str | None:
    """Return the text of a few plain members, as a fast path; None for anything else."""
    parts = []
    for name, item in value.items():
        if type(name) is not str or not _is_plain(name):
            return None
        if type(item) is int and -_INTEGER_MAX <= item <= _INTEGER_MAX:
            parts.append((name, f'"{name}":{item}'))
        elif isinstance(item, str) and _is_plain(item):
            parts.append((name, f'"{name}":"{item}"'))
        else:
            return None
    parts.sort()
    return "{" + ",".join([text for _, text in parts]) + "}"


_is_plain = re.compile(rf"[ !#-\[\]-~]{{0,{TEXT_CHARACTERS_MAX}}}", flags=re.ASCII).fullmatch
"""Matches text that JSON holds as it is: printable ASCII without quotes and backslashes."""


def canonical_text(text: str) -> str:
    """Return the canonical JSON text of a string, with a fast path for most strings."""
    return f'"{text}"' if _is_plain(text) else canonical(text)


def clean(text: str) -> str:
    """Return text that can't hide or forge anything on a line.

    It is in NFC and cut at TEXT_CHARACTERS_MAX, without marked values of rows: the trail can't be
    erased. Characters that don't print (controls, newlines,
    bidirectional overrides, lone surrogates) are written as `\\u202e`.
    """
    text = hidden(text)
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 1] + "…"
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escaped(character) for character in text
    )


def rfc3339(at: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC: `2013-02-12T04:40:00.000000Z`."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _plain(value: Any) -> Any:
    """Return the value as dicts in canonical order, lists, str, int, bool and None."""
    if value is None or value is True or value is False:
        return value
    if (
        type(value) is str
        and len(value) <= TEXT_CHARACTERS_MAX
        and value.isascii()
        and value.isprintable()
    ):
        return value  # the usual case; every publication writes to the trail
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item) for item in value]
    return _text_of(value)


def _integer(value: int) -> int:
    if abs(value) > _INTEGER_MAX:
        raise ValueError(
            f"{value} is outside of what JSON's readers keep exactly; write it as a string"
        )
    return int(value)


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    cleaned = {_plain_name(name): _plain(item) for name, item in value.items()}
    if len(cleaned) != len(value):
        raise ValueError("two names of an object are the same in canonical form")
    order = sorted(cleaned) if all(map(str.isascii, cleaned)) else sorted(cleaned, key=_utf16)
    return {name: cleaned[name] for name in order}


def _plain_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{name!r} can't name a member of an object")
    return str(_plain(name))


def _utf16(name: str) -> bytes:
    """Return the sort key of JCS: UTF-16 code units, which differ from code points above U+FFFF."""
    return name.encode("utf-16-be")


def _text_of(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


# The trail itself.

FORMAT_VERSION = 1
STREAM = "headrace"
"""The name of the only stream, a part of every hash: entries of two streams can't be swapped."""
EVENT_BYTES_MAX = 65_536
GENESIS = "0" * 64
"""The previous hash of the first entry, and the head of an empty trail."""
_DOMAIN = b"\x02"
"""Differs from the first bytes of leaves and nodes of a Merkle tree (RFC 6962: 0x00 and 0x01)."""


class Action(enum.StrEnum):
    """The actions that the trail records."""

    STORE_CREATED = "store.created"
    STATE_RESTORED = "state.restored"
    STATE_BEGUN_ANEW = "state.begun_anew"
    LAKE_MOVED = "lake.moved"
    LEASE_TAKEN = "lease.taken"
    PROJECT_APPLIED = "project.applied"
    RUN_REQUESTED = "run.requested"
    RUN_FINISHED = "run.finished"
    RUN_CANCELLED = "run.cancelled"
    NODE_PAUSED = "node.paused"
    NODE_RESUMED = "node.resumed"
    TRIGGER_FIRED = "trigger.fired"
    DELIVERY_RECEIVED = "delivery.received"
    CONTRACT_ACCEPTED = "contract.accepted"
    CONTRACT_AGREED = "contract.agreed"
    PLAN_MADE = "plan.made"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_REFUSED = "approval.refused"
    PLAN_APPROVED = "plan.approved"
    PLAN_REJECTED = "plan.rejected"
    PLAN_STARTED = "plan.started"
    PLAN_PAUSED = "plan.paused"
    PLAN_RESUMED = "plan.resumed"
    PLAN_CANCELLED = "plan.cancelled"
    PLAN_FINISHED = "plan.finished"
    PARTITION_PUBLISHED = "partition.published"
    PARTITION_HELD = "partition.held"
    PARTITION_REJECTED = "partition.rejected"
    PARTITION_WITHDRAWN = "partition.withdrawn"
    QUARANTINE_ACCEPTED = "quarantine.accepted"
    QUARANTINE_DROPPED = "quarantine.dropped"
    INCIDENT_FIXED = "incident.fixed"
    INCIDENT_REPORTED = "incident.reported"
    INCIDENT_NOTED = "incident.noted"
    INCIDENT_ASSIGNED = "incident.assigned"
    INCIDENT_TICKET_LINKED = "incident.ticket_linked"
    INCIDENT_MUTED = "incident.muted"
    INCIDENT_UNMUTED = "incident.unmuted"
    AGENT_ACTED = "agent.acted"
    OBLIGATION_WAIVED = "obligation.waived"
    EXPORT_TAKEN_OVER = "export.taken_over"
    TOKEN_CREATED = "token.created"  # noqa: S105 - the name of an action
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    KEYS_ROTATED = "keys.rotated"
    TOKEN_REVEALED = "token.revealed"  # noqa: S105
    COLUMN_DECLASSIFIED = "column.declassified"
    EXPORT_CLEARED = "export.cleared"
    ACCESS_FROZEN = "access.frozen"
    ACCESS_UNFROZEN = "access.unfrozen"
    ACCESS_DENIED = "access.denied"
    BREAK_GLASS_STARTED = "break_glass.started"
    BREAK_GLASS_ENDED = "break_glass.ended"
    CLASSIFIED_READ = "classified.read"
    SIGN_IN_FAILED = "sign_in.failed"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    USER_ADDED = "user.added"
    USER_PASSWORD_CHANGED = "user.password_changed"  # noqa: S105
    USER_REMOVED = "user.removed"
    ENVIRONMENT_PROMOTED = "environment.promoted"
    HISTORY_RETIRED = "history.retired"
    EVENT_LOG_BEGUN = "event_log.begun"
    STATE_REPAIRED = "state.repaired"
    ERASURE_STARTED = "erasure.started"
    ROWS_ERASED = "rows.erased"
    ERASURE_FINISHED = "erasure.finished"
    PROPOSAL_DISMISSED = "proposal.dismissed"
    PROPOSAL_REOPENED = "proposal.reopened"
    HOLD_SET = "hold.set"
    HOLD_RELEASED = "hold.released"
    DATA_RETIRED = "data.retired"
    LEDGERS_FROZEN = "ledgers.frozen"
    DEMO_FAULT_INJECTED = "demo.fault_injected"


class ActorType(enum.StrEnum):
    """The kind of actor."""

    PERSON = "person"
    SERVICE = "service"
    SYSTEM = "system"


class ActionOutcome(enum.StrEnum):
    """The outcome of an action."""

    ALLOWED = "allowed"
    DENIED = "denied"
    FAILED = "failed"


class Actor(msgspec.Struct, frozen=True, gc=False):
    """The actor of an event; `display` is for people and may change, `id` doesn't change."""

    type: ActorType
    id: str
    display: str = ""


class Object(msgspec.Struct, frozen=True, gc=False):
    """The object of an action; `kind` is for example `project`, `run` or `partition`."""

    kind: str
    id: str
    version: str | None = None


class AuditEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One action.

    `before` and `after` hold the change, as JSON values without floats, secrets and cell values.
    """

    action: Action
    actor: Actor
    object: Object
    outcome: ActionOutcome = ActionOutcome.ALLOWED
    reason: str = ""
    before: Any = None
    after: Any = None
    request_id: str | None = None
    run_id: str | None = None


class Verification(msgspec.Struct, frozen=True, gc=False):
    """The result of `verify`; `broken_at` is the first seq that doesn't fit or is missing."""

    ok: bool
    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""


def append(tx: Transaction, at_us: int, event: AuditEvent) -> int:
    """Append one event in the caller's transaction and return its seq.

    `at_us` is the store's time in microseconds since 1970 UTC.
    """
    return append_all(tx, at_us, (event,))


def append_all(tx: Transaction, at_us: int, events: Sequence[AuditEvent]) -> int:
    """Append events in order and return the last seq.

    Raises TypeError or ValueError for values without a canonical form.
    """
    seq, head = tx.execute("select seq, hash from audit order by seq desc limit 1").fetchone() or (
        0,
        GENESIS,
    )
    at, real_at = rfc3339(instant(at_us)), rfc3339(instant(time.time_ns() // 1000))
    rows = []
    random = os.urandom(_RANDOM_BYTES * len(events)).hex()
    for place, event in enumerate(events):
        seq += 1
        text = _text(event, at, real_at, _uuid7(random[place * _RANDOM_DIGITS :]))
        previous, head = head, chain_hash(seq, head, text)
        rows.append((seq, at_us, text, previous, head))
    tx.executemany(
        "insert into audit (seq, at, event, prev_hash, hash) values (?, ?, ?, ?, ?)", rows
    )
    return int(seq)


def verify(tx: Transaction) -> Verification:
    """Recompute the whole chain, from the first entry to the last, and return the result."""
    return verify_rows(tx.execute("select seq, at, event, prev_hash, hash from audit order by seq"))


def verify_rows(rows: Iterable[tuple[int, int, str, str, str]]) -> Verification:
    """Verify entries from any source, in the order of seq.

    Each is (seq, time in microseconds, event, previous hash, hash).
    """
    seq, head = 0, GENESIS
    for row in rows:
        if reason := _misfit(row, seq + 1, head):
            return Verification(ok=False, entries=seq, head=head, broken_at=seq + 1, reason=reason)
        seq, head = row[0], row[4]
    return Verification(ok=True, entries=seq, head=head)


def chain_hash(seq: int, previous: str, text: str) -> str:
    """Return SHA-256(0x02 ‖ version ‖ stream ‖ seq ‖ previous hash ‖ canonical event).

    The stream is preceded by its length; seq has 8 bytes.
    """
    return hashlib.sha256(
        _PREFIX + seq.to_bytes(8, "big") + bytes.fromhex(previous) + text.encode()
    ).hexdigest()


_PREFIX = _DOMAIN + bytes([FORMAT_VERSION, len(STREAM)]) + STREAM.encode()


class _Dated(msgspec.Struct):
    at: datetime


_DATED = msgspec.json.Decoder(_Dated)


def _misfit(row: tuple[int, int, str, str, str], expected: int, head: str) -> str:
    """Return why an entry doesn't fit in its place; empty if it does."""
    seq, at_us, text, previous, digest = row
    if seq != expected:
        return f"entry {seq} is where {expected} is due: one is missing, or is there twice"
    if previous != head:
        return "it doesn't follow the entry before it"
    try:
        if chain_hash(seq, previous, text) != digest:
            return "its content isn't what was hashed"
        if to_us(_DATED.decode(text).at) != at_us:
            return "its time isn't the one in its content"
    except (AttributeError, TypeError, ValueError):
        return "it can't be read"
    return ""


def _text(event: AuditEvent, at: str, real_at: str, identity: str) -> str:
    if (
        event.before is None
        and event.request_id is None
        and event.run_id is None
        and not event.reason
    ):
        short = _short_text(event, at, real_at, identity)
        if len(short) <= EVENT_BYTES_MAX // 4:
            return short
    fields = {
        "action": event.action,
        "actor": {"type": event.actor.type, "id": event.actor.id, "display": event.actor.display},
        "after": event.after,
        "at": at,
        "before": event.before,
        "id": identity,
        "object": {
            "kind": event.object.kind,
            "id": event.object.id,
            "version": event.object.version,
        },
        "outcome": event.outcome,
        "real_at": real_at,
        "reason": event.reason,
        "request_id": event.request_id,
        "run_id": event.run_id,
    }
    text = canonical(fields)
    if len(text) > EVENT_BYTES_MAX // 4 and len(text.encode()) > EVENT_BYTES_MAX:
        text = canonical(fields | {name: _digest(fields[name]) for name in ("before", "after")})
    return text


def _short_text(event: AuditEvent, at: str, real_at: str, identity: str) -> str:
    """Return the same text as `_text` for events without further fields, as a fast path.

    Every publication writes one.
    """
    item, after = event.object, canonical(event.after)
    version = "null" if item.version is None else canonical_text(item.version)
    thing = (
        f'{{"id":{canonical_text(item.id)},"kind":{canonical_text(item.kind)},"version":{version}}}'
    )
    return (
        f'{{"action":"{event.action}","actor":{_actor_text(event.actor)},"after":{after},"at":"{at}","before":null,"id":"{identity}",'
        f'"object":{thing},"outcome":"{event.outcome}","real_at":"{real_at}","reason":"","request_id":null,"run_id":null}}'
    )


@functools.lru_cache(maxsize=64)
def _actor_text(actor: Actor) -> str:
    return canonical({"type": actor.type, "id": actor.id, "display": actor.display})


def _digest(value: Any) -> Any:
    """Return the size and hash that replace a value too large to store."""
    if value is None:
        return None
    text = canonical(value).encode()
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}


_RANDOM_BYTES, _RANDOM_DIGITS = 10, 20
"""Random bytes for one id, and their hexadecimal digits."""


def _uuid7(random: str) -> str:
    """Return a time-ordered id (RFC 9562): 48 bits of ms, version, variant, 74 random bits.

    The bits are from the first _RANDOM_DIGITS digits of `random`.
    """
    millis = time.time_ns() // 1_000_000
    at = f"{millis & (1 << 48) - 1:012x}"
    variant = "89ab"[int(random[3], 16) & 3]
    return f"{at[:8]}-{at[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


def counted(tx: Transaction) -> tuple[tuple[int, str], dict[str, int]]:
    """Return the trail's last entry and hash, and the number of entries of each action."""
    results: dict[str, int] = {}
    last = (0, GENESIS)
    for seq, text, digest in tx.stream("select seq, event, hash from audit order by seq"):
        action = _ACTED.decode(text).action
        results[action] = results.get(action, 0) + 1
        last = (seq, digest)
    return last, results


class _Acted(msgspec.Struct):
    action: str


_ACTED = msgspec.json.Decoder(_Acted)
