"""The plan of a backfill from a selection, a range and a mode.

Pure, and computed with ranges throughout.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.model.errors import UsageError
from headrace.model.nodes import Asset, Value
from headrace.plan.backfills import Backfill, BackfillStep, Chosen, Mode, Publishes, Skipped
from headrace.plan.compiled import Compiled
from headrace.plan.partition_ranges import (
    NO_PARTITIONS,
    Extent,
    NodeInput,
    downstream_partitions,
    extent_of,
    key_of,
    ranges,
    spans,
)
from headrace.plan.timeline import (
    PartitionLimits,
    Timeline,
    changed_partitions,
    publishing_steps,
)
from headrace.scheduler import GraphNode

# The partitions of a backfill: requested ones, and downstream partitions.

STAGED_KINDS = ("table", "append")
"""Materialisations with independent partitions, which can be computed alongside the published
ones."""
INGESTED, STAGED, AFTERWARDS = "taken_in", "staged", "afterwards"


class BackfillRequest(Value):
    """The request for a backfill.

    `ranges` maps each named node to its partitions within the range; None means all.
    """

    mode: Mode
    limits: Mapping[str, PartitionLimits]
    """Named node → the requested range."""
    only: bool = False
    borrowed: frozenset[str] = frozenset()
    """Nodes that an environment reads from production: the backfill doesn't compute them."""


class Picked(Value):
    """The partitions of one node that the backfill computes, and why."""

    node: str
    extent: Extent
    why: str
    how: str


class Passed(Value):
    """Requested partitions that the backfill doesn't compute, and why."""

    node: str
    extent: Extent
    why: str


class Choice(Value):
    """All partitions that the backfill computes, inputs first, and all that it skips."""

    picked: tuple[Picked, ...]
    passed: tuple[Passed, ...]
    candidates: Mapping[str, Extent]
    """All possible partitions by node."""


def choose(timeline: Timeline, compiled: Compiled, request: BackfillRequest) -> Choice:
    """Return the partitions that a backfill computes."""
    chooser = _Chooser(timeline, compiled, request)
    for node in timeline.nodes.values():
        chooser.take(node)
    return Choice(
        picked=tuple(chooser.picked.values()),
        passed=tuple(chooser.passed),
        candidates=chooser.candidates,
    )


def _dropped(node: GraphNode) -> str:
    """Return why dropped partitions are passed over, and what computes or ingests them."""
    spec = node.partition
    which = "" if spec.grain is None and spec.key is None else " --partition K"
    return f"dropped: headrace run {node.name}{which} --again --reason TEXT"


