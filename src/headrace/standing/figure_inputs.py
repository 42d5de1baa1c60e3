"""Inputs of figures: one window, one transaction and one evaluation that all figures share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from statistics import median_low
from typing import TYPE_CHECKING

from headrace.incidents.evidence.arrivals import KIND as LATE
from headrace.model.intervals import DAY_US, bounds_us, key_at_us, next_key, start_us
from headrace.model.partitions import SEPARATOR
from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.project.snapshots import ProjectSnapshot
from headrace.responses.figures import SourceScoreRow, UseRow
from headrace.runtime import usage as seen
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.history_retention import cut
from headrace.slo.availability import AvailabilityScore, AvailabilityWindow
from headrace.slo.blockage import promised_by
from headrace.slo.declared_promises import DeclaredPromises, Node
from headrace.slo.goodput import (
    DELIVERIES_LEAST,
    GoodputAttempt,
    GoodputPublication,
    SourceDeliveries,
    score_source,
)
from headrace.slo.timeline import ServiceHistory
from headrace.slo.times import ago, days
from headrace.store import Transaction
from headrace.store.queries import audit_trail, evidence, ingestion, reports
from headrace.store.queries import usage as stored_usage
from headrace.store.queries.reports import Attempted, Worked
from headrace.store.queries.usage import ReadUsage

if TYPE_CHECKING:
    from headrace.model import Project


_RAN_WELL = frozenset({"published", "held", "staged"})
_RAN_BADLY = frozenset({"failed", "lost", "rejected"})


class Figuring:
    """A window over the applied project; `began` and `until` are in microseconds since 1970 UTC."""

    def __init__(
        self,
        session: ProjectSession,
        snapshot: ProjectSnapshot,
        compiled: Compiled,
        window: AvailabilityWindow,
        names: Collection[str] | None,
    ) -> None:
        self.session, self.tx, self.facts = session, snapshot.tx, snapshot.facts
        self.compiled, self.declared = compiled, snapshot.context.declared
        self.began, self.until = window.from_us, window.now_us
        self.window = window
        self._names = names
        self.evaluation = snapshot.evaluation(session, (window.from_us, window.now_us))

    @property
    def project(self) -> Project:
        """The applied project."""
        return self.compiled.project

    def chosen(self, name: str) -> bool:
        """Whether a node or consumer is selected."""
        return self._names is None or name in self._names

    def owner_of(self, name: str) -> str:
        """Return the owner of a node or consumer; empty for a removed one."""
        node = self.project.node(name)
        return "" if node is None else node.owner

    def instant(self, at_us: int) -> datetime:
        """Return a time of the store, in the project's time zone."""
        return self.session.instant(at_us)

    @cached_property
    def consumers(self) -> Collection[str] | None:
        """The selected consumers; None for all, including removed ones."""
        return (
            None
            if self._names is None
            else {name for name in self.project.consumers if name in self._names}
        )

    @cached_property
    def pasts(self) -> Sequence[ServiceHistory]:
        """The service history of each selected consumer."""
        return self.evaluation.pasts(self.consumers)

    @cached_property
    def scores(self) -> Sequence[AvailabilityScore]:
        """The availability figures of each selected consumer."""
        return self.evaluation.scores(self.consumers)

    def scores_of(self, node: str) -> Sequence[AvailabilityScore]:
        """Return how available a node was for each declared consumer that needs it."""
        return self.evaluation.scores_of(node, self.project.consumers)

    @cached_property
    def attempts(self) -> Sequence[Attempted]:
        """The attempts that ended in the window."""
        return reports.attempts(self.tx, self.began, self.until)

    @cached_property
    def staged(self) -> Sequence[GoodputAttempt]:
        """The attempts of selected nodes that ended in the window, with what became of rows."""
        return _staged(self)

    @cached_property
    def removed_rows(self) -> dict[str, int]:
        """The published rows that were erased or removed since the window began, by attempt."""
        return audit_trail.removed_rows(self.tx, self.began)

    @cached_property
    def attempts_by_node(self) -> dict[str, tuple[int, int]]:
        """Node → number of attempts that ran, and of those that succeeded."""
        results: dict[str, tuple[int, int]] = {}
        for attempt in self.attempts:
            ran, well = results.get(attempt.node, (0, 0))
            if attempt.state in _RAN_WELL | _RAN_BADLY:
                results[attempt.node] = (ran + 1, well + (attempt.state in _RAN_WELL))
        return results

    @cached_property
    def reads(self) -> list[ReadUsage]:
        """The observed reads in the window, by day; the window's first day counts in full."""
        day = self.instant(self.began).astimezone(UTC).date().isoformat()
        return [
            *stored_usage.reads_since(self.tx, day),
            *(
                read_usage
                for read_usage in seen.waiting(self.session.folders)
                if read_usage.day >= day
            ),
        ]


