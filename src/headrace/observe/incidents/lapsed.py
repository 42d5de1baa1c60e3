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
    for one in exceptions.in_force(tx):
        if one.until is not None and one.lapsed(now) and one.node in context.declared.nodes:
            for place, before in enumerate(_before(tx, one)):
                yield msgspec.structs.replace(
                    before, id=f"{LAPSED}:{one.id}:{place}", at_us=one.until, began_us=one.until,
                    held=True, history=0, repeated=False, lapsed=one.actor,
                )  # fmt: skip


def _before(tx: Transaction, one: ExceptionRecord) -> list[Evidence]:
    """Why it waited, as it was seen then. That may be forgotten; then, as quarantine says it."""
    row = quarantine.get(tx, one.quarantine_id)
    key = "" if one.partition == WHOLE else one.partition
    attempt = "" if row is None else f"{row.epoch}.{row.n}"
    found = [msgspec.msgpack.decode(content, type=Evidence) for content in stored.held_contents(tx, one.node, key, attempt)]
    if found:
        return found
    reason = row.reason if row is not None else "why it waited isn't known any more"
    return [
        Evidence(
            id="", node=one.node, partition=key, family=Family.CHECK, observed=reason,
            strength=NATS, at_us=one.at, error_kind="held" if row is None else row.state,
        )
    ]  # fmt: skip
