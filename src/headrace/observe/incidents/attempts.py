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


def gather(tx: Transaction, host_of: HostOf, result: Gathered, after_fact: int, after_revision: int) -> tuple[int, int]:
    """Take up facts and partitions after these numbers; the last numbers that were taken up."""
    facts, history = news.facts(tx, after_fact, NEWS_MAX), ObservationHistory(tx)
    for fact in facts:
        cured = _cured(tx, fact)
        for was in cured:
            known = msgspec.structs.replace(_of_fact(tx, was, history), held=False, repeated=False, corrected=True)
            result.add(known, was.attempt, over=fact.at)
        if not cured and not _echoes(tx, fact):
            result.add(_of_fact(tx, fact, history), fact.attempt)
    changed = news.changed(tx, after_revision, NEWS_MAX)
    concerned = stored.standing_nodes(tx) | result.touched if changed else set()
    for partition in changed:
        if partition.state not in READABLE or partition.node in concerned:
            _of_partition(tx, host_of, result, partition, history)
    return (facts[-1].id if facts else after_fact), (changed[-1].revision if changed else after_revision)


def _cured(tx: Transaction, fact: FactNews) -> list[FactNews]:
    """What was wrong with what readers saw, where a delivery that came again shows it: that, and
    no restatement, is what
    happened, unless an incident says so already."""
    if fact.kind != CauseKind.RESTATEMENT or incidents.open_kinds_at(tx, fact.node, _partition(fact.partition), fact.attempt) & _WRONG:
        return []
    fact_news = [item for item in news.cured(tx, fact) if item.kind in _WRONG]
    return [item for item in fact_news if _shown_by(fact, item) or _taken_back(tx, fact, item)]


def _shown_by(fact: FactNews, fact_news: FactNews) -> bool:
    """Whether it was found by comparing the two versions, and not warned of before."""
    return fact_news.observed_at is not None and fact_news.observed_at == fact.observed_at


def _taken_back(tx: Transaction, fact: FactNews, warning: FactNews) -> bool:
    """Whether a delivery that came again takes back what a warning is about. If it leaves the column as it was, only what the column is
    compared with has changed. If it changes an interval in the same way of which nothing was warned, it restates them all."""
    change = rewritten(fact)
    if warning.column and change.leaves(warning.column):
        return False
    for other in news.restated_with(tx, fact):
        warned = {(fact_news.kind, fact_news.column) for fact_news in news.cured(tx, other)}
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


def _of_partition(tx: Transaction, host_of: HostOf, result: Gathered, partition: ChangedPartition, history: ObservationHistory) -> None:
    """What a partition's state says, and which evidence is over with it."""
    if partition.state in ("held", "rejected"):
        _of_withheld(tx, result, partition, history)
    elif partition.state == "failed" or (partition.state == "waiting" and partition.failures > 0):
        _of_failure(tx, host_of, result, partition)
    elif partition.state == "waiting" and says_disk(partition.reason):
        _of_no_space(tx, result, partition)
    elif partition.state in READABLE:
        if partition.shown is not None:
            result.forget(partition.node, _partition(partition.partition), partition.shown)
        _over(tx, result, partition, partition.shown, seen=True)


def _of_withheld(tx: Transaction, result: Gathered, partition: ChangedPartition, history: ObservationHistory) -> None:
    waits = news.newest_withheld(tx, partition.node, partition.partition)
    if waits is None:
        _decided(tx, result, partition)
        return
    attempt = waits.attempt
    _over(tx, result, partition, attempt)
    key = _partition(partition.partition)
    known = any(of == attempt and held for _, of, held in stored.standing_at(tx, partition.node, key))
    if known or result.of_attempt(partition.node, key, attempt):
        return
    result.add(
        Evidence(
            id=f"attempt:{attempt}@{key}",
            node=partition.node,
            partition=key,
            family=Family.CHECK,
            observed=waits.reason,
            strength=HOLD_NATS,
            at_us=waits.at,
            error_kind=partition.state,
            history=history.intervals(partition.node, waits.observed_at),
        ),
        attempt,
    )


def _decided(tx: Transaction, result: Gathered, partition: ChangedPartition) -> None:
    """Somebody dropped what was held. Of a history that is the end of it: nobody waits for such an
    interval, unless a promise does, and then the incident isn't over. Of other deliveries the
    interval is still missing."""
    rows = stored.contents_at(tx, partition.node, _partition(partition.partition))
    history = [id_ for id_, content in rows if msgspec.msgpack.decode(content, type=Evidence).history]
    result.end(partition.node, history)


def _of_failure(tx: Transaction, host_of: HostOf, result: Gathered, partition: ChangedPartition) -> None:
    ended = news.newest_ended(tx, partition.node, partition.partition)
    if ended is None or ended.state not in ("failed", "lost"):
        return
    _over(tx, result, partition, ended.attempt)
    result.add(_failure(tx, host_of, partition.node, partition.partition, ended, f"attempt:{ended.attempt}"), ended.attempt)


def of_backfills(tx: Transaction, host_of: HostOf) -> list[tuple[Evidence, str]]:
    """What backfills and repairs failed at and readers still lack: each with its attempt. Once production has tried such a partition, its
    own attempt is the evidence."""
    return [
        (
            _failure(tx, host_of, backfill.node, backfill.partition, backfill.ended, f"{BACKFILLS}:{backfill.ended.attempt}"),
            backfill.ended.attempt,
        )
        for backfill in news.failed_in_backfills(tx, NEWS_MAX)
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


def _of_no_space(tx: Transaction, result: Gathered, partition: ChangedPartition) -> None:
    """Two tries in a row that found the disk full or out of order: nobody's failure, but somebody has
    to mend that. It is one piece of evidence, however often it is tried."""
    newest = attempts.of_partition(tx, partition.node, partition.partition, limit=FULL_TIMES)
    if len(newest) < FULL_TIMES or not all(_found_full(attempt) for attempt in newest):
        return
    key, last = _partition(partition.partition), newest[0]
    id_ = f"space:{partition.node}@{key}"
    if any(known == id_ for known, _, _ in stored.standing_at(tx, partition.node, key)):
        return
    result.add(
        Evidence(
            id=id_, node=partition.node, partition=key, family=Family.RESOURCES, observed=partition.reason,
            expected=needed(partition.reason),
            strength=EXACT_NATS, at_us=last.finished_at or partition.since, began_us=newest[-1].queued_at, error_kind=ENVIRONMENT,
        ),
        last.id,
    )  # fmt: skip


def _found_full(attempt: Attempt) -> bool:
    error = attempt.error or {}
    return attempt.state == "skipped" and error.get("kind") == ENVIRONMENT


def _over(tx: Transaction, result: Gathered, partition: ChangedPartition, attempt: str | None, *, seen: bool = False) -> None:
    """What earlier attempts at a partition showed is over with this one, but for that which made what readers still see. `seen`: it
    is what readers see, so nothing that it showed keeps it from them; only what people say of it goes on."""
    standing = stored.standing_at(tx, partition.node, _partition(partition.partition))
    over = [(id_, of, held) for id_, of, held in standing if of is not None]
    result.end(
        partition.node,
        [id_ for id_, of, held in over if of not in (attempt, partition.shown) or (seen and held and not id_.startswith(_SAID))],
    )


def _partition(key: str) -> str:
    """A whole node has no partition to be named."""
    return "" if key == "*" else key
