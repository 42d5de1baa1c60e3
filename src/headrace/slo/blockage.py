"""Why an interval is missing: the most upstream node that blocks a consumer's reads. Pure.

`BlockReason` lists the reasons in order of precedence. This module also words the clauses and next
commands that every view shows about a blocked partition.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from headrace.model import InputMode, InputSpec
from headrace.model.errors import LAKE_CLOSED, LAKE_FILE
from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR, command_line, partition_argument, required
from headrace.model.times import Offset
from headrace.slo.declared_promises import WHOLE, Node, Terms
from headrace.slo.facts import PartitionStateFacts
from headrace.slo.obligations import (
    EvaluationContext,
    Obligation,
    counts_as_empty,
    covered,
    needed,
    paced_inputs,
    unserved,
)
from headrace.slo.times import time_text

_Place: TypeAlias = tuple[str, str]
"""A node and a partition."""


class BlockReason(enum.IntEnum):
    """Why a partition is held back; the most informative reason comes first."""

    QUARANTINED = 1
    FAILED = 2
    WITHDRAWN = 3
    DAMAGED = 4
    """It was published, but its file in the lake can't be read any more."""
    PAUSED = 5
    MISSING = 6
    WAITING = 7


HOLDS = (BlockReason.QUARANTINED, BlockReason.FAILED, BlockReason.WITHDRAWN, BlockReason.DAMAGED)
"""Reasons that persist until somebody acts."""


class Blocked(NamedTuple):
    """A partition that holds others back. `since_us` None: nothing is known of it."""

    block: BlockReason
    since_us: int | None
    node: str
    partition: str
    state: str
    reason: str
    incident: str = ""
    """The open incident about damaged, failed in a backfill or unreadable data; empty if none."""
    unreadable_us: int | None = None
    """Since when its source can't be read, so that its deliveries are unknown."""


