"""Incidents from causes: each cause is matched with an existing incident, or opens one.

The fingerprint (family of the kind, node, columns, detail) recognises a cause that recurs; a
recently resolved incident is reopened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, KeysView, Mapping, Sequence

import msgspec

from headrace.incidents.commands import MERGED
from headrace.incidents.diagnosis.candidates import HISTORY
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.graph import OF_ROWS, CauseGraph, made_of
from headrace.incidents.diagnosis.rule_terms import certain
from headrace.incidents.diagnosis.rules import BY_KIND
from headrace.incidents.diagnosis.wording import exceptions_lapsed, listed
from headrace.incidents.evidence import people
from headrace.incidents.evidence.attempts import BACKFILLS
from headrace.incidents.evidence.records import evidence_label, incident_evidence, reclassified_text
from headrace.model import Project
from headrace.model.causes import DATA_CAUSES, HEADRACE, Cause, CauseKind
from headrace.slo.declared_promises import WHOLE, decider
from headrace.slo.incident_impact import DownstreamIndex
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import exceptions
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import (
    EVIDENCE_MAX,
    Affected,
    Happened,
    Incident,
    IncidentEvidence,
    Symptom,
)
from headrace.store.transaction import Transaction

REOPENS_US = 7 * 86_400_000_000
"""A cause that recurs within seven days reopens its incident; later it is a recurrence."""
WRONG = (DATA_CAUSES - {CauseKind.RESTATEMENT}) | {CauseKind.CODE_ERROR}
"""Kinds that make readers' data wrong; a restatement of a sound publication doesn't."""
_FAMILIES = {CauseKind.LATE_SOURCE: "absence", CauseKind.MISSING_SOURCE: "absence"}
"""Kinds that count as one for recurrence.

A late delivery becomes missing as soon as a consumer's deadline has passed.
"""
RESOLVED_ASKED = 20
"""At most this many resolved incidents of a node are compared with a cause."""
_WRONG_AS_PUBLISHED = (CauseKind.REPORTED, CauseKind.DATA_CORRUPTED)
"""Kinds that name publications without a warning as wrong."""
_INSIDE = frozenset(
    {
        CauseKind.CONFIGURATION_ERROR,
        CauseKind.DATA_CORRUPTED,
        CauseKind.RESOURCE_EXHAUSTED,
        CauseKind.WORKER_LOST,
        CauseKind.SLOW_RUN,
        CauseKind.PAUSED,
        CauseKind.APPROVAL_PENDING,
    }
)
"""Kinds that only the project can cause or repair: declarations, machines and people.

