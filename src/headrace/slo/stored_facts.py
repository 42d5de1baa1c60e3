"""The facts as the store has them, and those of an environment.

All answers come from one transaction, so that they agree about one snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import msgspec

from headrace.model.causes import CauseKind
from headrace.model.errors import LAKE_CLOSED
from headrace.slo.damaged_files import damaged_files, partitions_in
from headrace.slo.declared_promises import WHOLE
from headrace.slo.facts import (
    AcceptedPartition,
    BackfillFailure,
    Damage,
    Newest,
    PartitionStateFacts,
    Pausing,
    RecordedObligation,
    StateFacts,
    UnreadableSource,
    Unusual,
    VisiblePublication,
)
from headrace.slo.known_partitions import KnownPartitions
from headrace.slo.read_together import ReadTogether
from headrace.slo.timeline import EVER
from headrace.store.lease import holder
from headrace.store.queries import (
    applied_versions,
    attempts,
    availability,
    changes,
    deliveries,
    incidents,
    ingestion,
    lake_maintenance,
    obligations,
    partition_states,
    publications,
    quality,
    quarantine,
    scheduling,
)
from headrace.store.queries import exceptions as stored_exceptions
from headrace.store.queries.ingestion import OBSERVATIONS_KEPT
from headrace.store.transaction import Transaction

_OF_OBSERVATIONS = (
    CauseKind.SOURCE_UNAVAILABLE,
    CauseKind.ACCESS_DENIED,
    CauseKind.CONFIGURATION_ERROR,
)
"""Incident kinds of a source that can't be read."""
OBLIGATIONS_NEWEST = 100


