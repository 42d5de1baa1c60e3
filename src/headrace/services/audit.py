"""`audit show|verify|checkpoint`: who did what, when and why, and whether the trail was altered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec

from headrace.access.permissions import AUDIT, command
from headrace.model import Refused, UnknownName, UsageError
from headrace.model.intervals import to_us
from headrace.project.parameters import Option, Since
from headrace.project.session import ProjectSession
from headrace.responses import Response
from headrace.security.audit import GENESIS, verify
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.event_log import replaying
from headrace.store.queries import audit_trail, incidents

# Compares the audit trail with the state: each must contain what the other reports. The event log
# holds the number of entries that the trail had.

MISSING_MAX = 1_000
OUTSIDE = (
    "whether all was rewritten: a checkpoint kept elsewhere shows it of the trail, nothing of"
    " the tables"
)
"""What no check inside the database can show: whoever may write to it can rewrite all of it."""
OUTSIDE_PROVEN = (
    "whether event log and tables were rewritten: the checkpoint proves the trail alone"
)
"""The same limit, given a checkpoint that was kept elsewhere."""


class Reconciled(msgspec.Struct):
    """The result of comparing the audit trail, the event log and the state."""

    missing: list[str]
    limits: list[str]
    entries: int
    """Number of trail entries that the event log has seen; 0 if unknown."""


class _Object(msgspec.Struct):
    kind: str
    id: str
    version: str | None = None


class _Event(msgspec.Struct):
    at: datetime
    action: str
    object: _Object
    reason: str = ""
    after: Any = None


_DECODE = msgspec.json.Decoder(_Event).decode


class AuditTrailSummary(msgspec.Struct):
    """The content of the audit trail, collected in one pass."""

    attempts: dict[str, int | None] = {}
    """Published rows by attempt (`epoch.n`); None if unknown."""
    accepted: set[str] = set()
    """Attempts whose held rows were accepted by entries without a number of published rows."""
    backfills: set[str] = set()
    versions: set[tuple[str, str | None]] = set()
    decisions: set[tuple[str, int]] = set()
    """Action and time in µs; not the name, which may have changed since."""
    retired: list[tuple[tuple[int, int], tuple[int, int]]] = []
    actions: Counter[str] = msgspec.field(default_factory=Counter)
    heads: dict[int, str] = {}
    last: int = 0
    at_checkpoint: Counter[str] = msgspec.field(default_factory=Counter)


def reconcile(tx: Transaction) -> Reconciled:
    """Compare the trail with the event log's anchor, publications, versions and decisions."""
    log = replaying.read(tx)
    checkpoint = log.checkpoint
    summary = _reported(tx, checkpoint.trail[0] if checkpoint is not None else 0)
    result = Reconciled([], [OUTSIDE], log.trail[0] if log.trail is not None else 0)
    result.missing += [
        f"the trigger {name}, which guards the trail" for name in audit_trail.dropped_triggers(tx)
    ]
    result.missing += _beside_log(log, summary)
    if checkpoint is not None and summary.last >= checkpoint.trail[0]:
        result.missing += _beside_counts(checkpoint.actions, summary.at_checkpoint)
    if log.misfits:
        result.missing.append("an unbroken event log: headrace db check says where it is broken")
    if log.waits:
        result.limits.append(
            "the state is from before there was an event log: the trail is compared with one from"
            " the next `headrace tick` on"
        )
    elif (before := unknown_before(tx)) is not None:
        result.limits.append(before)
    result.missing += _beside_publications(tx, summary)
    result.missing += _beside_decisions(tx, summary)
    if len(result.missing) > MISSING_MAX:
        result.limits.append(
            f"{len(result.missing) - MISSING_MAX:,} more are missing and aren't listed"
        )
        del result.missing[MISSING_MAX:]
    return result


def unknown_before(tx: Transaction) -> str | None:
    """Return the point in time before which changes can't be found; None if the log is complete.

    The event log may have begun later than the state.
    """
    begun = audit_trail.log_begun(tx)
    if begun is None:
        return None
    seq, at, text = begun
    why = _DECODE(text).reason
    return (
        f"changes before {instant(at).isoformat(timespec='seconds')} (entry {seq} of the trail):"
        f" the event log began there with what the tables held, because {why}"
    )


def _reported(tx: Transaction, counted_to: int) -> AuditTrailSummary:
    summary = AuditTrailSummary()
    for seq, text, digest in tx.stream("select seq, event, hash from audit order by seq"):
        summary.last = seq
        summary.heads[seq] = digest
        try:
            event = _DECODE(text)
        except msgspec.MsgspecError:
            continue  # the hash chain reports it
        summary.actions[event.action] += 1
        if seq <= counted_to:
            summary.at_checkpoint[event.action] += 1
        _gather(event, summary)
    return summary


