"""Evidence of exceptions that have lapsed: readers still see data that nobody vouches for any more."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.observe.declared_promises import WHOLE
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored
from headrace.store.queries import exceptions, quarantine
from headrace.store.queries.evidence import LAPSED
from headrace.store.queries.exceptions import ExceptionRecord

NATS = 12.0


def gather(tx: Transaction, context: EvaluationContext, now: int) -> Iterator[Evidence]:
    """What kept each of these publications from readers before it was accepted holds again."""
    for record in exceptions.in_force(tx):
        if record.until is not None and record.lapsed(now) and record.node in context.declared.nodes:
            for place, before in enumerate(_before(tx, record)):
                yield msgspec.structs.replace(
                    before, id=f"{LAPSED}:{record.id}:{place}", at_us=record.until, began_us=record.until,
                    held=True, history=0, repeated=False, lapsed=record.actor,
                )  # fmt: skip


def _before(tx: Transaction, record: ExceptionRecord) -> list[Evidence]:
    """Why it waited, as it was seen then. That may be forgotten; then, as quarantine says it."""
    row = quarantine.get(tx, record.quarantine_id)
    key = "" if record.partition == WHOLE else record.partition
    attempt = "" if row is None else f"{row.epoch}.{row.n}"
    results = [msgspec.msgpack.decode(content, type=Evidence) for content in stored.held_contents(tx, record.node, key, attempt)]
    if results:
        return results
    reason = row.reason if row is not None else "why it waited isn't known any more"
    return [
        Evidence(
            id="", node=record.node, partition=key, family=Family.CHECK, observed=reason,
            strength=NATS, at_us=record.at, error_kind="held" if row is None else row.state,
        )
    ]  # fmt: skip
