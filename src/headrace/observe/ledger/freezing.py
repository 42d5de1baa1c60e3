"""Ledgers are kept as they are, with a hash, before retention takes the rows that they are made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from headrace.govern.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.govern.canonical import canonical
from headrace.model import StoreError
from headrace.observe.declared_promises import declared_promises
from headrace.observe.facts import StoredFacts
from headrace.observe.ledger.account import Books, Ledger
from headrace.observe.ledger.declared import traits
from headrace.observe.ledger.promised import as_promised
from headrace.observe.ledger.soundness import wrongs
from headrace.observe.ledger.stored import StoreRecords
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import ledger

if TYPE_CHECKING:
    from headrace.plan import Compiled

AT_ONCE_MAX = 50
"""So many in one transaction: the leader waits for it."""
_HEADRACE = Actor(ActorType.SYSTEM, "headrace")


def freeze(tx: Transaction, compiled: Compiled, before_us: int, now_us: int) -> int:
    """Keep the ledgers of what was settled before a time, AT_ONCE_MAX at most; how many, so that it is asked again while there are
    that many. Their hashes go to the audit trail in one."""
    context = EvaluationContext(declared_promises(compiled), StoredFacts(tx))
    books = Books(traits(compiled), context, StoreRecords(tx, now_us, wrongs(tx, compiled, context, 0)))
    rows: list[tuple[str, str, str, str, int]] = []
    for terms in context.declared.consumers:
        for interval, met, waived in ledger.to_freeze(tx, terms.consumer, before_us, AT_ONCE_MAX - len(rows)):
            result = books.of_consumer(as_promised(tx, terms, interval, context), interval, met_us=met, over_us=waived)
            content = "null" if result is None else canonical(msgspec.to_builtins(result))
            rows.append((terms.consumer, interval, content, _digest(content), now_us))
    if rows:
        ledger.freeze(tx, rows)
        told = {"ledgers": len(rows), "sha256": _digest("".join(row[3] for row in rows))}
        append(tx, now_us, AuditEvent(action=Action.LEDGERS_FROZEN, actor=_HEADRACE, object=Object("history", "ledgers"), after=told))
    return len(rows)


def frozen(tx: Transaction, consumer: str, interval: str) -> Ledger | None:
    """The ledger as it was kept; None where it wasn't, or nobody had waited. StoreError for one that isn't what it was."""
    results = ledger.frozen(tx, consumer, interval)
    if results is None:
        return None
    content, digest = results
    if _digest(content) != digest:
        raise StoreError(f"the delay ledger of {consumer} {interval} isn't what was kept", hint="headrace audit verify")
    kept: Ledger | None = msgspec.json.decode(content, type=Ledger | None)
    return kept


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
