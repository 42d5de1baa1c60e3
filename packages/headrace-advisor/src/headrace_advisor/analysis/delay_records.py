"""The waits of a consumer's obligations in a span of time, with what explains their segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.ledger.account import Ledger
from headrace.ledger.consumer_ledgers import ConsumerLedgers
from headrace.plan import Compiled
from headrace.slo.declared_promises import NodeTraits, Terms
from headrace.slo.obligations import EvaluationContext, obligations
from headrace.store.queries import ledger as rows
from headrace.store.transaction import Transaction
from headrace_advisor.analysis.delays import Delay, DelayFacts, DelayIncident, delay_of

WAITS_MAX = 400
"""At most this many of a consumer's newest obligations are added up."""


class Wait(NamedTuple):
    """A wait for one obligation, and when that was due, in microseconds."""

    ledger: Ledger
    due_at_us: int


class Waits(NamedTuple):
    """The waits of a consumer, oldest first. `limited`: there are more than `WAITS_MAX`."""

    waits: Sequence[Wait]
    delay: Delay
    limited: bool


class DelayRecords:
    """The waits of consumers as of one point in time."""

    def __init__(
        self,
        tx: Transaction,
        compiled: Compiled,
        context: EvaluationContext,
        traits: Mapping[str, NodeTraits],
        now_us: int,
    ) -> None:
        self._tx, self._context, self._traits, self._now = tx, context, traits, now_us
        self._sources = frozenset(compiled.project.sources)
        self._ledgers = ConsumerLedgers(tx, compiled, context, traits, now_us)

    def of_consumer(self, terms: Terms, began_us: int, until_us: int | None = None) -> Waits:
        """Return the waits of the obligations that fell due in a span; it ends now by default."""
        until = self._now if until_us is None else until_us
        due = [
            obligation
            for obligation in obligations(terms, self._context, self._now)
            if began_us < obligation.due_at_us <= until
        ]
        waits = []
        self._ledgers.read(terms.consumer, [item.interval for item in due[-WAITS_MAX:]])
        for obligation in due[-WAITS_MAX:]:
            ledger, _ = self._ledgers.of_consumer(terms, obligation.interval)
            if ledger is not None:
                waits.append(Wait(ledger, obligation.due_at_us))
        delay = delay_of((wait.ledger for wait in waits), self._facts(waits))
        return Waits(waits, delay, limited=len(due) > WAITS_MAX)

    def _facts(self, waits: Sequence[Wait]) -> DelayFacts:
        numbers = {
            segment.incident
            for wait in waits
            for segment in wait.ledger.segments
            if segment.incident
        }
        named = {
            number: DelayIncident(row.node, row.kind, row.owner)
            for number, row in rows.incidents(self._tx, numbers).items()
        }
        return DelayFacts(named, self._traits, self._sources)