def _staged(figuring: Figuring) -> list[GoodputAttempt]:
    """Return the attempts that ended in the window, with the outcome of their rows."""
    unsound = figuring.evaluation.unsound()
    publications_by_attempt: dict[tuple[int, int], list[GoodputPublication]] = {}
    nodes = {(attempt.epoch, attempt.n): attempt.node for attempt in figuring.attempts}
    for publication in reports.publications(figuring.tx, figuring.began, figuring.until):
        place = publication.epoch, publication.n
        ended = publication.ended_at if (publication.ended_at or 0) <= figuring.until else None
        wrong = (nodes.get(place, ""), publication.partition, publication.published_at) in unsound
        publications_by_attempt.setdefault(place, []).append(
            GoodputPublication(
                publication.partition,
                publication.rows,
                publication.identical,
                ended,
                wrong,
                publication.bytes,
                publication.published_at,
            )
        )
    removed = figuring.removed_rows
    return [
        GoodputAttempt(
            node=attempt.node,
            attempt=f"{attempt.epoch}.{attempt.n}",
            state=attempt.state,
            at_us=attempt.at,
            rows=max(0, attempt.rows - removed.get(f"{attempt.epoch}.{attempt.n}", 0)),
            publications=tuple(publications_by_attempt.get((attempt.epoch, attempt.n), ())),
            delivery=(
                attempt.delivery_id
                if figuring.declared.nodes.get(attempt.node)
                and figuring.declared.nodes[attempt.node].is_source
                else None
            ),
            work_us={
                "run": attempt.run_us,
                "audit": attempt.audit_us,
                "publish": attempt.publish_us,
            },
            decided=attempt.decided,
            before=attempt.before,
            bytes_in=attempt.bytes_in,
            bytes_out=attempt.bytes_out,
        )
        for attempt in figuring.attempts
        if figuring.chosen(attempt.node)
    ]


# Time spent in attempts at each node over a window that ends now. The sum is cached and updated by
# the attempts that entered or left the window, because adding up a million attempts takes seconds.

USUAL_US = 30 * DAY_US
BEHIND_US = 60_000_000
"""A request that ends earlier than the cached window, by less than this, gets the cached sums."""


class Cost:
    """The sums of one window, for use by several threads.

    Rows deleted from the store must be older than the window.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window: tuple[int, int] | None = None
        self._sums: Counter[str] = Counter()
        self._place = (0, 0)
        self._open: set[tuple[int, int]] = set()
        """Attempts up to `_place` that hadn't ended, or that ended after the window."""

    def of(self, tx: Transaction, from_us: int, until_us: int) -> Mapping[str, int]:
        """Return node → microseconds of attempts that ended in the window, its start excluded."""
        with self._lock:
            newest = reports.newest_attempt(tx)
            window = self._window
            if (
                window is not None
                and (newest < self._place or until_us < window[1])
                and window[1] - until_us < BEHIND_US
            ):
                return dict(self._sums)
            if (
                window is None
                or newest < self._place
                or from_us < window[0]
                or until_us < window[1]
            ):
                self._begin(tx, from_us, until_us)
            else:
                for item in reports.attempts_ended(tx, window[0], from_us):
                    if (item.epoch, item.n) not in self._open and (
                        item.epoch,
                        item.n,
                    ) <= self._place:
                        self._sums[item.node] -= item.took_us
                self._add(reports.attempts_of(tx, sorted(self._open)), from_us, until_us)
                self._add(reports.attempts_after(tx, self._place), from_us, until_us)
            self._place, self._window = newest, (from_us, until_us)
            return dict(self._sums)

    def _begin(self, tx: Transaction, from_us: int, until_us: int) -> None:
        self._sums = Counter(
            {node: round(took * 1e6) for node, took in reports.seconds(tx, from_us, until_us)}
        )
        later = reports.attempts_ended(tx, until_us, 1 << 62)
        self._open = {(item.epoch, item.n) for item in (*reports.attempts_under_way(tx), *later)}

    def _add(self, attempts: list[Worked], from_us: int, until_us: int) -> None:
        for attempt in attempts:
            if attempt.finished_at is None or attempt.finished_at > until_us:
                self._open.add((attempt.epoch, attempt.n))
                continue
            self._open.discard((attempt.epoch, attempt.n))
            if attempt.finished_at > from_us:
                self._sums[attempt.node] += attempt.took_us


