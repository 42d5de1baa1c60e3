"""Evidence as it is stored: what is new and what has ended, reports by people, and its text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.model.causes import CauseKind
from headrace.store.queries import evidence as stored
from headrace.store.queries.evidence import StoredEvidence
from headrace.store.queries.incidents import IncidentEvidence
from headrace.store.queries.publications import Publication
from headrace.store.transaction import Transaction

# Collects new and ended evidence of one evaluation, and writes both at its end.

NO_ATTEMPTS: Mapping[str, str | None] = MappingProxyType({})


class Gathered:
    """New and ended evidence of one evaluation; `touched` are the nodes of both."""

    def __init__(self) -> None:
        self.touched: set[str] = set()
        self.seen: dict[str, Evidence] = {}
        """New evidence by id, including evidence that has already ended."""
        self._new: dict[str, StoredEvidence] = {}
        self._at: dict[tuple[str, str], list[str]] = {}
        self._ended: set[str] = set()

    def add(self, evidence: Evidence, attempt: str | None = None, over: int | None = None) -> None:
        """Add new evidence; `over` is when it ended, if it has."""
        self.touched.add(evidence.node)
        content = msgspec.msgpack.encode(evidence)
        self._new[evidence.id] = StoredEvidence(
            evidence.id,
            evidence.node,
            evidence.partition,
            None,
            attempt,
            evidence.held,
            content,
            evidence.at_us,
            over,
        )
        self._at.setdefault((evidence.node, evidence.partition), []).append(evidence.id)
        self.seen[evidence.id] = evidence

    def end(self, node: str, ids: Iterable[str]) -> None:
        """End evidence of a node."""
        ended = set(ids)
        if ended:
            self.touched.add(node)
            self._ended |= ended

    def forget(self, node: str, partition: str, visible_attempt: str) -> None:
        """Drop new evidence of holds by other attempts than the one that readers see.

        Nobody was notified of it yet.
        """
        for evidence in [
            self._new[id_] for id_ in self._at.get((node, partition), ()) if id_ in self._new
        ]:
            if evidence.held and evidence.attempt not in (None, visible_attempt):
                del self._new[evidence.id], self.seen[evidence.id]

    def now(
        self,
        tx: Transaction,
        kind: str,
        seen: Iterable[Evidence],
        attempts: Mapping[str, str | None] = NO_ATTEMPTS,
    ) -> None:
        """Set all current evidence of a kind: add what is new and end what is missing.

        Known evidence that doesn't differ is left alone. `attempts` maps evidence to the attempt
        that published its data.
        """
        known, results = stored.active_of(tx, kind), {evidence.id: evidence for evidence in seen}
        for id_, (node, _) in known.items():
            if id_ not in results:
                self.end(node, [id_])
        for id_, evidence in results.items():
            if id_ not in known or _differs(known[id_][1], evidence) or id_ in self._ended:
                self.add(evidence, attempts.get(id_))

    def of_attempt(self, node: str, partition: str, attempt: str) -> bool:
        """Return whether any new evidence holds an attempt's partition."""
        return any(
            evidence.attempt == attempt
            and evidence.held
            and (evidence.node, evidence.partition) == (node, partition)
            for evidence in self._new.values()
        )

    def write(self, tx: Transaction, now: int) -> None:
        """Store new evidence and end what is over."""
        stored.end(tx, self._ended - self._new.keys(), now)
        stored.keep(tx, self._new.values())


def _differs(content: bytes, evidence: Evidence) -> bool:
    """Return whether evidence differs in more than when it was last seen."""
    before = msgspec.msgpack.decode(content, type=Evidence)
    return msgspec.structs.replace(before, at_us=0) != msgspec.structs.replace(evidence, at_us=0)


# A person reports that publications are wrong. The evidence is active until other publications
# replace them.

REPORT_KIND = "report"
REPORT_NATS = 12.0


def report_publications(
    tx: Transaction,
    node: str,
    publications: Sequence[Publication],
    actor: str,
    reason: str,
    now: int,
) -> list[str]:
    """Record a person's report that publications are wrong, and return the ids of its evidence.

    The evidence is active until other publications replace them.
    """
    records = []
    for publication in publications:
        partition = "" if publication.partition == "*" else publication.partition
        evidence = Evidence(
            id=f"{REPORT_KIND}:{publication.id}",
            node=node,
            partition=partition,
            family=Family.ACT,
            kind=CauseKind.REPORTED.value,
            expected="right data",
            observed=f"{reason} (reported by {actor})",
            strength=REPORT_NATS,
            at_us=now,
            began_us=publication.published_at,
        )
        content = msgspec.msgpack.encode(evidence)
        records.append(
            StoredEvidence(
                evidence.id,
                node,
                partition,
                None,
                f"{publication.epoch}.{publication.n}",
                held=True,
                content=content,
                at=now,
            )
        )
    stored.keep(tx, records)
    return [evidence.id for evidence in records]


# Evidence in words, as an incident stores it.

RENAMED = "column renamed"
_SCHEMA = {
    "renamed": RENAMED,
    "dropped": "column gone",
    "added": "column new",
}
TEXT_MAX = 300


def incident_evidence(evidence: Evidence) -> IncidentEvidence:
    """Return evidence as people read it."""
    restated = evidence.family is Family.RESTATED and evidence.detail
    observed = f"{evidence.observed}: {evidence.detail}" if restated else evidence.observed
    return IncidentEvidence(
        what=evidence_label(evidence),
        expected=evidence.expected[:TEXT_MAX],
        observed=observed[:TEXT_MAX],
        at=evidence.at_us,
        id=evidence.id,
    )


def reclassified_text(was: tuple[str, str], now: tuple[str, str]) -> str:
    """Return the clause that an incident has another kind or node than before.

    It has no capital and no full stop.
    """
    (kind, node), (was_kind, was_node) = now, was
    if node == was_node and (was_kind, kind) == (CauseKind.LATE_SOURCE, CauseKind.MISSING_SOURCE):
        return "it was late; its deadline has passed now: it is missing"
    if node == was_node and (was_kind, kind) == (CauseKind.MISSING_SOURCE, CauseKind.LATE_SOURCE):
        return "it is late, and not missing any more: no deadline has passed"
    if was_kind == CauseKind.SOURCE_UNAVAILABLE and kind in (
        CauseKind.LATE_SOURCE,
        CauseKind.MISSING_SOURCE,
    ):
        return "it can be read again; deliveries that were due meanwhile are missing"
    return f"the cause is {kind} at {node}, not {was_kind} at {was_node}"


def evidence_label(evidence: Evidence) -> str:
    """Return what kind of observation evidence is, in a few words."""
    if evidence.accepted:
        return f"{_label(evidence)}, accepted by {evidence.accepted}"
    return (
        f"{_label(evidence)}, exception of {evidence.lapsed} lapsed"
        if evidence.lapsed
        else _label(evidence)
    )


def _label(evidence: Evidence) -> str:
    if evidence.family is Family.SCHEMA:
        return _SCHEMA.get(evidence.detail.partition(";")[0], "schema changed")
    if evidence.family is Family.CHECK and evidence.detail:
        return f"check {evidence.detail}"
    if evidence.family in (Family.ERROR, Family.EXPORT, Family.RESOURCES, Family.LOST):
        return "failed" if evidence.family is not Family.LOST else "worker lost"
    if evidence.family is Family.ARRIVAL and not evidence.kind:
        return "no delivery"
    kind = (evidence.kind or evidence.family.value).replace("_", " ")
    return f"{kind} {evidence.column}" if evidence.column else kind
