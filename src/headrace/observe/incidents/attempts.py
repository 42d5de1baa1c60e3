"""Evidence of attempts: what was odd about what they made, why they failed, and what ends with the next one that doesn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headrace.observe.diagnosis.causes import DATA_CAUSES, CauseKind
from headrace.observe.diagnosis.details import ENVIRONMENT, needed, says_disk
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.gathered import Gathered
from headrace.observe.incidents.history import ObservationHistory
from headrace.observe.incidents.rewritten import rewritten
from headrace.observe.incidents.working import WORKERS
from headrace.store.database import Transaction
from headrace.store.queries import attempts, incidents, news, publications
from headrace.store.queries import evidence as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.news import ChangedPartition, FactNews

BACKFILLS = "backfills"
"""What the ids of evidence begin with that is of a backfill's attempt."""
NEWS_MAX = 20_000
"""So many partitions and facts are taken up by one judgement; the next one takes up the rest."""
FULL_TIMES = 2
"""So many tries in a row that find no space are an incident: one may have met a moment of it."""
EXACT_NATS = 12.0
HOLD_NATS = 4.0
FAMILIES = {
    CauseKind.SCHEMA_CHANGE: Family.SCHEMA,
    CauseKind.TYPE_CHANGE: Family.TYPE,
    CauseKind.CONFIGURATION_ERROR: Family.TYPE,
    CauseKind.FORMAT_CHANGE: Family.FORMAT,
    CauseKind.POISON_DELIVERY: Family.FORMAT,
    CauseKind.STALE_DATA: Family.STALE,
    CauseKind.RESTATEMENT: Family.RESTATED,
    CauseKind.DUPLICATE_ROWS: Family.DUPLICATES,
    CauseKind.VOLUME_ANOMALY: Family.VOLUME,
    CauseKind.NULL_SPIKE: Family.NULLS,
    CauseKind.DISTRIBUTION_SHIFT: Family.DISTRIBUTION,
    CauseKind.REFERENCE_BROKEN: Family.REFERENCE,
}
READABLE = ("published", "waived", "withdrawn")
"""States with which nothing begins, and what stood at a partition may be over."""
_WRONG = {kind.value for kind in DATA_CAUSES} - {CauseKind.RESTATEMENT.value}
SAME_ROWS = "the same rows, written otherwise"
_CHECK = "check "
_SAID = "report:"


HostOf: TypeAlias = Callable[[str], str]
"""The server, connection or folder that a node is read from; empty for all but sources."""


def gather(tx: Transaction, host_of: HostOf, found: Gathered, after_fact: int, after_revision: int) -> tuple[int, int]:
    """Take up facts and partitions after these numbers; the last numbers that were taken up."""
    facts, history = news.facts(tx, after_fact, NEWS_MAX), ObservationHistory(tx)
    for fact in facts:
        cured = _cured(tx, fact)
        for was in cured:
            known = msgspec.structs.replace(_of_fact(tx, was, history), held=False, repeated=False, corrected=True)
            found.add(known, was.attempt, over=fact.at)
        if not cured and not _echoes(tx, fact):
            found.add(_of_fact(tx, fact, history), fact.attempt)
    changed = news.changed(tx, after_revision, NEWS_MAX)
    concerned = stored.standing_nodes(tx) | found.touched if changed else set()
    for one in changed:
        if one.state not in READABLE or one.node in concerned:
            _of_partition(tx, host_of, found, one, history)
    return (facts[-1].id if facts else after_fact), (changed[-1].revision if changed else after_revision)


def _cured(tx: Transaction, fact: FactNews) -> list[FactNews]:
    """What was wrong with what readers saw, where a delivery that came again shows it: that, and
    no restatement, is what
    happened, unless an incident says so already."""
    if fact.kind != CauseKind.RESTATEMENT or incidents.open_kinds_at(tx, fact.node, _partition(fact.partition), fact.attempt) & _WRONG:
        return []
    found = [one for one in news.cured(tx, fact) if one.kind in _WRONG]
    return [one for one in found if _shown_by(fact, one) or _taken_back(tx, fact, one)]