def took(
    session: ProjectSession, compiled: Compiled, tx: Transaction, window: tuple[int, int]
) -> Mapping[str, int]:
    """Return node → microseconds of its attempts in a window.

    The common 30-day window is cached.
    """
    from_us, until_us = window
    usual = abs(until_us - from_us - USUAL_US) < DAY_US
    if (
        usual and cut(RetentionPolicy.declared(compiled.project), until_us)["attempt"] <= from_us
    ):  # retention must cover the window
        cost: Cost = session.memory.setdefault("cost", ("", Cost()))[1]
        return cost.of(tx, from_us, until_us)
    return {node: round(seconds * 1e6) for node, seconds in reports.seconds(tx, from_us, until_us)}


# Figures about sources and readers.

WAITING_SHOWN_MAX = 3
UNSEEN = "no read seen through Headrace; direct file reads aren't visible"
AS_FAR_AS_SEEN = "Only reads through Headrace are seen, not reads of its files"


def sources(figuring: Figuring) -> tuple[list[str], list[SourceScoreRow]]:
    """Return the reliability and value of sources."""
    rows = [
        scored(deliveries_of(figuring, node, (figuring.began, figuring.until)))
        for node in figuring.declared.nodes.values()
        if node.is_source and figuring.chosen(node.name)
    ]
    return [
        (
            "lower bounds (95 %) of what was delivered; nothing is said with fewer than"
            f" {DELIVERIES_LEAST} deliveries"
        )
    ], rows


def scored(deliveries: SourceDeliveries) -> SourceScoreRow:
    """Return the scores of what a source delivered, truncated to three digits."""
    source_score = score_source(deliveries)
    return SourceScoreRow(
        source=deliveries.source,
        owner=deliveries.owner,
        deliveries=deliveries.deliveries,
        consumers=deliveries.consumers,
        reads=deliveries.reads,
        stability=_truncated(source_score.stability),
        quality=_truncated(source_score.quality),
        on_time=deliveries.on_time,
        expected=deliveries.expected,
        missing=deliveries.missing,
        changed=deliveries.changed,
        rows_accepted=deliveries.rows_accepted,
        rows_refused=deliveries.rows_refused,
        rows_missing=deliveries.rows_missing,
    )


def _truncated(value: float | None) -> str | None:
    return None if value is None else f"{int(value * 1000) / 1000:.3f}"


def deliveries_of(figuring: Figuring, node: Node, window: tuple[int, int]) -> SourceDeliveries:
    """Return what a source delivered within a part of the figures' window.

    What became of its rows is as known at the end of the figures' window.
    """
    arrived = reports.deliveries(figuring.tx, node.name, *window)
    counted = [delivery for delivery in arrived if not delivery.repeated]
    accepted, refused = reports.rows_of_deliveries(
        figuring.tx, node.name, *window, figuring.removed_rows
    )
    replacements = _replacements(figuring, node, window)
    restated, replaced = {new for new, _ in replacements}, {old for _, old in replacements}
    sound = {id_: rows for id_, rows in accepted.items() if id_ not in replaced}
    refused = {**refused, **accepted}
    changed = {item.id for item in counted if item.drifted or item.id in restated}
    first = {
        delivery.partition.partition(SEPARATOR)[0]: delivery
        for delivery in sorted(arrived, key=lambda item: item.arrived_at, reverse=True)
    }
    due = list(_expected(figuring, node, window))
    missing = [key for key, _ in due if key not in first]
    below = {node.name, *figuring.evaluation.assets_of(node.name)}
    return SourceDeliveries(
        source=node.name,
        owner=figuring.owner_of(node.name),
        deliveries=len(counted),
        expected=len(due),
        on_time=_on_time(figuring, node, due, first),
        missing=len(missing),
        changed=len(changed),
        refused=sum(item.id in refused.keys() - sound.keys() - changed for item in counted),
        rows_accepted=sum(sound.get(delivery.id, 0) for delivery in counted),
        rows_refused=sum(
            refused.get(delivery.id, 0) for delivery in counted if delivery.id not in sound
        ),
        rows_missing=len(missing) * (median_low(accepted.values()) if accepted else 0),
        consumers=len(figuring.evaluation.consumers_of(node.name)),
        reads=sum(read_usage.reads for read_usage in figuring.reads if read_usage.node in below),
    )


def _on_time(
    figuring: Figuring,
    node: Node,
    due: list[tuple[str, int | None]],
    first: Mapping[str, reports.WindowDelivery],
) -> int:
    """Return how many intervals came by their deadline, or before they were found late."""
    seen = {id_ for id_, _ in evidence.all_at(figuring.tx, node.name)}
    return sum(
        key in first
        and (
            f"{LATE}:{node.name}@{key}" not in seen
            if by is None or first[key].undated
            else first[key].arrived_at <= by
        )
        for key, by in due
    )


