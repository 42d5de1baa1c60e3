"""What is stored of broken partitions: each kind of row for all of them by one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from headrace.model.partitions import WHOLE
from headrace.store import Transaction
from headrace.store.queries import attempts, changes, deliveries, partition_states, quality
from headrace.store.queries import quarantine as stored
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.incidents import Incident, OpenIncidents
from headrace.store.queries.quality import DriftRow, FactRow

Place = tuple[str, str]
"""A node and a partition."""


class BrokenFacts:
    """What is stored of failed, held and rejected partitions, in one transaction."""

    def __init__(
        self, tx: Transaction, places: Iterable[Place], opened: OpenIncidents | None = None
    ) -> None:
        self.tx, self.places, self._known = tx, list(places), opened

    @cached_property
    def _opened(self) -> OpenIncidents:
        return OpenIncidents(self.tx) if self._known is None else self._known

    def opened_at(self, node: str, partition: str) -> Incident | None:
        """Return the open incident about a partition, as `open_at` does."""
        return self._opened.at(node, "" if partition == WHOLE else partition)

    @cached_property
    def states(self) -> Mapping[Place, tuple[str, str | None]]:
        """The state of each known partition, and its reason."""
        return partition_states.states_at(self.tx, self.places)

    @cached_property
    def last(self) -> Mapping[Place, Attempt]:
        """The newest attempt at each partition that was tried."""
        return attempts.newest_at(self.tx, self.places)

    @cached_property
    def _paths(self) -> dict[int, str]:
        tried = (attempt.delivery_id for attempt in self.last.values())
        numbers = [number for number in tried if number is not None]
        return deliveries.paths(self.tx, numbers) if numbers else {}

    def path(self, delivery: int | None) -> str | None:
        """Return the path of a delivery that an attempt ingested."""
        if delivery is not None and delivery not in self._paths:
            self._paths.update(deliveries.paths(self.tx, [delivery]))
        return None if delivery is None else self._paths.get(delivery)

    @cached_property
    def renamed(self) -> set[Place]:
        """The deliveries that wait for the acceptance of renames."""
        return quality.renames_waiting(self.tx, self.places)

    @cached_property
    def declared(self) -> Mapping[Place, str]:
        """The locations of the declarations that hold the newest data."""
        return changes.declared_at(self.tx, self.places)

    @cached_property
    def unacceptable(self) -> set[Place]:
        """The partitions whose data in quarantine can't be published by accepting it."""
        return stored.unacceptable(self.tx, self.places)

    @cached_property
    def facts(self) -> Mapping[Place, Sequence[FactRow]]:
        """The anomalies of the partitions."""
        return quality.facts_at(self.tx, self.places)

    @cached_property
    def drift(self) -> Mapping[Place, Sequence[DriftRow]]:
        """The changes of the deliveries."""
        return quality.drift_at(self.tx, self.places)