class StoredFacts:
    """Implements `slo.facts.StateFacts` over a transaction that doesn't change what it answers."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._known = KnownPartitions(tx)
        self._newest: dict[str, Newest | None] = {}
        self._oldest = ReadTogether(partial(ingestion.oldest_deliveries, tx))
        self._observed = ReadTogether(
            partial(deliveries.observed_times, tx, limit=OBSERVATIONS_KEPT)
        )
        self._recorded = ReadTogether(partial(obligations.recorded, tx, limit=OBLIGATIONS_NEWEST))
        self._promises = ReadTogether(partial(obligations.promise_starts, tx))

    def expect(
        self, nodes: Sequence[str], sources: Sequence[str], consumers: Sequence[str]
    ) -> None:
        """Take notice of what will be asked for: it is read together."""
        self._known.expected = nodes
        self._oldest.expected = self._observed.expected = sources
        self._recorded.expected = self._promises.expected = consumers

    @property
    def transaction(self) -> Transaction:
        """The transaction that it reads."""
        return self._tx

    def first(self, node: str, partition: str) -> VisiblePublication | None:
        """Return the first publication of a partition; None while it is withdrawn."""
        known = self._known.get(node, partition)
        if known is None or known.first_at is None or (node, partition) in self._withdrawn:
            return None
        assert known.first_snapshot is not None
        return VisiblePublication(known.first_at, known.first_snapshot)

    def first_reading(self, node: str, snapshot: int, since_us: int) -> VisiblePublication | None:
        """Return the first publication of an unpartitioned node that read a given lake snapshot.

        It was published at `since_us` or later and read `snapshot` or a later one.
        """
        results = publications.first_reading(self._tx, node, WHOLE, snapshot, since_us)
        return None if results is None else VisiblePublication(*results)

    def newest(self, node: str) -> Newest | None:
        """Return the newest partition of a node that readers see; None if there is none."""
        if node not in self._newest:
            self._newest[node] = self._find_newest(node)
        return self._newest[node]

    def _find_newest(self, node: str) -> Newest | None:
        summary = partition_states.extent(self._tx, node)
        return (
            None
            if summary is None
            else Newest(summary.newest, summary.newest_at, summary.newest_verdict, summary.oldest)
        )

    def exported(self, node: str, export: str) -> int | None:
        """Return when the newest publication of a node that `export` has written was published.

        Its first publication if none was written; None if there is none.
        """
        times = availability.exported_times(self._tx, node, export, EVER)
        return times[-1][1] if times else None

    def rows(self, node: str, partition: str) -> int | None:
        """Return the number of rows that readers see of a partition; None if it isn't published."""
        publication = publications.current(self._tx, node, partition)
        return None if publication is None else publication.rows

    def published_between(self, node: str, first: str, last: str) -> int:
        """Return how many partitions from `first` to `last`, both included, readers see."""
        return publications.count_between(self._tx, node, first, last)

    def keys(self, node: str, moment: str) -> list[str]:
        """Return the data keys of a node that are known for an interval.

        For a node that isn't partitioned by time (`moment` is empty), return all its keys.
        """
        return partition_states.data_keys(self._tx, node, moment)

    def partition_state(self, node: str, partition: str) -> PartitionStateFacts | None:
        """Return the state of a partition; None if nothing is known of it."""
        known = self._known.get(node, partition)
        if known is not None:
            return PartitionStateFacts(
                known.state,
                known.published,
                known.stale,
                known.reason,
                known.since,
                known.not_before,
                known.dropped_at,
            )
        since = self._waiting.get((node, partition))
        if since is None:
            return None
        return PartitionStateFacts(
            "waiting", published=False, stale=False, reason=self._closed, since_us=since
        )

    @cached_property
    def _waiting(self) -> dict[tuple[str, str], int]:
        return ingestion.waiting_since(self._tx)

    @cached_property
    def _closed(self) -> str:
        """Why no delivery can be ingested; empty if deliveries can be."""
        problem = lake_maintenance.problem(self._tx, lake_maintenance.LAKE)
        return "" if problem is None else f"{LAKE_CLOSED}: {problem.why.rpartition(': ')[2]}"

    def stale_nodes(self) -> set[str]:
        """Return the nodes with a stale published partition."""
        return partition_states.stale_nodes(self._tx)

    def stopped_nodes(self) -> set[str]:
        """Return the nodes with a partition that stays as it is until somebody acts."""
        return partition_states.stopped_nodes(self._tx)

    def quarantined_nodes(self) -> set[str]:
        """Return the nodes that have anything in quarantine."""
        return self._quarantined

    @cached_property
    def _quarantined(self) -> set[str]:
        return quarantine.nodes(self._tx)

    def oldest_delivery(self, source: str) -> str | None:
        """Return the oldest interval of a source that was ever delivered."""
        return self._oldest.of(source)

    def observations(self, source: str) -> list[int]:
        """Return the times of the last 50 observations of a source, newest first."""
        return self._observed.of(source)

    def recorded_obligations(self, consumer: str) -> list[RecordedObligation]:
        """Return recorded obligations of a consumer, oldest first.

        These are all unmet ones, the newest 100, and the newest that was met.
        """
        return [
            RecordedObligation(
                obligation.interval, obligation.due_at, obligation.met_at, obligation.waived_at
            )
            for obligation in self._recorded.of(consumer)
        ]

    def pauses(self) -> dict[str, Pausing]:
        """Return the pauses by node or consumer; expired ones may be among them."""
        return self._pauses

    @cached_property
    def _pauses(self) -> dict[str, Pausing]:
        return {
            pause.node: Pausing(pause.reason, pause.actor, pause.until, pause.since)
            for pause in scheduling.all_pauses(self._tx)
        }

    def is_led(self) -> bool:
        """Return whether a leader is running, which computes whatever can be computed."""
        return self._led

    @cached_property
    def _led(self) -> bool:
        return holder(self._tx) is not None

    def withdrawn(self) -> frozenset[tuple[str, str]]:
        """Return (node, partition) of what a person withdrew and nothing has replaced since."""
        return self._withdrawn

    @cached_property
    def _withdrawn(self) -> frozenset[tuple[str, str]]:
        return publications.withdrawn(self._tx)

    def exceptions(self) -> list[AcceptedPartition]:
        """Return the partitions that readers see by exception, including lapsed exceptions."""
        return self._exceptions

    @cached_property
    def _exceptions(self) -> list[AcceptedPartition]:
        return [
            AcceptedPartition(
                record.node,
                record.partition,
                record.actor,
                record.reason,
                record.until,
                stored_exceptions.lapsing_since(self._tx, record),
            )
            for record in stored_exceptions.exceptions_in_force(self._tx)
        ]

    def unusual(self) -> list[Unusual]:
        """Return the recently published partitions with a warning about anomalous figures."""
        return self._unusual

    @cached_property
    def _unusual(self) -> list[Unusual]:
        unusuals: list[Unusual] = []
        for node, partition, column, text, strength, at_us in quality.unusual(self._tx):
            users = incidents.users_of_column(self._tx, node, partition, column)
            unusuals.append(
                Unusual(
                    node,
                    partition,
                    text,
                    strength,
                    at_us,
                    None if users is None else frozenset(users),
                )
            )
        return unusuals

    def damaged(self) -> Mapping[tuple[str, str], Damage]:
        """Return the damaged files by (node, partition) that readers can't read."""
        return self._damaged

    @cached_property
    def _damaged(self) -> dict[tuple[str, str], Damage]:
        files = damaged_files(self._tx)
        damages: dict[tuple[str, str], Damage] = {}
        for node in dict.fromkeys(file.node for file in files):
            node_files = {file.id: file for file in files if file.node == node}
            for number, keys in sorted(partitions_in(self._tx, node, node_files.keys()).items()):
                file = node_files[number]
                for key in sorted(keys):
                    damages.setdefault(
                        (node, key),
                        Damage(file.path, file.wrong, file.since, self._open_at(node, key)),
                    )
        return damages

    def failed_in_backfill(self, node: str, partition: str) -> BackfillFailure | None:
        """Return the failure of a partition in a backfill under the applied version, if any."""
        if not self._may_fail_in_backfills:
            return None
        backfill = changes.failed_in_backfill(self._tx, node, partition)
        if backfill is None or backfill.version != self._applied:
            return None
        error = msgspec.json.decode(backfill.ended.error) if backfill.ended.error else {}
        reason = str(error.get("message") or backfill.ended.reason)
        return BackfillFailure(reason, backfill.ended.finished_at, self._open_at(node, partition))

    @cached_property
    def _may_fail_in_backfills(self) -> bool:
        return changes.has_unfinished_backfills(self._tx)

    @cached_property
    def _applied(self) -> int:
        return applied_versions.newest_id(self._tx)

    def _open_at(self, node: str, key: str) -> str:
        opened = incidents.open_at(self._tx, node, "" if key == WHOLE else key)
        return "" if opened is None else opened.label

    def unreadable(self) -> Mapping[str, UnreadableSource]:
        """Return the unreadable sources that have an open incident."""
        return self._unreadable

    @cached_property
    def _unreadable(self) -> dict[str, UnreadableSource]:
        sources = {}
        for item in ingestion.failing_sources(self._tx):
            opened = incidents.open_at(self._tx, item.source, "")
            if opened is not None and opened.kind in _OF_OBSERVATIONS:
                sources[item.source] = UnreadableSource(item.since, item.error, opened.label)
        return sources

    def seconds(self, node: str) -> float | None:
        """Return the p95 duration of an attempt at a node in seconds; None if unknown."""
        statistics = attempts.durations_of_node(self._tx, node)
        return None if statistics is None else statistics.p95

    def promised_at(self, consumer: str) -> int | None:
        """Return the start of the promise in force; None if nothing is promised."""
        start = self._promises.of(consumer)
        return None if start is None else start.begins_at

    def promised_since(self, consumer: str) -> int | None:
        """Return since when something has been promised without a gap, if anything is."""
        start = self._promises.of(consumer)
        return None if start is None else start.unbroken_since