def _gather(event: _Event, summary: AuditTrailSummary) -> None:
    version = event.object.version
    match event.action:
        case "partition.published" if version is not None and version.startswith("backfill "):
            summary.backfills.add(version.removeprefix("backfill "))
        case "partition.published" if version is not None:
            summary.attempts[version] = _rows(event)
        case "project.applied":
            summary.versions.add((event.object.id, version))
        case "history.retired" if isinstance(event.after, dict):
            summary.retired.append((_attempt(event.after["first"]), _attempt(event.after["last"])))
        case "partition.withdrawn" | "obligation.waived":
            summary.decisions.add((event.action, to_us(event.at)))
        case "rows.erased" | "data.retired" if isinstance(event.after, dict):
            for attempt, rows in event.after["attempts"].items():
                if (known := summary.attempts.get(attempt)) is not None:
                    summary.attempts[attempt] = known - rows
        case "quarantine.accepted":
            summary.decisions.add((event.action, to_us(event.at)))
            if version is not None and (rows := _rows(event)) is not None:
                summary.attempts[version] = rows + (summary.attempts.get(version) or 0)
            elif version is not None:
                summary.accepted.add(version)


def _rows(event: _Event) -> int | None:
    """Return the number of published rows of an entry; None if unknown."""
    rows = event.after.get("rows") if isinstance(event.after, dict) else None
    return rows if isinstance(rows, int) else None


def _beside_log(log: replaying.Log, summary: AuditTrailSummary) -> list[str]:
    if log.trail is None:
        return []
    seq, head = log.trail
    if summary.last < seq:
        cut = "all of them" if not summary.last else f"those after entry {summary.last}"
        return [f"entries of the trail: the event log knows {seq:,}, and {cut} are gone"]
    if summary.heads[seq] != head:
        return [f"the entry {seq} that the event log knows: another one is in its place"]
    if summary.last > seq:
        entries = f"entries {seq + 1:,} to {summary.last:,} of the trail"
        return [f"in the event log: {entries} were written without Headrace"]
    return []


def _beside_counts(counted: dict[str, int], present_counts: Counter[str]) -> list[str]:
    wrong = sorted(
        action
        for action in counted.keys() | present_counts.keys()
        if counted.get(action, 0) != present_counts[action]
    )
    return [
        f"entries of {action}: {counted.get(action, 0):,} were counted at the checkpoint,"
        f" {present_counts[action]:,} are there"
        for action in wrong
    ]


def _beside_publications(tx: Transaction, summary: AuditTrailSummary) -> list[str]:
    missing = []
    there: set[str] = set()
    for attempt, plan, rows in audit_trail.published_by_attempt(tx):
        there.add(attempt)
        if attempt in summary.attempts:
            recorded_rows = summary.attempts[attempt]
            if (
                recorded_rows is not None
                and recorded_rows != rows
                and not _retired(attempt, summary)
            ):
                missing.append(
                    f"agreement on attempt {attempt}: the trail says {recorded_rows:,} rows, its"
                    f" publications {rows:,}"
                )
        elif attempt not in summary.accepted and str(plan) not in summary.backfills:
            missing.append(f"an entry partition.published for what attempt {attempt} published")
    unpublished = [
        attempt for attempt in summary.attempts.keys() - there if not _retired(attempt, summary)
    ]
    missing += [
        f"the publication of attempt {attempt}, of which the trail tells"
        for attempt in sorted(unpublished)
    ]
    return missing


def _beside_decisions(tx: Transaction, summary: AuditTrailSummary) -> list[str]:
    missing = [
        f"an entry project.applied for version {number} ({digest[:12]})"
        for number, digest in audit_trail.applied_versions(tx)
        if (number, digest) not in summary.versions
    ]
    return missing + [
        f"an entry {action} for {thing} at {instant(at).isoformat()}"
        for action, thing, at in audit_trail.decisions(tx)
        if (action, at) not in summary.decisions
    ]


def _retired(attempt: str, summary: AuditTrailSummary) -> bool:
    return any(first <= _attempt(attempt) <= last for first, last in summary.retired)


def _attempt(text: str) -> tuple[int, int]:
    epoch, _, n = text.partition(".")
    return int(epoch), int(n)


HASH_CHARACTERS = 64


