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

    def add(self, one: Evidence, attempt: str | None = None, over: int | None = None) -> None:
        """Something was seen; `over`: it isn't so any more since then."""
        self.touched.add(one.node)
        content = msgspec.msgpack.encode(one)
        self._new[one.id] = StoredEvidence(one.id, one.node, one.partition, None, attempt, one.held, content, one.at_us, over)
        self._at.setdefault((one.node, one.partition), []).append(one.id)
        self.seen[one.id] = one

    def end(self, node: str, ids: Iterable[str]) -> None:
        """It isn't so any more."""
        ended = set(ids)
        if ended:
            self.touched.add(node)
            self._ended |= ended

    def forget(self, node: str, partition: str, shown: str) -> None:
        """Readers see what one attempt made: what another showed of the same partition, and nobody was told of yet, is no news any more."""
        for one in [self._new[id_] for id_ in self._at.get((node, partition), ()) if id_ in self._new]:
            if one.held and one.attempt not in (None, shown):
                del self._new[one.id], self.seen[one.id]

    def now(self, tx: Transaction, kind: str, seen: Iterable[Evidence], attempts: Mapping[str, str | None] = NO_ATTEMPTS) -> None:
        """All of a kind that is so at present: what isn't among it is over, what is known is left alone. `attempts` says, by evidence,
        which attempt published what it is of."""
        known, found = stored.standing_of(tx, kind), {one.id: one for one in seen}
        for id_, (node, _) in known.items():
            if id_ not in found:
                self.end(node, [id_])
        for id_, one in found.items():
            if id_ not in known or _differ(known[id_][1], one) or id_ in self._ended:
                self.add(one, attempts.get(id_))

    def of_attempt(self, node: str, partition: str, attempt: str) -> bool:
        """Whether anything that is new holds this attempt's partition."""
        return any(one.attempt == attempt and one.held and (one.node, one.partition) == (node, partition) for one in self._new.values())

    def write(self, tx: Transaction, now: int) -> None:
        """Keep what is new, end what is over."""
        stored.end(tx, self._ended - self._new.keys(), now)
        stored.keep(tx, self._new.values())


def _differ(content: bytes, one: Evidence) -> bool:
    """Whether more than when it was seen last is different."""
    before = msgspec.msgpack.decode(content, type=Evidence)
    return msgspec.structs.replace(before, at_us=0) != msgspec.structs.replace(one, at_us=0)