# Facts of an environment: nodes that it borrows are read from production's store, all other nodes
# from its own. Incidents of borrowed nodes exist in production only, so they aren't named here.


class EnvironmentFacts:
    """Implements `slo.facts.StateFacts` over the stores of an environment and of production."""

    def __init__(
        self, facts: StoredFacts, production: StoredFacts, borrowed: frozenset[str]
    ) -> None:
        self._own, self._production, self._borrowed = facts, production, borrowed

    def expect(
        self, nodes: Sequence[str], sources: Sequence[str], consumers: Sequence[str]
    ) -> None:
        """Take notice of what will be asked for: it is read together."""
        for facts in (self._own, self._production):
            facts.expect(nodes, sources, consumers)

    @property
    def production(self) -> Transaction:
        """The transaction that it reads in production."""
        return self._production.transaction

    @property
    def borrowed(self) -> frozenset[str]:
        """The nodes that the environment borrows from production."""
        return self._borrowed

    def _of(self, node: str) -> StateFacts:
        return self._production if node in self._borrowed else self._own

    def first(self, node: str, partition: str) -> VisiblePublication | None:
        """Return the first publication of a partition.

        Production numbers its snapshots on its own; here they come before all others.
        """
        seen = self._of(node).first(node, partition)
        return seen._replace(snapshot=0) if seen is not None and node in self._borrowed else seen

    def first_reading(self, node: str, snapshot: int, since_us: int) -> VisiblePublication | None:
        """Return the first publication of an unpartitioned node that read a given lake snapshot.

        It was published at `since_us` or later and read `snapshot` or a later one.
        """
        return self._of(node).first_reading(node, snapshot, since_us)

    def newest(self, node: str) -> Newest | None:
        """Return the newest partition of a node that readers see; None if there is none."""
        return self._of(node).newest(node)

    def exported(self, node: str, export: str) -> int | None:
        """Return when the newest publication of a node that `export` has written was published.

        Its first publication if none was written; None if there is none.
        """
        return self._of(node).exported(node, export)

    def rows(self, node: str, partition: str) -> int | None:
        """Return the number of rows that readers see of a partition; None if it isn't published."""
        return self._of(node).rows(node, partition)

    def published_between(self, node: str, first: str, last: str) -> int:
        """Return how many partitions from `first` to `last`, both included, readers see."""
        return self._of(node).published_between(node, first, last)

    def keys(self, node: str, moment: str) -> list[str]:
        """Return the data keys of a node that are known for an interval.

        For a node that isn't partitioned by time (`moment` is empty), return all its keys.
        """
        return self._of(node).keys(node, moment)

    def partition_state(self, node: str, partition: str) -> PartitionStateFacts | None:
        """Return the state of a partition; None if nothing is known of it."""
        return self._of(node).partition_state(node, partition)

    def stale_nodes(self) -> set[str]:
        """Return the nodes with a stale published partition."""
        return (self._own.stale_nodes() - self._borrowed) | (
            self._production.stale_nodes() & self._borrowed
        )

    def stopped_nodes(self) -> set[str]:
        """Return the nodes with a partition that stays as it is until somebody acts."""
        return (self._own.stopped_nodes() - self._borrowed) | (
            self._production.stopped_nodes() & self._borrowed
        )

    def quarantined_nodes(self) -> set[str]:
        """Return the nodes that have anything in quarantine."""
        return (self._own.quarantined_nodes() - self._borrowed) | (
            self._production.quarantined_nodes() & self._borrowed
        )

    def oldest_delivery(self, source: str) -> str | None:
        """Return the oldest interval of a source that was ever delivered."""
        return self._of(source).oldest_delivery(source)

    def observations(self, source: str) -> list[int]:
        """Return the times of the last 50 observations of a source, newest first."""
        return self._of(source).observations(source)

    def recorded_obligations(self, consumer: str) -> list[RecordedObligation]:
        """Return the recorded obligations of a consumer in this environment."""
        return self._own.recorded_obligations(consumer)

    def pauses(self) -> dict[str, Pausing]:
        """Return the pauses in this environment."""
        return self._own.pauses()

    def is_led(self) -> bool:
        """Return whether this environment's leader is running."""
        return self._own.is_led()

    def withdrawn(self) -> frozenset[tuple[str, str]]:
        """Return what was withdrawn, each node from its own store."""
        withdrawn_here, theirs = self._own.withdrawn(), self._production.withdrawn()
        return frozenset(
            item for item in withdrawn_here if item[0] not in self._borrowed
        ) | frozenset(place for place in theirs if place[0] in self._borrowed)

    def exceptions(self) -> list[AcceptedPartition]:
        """Return the exceptions, each node from its own store."""
        partitions, theirs = self._own.exceptions(), self._production.exceptions()
        return [partition for partition in partitions if partition.node not in self._borrowed] + [
            accepted_partition
            for accepted_partition in theirs
            if accepted_partition.node in self._borrowed
        ]

    def unusual(self) -> list[Unusual]:
        """Return the anomalous partitions, each node from its own store."""
        unusuals, theirs = self._own.unusual(), self._production.unusual()
        return [item for item in unusuals if item.node not in self._borrowed] + [
            anomaly for anomaly in theirs if anomaly.node in self._borrowed
        ]

    def damaged(self) -> Mapping[tuple[str, str], Damage]:
        """Return the damage, each node from its own store, without production's incidents."""
        damages, theirs = self._own.damaged(), self._production.damaged()
        results = {
            place: damage for place, damage in damages.items() if place[0] not in self._borrowed
        }
        borrowed = {place: damage for place, damage in theirs.items() if place[0] in self._borrowed}
        return results | {place: damage._replace(incident="") for place, damage in borrowed.items()}

    def failed_in_backfill(self, node: str, partition: str) -> BackfillFailure | None:
        """Return the backfill or repair failure of a partition, without production's incidents."""
        failure = self._of(node).failed_in_backfill(node, partition)
        return (
            failure._replace(incident="")
            if failure is not None and node in self._borrowed
            else failure
        )

    def unreadable(self) -> Mapping[str, UnreadableSource]:
        """Return the unreadable sources, each from its own store.

        Production's incidents aren't named.
        """
        sources, theirs = self._own.unreadable(), self._production.unreadable()
        unreadable_sources = {
            name: source for name, source in sources.items() if name not in self._borrowed
        }
        borrowed = {name: source for name, source in theirs.items() if name in self._borrowed}
        return unreadable_sources | {
            name: source._replace(incident="") for name, source in borrowed.items()
        }

    def seconds(self, node: str) -> float | None:
        """Return the p95 duration of an attempt, from the store in which the node runs."""
        return self._of(node).seconds(node)

    def promised_at(self, consumer: str) -> int | None:
        """Return the start of the promise in force in this environment."""
        return self._own.promised_at(consumer)

    def promised_since(self, consumer: str) -> int | None:
        """Return since when something has been promised without a gap in this environment."""
        return self._own.promised_since(consumer)