class Blockage:
    """Blockers at one time; results that consumers and intervals share are cached."""

    def __init__(self, context: EvaluationContext, now_us: int) -> None:
        self.context, self._now = context, now_us
        self._known: list[Blocked] = []
        self._roots: dict[_Place, int] = {}
        """Missing partition → its blockers, as bits of `_known`."""
        self._absent: dict[_Place, bool] = {}
        self._unreadable: dict[_Place, int] = {}
        """Published but unreadable partition → its bit of `_known`."""

    def of(self, terms: Terms, interval: str) -> list[Blocked]:
        """Return the most upstream partitions that keep a consumer's interval from being met.

        The order is by block reason, then the longest blocker first.
        """
        mask = 0
        for node in self.context.awaited(terms):
            mask |= self._read(node, terms, interval)
        results = (
            [item for number, item in enumerate(self._known) if mask >> number & 1] if mask else []
        )
        return sorted(
            results, key=lambda item: (item.block, item.since_us or 0, item.node, item.partition)
        )

    def unserved(self, terms: Terms, obligations: Sequence[Obligation]) -> list[Obligation]:
        """Return what is due and neither met nor waived.

        The obligation that explains why the consumer is still late comes first.
        """
        due = unserved(obligations, self._now)
        keeps = self.keeps_late(terms, due)
        return (
            due
            if keeps is None
            else [keeps, *(obligation for obligation in due if obligation is not keeps)]
        )

    def keeps_late(self, terms: Terms, late: Sequence[Obligation]) -> Obligation | None:
        """Return the obligation of a late run that explains why a consumer is still late.

        That is the first, for which it became late, unless something else blocks the newest: with
        that gone, the consumer is served again.
        """
        unmet = [obligation for obligation in late if not obligation.settled]
        if not unmet:
            return None
        first, newest = unmet[0], unmet[-1]
        if first is newest or terms.max_age is not None:  # under `max_age` every gap keeps it late
            return first
        before, now = (
            in_repair_order(self.of(terms, obligation.interval))[:1]
            for obligation in (first, newest)
        )
        other = (
            before
            and now
            and now[0].block is not BlockReason.WAITING
            and _cause(now[0]) != _cause(before[0])
        )
        return newest if other else first

    def next_command(self, blocked: Blocked) -> str:
        """Return the next command about a blocker; no tick for a delivery that isn't there."""
        if blocked.block is BlockReason.MISSING and blocked.unreadable_us is None:
            source = self.context.node(blocked.node)
            unknown = not_observed_since(self.context, source, blocked.partition, self._now)
            if self.context.facts.observations(source.name) and unknown is None:
                return command_line("deliveries", source.name)
        return next_command(blocked)

    def above(self, terms: Terms, interval: str) -> Collection[tuple[str, str]]:
        """Return all partitions that an interval is made of, published or not."""
        waiting: list[tuple[Node, str]] = []
        for node in self.context.awaited(terms):
            keys = needed(node, terms, interval, self.context) or (WHOLE,)
            waiting += [(node, key) for key in keys]
        results: dict[_Place, None] = {}
        while waiting:
            node, key = waiting.pop()
            if (node.name, key) not in results:
                results[node.name, key] = None
                waiting += self._inputs(node, key)
        return results

    def _inputs(self, node: Node, key: str) -> Iterator[tuple[Node, str]]:
        """Yield the partitions that a partition reads; `WHOLE` for an input without known ones."""
        for spec in node.inputs:
            source = self.context.declared.nodes.get(spec.node)
            if source is not None:
                keys = self._required(node, key, source, spec) or (WHOLE,)
                yield from ((source, item) for item in keys)

    def _read(self, node: Node, terms: Terms, interval: str) -> int:
        """Return the blockers of what an interval requires of a node; 0 if it is all published."""
        if covered(node, terms, interval, self.context) is not None:
            return 0
        keys, mask = needed(node, terms, interval, self.context), 0
        if keys is not None:
            for key in keys:
                mask |= self._partition(node, key) if self._isnt_there(node, key) else 0
            return mask
        for source in paced_inputs(node, self.context):
            mask |= self._read(source, terms, interval)
        # even if it is published: that publication doesn't include what the interval needs
        return mask or self._partition(node, WHOLE)

    def _partition(  # complexipy: ignore (a depth-first search with a stack of its own)
        self, node: Node, key: str
    ) -> int:
        """Return the blockers of a partition, without recursion.

        A project may be deeper than Python's stack.
        """
        above: dict[_Place, list[tuple[Node, str]]] = {}
        waiting = [(node, key)]
        while waiting:
            item = waiting[-1]
            place = item[0].name, item[1]
            if place not in above:
                above[place] = [] if place in self._roots else list(self._lacking(*item))
                waiting += [
                    each for each in above[place] if (each[0].name, each[1]) not in self._roots
                ]
                continue
            waiting.pop()
            if place not in self._roots:
                mask = 0
                for source, needs in above[place]:
                    mask |= self._roots[source.name, needs]
                for results in self.damage(*item):
                    mask |= self._of_damage(results)
                failed = self.failed_in_backfill(*item)
                mask |= self._noted(failed) if failed is not None else 0
                self._roots[place] = mask or self._noted(self._blocked(*item))
        return self._roots[node.name, key]

    def _of_damage(self, results: Blocked) -> int:
        place = results.node, results.partition
        if place not in self._unreadable:
            self._unreadable[place] = self._noted(results)
        return self._unreadable[place]

    def _noted(self, results: Blocked) -> int:
        self._known.append(results)
        return 1 << len(self._known) - 1

    def failed_in_backfill(self, node: Node, key: str) -> Blocked | None:
        """Return a partition's failure in a backfill or a repair, if production hasn't tried it.

        The next pass would fail as well, with the same code and the same inputs.
        """
        facts = self.context.facts.partition_state(node.name, key)
        if facts is not None and (facts.published or facts.state not in ("missing", "waiting")):
            return None
        failed = self.context.facts.failed_in_backfill(node.name, key)
        if failed is None:
            return None
        return Blocked(
            BlockReason.FAILED,
            failed.since_us,
            node.name,
            key,
            "failed",
            failed.reason,
            failed.incident,
        )

    def damage(self, node: Node, key: str) -> list[Blocked]:
        """Return the partitions with damaged files that a partition waits for.

        These are the damaged partitions that it reads or, if none is left, the file that its last
        attempt couldn't read.
        """
        facts = self.context.facts.partition_state(node.name, key)
        if facts is None or facts.state != "waiting" or not facts.reason.startswith(LAKE_FILE):
            return []
        damaged = self.context.facts.damaged()
        read = self._reads(node, key, damaged)
        met = [
            place
            for place, damage in damaged.items()
            if facts.reason.startswith(f"{LAKE_FILE}{damage.path} ")
        ]
        places = [place for place in damaged if place in read] or met[:1]
        return [
            results for place in places if (results := damage_of(self.context, *place)) is not None
        ]

    def _reads(self, node: Node, key: str, among: Collection[_Place]) -> set[_Place]:
        """Return those of the partitions `among` that a partition reads."""
        results: set[_Place] = set()
        for spec in node.inputs:
            of_input = [place for place in among if place[0] == spec.node]
            source = self.context.declared.nodes.get(spec.node)
            if of_input and source is not None:
                keys = self._required(node, key, source, spec)
                results |= {place for place in of_input if keys is None or place[1] in keys}
        return results

    def _lacking(self, node: Node, key: str) -> Iterator[tuple[Node, str]]:
        """Yield the missing inputs of a partition."""
        for spec in node.inputs:
            source = self.context.declared.nodes.get(spec.node)
            if source is None or spec.optional:
                continue
            keys = self._required(node, key, source, spec)
            yield from ((source, item) for item in self._missing(source, keys))

    def _missing(self, node: Node, keys: Sequence[str] | None) -> Iterator[str]:
        """Yield those of the partitions that readers can't see.

        `keys` None stands for all of a node: it is missing until anything of it is published.
        """
        if keys is None:
            if self.context.facts.newest(node.name) is None and self._isnt_there(node, WHOLE):
                yield WHOLE
            return
        for key in keys:
            if self._isnt_there(node, key) and not counts_as_empty(node, key, self.context):
                yield key

    def _required(
        self, node: Node, key: str, source: Node, spec: InputSpec
    ) -> Sequence[str] | None:
        if spec.mode is InputMode.ALL:
            return None
        seen = partial(self.context.facts.keys, source.name)
        return required(
            node.cut(key), node.timezone, key, source.partition, source.timezone, spec, seen
        ).keys

    def _isnt_there(self, node: Node, key: str) -> bool:
        place = node.name, key
        if place not in self._absent:
            facts = self.context.facts.partition_state(*place)
            self._absent[place] = facts is None or not facts.published
        return self._absent[place]

    def _blocked(self, node: Node, key: str) -> Blocked:
        facts = self.context.facts.partition_state(node.name, key)
        state = "missing" if facts is None else facts.state
        pause = self.context.facts.pauses().get(node.name)
        if pause is not None and pause.holds(self._now) and state in ("missing", "waiting"):
            return Blocked(
                BlockReason.PAUSED,
                None,
                node.name,
                key,
                state,
                pause.clause(self._now, self.context.declared.timezone),
            )
        unread = self.context.facts.unreadable().get(node.name)
        if unread is not None and (facts is None or _is_tried_again(facts)):
            results = Blocked(
                BlockReason.MISSING, None, node.name, key, state, unread.clause, unread.incident
            )
            return results._replace(unreadable_us=unread.since_us)
        if state == "missing":
            return Blocked(
                BlockReason.MISSING if node.is_source else BlockReason.WAITING,
                None,
                node.name,
                key,
                state,
                "",
            )
        assert facts is not None
        if facts.dropped_us is not None:
            since = facts.dropped_us
            return Blocked(BlockReason.QUARANTINED, since, node.name, key, "dropped", facts.reason)
        # it is retried again and again, and fails
        if node.exported_to and state == "waiting" and facts.reason:
            return Blocked(
                BlockReason.FAILED, facts.since_us, node.name, key, "failed", facts.reason
            )
        return Blocked(block_of(state), facts.since_us, node.name, key, state, facts.reason)