class _Chooser:
    def __init__(self, timeline: Timeline, compiled: Compiled, request: BackfillRequest) -> None:
        self._timeline, self._compiled, self._wanted = timeline, compiled, request
        self.picked: dict[str, Picked] = {}
        self.passed: list[Passed] = []
        self.candidates: dict[str, Extent] = {}
        self._available: dict[str, Extent] = {}
        self._absent: dict[str, Extent] = {}

    def take(self, node: GraphNode) -> None:
        """Decide about one node, after its inputs."""
        extent, why = self._of_source(node) if node.is_source else self._of_asset(node)
        if node.name in self._wanted.borrowed:
            self._pass(node, extent, "read from production")
        elif extent:
            self.picked[node.name] = Picked(
                node=node.name, extent=extent, why=why, how=self._how(node)
            )
        picked_extent = self.picked[node.name].extent if node.name in self.picked else NO_PARTITIONS
        self._available[node.name] = self._timeline.extents_of(node.name).usable | picked_extent
        self._absent[node.name] = self._timeline.absent(
            node, self._available[node.name], self.candidates[node.name]
        )

    def _of_source(self, node: GraphNode) -> tuple[Extent, str]:
        extents = self._timeline.extents_of(node.name)
        self.candidates[node.name] = extents.known
        if node.name not in self._wanted.limits:
            return NO_PARTITIONS, ""
        requested = self._wanted.limits[node.name].within(extents.known)
        again = extents.visible - extents.held - extents.failed - extents.dropped
        match self._wanted.mode:
            case Mode.ALL:
                why, extent = "ingested again", requested & (extents.arrived | again)
            case Mode.FAILED:
                why, extent = "failed", requested & extents.failed
            case _:
                why, extent = "arrived", requested & extents.arrived
        self._pass(node, (requested & extents.dropped) - extent, _dropped(node))
        if self._wanted.mode is not Mode.FAILED:
            self._pass(
                node, (requested & extents.held) - extent, f"held: headrace quarantine {node.name}"
            )
            self._pass(
                node,
                (requested & extents.failed) - extent - extents.held,
                f"rejected or failed: headrace retry {node.name}",
            )
            self._pass(
                node,
                (requested & again) - extent,
                "ingested already",
            )
        self._never_came(node, extents.known)
        return extent, why

    def _never_came(self, node: GraphNode, heard: Extent) -> None:
        limits = self._wanted.limits[node.name]
        if node.partition.grain is not None and node.partition.key is None:
            self._pass(
                node,
                limits.within(extent_of({"": self._timeline.should_be(node)})) - heard,
                "nothing was delivered",
            )

    def _of_asset(self, node: GraphNode) -> tuple[Extent, str]:
        extents = self._timeline.extents_of(node.name)
        limits = self._wanted.limits.get(node.name)
        candidates = self._timeline.candidates(
            node, self.candidates, limits.times or () if limits is not None else ()
        )
        self.candidates[node.name] = candidates
        blocked, needs = self._blocked(node, candidates)
        makeable = candidates - blocked
        dropped = extents.dropped if self._wanted.mode is Mode.MISSING else NO_PARTITIONS
        if limits is not None:
            self._pass(node, limits.within(dropped), _dropped(node))
        named = self._named(node, candidates - dropped, blocked, needs)
        reading, because = self._reading(node)
        reading = reading - dropped - self._hopeless(node, reading - dropped - named)
        self._pass(node, self._timeline.ended(node, reading & candidates & blocked) - named, needs)
        extent = named & makeable | reading & makeable
        if node.chained and extent:
            extent = self._chain(node, extent, makeable)
        return extent, self._why(extent & named, extent & reading, because, extents.visible)

    def _hopeless(self, node: GraphNode, reading: Extent) -> Extent:
        """Return downstream partitions that failed before and would fail again.

        They would keep the rest from being published. Production retries them after the backfill
        has changed their inputs.
        """
        if self._wanted.mode is not Mode.MISSING:
            return NO_PARTITIONS
        extent = reading & self._timeline.extents_of(node.name).hopeless
        self._pass(
            node,
            extent,
            "failed as it is declared now: it is tried if it is named, headrace backfill"
            f" {node.name}",
        )
        return extent

    def _named(self, node: GraphNode, candidates: Extent, blocked: Extent, needs: str) -> Extent:
        """Return the requested partitions that the mode selects; the rest is skipped."""
        if node.name not in self._wanted.limits:
            return NO_PARTITIONS
        extents, extent = (
            self._timeline.extents_of(node.name),
            self._wanted.limits[node.name].within(candidates),
        )
        match self._wanted.mode:
            case Mode.FAILED:
                return extent & extents.failed
            case Mode.ALL:
                self._pass(node, self._timeline.ended(node, extent & blocked), needs)
                return extent
        self._pass(node, extent & extents.fresh, "published, and not stale")
        held = (extent & extents.held) - extents.fresh
        self._pass(node, held, f"held: headrace quarantine {node.name}")
        self._pass(node, self._timeline.ended(node, extent & blocked) - extents.fresh - held, needs)
        return extent - extents.fresh - held

    def _blocked(self, node: GraphNode, candidates: Extent) -> tuple[Extent, str]:
        """Return the partitions that can't be computed, and the inputs missing for them."""
        extent, names = NO_PARTITIONS, dict[str, None]()
        known = self._timeline.extents_of(node.name).known | candidates
        for read in self._timeline.reads[node.name]:
            lost = self._lost(read, known, candidates)
            if lost:
                extent = extent | lost
                names[read.input.name] = None
        for name in (*node.depends, *node.checked_against):
            if not self._available.get(name) and candidates:
                extent, names = candidates, names | {name: None}
        if node.chained:
            extent = extent | self._behind_gap(node, candidates, candidates - extent)
        return (
            extent,
            (
                f"{' and '.join(list(names)[:3])} isn't there for it"
                if names
                else "the one before it isn't there"
            ),
        )

    def _lost(self, read: NodeInput, known: Extent, candidates: Extent) -> Extent:
        if read.required:
            return (
                downstream_partitions(read, self._absent.get(read.input.name, NO_PARTITIONS), known)
                & candidates
            )
        return (
            NO_PARTITIONS
            if read.spec.optional or self._available.get(read.input.name)
            else candidates
        )

    def _behind_gap(self, node: GraphNode, candidates: Extent, makeable: Extent) -> Extent:
        """Return a chained node's partitions after one that is missing and can't be computed."""
        usable = self._timeline.extents_of(node.name).usable
        absent = self._timeline.absent(node, usable | makeable, candidates)
        if node.partition.grain is None or not absent:
            return NO_PARTITIONS
        runs = {
            data: _numbers_from(edges, absent.runs[data][0])
            for data, edges in candidates.runs.items()
            if data in absent.runs
        }
        return extent_of(runs) - usable

    def _chain(self, node: GraphNode, extent: Extent, makeable: Extent) -> Extent:
        """Return the partitions together with all later ones that build on them."""
        later = self._timeline.extents_of(node.name).visible & makeable
        runs = {
            data: _numbers_from(later.runs.get(data, ()), edges[0])
            for data, edges in extent.runs.items()
        }
        return extent | extent_of(runs)

    def _reading(self, node: GraphNode) -> tuple[Extent, str]:
        """Return the partitions downstream of what the backfill computes."""
        if self._wanted.only or node.tells:
            return NO_PARTITIONS, ""
        result, names = NO_PARTITIONS, []
        extents = self._timeline.extents_of(node.name)
        for read in self._timeline.reads[node.name]:
            picked = self.picked.get(read.input.name)
            if picked is None:
                continue
            extent = changed_partitions(read, picked.extent, extents)
            if extent:
                result = result | extent
                names.append(read.input.name)
        return result, " and ".join(dict.fromkeys(names))

    def _why(self, named: Extent, reading: Extent, because: str, visible: Extent) -> str:
        """Return why a node's partitions are computed.

        One reason, or each reason with its count.
        """
        if not named:
            return f"reads {because}"
        match self._wanted.mode:
            case Mode.FAILED:
                whys = {"failed": named}
            case Mode.ALL:
                whys = {"asked for": named}
            case _:
                whys = {"missing": named - visible, "stale": named & visible}
        whys[f"because of {because}"] = reading - named
        results = {why: len(extent) for why, extent in whys.items() if extent}
        return (
            next(iter(results))
            if len(results) == 1
            else ", ".join(f"{count:,} {why}" for why, count in results.items())
        )

    def _pass(self, node: GraphNode, extent: Extent, why: str) -> None:
        if extent:
            self.passed.append(Passed(node=node.name, extent=extent, why=why))

    def _how(self, node: GraphNode) -> str:
        if node.is_source:
            return INGESTED
        asset = self._compiled.project.assets.get(node.name)
        after = any(self._after(read.input.name) for read in self._timeline.reads[node.name])
        return AFTERWARDS if after or node.chained or not _stageable(asset) else STAGED

    def _after(self, name: str) -> bool:
        return name in self.picked and self.picked[name].how == AFTERWARDS


