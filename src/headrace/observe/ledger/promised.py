"""A wait is for what was promised when it was due, whatever is promised now."""

from __future__ import annotations

import msgspec

from headrace.observe.declared_promises import Terms
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import ledger


def as_promised(tx: Transaction, terms: Terms, interval: str, context: EvaluationContext) -> Terms:
    """A consumer's terms with the reads of the promise that was in force when an interval became due, as far as they are still
    declared; as they are now, where none of them is."""
    reads = ledger.promised_reads(tx, terms.consumer, interval)
    known = tuple(name for name in reads or () if name in context.declared.nodes)
    return msgspec.structs.replace(terms, reads=known) if known and set(known) != set(terms.reads) else terms
