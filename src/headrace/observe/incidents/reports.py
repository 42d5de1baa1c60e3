"""What people say is wrong, as evidence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored
from headrace.store.queries.evidence import StoredEvidence
from headrace.store.queries.publications import Publication

KIND = "report"
NATS = 12.0


def reported(tx: Transaction, node: str, found: Sequence[Publication], actor: str, reason: str, now: int) -> list[str]:
    """Somebody says that these publications are wrong; the ids of the evidence. They stand until others take their place."""
    kept = []
    for one in found:
        partition = "" if one.partition == "*" else one.partition
        evidence = Evidence(
            id=f"{KIND}:{one.id}", node=node, partition=partition, family=Family.ACT, kind=CauseKind.REPORTED.value,
            expected="right data", observed=f"{reason} (reported by {actor})", strength=NATS, at_us=now, began_us=one.published_at,
        )  # fmt: skip
        content = msgspec.msgpack.encode(evidence)
        kept.append(StoredEvidence(evidence.id, node, partition, None, f"{one.epoch}.{one.n}", held=True, content=content, at=now))
    stored.keep(tx, kept)
    return [one.id for one in kept]
