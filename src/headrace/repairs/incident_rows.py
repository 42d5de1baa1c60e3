"""Incidents as rows of a response: found by their ids, with evidence, repair and timeline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from headrace.incidents.diagnosis.candidates import certainty
from headrace.incidents.endings import closed_us, ended, opened_last_at
from headrace.incidents.evidence.records import REPORT_KIND as REPORT
from headrace.incidents.repairs import Occurred
from headrace.model import UnknownName, UsageError
from headrace.model.causes import CauseKind
from headrace.model.partitions import WHOLE
from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.repairs.rename_rivals import rename_rows
from headrace.responses.incidents import (
    AffectedRow,
    CauseRow,
    EvidenceRow,
    HappenedRow,
    IncidentRow,
    MuteRow,
    RecurrenceRow,
    RenameRow,
    SymptomRow,
)
from headrace.slo.incident_impact import still_declared
from headrace.store import Transaction
from headrace.store.queries import attempts, exceptions, incident_handling, ingestion, quality
from headrace.store.queries import incidents as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.incident_mutes import Mute, mutes_of
from headrace.store.queries.incidents import (
    EVIDENCE_MAX,
    HELD_MAX,
    Incident,
    IncidentEvidence,
    display_id,
)

if TYPE_CHECKING:
    from headrace.repairs.repair_forecast import RepairForecast

ID = re.compile(r"(?:inc-)?(\d{1,15})", re.IGNORECASE)


_OF_ATTEMPT = re.compile(r"(?:backfills|attempt):(?P<epoch>\d+)\.(?P<n>\d+)@(?P<key>.*)", re.DOTALL)
"""Ids of evidence that refers to an attempt."""


_FACT = "fact:"
"""Prefix of the ids of evidence that refers to an anomaly of a partition."""


def number_of(text: str) -> int:
    """Return the number of `INC-1` or `1`. Raise UnknownName for anything else."""
    match = ID.fullmatch(text.strip())
    if match is None:
        raise UnknownName(
            f"{text[:40]!r} is no incident's id", hint="headrace incidents lists them: INC-1"
        )
    return int(match[1])


def found_in(tx: Transaction, number: int) -> Incident:
    """Return one stored incident. Raise UnknownName if it doesn't exist."""
    incident = stored.get(tx, number)
    if incident is None:
        raise unknown_incident(number)
    return incident


def visible_in(session: ProjectSession, tx: Transaction, number: int) -> Incident:
    """Return one stored incident. Raise UnknownName if the caller may not see it, either."""
    incident = found_in(tx, number)
    if not session.shows(incident.node):
        raise unknown_incident(number)
    return incident


def unknown_incident(number: int) -> UsageError:
    """Return the error for an incident that doesn't exist, or that the caller may not see."""
    return UnknownName(
        f"there is no incident {display_id(number)}", hint="headrace incidents --all lists them"
    )


def _failed(tx: Transaction, incident: Incident) -> list[list[str]]:
    """Return, per piece of evidence, its failed attempt and the consecutive failures before it.

    Failures that another piece of evidence refers to are left out.
    """
    matches = [_OF_ATTEMPT.fullmatch(evidence.id) for evidence in incident.evidence]
    tried = [_attempt_of(tx, match) for match in matches]
    listed = {attempt.id for attempt in tried if attempt is not None}
    results: list[list[str]] = []
    for match, attempt in zip(matches, tried, strict=True):
        failed: list[str] = []
        if match is not None and attempt is not None:
            failed = _failed_in_a_row(tx, attempt, match["key"] or WHOLE, listed)
        results.append(failed)
        listed.update(failed)
    return results


def _attempt_of(tx: Transaction, match: re.Match[str] | None) -> Attempt | None:
    """Return the attempt that a piece of evidence refers to, if it does and is stored."""
    return None if match is None else attempts.get(tx, int(match["epoch"]), int(match["n"]))


def attempts_of_evidence(tx: Transaction, incident: Incident) -> list[Attempt]:
    """Return the stored attempts that an incident's evidence refers to, in its order."""
    matches = (_OF_ATTEMPT.fullmatch(evidence.id) for evidence in incident.evidence)
    results = (_attempt_of(tx, match) for match in matches)
    return [attempt for attempt in results if attempt is not None]


def _failed_in_a_row(
    tx: Transaction, attempt: Attempt, key: str, listed: Collection[str]
) -> list[str]:
    """Return a failed attempt and those of the failures just before it that aren't `listed`."""
    if attempt.state not in ("failed", "lost"):
        return []
    in_a_row = attempts.failed_in_a_row(tx, attempt.node, key, until=(attempt.epoch, attempt.n))
    return [failure for failure in in_a_row if failure == attempt.id or failure not in listed]


def _once(
    tx: Transaction, seen: Iterable[tuple[IncidentEvidence, list[str]]]
) -> Iterator[tuple[IncidentEvidence, list[str]]]:
    """Yield the evidence without repetitions from re-ingesting or accepting the same delivery.

    Failed attempts are never merged; a report on several partitions counts once.
    """
    results = list(seen)
    texts = Counter(
        (evidence.what, evidence.expected, evidence.observed) for evidence, _ in results
    )
    known = set[tuple[str, ...]]()
    for evidence, failed in results:
        alone = texts[evidence.what, evidence.expected, evidence.observed] == 1
        seen_in = None if failed or alone else _seen_in(tx, evidence)
        mark = (seen_in or "", evidence.what, evidence.expected, evidence.observed)
        if seen_in is None or mark not in known:
            yield evidence, failed
        known.add(mark)


