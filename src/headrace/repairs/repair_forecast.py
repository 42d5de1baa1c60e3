"""When Headrace will have repaired an incident by itself."""

from __future__ import annotations

from functools import cached_property

from headrace.incidents.closing import UNMET_ASKED
from headrace.plan import Compiled
from headrace.slo.availability import MINUTE_US
from headrace.slo.declared_promises import declared_promises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.risk import Outlooks
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Transaction
from headrace.store.queries import obligations
from headrace.store.queries.incidents import Incident


class RepairForecast:
    """When incidents are repaired, as expected at a time in microseconds."""

    def __init__(self, tx: Transaction, compiled: Compiled, now_us: int) -> None:
        self.now_us = now_us
        self._tx, self._compiled = tx, compiled

    @cached_property
    def _context(self) -> EvaluationContext:
        return EvaluationContext(declared_promises(self._compiled), StoredFacts(self._tx))

    @cached_property
    def _outlooks(self) -> Outlooks:
        return Outlooks(self._context, self.now_us)

    def expected_us(self, incident: Incident) -> int | None:
        """Return when the affected consumers have what they wait for, at the earliest.

        None if they wait for nothing that is due, if nothing says when, or if it is in this very
        minute: times are shown in whole minutes, and that one has begun.
        """
        expected = [
            self._outlooks.earliest_us(terms, unmet.interval)
            for terms in self._context.declared.consumers
            if terms.consumer in incident.affected.consumers
            for unmet in obligations.unmet(self._tx, terms.consumer, limit=UNMET_ASKED)
            if unmet.due_at <= self.now_us
        ]
        known = [at_us for at_us in expected if at_us is not None]
        if not known or len(known) < len(expected):
            return None
        at_us = max(known)
        return at_us if at_us // MINUTE_US > self.now_us // MINUTE_US else None
