"""Evidence of deliveries that came otherwise than agreed and were read all the same: nothing is kept from readers, and somebody changed
something without notice. What goes on so is told of once."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.gathered import Gathered
from headrace.store.database import Transaction
from headrace.store.queries import mapped as stored
from headrace.store.queries.mapped import Mapped

KIND = "drift"
NATS = 12.0
_HEADERLESS = "there is no header"


def is_mapping(evidence: str) -> bool:
    """Whether a piece of evidence, by its id, is of something that was read all the same."""
    return evidence.startswith(f"{KIND}:")


def gather(tx: Transaction, result: Gathered, after: int) -> int:
    """Take up changes after a number; the last number that was taken up."""
    rows, newest = stored.mapped(tx, after)
    for row in rows:
        result.add(_evidence(row), row.attempt)
    return newest


def _evidence(row: Mapped) -> Evidence:
    names = row.kind == "renamed" or _HEADERLESS in row.why
    return Evidence(
        id=f"{KIND}:{row.id}", node=row.source, partition="" if row.partition == "*" else row.partition,
        family=Family.SCHEMA if names else Family.FORMAT, kind=(CauseKind.SCHEMA_CHANGE if names else CauseKind.FORMAT_CHANGE).value,
        column=row.column, expected=row.column if row.kind == "renamed" else "as it was agreed", observed=row.to or row.why,
        strength=NATS, held=False, at_us=row.at, began_us=row.arrived_at,
        detail="; ".join(("headerless" if names and row.kind == "format" else row.kind, row.why)),
    )  # fmt: skip
