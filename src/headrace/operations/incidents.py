"""`incidents`, `incident`: the causes that are open, or all; and which of them consumers wait for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from headrace.model import UnknownName, UsageError
from headrace.model.required import WHOLE
from headrace.observe.diagnosis.confidence import certainty
from headrace.observe.evaluation import WAITING
from headrace.observe.figures.repair_times import Occurred
from headrace.observe.incidents.endings import ended, opened_last_at
from headrace.observe.incidents.reach import still_declared
from headrace.observe.incidents.reports import KIND as REPORT
from headrace.observe.states import ConsumerStatus
from headrace.operations.incident_responses import (
    AffectedRow,
    CauseRow,
    EvidenceRow,
    HappenedRow,
    IncidentRow,
    RecurrenceRow,
    SymptomRow,
)
from headrace.operations.responses import HoldingRow
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries import attempts, drift, exceptions
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import EVIDENCE_MAX, Incident, IncidentEvidence, shown

ID = re.compile(r"(?:inc-)?(\d{1,15})", re.IGNORECASE)
_OF_ATTEMPT = re.compile(r"(?:backfills|attempt):(?P<epoch>\d+)\.(?P<n>\d+)@(?P<key>.*)", re.DOTALL)
"""Ids of the evidence that attempts are."""
_FACT = "fact:"
"""What the ids of evidence begin with that is of what was odd about a partition."""


def incidents(session: ProjectSession, *, every: bool = False) -> list[IncidentRow]:
    """The incidents that aren't resolved, oldest first; with `every`, the newest of all, newest first."""
    if session.store is None or session.compiled is None:
        return []
    with session.store.read() as tx:
        return [row_of(session, session.compiled, tx, incident) for incident in (stored.newest(tx) if every else stored.open_ones(tx))]


def incident(session: ProjectSession, target: str) -> IncidentRow:
    """One incident, by `INC-1` or `1`. UsageError for one that there isn't."""
    number = number_of(target)
    if session.store is None or session.compiled is None:
        raise _unknown(number)
    with session.store.read() as tx:
        return row_of(session, session.compiled, tx, found_in(tx, number))


def number_of(text: str) -> int:
    """`INC-1` or `1` as a number. UsageError for anything else."""
    match = ID.fullmatch(text.strip())
    if match is None:
        raise UnknownName(f"{text[:40]!r} is no incident's id", hint="headrace incidents lists them: INC-1")
    return int(match[1])


def found_in(tx: Transaction, number: int) -> Incident:
    """One incident as it is kept. UsageError where there is none of that number."""
    incident = stored.get(tx, number)
    if incident is None:
        raise _unknown(number)
    return incident


def _unknown(number: int) -> UsageError:
    return UnknownName(f"there is no incident {shown(number)}", hint="headrace incidents --all lists them")


def holds(tx: Transaction, compiled: Compiled, consumers: Sequence[ConsumerStatus], causes: Sequence[Incident]) -> HoldingRow | None:
    """What the causes hold back that consumers wait for; None for no cause."""
    from headrace.operations.mending import repair_of

    if not causes:
        return None
    waiting = [consumer for consumer in consumers if consumer.state in WAITING]
    repair = repair_of(tx, compiled, causes[0])
    assets = {name for cause in causes for name in (*cause.affected.assets, cause.node) if name in compiled.project.assets}
    by_hand = repair is None or repair.first is not None
    command = f"headrace incident {causes[0].shown}" if repair is None or by_hand else None if repair.automatic else repair.command
    return HoldingRow(causes=len(causes), assets=len(assets), consumers=len(waiting), command=command)


def _failed(tx: Transaction, incident: Incident) -> list[list[str]]:
    """Per piece of evidence the attempt that it is of, and those that failed in a row up to it which no
    other evidence stands for."""
    matches = [_OF_ATTEMPT.fullmatch(evidence.id) for evidence in incident.evidence]
    tried = [None if it is None else attempts.get(tx, int(it["epoch"]), int(it["n"])) for it in matches]
    own = {it.id for it in tried if it is not None}
    results: list[list[str]] = []
    told = set[str]()
    for match, attempt in zip(matches, tried, strict=True):
        failed: list[str] = []
        if match is not None and attempt is not None and attempt.state in ("failed", "lost"):
            key, until = match["key"] or WHOLE, (attempt.epoch, attempt.n)
            in_a_row = attempts.failed_in_a_row(tx, attempt.node, key, until=until)
            failed = [it for it in in_a_row if it == attempt.id or it not in own | told]
        results.append(failed)
        told.update(failed)
    return results