No vendor can.
"""
NAMED_MAX = 3
"""At most this many partitions or nodes are named in a line of the timeline."""
SYMPTOMS_MAX = 200
"""At most this many symptoms per evaluation are attached one by one."""


class IncidentUpdates:
    """The incidents of one evaluation; `run` is the run at whose end it happens."""

    def __init__(
        self,
        tx: Transaction,
        project: Project,
        reach: DownstreamIndex,
        now: int,
        run: int | None,
        graph: CauseGraph | None = None,
    ) -> None:
        """Load the open incidents.

        Without a `graph` columns are unknown, and an incident affects everything downstream of its
        node.
        """
        self._graph = graph
        self._tx, self._project, self._reach, self._now, self._run = tx, project, reach, now, run
        self._open = {incident.id: incident for incident in stored.open_incidents(tx)}
        self._made_of = {number: stored_evidence.of_incident(tx, number) for number in self._open}

    def open_causes(self) -> list[Cause]:
        """Return the open incidents as causes, with all evidence that each explains."""
        return [
            Cause(
                kind=CauseKind(incident.kind),
                node=incident.node,
                partitions=incident.affected.partitions,
                columns=incident.columns,
                detail=incident.detail,
                summary=incident.summary,
                began_us=incident.began_at,
                confidence=incident.confidence,
                own=tuple(evidence.id for evidence in incident.evidence),
                explains=tuple(self._made_of[incident.id]),
            )
            for incident in self._open.values()
        ]

    def keep(self, causes: Sequence[Cause], evidence: Mapping[str, Evidence]) -> None:
        """Match each cause with an incident, or open one."""
        matched_ids: set[int] = set()
        for cause in sorted(causes, key=lambda cause: cause.began_us):
            if (history := self._accepted_of_history(cause, evidence)) is not None:
                self._put_down(history, cause.explains)
                stored_evidence.end(self._tx, cause.explains, self._now)
                continue
            number = self._matched(cause, matched_ids)
            known = self._open.get(number) if number is not None else self._before(cause)
            if (
                known is not None
                and known.state == "resolved"
                and self._is_old(known, cause, evidence)
            ):
                continue
            incident = self._opened(cause) if known is None else known
            self._update(
                incident,
                _of_one_kind(cause, incident),
                evidence,
                new=known is None,
                again=known is not None and known.state == "resolved",
            )
            matched_ids.add(incident.id)

    def _matched(self, cause: Cause, matched_ids: Collection[int]) -> int | None:
        """Return the open incident that a cause matches.

        In this order: the same fingerprint, the same evidence, a narrower view of the cause, an
        incident of which the cause is the rest (at another of its nodes, or in some of its
        columns).
        """
        mark, own_ids, explained = fingerprint(cause), set(cause.own), set(cause.explains)
        free = self._unmatched(matched_ids)
        same = [incident.id for incident, _ in free if mark in _fingerprints(incident)]
        here = [
            incident.id
            for incident, known_ids in free
            if incident.node == cause.node and own_ids & known_ids
        ]
        narrower = [
            incident.id for incident, known_ids in free if known_ids and known_ids <= explained
        ]
        rest = [
            incident.id
            for incident, known_ids in free
            if _is_rest(cause, incident) or _holds_evidence(cause, incident, known_ids)
        ]
        return min(same or here or narrower or rest, default=None)

    def _unmatched(self, matched_ids: Collection[int]) -> list[tuple[Incident, KeysView[str]]]:
        """Return the open incidents that no cause was matched with, with their evidence."""
        return [
            (incident, self._made_of[incident.id].keys())
            for incident in self._open.values()
            if incident.id not in matched_ids
        ]

    def _accepted_of_history(
        self, cause: Cause, evidence: Mapping[str, Evidence]
    ) -> Incident | None:
        """Return the incident of a history load if the cause is only accepted data of that history.

        That data was ingested again because it was accepted. The case is decided and needs no other
        incident, unless it holds back something else.
        """
        seen = _evidence_of(cause.explains, evidence)
        if any(item.held or item.lapsed for item in seen):
            return None
        own_ids = set(cause.own)
        number = self._all_held_for(
            [item for item in seen if item.id in own_ids and not item.accepted]
        )
        incident = None if number is None else stored.get(self._tx, number)
        return incident if incident is not None and incident.detail == HISTORY else None

    def _all_held_for(self, evidence: Sequence[Evidence]) -> int | None:
        """Return the one incident of held data that all of this evidence belongs to."""
        number = None
        for item in evidence:
            before = self._held_for(item)
            if before is None or number not in (None, before):  # usually at the first
                return None
            number = before
        return number

    def _held_for(self, evidence: Evidence) -> int | None:
        """Return the incident of held data that evidence of its accepted attempt belongs to."""
        attempt = stored_evidence.attempt_of(self._tx, evidence.id)
        if attempt is None:
            return None
        key = evidence.partition or WHOLE
        held = exceptions.accepted_attempt(self._tx, evidence.node, key, attempt)
        if held is None:
            return None
        return stored_evidence.incident_held_for(self._tx, evidence.node, evidence.partition, held)

    def _before(self, cause: Cause) -> Incident | None:
        """Return the resolved incident that a cause reopens."""
        incident = self._same_before(cause)
        return (
            incident
            if incident is not None and self._now - (incident.resolved_at or 0) <= REOPENS_US
            else None
        )

    def _is_old(self, resolved: Incident, cause: Cause, evidence: Mapping[str, Evidence]) -> bool:
        """Return whether a cause is only the old evidence of a resolved incident.

        These are warnings, which explain later effects for longer than they are shown.
        """
        if any(item.held for item in _evidence_of(cause.explains, evidence)):
            return False
        return set(cause.explains) <= stored_evidence.of_incident(self._tx, resolved.id).keys()

    def _same_before(self, cause: Cause) -> Incident | None:
        """Return the newest resolved incident of the same cause.

        Its cause is compared as opened and as finally diagnosed.
        """
        mark = fingerprint(cause)
        opened_as = stored.same_before(self._tx, mark)
        lately = stored.resolved_at_node(self._tx, cause.node, limit=RESOLVED_ASKED)
        turned_out = next(
            (incident for incident in lately if mark in _fingerprints(incident)), None
        )
        incidents = [incident for incident in (opened_as, turned_out) if incident is not None]
        return max(incidents, key=lambda incident: incident.id, default=None)

    def _owner(self, cause: Cause) -> str:
        return owner_of(self._project, cause.node, cause.kind)

    def _opened(self, cause: Cause) -> Incident:
        mark = fingerprint(cause)
        before = self._same_before(cause)
        return Incident(
            id=stored.next_id(self._tx),
            state="open",
            kind=cause.kind.value,
            detail=cause.detail,
            node=cause.node,
            partition=cause.partitions[0] if cause.partitions else "",
            columns=cause.columns,
            fingerprint=mark,
            owner=self._owner(cause),
            summary=cause.summary,
            confidence=cause.confidence,
            evidence=(),
            affected=Affected(),
            began_at=cause.began_us,
            opened_at=self._now,
            updated_at=self._now,
            recurrence_of=before.id if before is not None else None,
            opened_in=self._run,
        )

    def _update(
        self,
        was: Incident,
        cause: Cause,
        evidence: Mapping[str, Evidence],
        *,
        new: bool,
        again: bool,
    ) -> None:
        known = self._made_of.get(was.id, {})
        own_evidence = _evidence_of(cause.own, evidence)
        seen = _evidence_of(cause.explains, evidence)
        fresh = [item for item in seen if item.id not in known]
        same = was.kind == cause.kind and (
            was.summary == cause.summary or not _is_said_anew(cause, was)
        )
        if not new and not again and not fresh and same and was.state == "open":
            return
        partitions = tuple(sorted({*was.affected.partitions, *cause.partitions}))
        now = msgspec.structs.replace(
            was,
            state="open",
            kind=cause.kind.value,
            detail=cause.detail,
            node=cause.node,
            columns=cause.columns,
            owner=self._owner(cause),
            summary=cause.summary,
            confidence=cause.confidence,
            evidence=_evidence_as_first_seen(was.evidence, cause, evidence, again=again),
            began_at=min(was.began_at, cause.began_us),
            updated_at=self._now,
            affected=self._affected(cause, partitions, evidence, was.affected),
            restored_at=None,
            resolved_at=None,
            opened_in=self._run if again else was.opened_in,
        )
        stored.write(self._tx, now)
        places = [(item.node, item.partition) for item in own_evidence]
        stored.seen_at(self._tx, was.id, places, self._now)
        own_ids = set(cause.own)
        symptoms = [
            Symptom(item.node, item.partition, evidence_label(item), item.at_us)
            for item in fresh
            if item.id not in own_ids
        ]
        stored.attach(self._tx, was.id, symptoms[:SYMPTOMS_MAX])
        self._put_down(was, [item.id for item in fresh])
        self._name(was.id, cause, own_evidence)
        lines = _lines(was, now, fresh, own_ids, new=new, again=again)
        stored.happened(self._tx, was.id, [Happened(self._now, line, HEADRACE) for line in lines])
        self._open[was.id] = now
        self._made_of[was.id] = known | {item.id: item.held for item in fresh}

    def _put_down(self, incident: Incident, fresh: Collection[str]) -> None:
        """Attribute evidence to an incident.

        An incident that has no active evidence left by that becomes part of it.
        """
        before = stored_evidence.put_down_to(self._tx, fresh) - {incident.id}
        stored_evidence.put_down(self._tx, incident.id, fresh)
        for number in sorted(before & self._open.keys()):
            self._made_of[number] = stored_evidence.of_incident(self._tx, number)
            if not stored_evidence.is_active(self._tx, number):
                line = Happened(
                    self._now, f"it is part of {incident.label}", HEADRACE, f"{MERGED}{incident.id}"
                )
                stored.happened(self._tx, number, [line])

    def _name(self, number: int, cause: Cause, own_evidence: Sequence[Evidence]) -> None:
        """Name the wrong publications of a cause, from their publication to their replacement.

        Data that was read differently than agreed is right, a missing column that was let through
        is unused, and an anomaly next to held partitions isn't wrong because of them.
        """
        if cause.kind not in WRONG:
            return
        bar = min((item.strength for item in own_evidence if item.held), default=0.0)
        wrong = [item.id for item in own_evidence if _shows_wrong_publication(item, bar)]
        stored.name_wrong(
            self._tx, number, stored.publications_of(self._tx, wrong), cause.columns, self._now
        )

    def _affected(
        self,
        cause: Cause,
        partitions: tuple[str, ...],
        evidence: Mapping[str, Evidence],
        before: Affected,
    ) -> Affected:
        """Return what a cause affects downstream.

        For published columns that differ from the contract, only their users are affected; held
        data is missing for everybody, whichever column is the reason.
        """
        nodes = (cause.node, *cause.nodes)
        assets = self._reach.assets(*nodes)
        own_evidence = _evidence_of(cause.own, evidence)
        if not own_evidence and before.partitions:
            return msgspec.structs.replace(before, partitions=partitions)
        if self._of_some_columns(cause, own_evidence):
            assert self._graph is not None
            seen = {item.node for item in _evidence_of(cause.explains, evidence)}
            users = made_of(self._graph, cause.node, cause.columns) | seen
            assets = tuple(name for name in assets if name in users)
        return Affected(assets, self._reach.readers(nodes, assets), partitions)

    def _of_some_columns(self, cause: Cause, own_evidence: Sequence[Evidence]) -> bool:
        known = self._graph is not None and cause.node in self._graph.nodes and not cause.nodes
        published = bool(own_evidence) and not any(evidence.held for evidence in own_evidence)
        return known and published and bool(cause.columns) and cause.kind not in OF_ROWS


def _evidence_of(ids: Iterable[str], evidence: Mapping[str, Evidence]) -> list[Evidence]:
    """Return the evidence with these ids, as far as it is given, in their order."""
    return [evidence[item] for item in ids if item in evidence]


def _shows_wrong_publication(evidence: Evidence, bar: float) -> bool:
    """Return whether evidence of a cause is about a publication that is wrong.

    `bar` is the least strength of the cause's held evidence, in nats.
    """
    if people.is_mapping(evidence.id) or evidence.family is Family.SCHEMA:
        return False
    if evidence.kind in _WRONG_AS_PUBLISHED:
        return True
    if evidence.let_through and BY_KIND[CauseKind(evidence.kind)].opens is not certain:
        return False  # figures unlike the history, which the declared policy publishes
    return not evidence.held and evidence.strength >= bar


def _is_said_anew(cause: Cause, was: Incident) -> bool:
    """Return whether the summary may change while the cause stays the same.

    Examples are a held history, a promise that would be feasible, and evidence that is over.
    """
    less = bool(cause.own) and any(evidence.id not in cause.own for evidence in was.evidence)
    return less or cause.detail == HISTORY or cause.kind is CauseKind.DEADLINE_INFEASIBLE


def _of_one_kind(cause: Cause, incident: Incident) -> Cause:
    """Return the cause, worded so that its incident stays the same.

    A held history keeps the kind with which its incident was opened, so that decisions about single
    deliveries send no messages. A target that can't be written keeps naming the first file.
    """
    if cause.detail == incident.detail == HISTORY:
        return msgspec.structs.replace(cause, kind=CauseKind(incident.kind))
    if (
        cause.kind == incident.kind == CauseKind.DESTINATION_UNAVAILABLE
        and incident.state != "resolved"
    ):
        return msgspec.structs.replace(cause, summary=incident.summary)
    return cause


def _holds_evidence(cause: Cause, incident: Incident, known_ids: Collection[str]) -> bool:
    """Return whether an incident of the same kind already has all evidence of a cause.

    A host that didn't answer has some of the deliveries that are missing since then.
    """
    if incident.kind == CauseKind.SOURCE_UNAVAILABLE and cause.kind in _FAMILIES:
        return any(item in known_ids for item in cause.own)
    if incident.kind != cause.kind or not cause.own:
        return False
    return all(item in known_ids for item in cause.own)


def _is_rest(cause: Cause, incident: Incident) -> bool:
    """Return whether a cause is the rest of an incident: some of its columns, ingested again."""
    alike = (incident.kind, incident.node) == (cause.kind.value, cause.node) and bool(cause.columns)
    return (
        alike
        and set(cause.columns) <= set(incident.columns)
        and set(cause.partitions) <= set(incident.affected.partitions)
    )


def owners(project: Project) -> dict[str, str]:
    """Return node → owner, with consumers, since their exports may be the place of a cause."""
    results = {name: consumer.owner for name, consumer in project.consumers.items()}
    return (
        results
        | {name: asset.owner for name, asset in project.assets.items()}
        | {name: source.owner for name, source in project.sources.items()}
    )


def fingerprint(cause: Cause) -> str:
    """Return the hash that identifies a recurring cause: kind family, node, columns, detail."""
    return _hashed(cause.kind, cause.node, cause.columns, cause.detail)


def _fingerprints(incident: Incident) -> tuple[str, str]:
    """Return the fingerprints of an incident as opened and as diagnosed now."""
    return incident.fingerprint, _hashed(
        CauseKind(incident.kind), incident.node, incident.columns, incident.detail
    )


def with_node(incident: Incident, node: str) -> Incident:
    """Return an incident whose node has another name, so that its cause is recognised under it.

    If its diagnosis has changed since it was opened, only the present diagnosis is recognised: what
    the first one's fingerprint was computed from isn't stored.
    """
    opened_as, diagnosed_as = _fingerprints(incident)
    renamed = msgspec.structs.replace(incident, node=node)
    if opened_as != diagnosed_as:
        return renamed
    return msgspec.structs.replace(renamed, fingerprint=_fingerprints(renamed)[1])


def _hashed(kind: CauseKind, node: str, columns: Sequence[str], detail: str) -> str:
    family = _FAMILIES.get(kind, kind.value)
    text = "\x1f".join((family, node, *sorted(columns), "\x1e", detail))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def owner_of(project: Project, node: str, kind: CauseKind) -> str:
    """Return the owner of a cause: the node's owner.

    For causes inside the project it is the nearest manager of a vendor who isn't a vendor.
    """
    result = project.node(node)
    if result is None:
        return HEADRACE
    return (decider(project, result.owner) or HEADRACE) if kind in _INSIDE else result.owner


def _evidence_as_first_seen(
    before: Sequence[IncidentEvidence],
    cause: Cause,
    evidence: Mapping[str, Evidence],
    *,
    again: bool,
) -> tuple[IncidentEvidence, ...]:
    """Return the evidence of an incident, each piece as it was first seen.

    `again`: the incident is reopened, and evidence that is seen again is worded as it is now.
    """
    if cause.kind is CauseKind.DEADLINE_INFEASIBLE:
        before = ()  # a single piece of evidence, shown as it is now
    if again:
        now = {_said_once(item) for item in cause.own if item in evidence}
        before = [evidence for evidence in before if _said_once(evidence.id) not in now]
    results = {_said_once(evidence.id): evidence for evidence in before}
    for item in cause.own:
        if item in evidence:
            results.setdefault(_said_once(item), incident_evidence(evidence[item]))
    return tuple(results.values())[:EVIDENCE_MAX]


def _said_once(evidence: str) -> str:
    """Return the common id of evidence about one attempt at one partition.

    A backfill's attempt may appear as the backfill's failure and as an attempt's failure.
    """
    return evidence.removeprefix(f"{BACKFILLS}:").removeprefix("attempt:")


def _lines(
    was: Incident,
    now: Incident,
    fresh: Sequence[Evidence],
    own_ids: Collection[str],
    *,
    new: bool,
    again: bool,
) -> list[str]:
    """Return what is new about an incident, one clause each."""
    if new:
        return [f"opened: {now.kind} at {now.node}, {now.summary}"]
    lapsed = exceptions_lapsed(item for item in fresh if item.id in own_ids)
    lines: list[str] = []
    if again:
        lines.append(f"opened again: {lapsed or _came_back(fresh)}")
    elif lapsed:
        lines.append(lapsed)
    if (was.kind, was.node) != (now.kind, now.node):
        lines.append(_reclassified(was, now))
    more = sorted(set(now.affected.partitions) - set(was.affected.partitions))
    if more:
        lines.append(f"seen at {listed(more, NAMED_MAX)}")
    symptoms = sorted({item.node for item in fresh if item.id not in own_ids})
    if symptoms:
        lines.append(f"more follows from it at {listed(symptoms, NAMED_MAX)}")
    return lines


def _came_back(fresh: Sequence[Evidence]) -> str:
    return (
        "other data fails over it"
        if any(item.accepted for item in fresh)
        else "the same has come back"
    )


def _reclassified(was: Incident, now: Incident) -> str:
    """Return the clause about another kind or node.

    It has the new summary, unless only a late delivery has become missing, or the reverse.
    """
    text = reclassified_text((was.kind, was.node), (now.kind, now.node))
    before, after = (_FAMILIES.get(CauseKind(kind), kind) for kind in (was.kind, now.kind))
    return text if before == after and was.node == now.node else f"{text}: {now.summary}"
