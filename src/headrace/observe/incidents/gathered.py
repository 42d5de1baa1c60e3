"""What gathering comes to: evidence that is new, and evidence that isn't so any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from headrace.observe.diagnosis.evidence import Evidence
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored
from headrace.store.queries.evidence import StoredEvidence

NO_ATTEMPTS: Mapping[str, str | None] = MappingProxyType({})


class Gathered:
    """New and ended evidence of one judgement. `touched` are the nodes of both."""

    def __init__(self) -> None:
        self.touched: set[str] = set()
        self.seen: dict[str, Evidence] = {}
        """What is new, by its id; what is over already included."""
        self._new: dict[str, StoredEvidence] = {}
        self._at: dict[tuple[str, str], list[str]] = {}
        self._ended: set[str] = set()

    def add(self, evidence: Evidence, attempt: str | None = None, over: int | None = None) -> None:
        """Something was seen; `over`: it isn't so any more since then."""
        self.touched.add(evidence.node)
        content = msgspec.msgpack.encode(evidence)
        self._new[evidence.id] = StoredEvidence(
            evidence.id, evidence.node, evidence.partition, None, attempt, evidence.held, content, evidence.at_us, over
        )
        self._at.setdefault((evidence.node, evidence.partition), []).append(evidence.id)
        self.seen[evidence.id] = evidence

    def end(self, node: str, ids: Iterable[str]) -> None:
        """It isn't so any more."""
        ended = set(ids)
        if ended:
            self.touched.add(node)
            self._ended |= ended

    def forget(self, node: str, partition: str, shown: str) -> None:
        """Readers see what one attempt made: what another showed of the same partition, and nobody was told of yet, is no news any more."""
        for evidence in [self._new[id_] for id_ in self._at.get((node, partition), ()) if id_ in self._new]:
            if evidence.held and evidence.attempt not in (None, shown):
                del self._new[evidence.id], self.seen[evidence.id]

    def now(self, tx: Transaction, kind: str, seen: Iterable[Evidence], attempts: Mapping[str, str | None] = NO_ATTEMPTS) -> None:
        """All of a kind that is so at present: what isn't among it is over, what is known is left alone. `attempts` says, by evidence,
        which attempt published what it is of."""
        known, results = stored.standing_of(tx, kind), {evidence.id: evidence for evidence in seen}
        for id_, (node, _) in known.items():
            if id_ not in results:
                self.end(node, [id_])
        for id_, evidence in results.items():
            if id_ not in known or _differ(known[id_][1], evidence) or id_ in self._ended:
                self.add(evidence, attempts.get(id_))

    def of_attempt(self, node: str, partition: str, attempt: str) -> bool:
        """Whether anything that is new holds this attempt's partition."""
        return any(
            evidence.attempt == attempt and evidence.held and (evidence.node, evidence.partition) == (node, partition)
            for evidence in self._new.values()
        )

    def write(self, tx: Transaction, now: int) -> None:
        """Keep what is new, end what is over."""
        stored.end(tx, self._ended - self._new.keys(), now)
        stored.keep(tx, self._new.values())


def _differ(content: bytes, evidence: Evidence) -> bool:
    """Whether more than when it was seen last is different."""
    before = msgspec.msgpack.decode(content, type=Evidence)
    return msgspec.structs.replace(before, at_us=0) != msgspec.structs.replace(evidence, at_us=0)
