"""Publications in the core: propagation to downstream partitions, promotions, and withdrawals."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headrace.model.partitions import delivery_key
from headrace.model.times import Duration
from headrace.scheduler.dependencies import InputLink
from headrace.scheduler.events import (
    AttemptPublished,
    DeliveryArrived,
    GivenUp,
    PartitionOvertaken,
    Promoted,
    Refreshed,
    TakenBack,
)
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.partition_states import bounds, waits
from headrace.scheduler.state import Queue, SchedulerState
from headrace.scheduler.states import (
    AT_REST,
    STOPPED,
    PartitionState,
    PartitionTransition,
    TrackedPartition,
)

# Publications and deliveries. Each is propagated to the downstream partitions, which may run now
# or become stale.


def _waits_or_runs(tracked: TrackedPartition) -> bool:
    return tracked.state in (PartitionState.WAITING, PartitionState.RUNNING)


class Propagation:
    """Propagates changes of partitions to their readers."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._network = (
            scheduler_state.partition_states,
            scheduler_state.network,
        )
        self.together: Collection[tuple[str, str]] = ()
        """The partitions of the current promotion, which are consistent with each other."""

    def arrived(self, event: DeliveryArrived) -> None:
        """Request the ingestion of a source's delivery."""
        node, known = self._all.nodes[event.source], self._partition_states.newest.get(event.source)
        if not self._partition_states.known(node.name, event.key):
            self._queue.add(node.name, event.key, TrackedPartition())
        self._partition_states.bundle(node.name, event.key, event.bundle)
        self._queue.want(node, event.key, force=True)
        if node.watermark and known is not None:
            before: str | None = known[1]
            if known == self._partition_states.newest[node.name]:
                before = self._all.needs.before_one_ahead(node, event.key, self._all.now)
            if before is not None:
                self._completed(node, before)

    def refreshed(self, event: Refreshed) -> None:
        """Propagate a publication by someone else: its readers may run now, or are stale."""
        node = self._all.nodes[event.node]
        if not self._partition_states.known(node.name, event.key):
            self._queue.add(node.name, event.key, TrackedPartition(PartitionState.PUBLISHED))
        tracked = self._partition_states.tracked(node.name, event.key)
        changed, restated, first = (
            event.changed or not tracked.published,
            tracked.published,
            node.name not in self._partition_states.visible,
        )
        tracked.step(PartitionTransition.PUBLISHED_ELSEWHERE)
        self._partition_states.show(node.name, tracked)
        self.spread(
            node,
            event.key,
            tracked,
            changed=changed,
            restated=restated,
            too_late=self._too_late(node, event.key),
        )
        self.passed(node, (event.key,), first=first)
        if first:
            self.first_seen(node)
        self._partition_states.settle(node.name, event.key)

    def overtaken(self, event: PartitionOvertaken) -> None:
        """Request a partition again that someone else has published meanwhile."""
        if event.node in self._all.nodes and self._partition_states.known(event.node, event.key):
            self._queue.want(self._all.nodes[event.node], event.key, force=True)

    def published(self, event: AttemptPublished) -> None:
        """Record that an attempt's partitions become visible.

        Those that it doesn't name wait again.
        """
        running = self._all.running.pop(event.attempt)
        node = self._all.nodes[running.node]
        self._all.rest(node.name, *running.keys)
        if event.seconds is not None:
            self._all.durations.add(node.name, event.seconds)
            self._all.pace(node, len(event.contents), event.seconds)
        published = {key for key, _ in event.contents}
        self._give_back(node, [key for key in running.keys if key not in published])
        first = node.name not in self._partition_states.visible
        for place, (key, other) in enumerate(event.contents):
            publication = event.publications[place] if event.publications else 0
            self._published(node, key, other=other, publication=publication)
        self.passed(node, running.keys, first=first)
        if first:
            self.first_seen(node)

    def _give_back(self, node: GraphNode, keys: Sequence[str]) -> None:
        """Put back the partitions of a batch from the first one that it can't publish.

        That one is ingested alone; at most half as many of the others are tried together.
        """
        for place, key in enumerate(keys):
            tracked = self._partition_states.tracked(node.name, key)
            tracked.step(PartitionTransition.PUT_BACK)
            tracked.cap, tracked.dirty = max(1, len(keys) // 2) if place else 1, False
            self._queue.consider(node, key)

    def first_seen(self, node: GraphNode) -> None:
        """Reconsider the readers that waited for a node's first publication."""
        self._queue.next_delivery(node)
        for child, _ in self._network.children[node.name]:
            self.reference_moved(child, stales=False)

    def passed(self, node: GraphNode, keys: Sequence[str], *, first: bool = False) -> None:
        """Reconsider the nodes that only run after this one.

        Partitions with the same name waited for these keys; other partitions wait until nothing of
        this node runs.
        """
        for name in self._network.followers[node.name]:
            rested = first or node.name not in self._partition_states.busy
            for key in [k for k, _ in self._partition_states.open(name, waits)] if rested else keys:
                self._queue.consider(self._all.nodes[name], key)

    def reference_moved(self, child: GraphNode, *, stales: bool) -> None:
        """Propagate a new publication of a reference to all partitions of a node."""
        if stales:
            for key in self._partition_states.published(child.name):
                if (child.name, key) not in self.together:
                    self._queue.want(child, key, force=True, stale=True)
        for key, tracked in self._partition_states.open(child.name, _waits_or_runs):
            if tracked.state is PartitionState.WAITING:
                self._queue.consider(child, key)
            elif stales and tracked.state is PartitionState.RUNNING:
                self._queue.want(child, key)  # its inputs are those from its start

    def _tried_again(self, child: GraphNode) -> None:
        """Retry stopped partitions after their reference changed, which may have been the cause."""
        for key, tracked in self._partition_states.open(
            child.name, lambda tracked: tracked.state in STOPPED
        ):
            if (child.name, key) not in self.together:
                self._queue.want(child, key, force=True, stale=tracked.published)

    def _published(self, node: GraphNode, key: str, *, other: bool, publication: int) -> None:
        tracked = self._partition_states.tracked(node.name, key)
        restated, changed = tracked.published, other or not tracked.published
        tracked.step(PartitionTransition.PUBLISHED)
        self.mark_current(node, key, tracked, publication=publication if changed else 0)
        if tracked.dirty:
            self._queue.want(node, key, force=True, stale=True)
        self.spread(
            node,
            key,
            tracked,
            changed=changed,
            restated=restated,
            too_late=self._too_late(node, key),
        )
        self._partition_states.settle(node.name, key)

    def mark_current(
        self, node: GraphNode, key: str, tracked: TrackedPartition, *, publication: int
    ) -> None:
        """Record that a partition is up to date.

        `publication` is the first one with this content, if the content is new.
        """
        tracked.stale = tracked.proposed = False
        tracked.failures, tracked.not_before, tracked.reason, tracked.cap = 0, None, "", 0
        self._partition_states.bundle(node.name, key, "")
        self._partition_states.show(node.name, tracked)
        if publication:
            self._partition_states.publications[node.name] = publication

    def _completed(self, node: GraphNode, before: str) -> None:
        """Run what reads the interval before a delivered one: that is complete now."""
        for key in self._partition_states.beside(node, before):
            for child, link in self._network.children[node.name]:
                for touch in link.touches(key):
                    self._queue.consider(child, touch)
            for follower in self._network.followers[node.name]:
                self._queue.consider(self._all.nodes[follower], key)

    def spread(  # complexipy: ignore (rules by kind of link, each in a line or two)
        self,
        node: GraphNode,
        key: str,
        tracked: TrackedPartition,
        *,
        changed: bool,
        restated: bool,
        too_late: bool,
    ) -> None:
        """Propagate a partition to its readers: they may run now, or are stale.

        A first delivery is too late only for readers that were computed without it.
        """
        late = tracked.late or (restated and too_late)
        if tracked.late:
            tracked.late = False
        for child, link in self._network.children[node.name]:
            if link.delivers:
                if changed:
                    self._delivered(
                        child, delivery_key(self._partition_states.publications.get(node.name, 0))
                    )
                continue
            for touch in link.touches(key):
                self._touch(
                    child, touch, link, changed=changed, late=late or (link.optional and too_late)
                )
            if not link.reads_newest:
                continue
            if changed:
                self._tried_again(child)
            stales = changed and link.stales
            if stales or node.name not in self._partition_states.busy:
                self.reference_moved(child, stales=stales)
        if node.chained and (following := self._all.needs.after(node, key)) is not None:
            # its readers derive from data that is gone, so they are recomputed without a request
            self._touch(node, following, None, changed=changed, late=False)

    def _touch(
        self, child: GraphNode, key: str, link: InputLink | None, *, changed: bool, late: bool
    ) -> None:
        if (child.name, key) in self.together:
            return
        tracked = self._partition_states.get(child.name, key)
        if tracked is None:
            if self._all.needs.expected(child, key):
                self._queue.expect(child, key)
                self._queue.consider(child, key)
            return
        if not changed or not (link is None or link.stales):
            self._queue.consider(child, key)
            return
        if (
            tracked.published
            and (late or child.tells)
            and tracked.state not in (PartitionState.WAITING, PartitionState.RUNNING)
        ):
            self._propose(child, key)
            return
        if (
            link is not None
            or tracked.published
            or tracked.state in (*STOPPED, PartitionState.RUNNING)
        ):
            self._partition_states.tracked(child.name, key).late = False
            self._queue.want(child, key, force=True, stale=tracked.published)
            return
        self._queue.consider(child, key)

    def _propose(self, node: GraphNode, key: str) -> None:
        """Mark a partition as stale, to be recomputed only on request."""
        tracked = self._partition_states.tracked(node.name, key)
        tracked.late = True
        if self._all.demands.named(node.name, key):
            self._queue.want(node, key, force=True, stale=True)
        elif not tracked.proposed:
            tracked.stale, tracked.proposed = True, True
            self._all.mark(node.name, key, tracked)

    def _too_late(self, node: GraphNode, key: str) -> bool:
        """Return whether a delivery is too late to recompute its readers without a request."""
        if node.restate_within is None or node.partition.grain is None:
            return False
        return self._all.now > Duration.parse(node.restate_within).after_us(
            bounds(node, key)[1], node.timezone
        )

    def _delivered(self, node: GraphNode, key: str) -> None:
        """Request a new partition for the new content of an unpartitioned input.

        Each content is a partition of its own here, which reads the input as of that publication,
        so waiting older ones aren't lost. The partition is stored, because after a restart only the
        newest could be derived from the input.
        """
        self._queue.expect(node, key)
        self._all.mark(node.name, key, self._partition_states.tracked(node.name, key))
        self._queue.consider(node, key)


# Publications of a backfill that ran concurrently with production. All become visible at once:
# none of them is stale because of another one.


class Promotions:
    """Records promotions."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue, waves: Propagation) -> None:
        self._all, self._queue, self._waves = scheduler_state, queue, waves
        self._partition_states = scheduler_state.partition_states

    def promote(self, event: Promoted) -> tuple[str, ...]:
        """Publish all contents, then propagate them to readers outside the promotion.

        Return their nodes.
        """
        nodes: dict[str, list[str]] = {}
        for name, key, _ in event.contents:
            nodes.setdefault(name, []).append(key)
        first = [name for name in nodes if name not in self._partition_states.visible]
        restated = [self._publish(event, place) for place in range(len(event.contents))]
        self._waves.together = frozenset((name, key) for name, key, _ in event.contents)
        limits = {name: self._restate_within(self._all.nodes[name]) for name in nodes}
        for (name, key, changed), before in zip(event.contents, restated, strict=True):
            node = self._all.nodes[name]
            self._spread(node, key, limits[name], changed=changed or not before, restated=before)
        for name, keys in nodes.items():
            self._waves.passed(self._all.nodes[name], keys, first=name in first)
        for name in first:
            self._waves.first_seen(self._all.nodes[name])
        self._waves.together = frozenset()
        for name, key, _ in event.contents:
            if not self._partition_states.is_resting(name, key):
                self._partition_states.settle(name, key)
        return tuple(nodes)

    def _publish(self, event: Promoted, place: int) -> bool:
        """Publish a partition; return whether readers saw an earlier publication.

        A running attempt goes on and is repeated, since it may have read the replaced data.
        """
        name, key, changed = event.contents[place]
        node = self._all.nodes[name]
        publication = event.publications[place] if event.publications else 0
        if self._partition_states.is_resting(name, key):  # it stays as it is: nothing per partition
            if publication and changed:
                self._partition_states.publications[name] = publication
            return True
        if not self._partition_states.known(name, key):
            self._queue.add(name, key, TrackedPartition(PartitionState.PUBLISHED))
        tracked = self._partition_states.tracked(name, key)
        before = tracked.published
        if tracked.queued:
            self._all.put_back(name, key)
        if tracked.state is PartitionState.RUNNING:
            tracked.dirty = True
        else:
            tracked.step(PartitionTransition.PUBLISHED_ELSEWHERE)
        self._waves.mark_current(
            node, key, tracked, publication=publication if changed or not before else 0
        )
        return before

    def _spread(
        self,
        node: GraphNode,
        key: str,
        within: Sequence[Duration],
        *,
        changed: bool,
        restated: bool,
    ) -> None:
        resting = self._partition_states.is_resting(node.name, key)
        tracked = AT_REST if resting else self._partition_states.tracked(node.name, key)
        too_late = bool(within) and self._too_late(node, key, within)
        self._waves.spread(
            node, key, tracked, changed=changed, restated=restated, too_late=too_late
        )

    def _restate_within(self, node: GraphNode) -> list[Duration]:
        """Return how long after its end the sources above a node may restate an interval.

        Empty if nothing reads the node.
        """
        if node.partition.grain is None or not self._all.network.children[node.name]:
            return []
        above = (self._all.nodes[name] for name in self._all.network.ancestors(node))
        within = {source.restate_within for source in above if source.restate_within is not None}
        return [Duration.parse(item) for item in within]

    def _too_late(self, node: GraphNode, key: str, within: Sequence[Duration]) -> bool:
        """Return whether readers of a partition are recomputed only on request.

        They are if it is older than what its sources may restate.
        """
        end = bounds(node, key)[1]
        return any(self._all.now > item.after_us(end, node.timezone) for item in within)


# Withdrawn publications, and partitions that a plan gave up. Data derived from them is stale and
# waits for another publication.


class Withdrawals:
    """Records withdrawals by people, and partitions given up by plans."""

    def __init__(self, scheduler_state: SchedulerState, queue: Queue) -> None:
        self._all, self._queue = scheduler_state, queue
        self._partition_states, self._network = (
            scheduler_state.partition_states,
            scheduler_state.network,
        )

    def take_back(self, event: TakenBack) -> None:
        """Withdraw a partition.

        It isn't recomputed until a person names it or one of its inputs changes. A running attempt
        goes on, because it began for such a reason.
        """
        if event.node not in self._all.nodes or not self._partition_states.known(
            event.node, event.key
        ):
            return
        node, tracked = (
            self._all.nodes[event.node],
            self._partition_states.tracked(event.node, event.key),
        )
        self._partition_states.hide(node.name, tracked)
        queued = tracked.queued
        if tracked.state not in (
            PartitionState.RUNNING,
            PartitionState.WAIVED,
        ):  # a partition waived since counts as empty already
            self._all.put_aside(node.name, event.key, PartitionTransition.WITHDRAWN, event.reason)
        if queued:
            self._queue.at_rest(node.name)
        self._partition_states.settle(node.name, event.key)
        self._spread_loss(node, event.key)

    def give_up(self, event: GivenUp) -> None:
        """Drop the results of partitions.

        The core may not know of a result from before its own start; readers that only use such a
        partition as a reference are left unchanged.
        """
        dropped = [
            (self._all.nodes[name], key)
            for name, key in event.partitions
            if name in self._all.nodes and self._open(name, key)
        ]
        were_published = [
            self._partition_states.tracked(node.name, key).published for node, key in dropped
        ]
        for node, key in dropped:
            self._partition_states.hide(node.name, self._partition_states.tracked(node.name, key))
        for (node, key), before in zip(dropped, were_published, strict=True):
            self._spread_loss(node, key, referred=before)

    def _open(self, name: str, key: str) -> bool:
        """Return whether a partition is known and not published."""
        tracked = self._partition_states.get(name, key)
        return tracked is not None and tracked.state is not PartitionState.PUBLISHED

    def _spread_loss(self, node: GraphNode, key: str, *, referred: bool = False) -> None:
        """Propagate the loss of a partition.

        `referred` includes readers that use it as a reference.
        """
        for child, link in self._network.children[node.name]:
            if link.delivers:
                continue  # each of its partitions read the publication of its own time
            downstream = list(link.touches(key))
            if link.reads_newest and (link.stales or referred):
                downstream += self._partition_states.published(child.name)
                downstream += self._running(child.name)
            for downstream_key in downstream:
                self._stale(child, downstream_key)
        if node.chained and (following := self._all.needs.after(node, key)) is not None:
            self._stale(node, following)

    def _running(self, name: str) -> list[str]:
        opened = self._partition_states.open(
            name,
            lambda tracked: tracked.state is PartitionState.RUNNING and not tracked.published,
        )
        return [key for key, _ in opened]

    def _stale(self, node: GraphNode, key: str) -> None:
        tracked = self._partition_states.get(node.name, key)
        if tracked is not None and (
            tracked.published or tracked.state is PartitionState.RUNNING
        ):  # an attempt at a new partition has read it
            self._queue.want(node, key, force=True, stale=True)
            self._partition_states.settle(node.name, key)