def _shown_by(fact: FactNews, one: FactNews) -> bool:
    """Whether it was found by comparing the two versions, and not warned of before."""
    return one.observed_at is not None and one.observed_at == fact.observed_at


def _taken_back(tx: Transaction, fact: FactNews, warning: FactNews) -> bool:
    """Whether a delivery that came again takes back what a warning is about. If it leaves the column as it was, only what the column is
    compared with has changed. If it changes an interval in the same way of which nothing was warned, it restates them all."""
    change = rewritten(fact)
    if warning.column and change.leaves(warning.column):
        return False
    for other in news.restated_with(tx, fact):
        warned = {(one.kind, one.column) for one in news.cured(tx, other)}
        if (warning.kind, warning.column) not in warned and rewritten(other).is_like(change):
            return False
    return True


def _echoes(tx: Transaction, fact: FactNews) -> bool:
    """Whether what was delivered again corrects what an incident names of an earlier delivery, or is the same rows written otherwise,
    with which nothing is other than it was: no vendor's restatement of something sound. What is odd about the very delivery that restates
    (its format, its size, which somebody has accepted) doesn't make it a correction."""
    if fact.kind != CauseKind.RESTATEMENT:
        return False
    key = _partition(fact.partition)
    same = SAME_ROWS in (fact.observed, fact.detail, fact.expected)
    corrects = bool(incidents.open_kinds_at(tx, fact.node, key, fact.attempt) & _WRONG)
    return corrects or same


def _of_fact(tx: Transaction, fact: FactNews, history: ObservationHistory) -> Evidence:
    held = fact.severity == "hold"
    check = fact.detail.removeprefix(_CHECK) if fact.detail.startswith(_CHECK) else None
    family = Family.CHECK if check is not None else FAMILIES.get(CauseKind(fact.kind), Family.CHECK)
    return Evidence(
        id=f"fact:{fact.id}", node=fact.node, partition=_partition(fact.partition), family=family, kind=fact.kind, column=fact.column,
        expected=fact.expected, observed=fact.observed, strength=fact.strength, held=held, at_us=fact.at,
        began_us=fact.arrived_at, detail=fact.detail if check is None else check,
        history=history.intervals(fact.node, fact.observed_at) if held else 0,
        repeated=not held and _repeats(tx, fact),
    )  # fmt: skip


def _repeats(tx: Transaction, fact: FactNews) -> bool:
    """Whether readers had what a warning is about before, and no incident is open over it: one that
    is open goes on with the same rows."""
    open_there = incidents.open_kinds_at(tx, fact.node, _partition(fact.partition), fact.attempt)
    return not open_there and news.repeated(tx, fact)


def _of_partition(tx: Transaction, host_of: HostOf, found: Gathered, one: ChangedPartition, history: ObservationHistory) -> None:
    """What a partition's state says, and which evidence is over with it."""
    if one.state in ("held", "rejected"):
        _of_withheld(tx, found, one, history)
    elif one.state == "failed" or (one.state == "waiting" and one.failures > 0):
        _of_failure(tx, host_of, found, one)
    elif one.state == "waiting" and says_disk(one.reason):
        _of_no_space(tx, found, one)
    elif one.state in READABLE:
        if one.shown is not None:
            found.forget(one.node, _partition(one.partition), one.shown)
        _over(tx, found, one, one.shown, seen=True)


def _of_withheld(tx: Transaction, found: Gathered, one: ChangedPartition, history: ObservationHistory) -> None:
    waits = news.newest_withheld(tx, one.node, one.partition)
    if waits is None:
        _decided(tx, found, one)
        return
    attempt = waits.attempt
    _over(tx, found, one, attempt)
    key = _partition(one.partition)
    known = any(of == attempt and held for _, of, held in stored.standing_at(tx, one.node, key))
    if known or found.of_attempt(one.node, key, attempt):
        return
    found.add(
        Evidence(
            id=f"attempt:{attempt}@{key}", node=one.node, partition=key, family=Family.CHECK, observed=waits.reason, strength=HOLD_NATS,
            at_us=waits.at, error_kind=one.state, history=history.intervals(one.node, waits.observed_at),
        ),
        attempt,
    )  # fmt: skip


