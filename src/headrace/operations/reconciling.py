"""The audit trail beside the state: each has what the other tells of, and the event log says how far the trail went."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from headrace.model.zones import to_us
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.event_log import replaying
from headrace.store.queries import reconciling

MISSING_MAX = 1_000
OUTSIDE = "whether all was written anew: a checkpoint kept elsewhere shows it of the trail, nothing of the tables"
"""What nothing inside of the database can show: whoever may write it can write all of it."""
OUTSIDE_PROVEN = "whether event log and tables were written anew: the checkpoint proves the trail alone"
"""The same with a checkpoint that was kept elsewhere."""


class Reconciled(msgspec.Struct):
    """What came of it."""

    missing: list[str]
    notes: list[str]
    entries: int
    """How many entries the event log has seen; 0 where it doesn't say."""


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
    """What the trail tells of, gathered in one pass."""

    attempts: dict[str, int | None] = {}
    """Attempt as `epoch.n` → rows that were published."""
    accepted: set[str] = set()
    """Attempts of which what waited was accepted, by entries that don't say how many rows that published."""
    backfills: set[str] = set()
    versions: set[tuple[str, str | None]] = set()
    decisions: set[tuple[str, int]] = set()
    """Action and time: a name may have changed since."""
    retired: list[tuple[tuple[int, int], tuple[int, int]]] = []
    actions: Counter[str] = msgspec.field(default_factory=Counter)
    heads: dict[int, str] = {}
    last: int = 0
    at_checkpoint: Counter[str] = msgspec.field(default_factory=Counter)


def reconcile(tx: Transaction) -> Reconciled:
    """Compare the trail with the event log's anchor, and with publications, versions and decisions."""
    log = replaying.read(tx)
    checkpoint = log.checkpoint
    summary = _told(tx, checkpoint.trail[0] if checkpoint is not None else 0)
    result = Reconciled([], [OUTSIDE], log.trail[0] if log.trail is not None else 0)
    result.missing += [f"the trigger {name}, which guards the trail" for name in reconciling.dropped_triggers(tx)]
    result.missing += _beside_log(log, summary)
    if checkpoint is not None and summary.last >= checkpoint.trail[0]:
        result.missing += _beside_counts(checkpoint.actions, summary.at_checkpoint)
    if log.misfits:
        result.missing.append("an unbroken event log: headrace db check says where it is broken")
    if log.waits:
        result.notes.append(
            "the state is from before there was an event log: the trail is compared with one from the next `headrace tick` on"
        )
    elif (before := unknown_before(tx)) is not None:
        result.notes.append(before)
    result.missing += _beside_publications(tx, summary)
    result.missing += _beside_decisions(tx, summary)
    if len(result.missing) > MISSING_MAX:
        result.notes.append(f"{len(result.missing) - MISSING_MAX:,} more are missing and aren't listed")
        del result.missing[MISSING_MAX:]
    return result


def unknown_before(tx: Transaction) -> str | None:
    """Up to when changes can't be found, as the event log began later than the state; None where
    it has all of it."""
    begun = reconciling.log_begun(tx)
    if begun is None:
        return None
    seq, at, text = begun
    why = _DECODE(text).reason
    return (
        f"changes before {instant(at).isoformat(timespec='seconds')} (entry {seq} of the trail):"
        f" the event log began there with what the tables held, because {why}"
    )


def _told(tx: Transaction, counted_to: int) -> AuditTrailSummary:
    summary = AuditTrailSummary()
    for seq, text, digest in tx.stream("select seq, event, hash from audit order by seq"):
        summary.last = seq
        summary.heads[seq] = digest
        try:
            event = _DECODE(text)
        except msgspec.MsgspecError:
            continue  # the chain says so
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
        case "quarantine.accepted":
            summary.decisions.add((event.action, to_us(event.at)))
            if version is not None and (rows := _rows(event)) is not None:
                summary.attempts[version] = rows + (summary.attempts.get(version) or 0)
            elif version is not None:
                summary.accepted.add(version)


def _rows(event: _Event) -> int | None:
    """How many rows an entry says were published; None where it doesn't say."""
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
        return [f"the entry {seq} that the event log knows: another one stands in its place"]
    if summary.last > seq:
        return [f"in the event log: entries {seq + 1:,} to {summary.last:,} of the trail were written without Headrace"]
    return []


def _beside_counts(counted: dict[str, int], told: Counter[str]) -> list[str]:
    wrong = sorted(action for action in counted.keys() | told.keys() if counted.get(action, 0) != told[action])
    return [
        f"entries of {action}: {counted.get(action, 0):,} were counted at the checkpoint, {told[action]:,} are there" for action in wrong
    ]


def _beside_publications(tx: Transaction, summary: AuditTrailSummary) -> list[str]:
    missing = []
    there: set[str] = set()
    for attempt, plan, rows in reconciling.published(tx):
        there.add(attempt)
        if attempt in summary.attempts:
            said = summary.attempts[attempt]
            if said is not None and said != rows and not _retired(attempt, summary):
                missing.append(f"agreement on attempt {attempt}: the trail says {said:,} rows, its publications {rows:,}")
        elif attempt not in summary.accepted and str(plan) not in summary.backfills:
            missing.append(f"an entry partition.published for what attempt {attempt} published")
    gone = [attempt for attempt in summary.attempts.keys() - there if not _retired(attempt, summary)]
    missing += [f"the publication of attempt {attempt}, of which the trail tells" for attempt in sorted(gone)]
    return missing


def _beside_decisions(tx: Transaction, summary: AuditTrailSummary) -> list[str]:
    missing = [
        f"an entry project.applied for version {number} ({digest[:12]})"
        for number, digest in reconciling.versions(tx)
        if (number, digest) not in summary.versions
    ]
    return missing + [
        f"an entry {action} for {thing} at {instant(at).isoformat()}"
        for action, thing, at in reconciling.decisions(tx)
        if (action, at) not in summary.decisions
    ]


def _retired(attempt: str, summary: AuditTrailSummary) -> bool:
    return any(first <= _attempt(attempt) <= last for first, last in summary.retired)


def _attempt(text: str) -> tuple[int, int]:
    epoch, _, n = text.partition(".")
    return int(epoch), int(n)