class AuditRow(Response, frozen=True, kw_only=True):
    """`audit show`: one entry.

    `at` is the store's time and `real_at` the machine's (they differ in a replay); `actor` is the
    identity and `actor_type` its kind; `object` is the object of the action, as `kind:id`.
    """

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
    """`audit verify`: the result of verifying the hash chain.

    `broken_at` is the first entry that doesn't fit or is missing, `reason` the cause. `head` is the
    hash of the last entry that fits: noted elsewhere, it shows later that the trail's end wasn't
    cut off.
    """

    ok: bool
    entries: int
    head: str
    broken_at: int | None
    reason: str | None
    proven_to: int | None
    """Entry up to which an external checkpoint proves that the trail wasn't rewritten.

    Null without one.
    """
    reconciled: bool
    """Whether the trail, the event log and the state agree."""
    missing: list[str]
    """Items missing from one of them."""
    notes: list[str]
    """Limits of this verification."""


class CheckpointResponse(Response, frozen=True, kw_only=True):
    """`audit checkpoint`: the trail's last entry and its hash, to be kept elsewhere.

    Not signed yet.
    """

    seq: int
    head: str
    signature: None = None


class AuditQuery(msgspec.Struct, frozen=True):
    """Filters for entries; patterns may contain `*`.

    `object` is matched against `kind:id`, the id, and the node of a partition.
    """

    object: Annotated[
        str | None,
        Option(
            "--object",
            metavar="PATTERN",
            help="what it was done to: revenue, revenue@2025-03-*, run:7",
        ),
    ] = None
    actor: Annotated[str | None, Option("--actor", metavar="PATTERN", help="who did it")] = None
    action: Annotated[
        str | None,
        Option("--action", metavar="PATTERN", help="what was done: partition.*, project.applied"),
    ] = None
    since: Since = None
    limit: Annotated[
        int,
        Option("--limit", metavar="N", help="entries listed, newest first"),
        msgspec.Meta(ge=1, le=1_000),
    ] = 50


class EntryActor(msgspec.Struct):
    """Who is named by an entry of the audit trail."""

    id: str
    type: str


class _EntryEvent(msgspec.Struct):
    at: datetime
    real_at: datetime
    action: str
    actor: EntryActor
    object: _Object
    outcome: str
    reason: str = ""
    before: Any = None
    after: Any = None
    run_id: str | None = None


_DECODER = msgspec.json.Decoder(_EntryEvent)


@command("audit", AUDIT, lists=True, http="GET /audit audit", session="audit")
def show(session: ProjectSession, query: AuditQuery) -> list[AuditRow]:
    """Return the newest matching entries, newest first. Raise UsageError for an invalid `since`.

    A role that is limited to nodes gets the entries about one of these nodes only.
    """
    if session.store is None:
        return []
    since_us = None if query.since is None else session.time_since(query.since)
    with session.store.read() as tx:
        results = (
            item
            for item in _decoded(tx, since_us)
            if _is_wanted(item[1], query) and _shows(session, tx, item[1])
        )
        return [_row(session, *item) for item in islice(results, query.limit)]


@command("audit", AUDIT, lists=True)
def entry(session: ProjectSession, seq: int) -> list[AuditRow]:
    """Return one entry by its number. Raise UnknownName if it doesn't exist."""
    if session.store is not None:
        with session.store.read() as tx:
            results = audit_trail.entry(tx, seq)
            event = None if results is None else _DECODER.decode(results[1])
            if results is not None and event is not None and _shows(session, tx, event):
                return [_row(session, results[0], event, results[2])]
    raise UnknownName(f"the audit trail has no entry {seq}", hint="headrace audit show")


@command("audit checkpoint", AUDIT)
def checkpoint(
    session: ProjectSession,
    out: Annotated[Path, Option("--out", metavar="FILE", help="a new file")],
) -> CheckpointResponse:
    """Write the trail's head to a new file.

    Raise UsageError if there is no state or the file exists, Refused if the trail doesn't verify or
    the file can't be written.
    """
    response = verify_trail(session, None)
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    if not response.ok:
        raise Refused("the audit trail isn't as it was written", hint="headrace audit verify")
    checkpoint_response = CheckpointResponse(seq=response.entries, head=response.head)
    try:
        with out.open("xb") as file:
            file.write(
                msgspec.json.encode(
                    {
                        "seq": checkpoint_response.seq,
                        "head": checkpoint_response.head,
                        "signature": None,
                    }
                )
                + b"\n"
            )
    except FileExistsError as error:
        raise UsageError(
            f"{out} is there already", hint="name another file: a checkpoint is never overwritten"
        ) from error
    except OSError as error:
        raise Refused(
            f"{out} can't be written: {error.strerror}",
            hint="check that its folder is there and may be written to",
        ) from error
    return checkpoint_response


def read_checkpoint(path: Path) -> CheckpointResponse:
    """Read a checkpoint file. Raise UsageError for a file that isn't one."""
    try:
        response = msgspec.json.decode(path.read_bytes(), type=CheckpointResponse)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{path} is no checkpoint ({error})",
            hint="headrace audit checkpoint --out FILE makes one",
        ) from error
    if not _is_hash(response.head) or response.seq < 0:
        raise UsageError(
            f"{path} is no checkpoint", hint="headrace audit checkpoint --out FILE makes one"
        )
    return response