def _decided(tx: Transaction, found: Gathered, one: ChangedPartition) -> None:
    """Somebody dropped what was held. Of a history that is the end of it: nobody waits for such an
    interval, unless a promise does, and then the incident isn't over. Of other deliveries the
    interval is still missing."""
    rows = stored.contents_at(tx, one.node, _partition(one.partition))
    history = [id_ for id_, content in rows if msgspec.msgpack.decode(content, type=Evidence).history]
    found.end(one.node, history)


def _of_failure(tx: Transaction, host_of: HostOf, found: Gathered, one: ChangedPartition) -> None:
    ended = news.newest_ended(tx, one.node, one.partition)
    if ended is None or ended.state not in ("failed", "lost"):
        return
    _over(tx, found, one, ended.attempt)
    found.add(_failure(tx, host_of, one.node, one.partition, ended, f"attempt:{ended.attempt}"), ended.attempt)


def of_backfills(tx: Transaction, host_of: HostOf) -> list[tuple[Evidence, str]]:
    """What backfills and repairs failed at and readers still lack: each with its attempt. Once production has tried such a partition, its
    own attempt is the evidence."""
    return [
        (_failure(tx, host_of, one.node, one.partition, one.ended, f"{BACKFILLS}:{one.ended.attempt}"), one.ended.attempt)
        for one in news.failed_in_backfills(tx, NEWS_MAX)
    ]


def _failure(tx: Transaction, host_of: HostOf, node: str, partition: str, ended: news.NewestAttempt, id_: str) -> Evidence:
    """What an attempt failed with."""
    error = msgspec.json.decode(ended.error) if ended.error else {}
    kind = str(error.get("kind") or ("lost_worker" if ended.state == "lost" else "deterministic"))
    family = {"resources": Family.RESOURCES, "lost_worker": Family.LOST}.get(kind, Family.ERROR)
    key = _partition(partition)
    return Evidence(
        id=f"{id_}@{key}", node=node, partition=key,
        family=Family.EXPORT if ended.kind == "export" and family is Family.ERROR else family,
        observed=str(error.get("message") or ended.reason), strength=EXACT_NATS, at_us=ended.finished_at, began_us=ended.queued_at,
        detail=str(error.get("code") or ""), error_kind=kind,
        host=WORKERS if family is Family.LOST else host_of(node), unproven=not publications.any_of(tx, node),
    )  # fmt: skip


def _of_no_space(tx: Transaction, found: Gathered, one: ChangedPartition) -> None:
    """Two tries in a row that found the disk full or out of order: nobody's failure, but somebody has
    to mend that. It is one piece of evidence, however often it is tried."""
    newest = attempts.of_partition(tx, one.node, one.partition, limit=FULL_TIMES)
    if len(newest) < FULL_TIMES or not all(_found_full(attempt) for attempt in newest):
        return
    key, last = _partition(one.partition), newest[0]
    id_ = f"space:{one.node}@{key}"
    if any(known == id_ for known, _, _ in stored.standing_at(tx, one.node, key)):
        return
    found.add(
        Evidence(
            id=id_, node=one.node, partition=key, family=Family.RESOURCES, observed=one.reason,
            expected=needed(one.reason),
            strength=EXACT_NATS, at_us=last.finished_at or one.since, began_us=newest[-1].queued_at, error_kind=ENVIRONMENT,
        ),
        last.id,
    )  # fmt: skip


def _found_full(attempt: Attempt) -> bool:
    error = attempt.error or {}
    return attempt.state == "skipped" and error.get("kind") == ENVIRONMENT


def _over(tx: Transaction, found: Gathered, one: ChangedPartition, attempt: str | None, *, seen: bool = False) -> None:
    """What earlier attempts at a partition showed is over with this one, but for that which made what readers still see. `seen`: it
    is what readers see, so nothing that it showed keeps it from them; only what people say of it goes on."""
    standing = stored.standing_at(tx, one.node, _partition(one.partition))
    over = [(id_, of, held) for id_, of, held in standing if of is not None]
    found.end(one.node, [id_ for id_, of, held in over if of not in (attempt, one.shown) or (seen and held and not id_.startswith(_SAID))])


def _partition(key: str) -> str:
    """A whole node has no partition to be named."""
    return "" if key == "*" else key