def _cause(blocked: Blocked) -> tuple[str, BlockReason, str]:
    """Return what several days have in common if one cause holds them back."""
    return blocked.node, blocked.block, blocked.incident or short_reason(blocked.reason)


def damage_of(context: EvaluationContext, node: str, partition: str) -> Blocked | None:
    """Return a published partition whose file can't be read any more; None for all others."""
    damage = context.facts.damaged().get((node, partition))
    return (
        None
        if damage is None
        else Blocked(
            BlockReason.DAMAGED,
            damage.since_us,
            node,
            partition,
            "published",
            damage.clause,
            damage.incident,
        )
    )


def _is_tried_again(facts: PartitionStateFacts) -> bool:
    """Return whether attempts have failed for a reason of the partition's own, and go on."""
    return (
        facts.state == "waiting" and bool(facts.reason) and not facts.reason.startswith(LAKE_CLOSED)
    )


def block_of(state: str) -> BlockReason:
    """Return the block reason of a partition state."""
    return _BLOCKS.get(state, BlockReason.WAITING)


_BLOCKS = {
    "held": BlockReason.QUARANTINED,
    "rejected": BlockReason.QUARANTINED,
    "dropped": BlockReason.QUARANTINED,
    "failed": BlockReason.FAILED,
    "withdrawn": BlockReason.WITHDRAWN,
}


