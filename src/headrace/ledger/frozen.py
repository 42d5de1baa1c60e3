"""Ledgers stored with a hash before retention deletes the rows that they are made of.

The hashes go to the audit trail. A stored ledger that doesn't match its hash is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.ledger.account import Books, Ledger
from headrace.ledger.stored_records import StoreRecords, wrong_publications
from headrace.model import StoreError
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append, canonical
from headrace.slo.declared_promises import Terms, declared_promises, traits
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store.queries import ledger
from headrace.store.transaction import Transaction

if TYPE_CHECKING:
    from headrace.plan import Compiled


# A wait is measured against the promise in force when the interval became due, whatever is promised
# now.


def terms_as_promised(
    terms: Terms, reads: Iterable[str] | None, context: EvaluationContext
) -> Terms:
    """Return a consumer's terms with the `reads` that were promised when an interval became due.

    Reads that are no longer declared are left out; if none is left, the current reads stay.
    """
    known = tuple(name for name in reads or () if name in context.declared.nodes)
    return (
        msgspec.structs.replace(terms, reads=known)
        if known and set(known) != set(terms.reads)
        else terms
    )


AT_ONCE_MAX = 50
"""At most this many ledgers per transaction, because the leader waits for it."""
_HEADRACE = Actor(ActorType.SYSTEM, "headrace")


def freeze_ledgers(tx: Transaction, compiled: Compiled, before_us: int, now_us: int) -> int:
    """Store the ledgers of obligations that were settled before a time, and return their number.

    At most `AT_ONCE_MAX` are stored: call it again while it returns that many. One hash of all of
    them goes to the audit trail.
    """
    context = EvaluationContext(declared_promises(compiled), StoredFacts(tx))
    books = Books(
        traits(compiled),
        context,
        StoreRecords(tx, now_us, wrong_publications(tx, compiled, context, 0)),
    )
    rows: list[tuple[str, str, str, str, int]] = []
    for terms in context.declared.consumers:
        settled = ledger.to_freeze(tx, terms.consumer, before_us, AT_ONCE_MAX - len(rows))
        for interval, row in ledger.obligations(tx, terms.consumer, settled).items():
            result = books.of_consumer(
                terms_as_promised(terms, row.reads, context),
                interval,
                met_us=row.met,
                over_us=row.waived,
            )
            content = "null" if result is None else canonical(msgspec.to_builtins(result))
            rows.append((terms.consumer, interval, content, _digest(content), now_us))
    if rows:
        ledger.freeze(tx, rows)
        summary = {"ledgers": len(rows), "sha256": _digest("".join(row[3] for row in rows))}
        append(
            tx,
            now_us,
            AuditEvent(
                action=Action.LEDGERS_FROZEN,
                actor=_HEADRACE,
                object=Object("history", "ledgers"),
                after=summary,
            ),
        )
    return len(rows)


def frozen_ledgers(tx: Transaction, consumer: str, intervals: Sequence[str]) -> dict[str, Ledger]:
    """Return the stored ledgers by interval, without those in which nobody had waited.

    Raises StoreError if a ledger doesn't match its hash.
    """
    results: dict[str, Ledger] = {}
    for interval, (content, digest) in ledger.frozen(tx, consumer, intervals).items():
        if _digest(content) != digest:
            raise StoreError(
                f"the delay ledger of {consumer} {interval} isn't what was kept",
                hint="headrace audit verify",
            )
        stored_ledger: Ledger | None = msgspec.json.decode(content, type=Ledger | None)
        if stored_ledger is not None:
            results[interval] = stored_ledger
    return results


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
