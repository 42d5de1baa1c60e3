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


def reported(tx: Transaction, node: str, publications: Sequence[Publication], actor: str, reason: str, now: int) -> list[str]:
    """Somebody says that these publications are wrong; the ids of the evidence. They stand until others take their place."""
    kept = []
    for publication in publications:
        partition = "" if publication.partition == "*" else publication.partition
        evidence = Evidence(
            id=f"{KIND}:{publication.id}", node=node, partition=partition, family=Family.ACT, kind=CauseKind.REPORTED.value,
            expected="right data", observed=f"{reason} (reported by {actor})", strength=NATS, at_us=now, began_us=publication.published_at,
        )  # fmt: skip
        content = msgspec.msgpack.encode(evidence)
        kept.append(
            StoredEvidence(evidence.id, node, partition, None, f"{publication.epoch}.{publication.n}", held=True, content=content, at=now)
        )
    stored.keep(tx, kept)
    return [evidence.id for evidence in kept]