def blockage_clause(  # complexipy: ignore (a table: a clause for each kind of blocker)
    blocked: Blocked, context: EvaluationContext, now_us: int
) -> str:
    """Return one clause, such as `flights: 2 columns renamed, held since Tue 02-12 04:40`."""
    zone = context.declared.timezone
    node = context.node(blocked.node)
    if node.exported_to:
        return _export_clause(node, blocked, now_us, zone)
    at = f"@{blocked.partition}" if blocked.partition != WHOLE else ""
    match blocked.block:
        case BlockReason.PAUSED:
            return f"{blocked.node}: {blocked.reason}"
        case BlockReason.QUARANTINED | BlockReason.FAILED | BlockReason.WITHDRAWN:
            since = (
                ""
                if blocked.since_us is None
                else f" since {time_text(blocked.since_us, now_us, zone)}"
            )
            text = (
                blocked.reason
                if blocked.block is BlockReason.WITHDRAWN
                else short_reason(blocked.reason)
            )
            if blocked.state == "dropped":  # the reason names the state and the person
                return f"{blocked.node}: {text},{since}"
            reason = f"{text}, " if text else ""
            return f"{blocked.node}: {reason}{blocked.state}{since}"
        case BlockReason.DAMAGED:
            return f"{blocked.node}{at} {unreadable(blocked)}"
        case BlockReason.MISSING if blocked.unreadable_us is not None:
            reason = short_reason(blocked.reason)
            return f"{blocked.node}{at}: {unobserved(blocked.unreadable_us, reason, now_us, zone)}"
        case BlockReason.MISSING:
            by = promised_by(node, blocked.partition)
            promised = "" if by is None else f", promised by {time_text(by, now_us, zone)}"
            observed_us = not_observed_since(context, node, blocked.partition, now_us)
            if observed_us is not None:
                return (
                    f"{blocked.node}{at}: not observed since"
                    f" {time_text(observed_us, now_us, zone)}{promised}"
                )
            return f"{blocked.node}{at}: nothing was delivered{promised}"
        case BlockReason.WAITING:
            verb = "ingested" if node.is_source else "computed"
            if blocked.state == "running":
                return f"{blocked.node}{at}: is being {verb}"
            if _by_lake(blocked):
                return f"{blocked.node}{at}: {short_reason(blocked.reason)}"
            return f"{blocked.node}{at}: isn't {verb} yet"


