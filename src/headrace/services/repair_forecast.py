"""When Headrace will have repaired an incident by itself."""

from __future__ import annotations

from headrace.incidents.closing import UNMET_ASKED
from headrace.plan import Compiled
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.risk import Outlooks
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Transaction
from headrace.store.queries import obligations
from headrace.store.queries.incidents import Incident


def expected_us(tx: Transaction, compiled: Compiled, incident: Incident, now_us: int) -> int | None:
    """Return when the affected consumers have what they wait for, at the earliest.

    None if they wait for nothing that is due, or if nothing says when.
    """
    context = EvaluationContext(declared_promises(compiled), StoredFacts(tx))
    outlooks = Outlooks(context, now_us)
    expected = [
        outlooks.earliest_us(terms, unmet.interval)
        for terms in context.declared.consumers
        if terms.consumer in incident.affected.consumers
        for unmet in obligations.unmet(tx, terms.consumer, limit=UNMET_ASKED)
        if unmet.due_at <= now_us
    ]
    known = [at_us for at_us in expected if at_us is not None and at_us > now_us]
    return max(known) if known and len(known) == len(expected) else None