def _is_hash(text: str) -> bool:
    return len(text) == HASH_CHARACTERS and not text.strip("0123456789abcdef")


@command("audit verify", AUDIT, http="GET /audit/verify audit_verify", session="audit_verify")
def audit_verify(
    session: ProjectSession,
    head: Annotated[
        str | None,
        Option("--head", metavar="HASH", help="a head noted down earlier; it must still be there"),
    ] = None,
) -> VerifyResponse:
    """Return whether the audit trail is unchanged. `head` is a hash from an earlier call.

    Raise UsageError if `head` isn't a hash.
    """
    return verify_trail(session, head)


@command("audit verify", AUDIT)
def verify_trail(
    session: ProjectSession, head: str | None, response: CheckpointResponse | None = None
) -> VerifyResponse:
    """Recompute the whole hash chain, and compare it with the event log and the state.

    `head` is a hash from an earlier `verify`, `response` a checkpoint: both must still be in the
    chain. Raise UsageError if `head` isn't a hash.
    """
    if head is not None and not _is_hash(head):
        raise UsageError(
            f"--head {head[:20]!r} is no hash",
            hint="the `head` of an earlier `headrace audit verify`: 64 digits and letters",
        )
    if session.store is None:
        missing = _missing(head, None) or _unkept(response, None)
        return VerifyResponse(
            ok=missing is None,
            entries=0,
            head=GENESIS,
            broken_at=None,
            reason=missing,
            proven_to=None,
            reconciled=True,
            missing=[],
            notes=[],
        )
    with session.store.read() as tx:
        verification = verify(tx)
        compared = reconcile(tx)
        missing = None
        if verification.ok:
            missing = _missing(head, None if head is None else audit_trail.seq_of(tx, head))
            missing = missing or _unkept(
                response, None if response is None else audit_trail.entry(tx, response.seq)
            )
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
        notes=compared.limits if proven is None else [OUTSIDE_PROVEN, *compared.limits[1:]],
    )


def _unkept(response: CheckpointResponse | None, entry: tuple[int, str, str] | None) -> str | None:
    """Return why the trail doesn't match an external checkpoint; None if it does."""
    if response is None or response.seq == 0 or (entry is not None and entry[2] == response.head):
        return None
    if entry is None:
        return (
            f"the checkpoint knows entry {response.seq}, and the trail ends before it: its end was"
            " cut off"
        )
    return f"entry {response.seq} isn't the one that the checkpoint knows: the trail was rewritten"


def _missing(head: str | None, seq: int | None) -> str | None:
    if head is None or head == GENESIS or seq is not None:
        return None
    return (
        "the head that was noted isn't in the trail: its end was cut off, or all of it was written"
        " anew"
    )


def _decoded(tx: Transaction, since_us: int | None) -> Iterator[tuple[int, _EntryEvent, str]]:
    return (
        (seq, _DECODER.decode(text), digest)
        for seq, text, digest in audit_trail.entries(tx, since_us=since_us)
    )


def _is_wanted(event: _EntryEvent, query: AuditQuery) -> bool:
    thing = event.object
    names = (
        f"{thing.kind}:{thing.id}",
        thing.id,
        thing.id.partition("@")[0] if thing.kind == "partition" else thing.id,
    )
    return (
        (query.object is None or any(fnmatchcase(name, query.object) for name in names))
        and (query.actor is None or fnmatchcase(event.actor.id, query.actor))
        and (query.action is None or fnmatchcase(event.action, query.action))
    )


_OF_NODES = frozenset(
    {
        "node",
        "source",
        "asset",
        "consumer",
        "partition",
        "obligation",
        "delivery",
        "column",
        "contract",
    }
)
"""Kinds of objects whose ids are NODE, NODE@K or NODE.COLUMN."""


def _shows(session: ProjectSession, tx: Transaction, event: _EntryEvent) -> bool:
    """Whether the session's identity may see an entry.

    With a limited role, it may if the entry is about a node that it sees, or about an incident
    there. Entries about runs, plans, people and the whole project name other nodes, too.
    """
    if session.visible is None:
        return True
    thing = event.object
    if thing.kind in _OF_NODES:
        return session.shows(thing.id.partition("@")[0].partition(".")[0])
    if thing.kind != "incident":
        return False
    number = thing.id.removeprefix("INC-")
    incident = incidents.get(tx, int(number)) if number.isdigit() else None
    return incident is not None and session.shows(incident.node)


def _row(session: ProjectSession, seq: int, event: _EntryEvent, digest: str) -> AuditRow:
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