def _by_lake(blocked: Blocked) -> bool:
    """Return whether it waits until the lake can be written: no pass helps before that."""
    return blocked.state == "waiting" and blocked.reason.startswith(LAKE_CLOSED)


def unobserved(since_us: int, reason: str, now_us: int, zone: str) -> str:
    """Return a clause such as `can't be observed since 06:00: HTTP 503`."""
    return f"can't be observed since {time_text(since_us, now_us, zone)}: {reason}"


def unreadable(blocked: Blocked) -> str:
    """Return a clause about a damaged file, such as `can't be read: the file is gone`."""
    return f"can't be read: {blocked.reason}"


def _export_clause(node: Node, blocked: Blocked, now_us: int, zone: str) -> str:
    target = node.target(blocked.partition)
    if blocked.block is BlockReason.PAUSED:
        return f"the export to {target} is {blocked.reason}"
    if blocked.block is BlockReason.FAILED:
        since = (
            ""
            if blocked.since_us is None
            else f", since {time_text(blocked.since_us, now_us, zone)}"
        )
        return f"export to {target} failed: {short_reason(blocked.reason)}{since}"
    return (
        f"the export to {target} is being written"
        if blocked.state == "running"
        else f"the export to {target} isn't written yet"
    )


def next_command(blocked: Blocked) -> str:
    """Return the next command about a blocker."""
    subject = partition_argument(blocked.node, blocked.partition)
    match blocked.block:
        case BlockReason.QUARANTINED if blocked.state != "dropped":
            return command_line("quarantine", subject)
        case BlockReason.FAILED:
            return (
                command_line("incident", blocked.incident)
                if blocked.incident
                else command_line("logs", subject)
            )
        case BlockReason.WITHDRAWN | BlockReason.QUARANTINED:
            return command_line("why", subject)
        case BlockReason.PAUSED:
            return command_line("resume", blocked.node)
        case BlockReason.DAMAGED:
            return (
                command_line("incident", blocked.incident)
                if blocked.incident
                else "headrace doctor"
            )
        case BlockReason.WAITING if _by_lake(blocked):
            return "headrace incidents"
        case BlockReason.MISSING if blocked.incident:
            return command_line("incident", blocked.incident)
        case BlockReason.MISSING | BlockReason.WAITING:
            return "headrace tick"


def not_observed_since(
    context: EvaluationContext, node: Node, partition: str, now_us: int
) -> int | None:
    """Return a source's last observation if it is too old to know about an expected partition.

    None if the source was observed since the partition was expected, if that isn't due yet, and if
    the source was never observed.
    """
    grain = node.partition.grain
    observations = context.facts.observations(node.name)
    if grain is None or not observations:
        return None
    ended_us = bounds_us(partition.partition(SEPARATOR)[0], grain, node.timezone)[1]
    return (
        observations[0]
        if observations[0] < (promised_by(node, partition) or ended_us) <= now_us
        else None
    )


def promised_by(node: Node, partition: str) -> int | None:
    """Return when a source's partition is promised; None without `expect_by`."""
    if node.expect_by is None or node.partition.grain is None:
        return None
    end = bounds_us(partition.partition(SEPARATOR)[0], node.partition.grain, node.timezone)[1]
    return Offset.parse(node.expect_by).after_us(end, node.timezone, node.no_data.calendar.holds)


def in_repair_order(results: Sequence[Blocked]) -> list[Blocked]:
    """Return blockers that need a person first, oldest first; the rest keep their order.

    The delay ledger uses the same order.
    """
    holds = sorted(
        (item for item in results if item.block in HOLDS),
        key=lambda blocked: (blocked.since_us or 0, blocked.node, blocked.partition),
    )
    return [*holds, *(item for item in results if item.block not in HOLDS)]


def short_reason(reason: str) -> str:
    """Return a reason without details: up to the first bracket or semicolon.

    `quarantine` and `logs` have the details.
    """
    return reason.partition(" (")[0].partition("; ")[0]