def _seen_in(tx: Transaction, incident_evidence: IncidentEvidence) -> str | None:
    """Return an id of the observed data: the partition's delivery or attempt, or the report.

    An attempt that published an exception counts as the held attempt that it accepted. None for
    other evidence.
    """
    evidence = incident_evidence.id
    if evidence.startswith(f"{REPORT}:"):
        return f"{REPORT} {incident_evidence.at}"
    if match := _OF_ATTEMPT.fullmatch(evidence):
        key, of = match["key"] or WHOLE, (int(match["epoch"]), int(match["n"]))
    elif facts := (
        quality.facts(tx, [int(evidence.removeprefix(_FACT))]) if evidence.startswith(_FACT) else []
    ):
        key, of = facts[0].partition, (facts[0].epoch, facts[0].n)
    else:
        return None
    tried = attempts.get(tx, *of)
    if tried is None:
        return None
    attempt_id = exceptions.accepted_attempt(tx, tried.node, key, tried.id) or tried.id
    delivery = ingestion.delivery_of_attempt(tx, of, tried.node, key)
    return f"{tried.node}@{key} {delivery or attempt_id}"


def row_of(
    session: ProjectSession, compiled: Compiled, tx: Transaction, incident: Incident, now_us: int
) -> IncidentRow:
    """Return an incident as a row of the response, at a time in microseconds."""
    return rows_of(session, compiled, tx, [incident], now_us)[0]


def rows_of(
    session: ProjectSession,
    compiled: Compiled,
    tx: Transaction,
    incidents: Sequence[Incident],
    now_us: int,
) -> list[IncidentRow]:
    """Return incidents as rows of the response, at a time in microseconds."""
    from headrace.repairs.repair_forecast import RepairForecast

    forecast = RepairForecast(tx, compiled, now_us)
    muted = mutes_of(tx, [incident.id for incident in incidents], now_us)
    return [
        _row(session, compiled, tx, incident, forecast, muted.get(incident.id))
        for incident in incidents
    ]


def _row(
    session: ProjectSession,
    compiled: Compiled,
    tx: Transaction,
    incident: Incident,
    forecast: RepairForecast,
    mute: Mute | None,
) -> IncidentRow:
    from headrace.repairs.repair_actions import repair_of

    at, owners = session.instant, compiled.project.owners
    incident = still_declared(incident, compiled.project)
    restored = incident.resolved_at if incident.restored_at is None else incident.restored_at
    lasted = Occurred(
        incident.id,
        incident.kind,
        incident.node,
        incident.owner,
        incident.began_at,
        incident.opened_at,
        restored,
        incident.recurrence_of,
        closed_us(tx, incident.id),
    )
    timeline = stored.timeline_of(tx, incident.id)
    again = opened_last_at(tx, incident)
    handling = incident_handling.handling_of(tx, incident.id)
    return IncidentRow(
        id=incident.label,
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
                EvidenceRow(
                    what=e.what,
                    expected=e.expected,
                    observed=e.observed,
                    at=at(e.at),
                    attempts=failed,
                )
                for e, failed in _once(
                    tx, zip(incident.evidence, _failed(tx, incident), strict=True)
                )
            ],
            evidence_limited=len(incident.evidence) >= EVIDENCE_MAX,
        ),
        owner=incident.owner,
        contact=list(owner.contact) if (owner := owners.get(incident.owner)) else [],
        assignee=handling.assignee,
        ticket=handling.ticket,
        muted=_muted(session, incident, mute),
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
        repair=repair_of(tx, compiled, incident, forecast),
        renames=_renames(tx, incident),
        recurrence_of=(
            None if incident.recurrence_of is None else display_id(incident.recurrence_of)
        ),
        before=(
            None if incident.recurrence_of is None else _before(session, tx, incident.recurrence_of)
        ),
        symptoms=[
            SymptomRow(node=s.node, partition=s.partition or None, what=s.what, at=at(s.at))
            for s in stored.symptoms_of(tx, incident.id)
        ],
        timeline=[HappenedRow(at=at(h.at), what=h.what, by=h.actor) for h in timeline],
        timeline_limited=(
            len(timeline) >= HELD_MAX and len(timeline) < stored.count_lines(tx, incident.id)
        ),
    )


def _muted(session: ProjectSession, incident: Incident, mute: Mute | None) -> MuteRow | None:
    """Return who muted an open incident; None if it isn't muted now."""
    if mute is None or incident.state == "resolved":
        return None
    return MuteRow(
        by=mute.actor,
        since=session.instant(mute.since),
        until=None if mute.until is None else session.instant(mute.until),
        reason=mute.reason,
    )


def _renames(tx: Transaction, incident: Incident) -> list[RenameRow]:
    """Return the renames about which a person has to decide, of an unresolved incident's delivery.

    None once they are accepted, or once the delivery is dropped or replaced.
    """
    if incident.kind != CauseKind.SCHEMA_CHANGE or incident.state == "resolved":
        return []
    place = (incident.node, incident.partition)
    if not incident.partition or not (
        quality.renames_wait(tx, *place) or quality.renames_published(tx, *place)
    ):
        return []
    return rename_rows(quality.newest_drift(tx, *place))


def _before(session: ProjectSession, tx: Transaction, number: int) -> RecurrenceRow | None:
    """Return the previous incident with what people and repairs did about it."""
    incident = stored.get(tx, number)
    if incident is None:
        return None
    done = [
        line.what
        for line in stored.timeline_of(tx, number)
        if line.act is not None and not incident_handling.is_handling(line.act)
    ]
    restored = None if incident.restored_at is None else session.instant(incident.restored_at)
    return RecurrenceRow(
        id=incident.label,
        began_at=session.instant(incident.began_at),
        restored_at=restored,
        done=done,
    )
