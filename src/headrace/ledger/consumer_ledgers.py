"""The delay ledgers of consumers' obligations: as stored, or added up from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from headrace.ledger.account import Books, Ledger
from headrace.ledger.frozen import frozen_ledgers, terms_as_promised
from headrace.ledger.stored_records import records_of, wrong_publications
from headrace.model.reachability import reachable
from headrace.plan import Compiled
from headrace.slo.declared_promises import NodeTraits, Terms
from headrace.slo.declared_promises import began as began_us
from headrace.slo.obligations import EvaluationContext, begins_us, due_us, met_at
from headrace.store.queries import ledger as rows
from headrace.store.queries.ledger import ObligationRow
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
        self._stored: dict[tuple[str, str], ObligationRow] = {}
        self._frozen: dict[tuple[str, str], Ledger] = {}
        self.records = records_of(tx, context.facts, now_us)
        self.books = Books(traits, context, self.records)

    def read(self, consumer: str, intervals: Sequence[str]) -> None:
        """Read what is stored of intervals that will be asked for, all at once."""
        declared = self._context.declared
        nodes = declared.nodes
        reads = (terms.reads for terms in declared.consumers if terms.consumer == consumer)
        names = reachable(
            chain.from_iterable(reads),
            lambda name: [spec.node for spec in nodes[name].inputs] if name in nodes else (),
        )
        self.records.expect(intervals, [*names])
        stored = rows.obligations(self._tx, consumer, intervals)
        frozen = frozen_ledgers(self._tx, consumer, intervals)
        self._stored |= {(consumer, interval): row for interval, row in stored.items()}
        self._frozen |= {(consumer, interval): ledger for interval, ledger in frozen.items()}

    def obligation(self, consumer: str, interval: str) -> ObligationRow:
        """Return what is stored of a consumer's interval."""
        if (consumer, interval) not in self._stored:
            self.read(consumer, [interval])
        return self._stored[consumer, interval]

    def of_consumer(self, terms: Terms, interval: str) -> tuple[Ledger | None, bool]:
        """Return a consumer's wait for an interval, and whether that is the stored one.

        None before the interval's end, and for an interval that was never promised. Asking for the
        oldest interval first is fastest: wrong data is loaded back to it once.
        """
        row = self.obligation(terms.consumer, interval)
        if (ledger := self._frozen.get((terms.consumer, interval))) is not None:
            return ledger, True
        terms = terms_as_promised(terms, row.reads, self._context)
        if (began := began_us(interval, terms.per, terms.timezone)) is not None:
            self._wrong_since(began)
        met = row.met
        if row.due is None and self.never_promised(terms, interval):
            return None, False
        if met is None and row.waived is None:  # the obligation isn't stored before it is due
            met = met_at(terms, interval, self._context)
            if met == 0:
                return None, False  # nothing was required yet
        return self.books.of_consumer(terms, interval, met_us=met, over_us=row.waived), False

    def never_promised(self, terms: Terms, interval: str) -> bool:
        """Return whether an interval was due before the promise began."""
        if due_us(terms, interval) >= begins_us(terms, self._context, self._now):
            return False
        return self.obligation(terms.consumer, interval).due is None

    def _wrong_since(self, from_us: int) -> None:
        """Load the publications with wrong data, back to `from_us` if they aren't loaded yet."""
        if from_us < self._known_from:
            self._known_from = from_us
            results = wrong_publications(self._tx, self._compiled, self._context, from_us)
            if results:
                self.records.know(results)
                self.books = Books(self._traits, self._context, self.records)
