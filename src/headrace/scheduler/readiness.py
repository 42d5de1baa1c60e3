"""Readiness: expected partitions, and what each still needs to run (SEMANTICS §1-§3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from headrace.model.intervals import (
    bounds_us,
    key_at_us,
    keys_between,
    next_key,
    previous_key,
    start_us,
)
from headrace.model.partitions import SEPARATOR, WHOLE, first_start_us, join, split
from headrace.model.times import MAX_AHEAD, Duration, Offset
from headrace.scheduler.dependencies import InputLink, Network
from headrace.scheduler.events import AwaitedPartition, Target
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.partition_states import PartitionStates, bounds, time_key
from headrace.scheduler.ranges import IntegerSet, number_of
from headrace.scheduler.states import STOPPED, PartitionState

# Missing upstream partitions of a partition, and the partitions that inputs make expected.

NUMBER_MIN = -(1 << 62)
"""Less than the number of any interval."""
AHEAD_US = Duration.parse(MAX_AHEAD).after_us(0, "UTC")
"""A delivery completes earlier intervals if its own starts at most this long after now."""
_UNTYPED = "its first publication says which columns it has"
_NOT_PASSED = "complete once a later interval was delivered"
STEPS_MAX = 400
"""Maximum number of consecutive intervals that may not be due between a partition and the previous
one."""


class Needs:
    """Answers questions about missing inputs and expected partitions.

    `targeted(node, key)` returns whether a partition was requested.
    """

    def __init__(
        self,
        partition_states: PartitionStates,
        network: Network,
        targeted: Callable[[str, str], bool],
    ) -> None:
        self._partition_states, self._network, self._targeted = partition_states, network, targeted
        self._starts: dict[str, float] = {}

    def forget_starts(self) -> None:
        """Reset the starts of assets after a delivery older than all known ones."""
        self._starts.clear()

    # What is missing

    def missing(self, node: GraphNode, key: str, now: int) -> Iterator[AwaitedPartition]:
        """Yield what a partition still needs; inputs that run in this pass must end first."""
        if node.name in self._network.coarse and (end := bounds(node, key)[1]) > now:
            yield AwaitedPartition(
                node.name, key, PartitionState.WAITING, "its interval hasn't ended", end
            )
        for link in self._network.links[node.name]:
            yield from self._of_input(node, link, key, now)
        if (
            node.chained
            and (before := self.before(node, key)) is not None
            and (waiting := self._blocked(node, before, now)) is not None
        ):
            yield waiting
        for name in node.depends:
            other = self._network.nodes[name]
            alike = (other.partition.grain, other.partition.key) == (
                node.partition.grain,
                node.partition.key,
            )
            if (waiting := self._blocked_by_order(other, key, now, alike=alike)) is not None:
                yield waiting
        for name in self._network.checked_against(node):
            if (waiting := self._unchecked(node, self._network.nodes[name], key, now)) is not None:
                yield waiting
        if node.name in self._network.gathers:
            ancestors = self._network.gathers[node.name]
            yield from (
                AwaitedPartition(name, WHOLE, PartitionState.RUNNING, "")
                for name in self._partition_states.busy
                if name in ancestors
            )

    def done_without(self, node: GraphNode, key: str, now: int) -> Iterator[tuple[str, str]]:
        """Yield the optional inputs that a partition runs without: (node, partition)."""
        for link in self._network.links[node.name]:
            if link.optional:
                for waiting in self._of_link(node, link, key, now):
                    tracked = self._partition_states.get(waiting.node, waiting.key)
                    if tracked is None or not tracked.published:
                        yield waiting.node, waiting.key

    def _of_input(
        self, node: GraphNode, link: InputLink, key: str, now: int
    ) -> Iterator[AwaitedPartition]:
        """Yield what a partition needs of an input, at least its columns."""
        name, partitions = link.input.name, self._of_link(node, link, key, now)
        awaited = None
        for awaited in self._not_given_up(link, partitions, now) if link.optional else partitions:
            yield awaited
        if awaited is None and link.input.untyped and name not in self._partition_states.visible:
            first = self._first_key(link.input) or next(iter(link.needs(key)), WHOLE)
            yield self._blocked(link.input, first, now) or AwaitedPartition(
                name, first, PartitionState.WAITING, _UNTYPED
            )

    def _of_link(
        self, node: GraphNode, link: InputLink, key: str, now: int
    ) -> Iterator[AwaitedPartition]:
        name = link.input.name
        if link.newest:
            if name not in self._partition_states.visible:
                yield AwaitedPartition(name, WHOLE, PartitionState.MISSING, "")
            elif node.name not in self._network.gathers and self._partition_states.busy.get(name):
                yield AwaitedPartition(name, WHOLE, PartitionState.RUNNING, "")
            elif (
                node.settled
                and link.input.partition.whole
                and (waiting := self._blocked(link.input, WHOLE, now)) is not None
            ):
                yield waiting
        elif name not in self._partition_states.visible and self._partition_states.busy.get(name):
            yield AwaitedPartition(name, WHOLE, PartitionState.RUNNING, _UNTYPED)
        for needed in link.needs(key):
            if (waiting := self._blocked(link.input, needed, now)) is not None:
                yield waiting

    def _not_given_up(
        self, link: InputLink, partitions: Iterator[AwaitedPartition], now: int
    ) -> Iterator[AwaitedPartition]:
        """Yield an optional input's partitions that are being computed or promised for later."""
        for waiting in partitions:
            tracked = self._partition_states.get(waiting.node, waiting.key)
            if waiting.state is PartitionState.RUNNING or (tracked is not None and tracked.queued):
                yield waiting
            elif (
                waiting.key != WHOLE
                and (until := link.given_up(waiting.key)) is not None
                and now < until
            ):
                yield waiting._replace(until=min(until, waiting.until or until))

    def _blocked(self, node: GraphNode, key: str, now: int) -> AwaitedPartition | None:
        tracked = self._partition_states.get(node.name, key)
        if tracked is None:
            if self._counts_as_empty(node, key):
                return None
            return AwaitedPartition(node.name, key, PartitionState.MISSING, "")
        if tracked.state is PartitionState.WAIVED:
            return None  # no run wants it any more: it counts as present and empty
        if tracked.state is PartitionState.PUBLISHED or (
            tracked.published
            and tracked.state is PartitionState.WAITING
            and not self._targeted(node.name, key)
        ):
            return (
                self._incomplete(node, key, now)
                if node.watermark or node.complete_after is not None
                else None
            )
        if not tracked.published and self.before_start(node, key):
            return None  # delivered although not due, and never ingested
        return AwaitedPartition(node.name, key, tracked.state, tracked.reason)

    def _incomplete(self, node: GraphNode, key: str, now: int) -> AwaitedPartition | None:
        """Return why a published partition isn't complete yet (SEMANTICS §3); None if it is."""
        if node.partition.grain is None:
            return None
        if node.watermark and (waiting := self._unpassed(node, key, now)) is not None:
            return waiting
        if node.complete_after is not None:
            at = Offset.parse(node.complete_after).after_us(
                bounds(node, key)[1], node.timezone, node.days_off.holds
            )
            if now < at:
                return AwaitedPartition(node.name, key, PartitionState.PUBLISHED, "", at)
        return None

    def before_one_ahead(self, node: GraphNode, key: str, now: int) -> str | None:
        """Return the interval before a partition's, if the newest one completes nothing yet."""
        newest = self._partition_states.newest[node.name][1]
        if node.partition.grain is None or bounds(node, newest)[0] <= now + AHEAD_US:
            return None
        return self._partition_states.neighbours(node, key)[0]

    def _unpassed(self, node: GraphNode, key: str, now: int) -> AwaitedPartition | None:
        """Return what a partition waits for before a later delivery completes it; None if one has.

        A delivery that lies far ahead completes nothing: its date is probably wrong.
        """
        start = bounds(node, key)[0]
        newest = bounds(node, self._partition_states.newest[node.name][1])[0]
        if start < newest <= now + AHEAD_US:
            return None
        _, after = self._partition_states.neighbours(node, key) if start < newest else (None, None)
        if after is None:
            return AwaitedPartition(node.name, key, PartitionState.PUBLISHED, _NOT_PASSED)
        counts = bounds(node, after)[0] - AHEAD_US
        if counts <= now:
            return None
        reason = f"or once an interval before {time_key(node, after)} was delivered"
        return AwaitedPartition(node.name, key, PartitionState.PUBLISHED, reason, counts)

    def _blocked_by_order(
        self, node: GraphNode, key: str, now: int, *, alike: bool
    ) -> AwaitedPartition | None:
        """Return what a partition waits for of a node that only has to run before it.

        `alike` says that both have the same partitioning.
        """
        empty = self._partition_states.empty(node.name)
        if self._partition_states.known(node.name, key) or (
            alike and (empty or self.before_start(node, key))
        ):
            return self._blocked(node, key, now)
        if empty:
            return AwaitedPartition(node.name, key, PartitionState.MISSING, "")
        if (
            self._partition_states.busy.get(node.name)
            or node.name not in self._partition_states.visible
        ):
            return AwaitedPartition(node.name, key, PartitionState.WAITING, "")
        return None

    def _unchecked(
        self, node: GraphNode, target: GraphNode, key: str, now: int
    ) -> AwaitedPartition | None:
        """Return what a partition's checks wait for.

        The nodes that they read must have a publication (of the same interval if partitioned alike)
        and no attempt about to publish. A stopped partition with an older publication counts as
        published.
        """
        alike = (target.partition.grain, target.partition.key) == (
            node.partition.grain,
            node.partition.key,
        )
        waiting = self._blocked_by_order(target, key, now, alike=alike)
        if waiting is None:
            if target.name in self._partition_states.visible:
                return None
            return AwaitedPartition(
                target.name,
                key if alike else WHOLE,
                PartitionState.MISSING,
                "nothing of it is published yet",
            )
        tracked = self._partition_states.get(target.name, waiting.key)
        return (
            None
            if tracked is not None and tracked.published and tracked.state in STOPPED
            else waiting
        )

    def may_run(self, node: GraphNode, data: str, numbers: IntegerSet) -> IntegerSet:
        """Return waiting partitions without those that certainly miss a required input.

        They are given and returned as numbers with a data key. The cost is proportional to ranges
        and to the inputs' partitions that are neither terminal nor in a group.
        """
        if node.name in self._network.gathers or node.name in self._network.coarse:
            return numbers
        for link in self._network.required[node.name]:
            first = self._first_number(link.input) if link.same else None
            if first is not None:
                numbers &= self._usable(link.input.name, data, first)
        return numbers

    def _usable(self, name: str, data: str, first: int) -> IntegerSet:
        """Return the partitions of an input that readers may not have to wait for.

        Partitions before its `first` one count as present and empty.
        """
        states = self._partition_states
        before = IntegerSet((NUMBER_MIN, first) if first > NUMBER_MIN else ())
        changing = states.changing_numbers(name).get(data, IntegerSet())
        return before | states.usable_numbers(name, data) | changing

    # Which partitions there are

    def _first_number(self, node: GraphNode) -> int | None:
        """Return the number of a node's first expected partition.

        None if that depends on more than its start, or its partitions have no numbers.
        """
        grain = node.partition.grain
        if grain is None or node.name in self._network.free:
            return None
        first = self._first_key(node)
        return NUMBER_MIN if first is None else number_of(first, grain, node.timezone)

    def _first_key(self, node: GraphNode) -> str | None:
        """Return the first expected interval of a node; None if it isn't known."""
        grain, starts = node.partition.grain, self.starts_us(node)
        if grain is None or math.isinf(starts):
            return None
        return key_at_us(int(starts), grain, node.timezone)

    def due_numbers(self, node: GraphNode, numbers: IntegerSet, now: int) -> IntegerSet | None:
        """Return those of these intervals that are expected and have ended.

        None if ranges don't decide it.
        """
        grain, expected = node.partition.grain, self.expected_numbers(node, numbers)
        if grain is None or expected is None:
            return None
        current = number_of(key_at_us(now, grain, node.timezone), grain, node.timezone)
        return None if current is None else expected & IntegerSet((NUMBER_MIN, current))

    def expected_numbers(self, node: GraphNode, numbers: IntegerSet) -> IntegerSet | None:
        """Return those of these intervals that are expected; None if ranges don't decide it."""
        first = self._first_number(node)
        if first is None:
            return None
        if self.starts_us(node) == math.inf:
            return IntegerSet()
        return numbers - IntegerSet((NUMBER_MIN, first) if first > NUMBER_MIN else ())

    def starts_us(self, node: GraphNode) -> float:
        """Return when a node's first partition starts, in microseconds.

        It is declared, or that of the oldest delivery, or follows from the required inputs' starts.
        Infinite if a required input never arrived, minus infinite without a bound.
        """
        pending = [node]
        while pending:  # not recursive: a chain may be longer than the stack
            graph_node = pending[-1]
            if graph_node.name not in self._starts:
                unknown = [
                    link.input
                    for link in self._network.required[graph_node.name]
                    if link.input.name not in self._starts
                ]
                if unknown:
                    pending += unknown
                    continue
                self._starts[graph_node.name] = self._find_start(graph_node)
            pending.pop()
        return self._starts[node.name]

    def _find_start(self, node: GraphNode) -> float:
        grain = node.partition.grain
        if grain is None:
            return -math.inf
        if node.start is not None:
            return start_us(node.start, grain, node.timezone)
        if node.is_source:
            oldest = self._partition_states.oldest.get(node.name)
            return math.inf if oldest is None else bounds(node, oldest[1])[0]
        return first_start_us(
            grain,
            node.timezone,
            [
                (self._starts[link.input.name], into, link.input.timezone, link.spec)
                for link in self._network.required[node.name]
                if (into := link.input.partition.grain) is not None
            ],
        )

    def before_start(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition counts as present and empty: before the start, or never due.

        False for every partition of an input that never arrived.
        """
        return not self.expected(node, key) and self.starts_us(node) < math.inf

    def expected(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition ends after its node starts and something is due for it."""
        return self._begun(node, key) and (
            node.name not in self._network.free or self._due(node, key)
        )

    def _begun(self, node: GraphNode, key: str) -> bool:
        """Return whether a partition ends after its node starts."""
        return node.partition.grain is None or bounds(node, key)[1] > self.starts_us(node)

    def _due(self, node: GraphNode, key: str) -> bool:
        """Return whether a calendar makes something due for a partition.

        Delivered ones always are.
        """
        known: dict[tuple[str, str], bool] = {}
        pending = [(node, key)]
        while pending:  # not recursive, and each only once: many paths may lead to one source
            current, current_key = pending[-1]
            if (current.name, current_key) in known:
                pending.pop()
                continue
            due = self._due_given(current, current_key, known)
            if isinstance(due, bool):
                known[current.name, current_key] = due
                pending.pop()
            else:
                pending += due
        return known[node.name, key]

    def _due_given(
        self, node: GraphNode, key: str, known: Mapping[tuple[str, str], bool]
    ) -> bool | list[tuple[GraphNode, str]]:
        """Return whether something is due for a partition, or the inputs missing in `known`."""
        due = self._begun(node, key) and self._due_here(node, key)
        if isinstance(due, bool):
            return due
        unknown = [(source, item) for source, item in due if (source.name, item) not in known]
        return unknown or any(known[source.name, item] for source, item in due)

    def _due_here(self, node: GraphNode, key: str) -> bool | list[tuple[GraphNode, str]]:
        """Return whether something is due for a partition, or the inputs that decide it."""
        grain = node.partition.grain
        if grain is None or self._partition_states.known(node.name, key):
            return True
        off = node.days_off.covers(time_key(node, key), grain, node.timezone)
        if node.is_source:
            return not off
        links = self._network.required[node.name]
        # Without its data key, neither the interval nor its keys are known.
        unnamed = node.partition.key is not None and SEPARATOR not in key
        if not links or (unnamed and not all(link.same for link in links)):
            return not off
        needed = [(link.input, item) for link in links for item in link.needs(key)]
        if off:
            return any(self._partition_states.known(source.name, item) for source, item in needed)
        return needed

    # The same node's partition before and after

    def before(self, node: GraphNode, key: str) -> str | None:
        """Return the previous partition of the same node; None for the first."""
        grain = node.partition.grain
        if grain is None:
            return max(
                self._beside_in_chain(
                    node, key, self._partition_states.resting[node.name].before(key), later=False
                ),
                default=None,
            )
        interval, data = split(key, node.partition)
        starts, grows = (
            self._chain_starts(node),
            node.partition.grows,
        )
        for _ in range(STEPS_MAX):
            interval = previous_key(interval, grain, node.timezone)
            item = join(interval, data)
            if bounds(node, item)[1] <= starts:
                return None
            if self._partition_states.known(node.name, item) or (
                not grows and (node.name not in self._network.free or self._due(node, item))
            ):
                return item
        return None

    def _counts_as_empty(self, node: GraphNode, key: str) -> bool:
        """Return whether nothing announces an unknown partition, and readers don't wait for it.

        It lies before the start, or after a declared one, but before those of all required inputs.
        """
        links = self._network.required[node.name]
        return self.before_start(node, key) or (
            any(links)
            and all(
                self.before_start(link.input, item) for link in links for item in link.needs(key)
            )
        )

    def _beside_in_chain(
        self, node: GraphNode, key: str, at_rest: str | None, *, later: bool
    ) -> Iterator[str]:
        """Yield deliveries before or after a partition of a node partitioned by delivery.

        These are all that aren't terminal, and the nearest terminal one.
        """
        if not node.partition.by_delivery:
            return
        if at_rest is not None:
            yield at_rest
        for item, tracked in self._partition_states.tracked_partitions[node.name].items():
            if tracked.state is not PartitionState.WAIVED and (item > key if later else item < key):
                yield item

    def _chain_starts(self, node: GraphNode) -> float:
        """Return when a node's first partition starts.

        Without a bound, that of the oldest known one.
        """
        starts = self.starts_us(node)
        oldest = self._partition_states.oldest.get(node.name)
        return bounds(node, oldest[1])[0] if starts == -math.inf and oldest is not None else starts

    def after(self, node: GraphNode, key: str) -> str | None:
        """Return the next known partition of the same node; None if there is none."""
        grain = node.partition.grain
        if grain is None:
            return min(
                self._beside_in_chain(
                    node, key, self._partition_states.resting[node.name].after(key), later=True
                ),
                default=None,
            )
        interval, data = split(key, node.partition)
        gaps = node.name in self._network.free or node.partition.key is not None
        for _ in range(STEPS_MAX if gaps else 1):
            interval = next_key(interval, grain, node.timezone)
            if self._partition_states.known(node.name, join(interval, data)):
                return join(interval, data)
        return None


# Partitions that a request itself makes expected, in addition to those that inputs announce.


def unannounced_partitions(
    node: GraphNode,
    target: Target,
    now: int,
    network: Network,
    needs: Needs,
    partition_states: PartitionStates,
) -> Iterable[str]:
    """Return requested partitions that no input announced.

    These are partitions of assets without inputs, and those requested by name, so that their
    reasons for waiting can be reported. Partitions that exist by time alone are returned once, and
    then recorded in the partition states.
    """
    if node.is_source or node.partition.by_delivery:
        return ()
    announced = network.paced(node)
    if node.partition.grain is None:
        return (
            ()
            if node.partition.key is None
            else _requested_keys(
                node, target, announced=announced or bool(network.required[node.name])
            )
        )
    last = target.last or (None if announced else _newest_ended(node, now))
    first = target.first or (None if announced else _begun(node, partition_states) or last)
    if first is None or last is None:
        return ()
    if target == Target(node.name):
        partition_states.expanded[node.name] = last
    return [key for key in _between(node, first, last) if needs.expected(node, key)]


def _begun(node: GraphNode, partition_states: PartitionStates) -> str | None:
    """Return the interval from which time alone makes partitions expected, where one is known."""
    newest = partition_states.newest.get(node.name, ("", ""))[1]
    return partition_states.expanded.get(node.name, node.start) or time_key(node, newest)


def _requested_keys(node: GraphNode, target: Target, *, announced: bool) -> Iterable[str]:
    listed = node.partition.values or ()
    if target.first is not None and target.first == target.last:
        return [key for key in listed if key == target.first]
    return () if announced else listed


def _between(node: GraphNode, first: str, last: str) -> Iterable[str]:
    """Return the keys of a range, with all listed data keys; a full key returns itself."""
    grain = node.partition.time_grain
    if first == last and SEPARATOR in first:
        return [first]
    span = keys_between(
        first.partition(SEPARATOR)[0], last.partition(SEPARATOR)[0], grain, node.timezone
    )
    if node.partition.key is None:
        return span
    return (join(interval, data) for interval in span for data in node.partition.values or ())


def _newest_ended(node: GraphNode, now: int) -> str:
    """Return the newest partition of a node whose interval has ended."""
    grain = node.partition.time_grain
    current = key_at_us(now, grain, node.timezone)
    return (
        current
        if bounds_us(current, grain, node.timezone)[1] <= now
        else previous_key(current, grain, node.timezone)
    )