def _stageable(asset: Asset | None) -> bool:
    """Return whether a node's partitions can be computed alongside the published ones.

    An export can't: it has only what was sent.
    """
    return asset is not None and asset.materialize in STAGED_KINDS


def _numbers_from(edges: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Return the numbers of a set from `first` on."""
    return tuple(
        n for item, last in ranges(edges) if last >= first for n in (max(item, first), last + 1)
    )


# The plan of a backfill from the chosen partitions.


def plan_backfill(
    timeline: Timeline, compiled: Compiled, request: BackfillRequest, *, allow_partial: bool = False
) -> Backfill:
    """Return the plan of a backfill, in ranges.

    UsageError if the range has none of the partitions.
    """
    choice = choose(timeline, compiled, request)
    if request.limits and not (choice.picked or choice.passed or request.mode is Mode.FAILED):
        _refuse_empty_range(timeline, request, choice)
    staged = {item.node: item.extent for item in choice.picked if item.how == STAGED}
    stepped = publishing_steps(timeline, staged)
    return Backfill(
        mode=request.mode,
        chosen=tuple(chosen_of(timeline, item) for item in choice.picked),
        skipped=tuple(
            Skipped(node=item.node, partitions=len(item.extent), why=item.why)
            for item in choice.passed
        ),
        steps=stepped,
        publishes=_publishes(choice, stepped),
        only=request.only,
        allow_partial=allow_partial,
    )


def chosen_of(timeline: Timeline, item: Picked) -> Chosen:
    """Return picked partitions as ranges."""
    known = timeline.extents_of(item.node).known
    node = timeline.nodes[item.node]
    return Chosen(
        node=item.node,
        spans=spans(node, item.extent, known),
        partitions=len(item.extent),
        why=item.why,
        how=item.how,
    )


def _publishes(choice: Choice, stepped: tuple[BackfillStep, ...]) -> Publishes:
    if choice.picked and not stepped:
        return Publishes.PER_PARTITION
    return Publishes.IN_STEPS if len(stepped) > 1 else Publishes.ATOMICALLY


def _refuse_empty_range(timeline: Timeline, request: BackfillRequest, choice: Choice) -> None:
    """Raise UsageError for a range outside the data, with the existing range."""
    for name in request.limits:
        times = choice.candidates.get(name, NO_PARTITIONS).times
        if times:
            first, last = (
                key_of(timeline.nodes[name], times[0]),
                key_of(timeline.nodes[name], times[-1] - 1),
            )
            raise UsageError(
                f"there is nothing in that range: {name} has {first} … {last}",
                hint="both ends are included",
            )
    raise UsageError(
        "there is nothing in that range: nothing has been delivered yet", hint="headrace status"
    )