def _replacements(figuring: Figuring, node: Node, window: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (delivery, replaced delivery) of deliveries after their interval had ended.

    A delivery of an interval that is still growing, or of a whole list, is replaced as expected.
    """
    grain = node.partition.grain
    return [
        (new, old)
        for new, old, partition, published_us in reports.replacements(
            figuring.tx, node.name, *window
        )
        if grain is not None
        and published_us >= bounds_us(partition.partition(SEPARATOR)[0], grain, node.timezone)[1]
    ]


def _expected(
    figuring: Figuring, node: Node, window: tuple[int, int]
) -> Iterator[tuple[str, int | None]]:
    """Yield the intervals whose deliveries fell due in the window, each with its deadline.

    Without a declared deadline (None), a delivery is due when such deliveries usually arrive.
    """
    grain, oldest = (
        node.partition.grain,
        ingestion.oldest_deliveries(figuring.tx, [node.name])[node.name],
    )
    if grain is None or oldest is None:
        return
    first_us = start_us(oldest.partition(SEPARATOR)[0], grain, node.timezone)
    key = key_at_us(max(first_us, window[0]), grain, node.timezone)
    while bounds_us(key, grain, node.timezone)[1] <= window[1]:
        by = promised_by(node, key)
        if not node.no_data.covers(key) and (by is None or by <= window[1]):
            yield key, by
        key = next_key(key, grain, node.timezone)


def use(figuring: Figuring) -> tuple[list[str], list[UseRow]]:
    """Return the readers of each node, and the computed nodes without an observed read."""
    worked = took(
        figuring.session, figuring.compiled, figuring.tx, (figuring.began, figuring.until)
    )
    seconds, waiting = {name: us / 1e6 for name, us in worked.items()}, _waiting(figuring.declared)
    seen: dict[str, list[ReadUsage]] = {}
    for read_usage in figuring.reads:
        seen.setdefault(read_usage.node, []).append(read_usage)
    chosen = [name for name in figuring.declared.nodes if figuring.chosen(name)]
    rows = [
        row
        for name in chosen
        for row in _readers(
            figuring, name, seen.get(name, []), seconds.get(name, 0.0), waiting.get(name, [])
        )
    ]
    rows += [
        _row(
            figuring,
            node,
            export.consumer,
            "export",
            export.exports,
            export.last_at,
            seconds.get(node, 0.0),
        )
        for export in stored_usage.exports(
            figuring.tx, figuring.declared.exports, figuring.began, figuring.until
        )
        for node in figuring.project.consumers[export.consumer].reads
        if figuring.chosen(node)
    ]
    return [AS_FAR_AS_SEEN, *_unread(rows)], rows


def _unread(rows: Sequence[UseRow]) -> Iterator[str]:
    """Yield how many nodes have no observed read, and their cost."""
    spent = {row.node: row.seconds for row in rows}
    unread = spent.keys() - {row.node for row in rows if row.reader is not None}
    if unread:
        seconds = sum(spent[name] for name in unread)
        verb = "was" if len(unread) == 1 else "were"
        yield (
            f"{len(unread):,} of {days(len(spent), 'node')} {verb} not seen to be read:"
            f" {ago(round(seconds * 1e6))} of {ago(round(sum(spent.values()) * 1e6))} of work"
        )
    elif spent:
        yield "each of them was read"


def _waiting(declared: DeclaredPromises) -> dict[str, list[str]]:
    """Return node → the first consumers that read it, directly or downstream."""
    results: dict[str, list[str]] = {}
    for terms in declared.consumers:
        for node in declared.upstream(terms.reads):
            named = results.setdefault(node.name, [])
            if len(named) < WAITING_SHOWN_MAX:
                named.append(terms.consumer)
    return results


def _readers(
    figuring: Figuring, name: str, seen: list[ReadUsage], seconds: float, consumers: list[str]
) -> list[UseRow]:
    results: dict[tuple[str, str], tuple[int, int]] = {}
    for read_usage in seen:
        reads, last = results.get((read_usage.reader, read_usage.via), (0, 0))
        results[read_usage.reader, read_usage.via] = (
            reads + read_usage.reads,
            max(last, read_usage.last_at),
        )
    if results:
        return [
            _row(figuring, name, who, via, reads, last, seconds)
            for (who, via), (reads, last) in sorted(results.items())
        ]
    waiting = ", ".join(consumers)
    text = f"{UNSEEN}; needed by {waiting}" if waiting else f"{UNSEEN}; no consumer needs it"
    return [
        UseRow(node=name, reader=None, via=None, reads=0, last_at=None, seconds=seconds, said=text)
    ]


def _row(
    figuring: Figuring, node: str, reader: str, via: str, reads: int, last_us: int, seconds: float
) -> UseRow:
    return UseRow(
        node=node,
        reader=reader,
        via=via,
        reads=reads,
        last_at=figuring.instant(last_us),
        seconds=seconds,
        said="",
    )