def _once(tx: Transaction, seen: Iterable[tuple[IncidentEvidence, list[str]]]) -> Iterator[tuple[IncidentEvidence, list[str]]]:
    """The evidence without what was seen again when the same delivery was ingested once more: somebody accepted it, or retried it.
    Attempts that failed are counted by themselves; what somebody reported of several partitions was reported once."""
    results = list(seen)
    texts = Counter((evidence.what, evidence.expected, evidence.observed) for evidence, _ in results)
    known = set[tuple[str, ...]]()
    for evidence, failed in results:
        alone = texts[evidence.what, evidence.expected, evidence.observed] == 1
        seen_in = None if failed or alone else _seen_in(tx, evidence)
        mark = (seen_in or "", evidence.what, evidence.expected, evidence.observed)
        if seen_in is None or mark not in known:
            yield evidence, failed
        known.add(mark)


def _seen_in(tx: Transaction, incident_evidence: IncidentEvidence) -> str | None:
    """What a piece of evidence is seen in: a partition of a delivery, or of what an attempt computed that may have been accepted since;
    of what somebody reported, that report. None of all else."""
    evidence = incident_evidence.id
    if evidence.startswith(f"{REPORT}:"):
        return f"{REPORT} {incident_evidence.at}"
    if match := _OF_ATTEMPT.fullmatch(evidence):
        key, of = match["key"] or WHOLE, (int(match["epoch"]), int(match["n"]))
    elif facts := drift.facts(tx, [int(evidence.removeprefix(_FACT))]) if evidence.startswith(_FACT) else []:
        key, of = facts[0].partition, (facts[0].epoch, facts[0].n)
    else:
        return None
    tried = attempts.get(tx, *of)
    if tried is None:
        return None
    made = exceptions.made_of(tx, tried.node, key, tried.id) or tried.id
    return f"{tried.node}@{key} {tried.delivery_id or made}"


def row_of(session: ProjectSession, compiled: Compiled, tx: Transaction, incident: Incident) -> IncidentRow:
    """An incident as commands give it."""
    from headrace.operations.mending import repair_of

    at, incident = session.instant, still_declared(incident, compiled.project)
    restored = incident.resolved_at if incident.restored_at is None else incident.restored_at
    lasted = Occurred(
        incident.id, incident.kind, incident.node, incident.owner, incident.began_at, incident.opened_at, restored, incident.recurrence_of
    )
    timeline = stored.timeline_of(tx, incident.id)
    again = opened_last_at(tx, incident)
    return IncidentRow(
        id=incident.shown,
        state=incident.state,
        cause=CauseRow(
            kind=incident.kind,
            detail=incident.detail,
            node=incident.node,
            partition=incident.partition or None,
            columns=list(incident.columns),
            summary=incident.summary,
            confidence=incident.confidence,
            certainty=certainty(incident.confidence),
            evidence=[
                EvidenceRow(what=e.what, expected=e.expected, observed=e.observed, at=at(e.at), attempts=failed)
                for e, failed in _once(tx, zip(incident.evidence, _failed(tx, incident), strict=True))
            ],
            evidence_limited=len(incident.evidence) >= EVIDENCE_MAX,
        ),
        owner=incident.owner,
        began_at=at(incident.began_at),
        opened_at=at(incident.opened_at),
        opened_again_at=None if again == incident.opened_at else at(again),
        restored_at=None if incident.restored_at is None else at(incident.restored_at),
        resolved_at=None if incident.resolved_at is None else at(incident.resolved_at),
        detect_seconds=lasted.detect_us / 1e6,
        restore_seconds=None if restored is None else lasted.restore_us(restored) / 1e6,
        ended=ended(incident.state, [line.what for line in timeline]),
        affected=AffectedRow(
            assets=list(incident.affected.assets),
            consumers=list(incident.affected.consumers),
            partitions=list(incident.affected.partitions),
        ),
        repair=repair_of(tx, compiled, incident),
        recurrence_of=None if incident.recurrence_of is None else shown(incident.recurrence_of),
        before=None if incident.recurrence_of is None else _before(session, tx, incident.recurrence_of),
        symptoms=[
            SymptomRow(node=s.node, partition=s.partition or None, what=s.what, at=at(s.at)) for s in stored.symptoms_of(tx, incident.id)
        ],
        timeline=[HappenedRow(at=at(h.at), what=h.what, by=h.actor) for h in timeline],
    )


def _before(session: ProjectSession, tx: Transaction, number: int) -> RecurrenceRow | None:
    """What was done the time before: what people did, and acts of repair."""
    incident = stored.get(tx, number)
    if incident is None:
        return None
    done = [line.what for line in stored.timeline_of(tx, number) if line.act is not None]
    restored = None if incident.restored_at is None else session.instant(incident.restored_at)
    return RecurrenceRow(id=incident.shown, began_at=session.instant(incident.began_at), restored_at=restored, done=done)
