"""The delay ledgers of consumers' obligations: as stored, or added up from the rows."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.ledger.account import Books, Ledger
from headrace.ledger.frozen import frozen_ledger, terms_as_promised
from headrace.ledger.records import LedgerRecords
from headrace.ledger.stored_records import records_of, wrong_publications
from headrace.plan import Compiled
from headrace.slo.declared_promises import NodeTraits, Terms
from headrace.slo.declared_promises import began as began_us
from headrace.slo.obligations import EvaluationContext, begins_us, due_us, met_at
from headrace.store.queries import ledger as rows
from headrace.store.transaction import Transaction


class ConsumerLedgers:
    """Delay ledgers as of one point in time, in microseconds."""

    def __init__(
        self,
        tx: Transaction,
        compiled: Compiled,
        context: EvaluationContext,
        traits: Mapping[str, NodeTraits],
        now_us: int,
    ) -> None:
        self._tx, self._compiled, self._context = tx, compiled, context
        self._traits, self._now = traits, now_us
        self._known_from = now_us
        self._load(records_of(tx, context.facts, now_us))

    def _load(self, records: LedgerRecords) -> None:
        self.records, self.books = records, Books(self._traits, self._context, records)

    def of_consumer(self, terms: Terms, interval: str) -> tuple[Ledger | None, bool]:
        """Return a consumer's wait for an interval, and whether that is the stored one.

        None before the interval's end, and for an interval that was never promised. Asking for the
        oldest interval first is fastest: wrong data is loaded back to it once.
        """
        ledger = frozen_ledger(self._tx, terms.consumer, interval)
        if ledger is not None:
            return ledger, True
        terms = terms_as_promised(self._tx, terms, interval, self._context)
        if (began := began_us(interval, terms.per, terms.timezone)) is not None:
            self._wrong_since(began)
        met, over, due = rows.obligation(self._tx, terms.consumer, interval)
        if due is None and self.never_promised(terms, interval):
            return None, False
        if met is None and over is None:  # the obligation isn't stored before it is due
            met = met_at(terms, interval, self._context)
            if met == 0:
                return None, False  # nothing was required yet
        return self.books.of_consumer(terms, interval, met_us=met, over_us=over), False

    def never_promised(self, terms: Terms, interval: str) -> bool:
        """Return whether an interval was due before the promise began."""
        if due_us(terms, interval) >= begins_us(terms, self._context, self._now):
            return False
        return rows.obligation(self._tx, terms.consumer, interval)[2] is None

    def _wrong_since(self, from_us: int) -> None:
        """Load the publications with wrong data, back to `from_us` if they aren't loaded yet."""
        if from_us < self._known_from:
            self._known_from = from_us
            results = wrong_publications(self._tx, self._compiled, self._context, from_us)
            if results:
                self._load(records_of(self._tx, self._context.facts, self._now, results))
