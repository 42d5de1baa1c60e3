"""What a change makes stale and what it may repair, in ranges; what making it again costs, and the commands that do it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.model import Grain
from headrace.model.environments import PRODUCTION
from headrace.model.intervals import GRAINS, bounds_us, key_at_us
from headrace.model.required import WHOLE
from headrace.operations import estimates, standings
from headrace.operations.backfills_ahead import planned_ahead
from headrace.operations.responses import NeededRow, StaleRow
from headrace.plan import ChangeKind, Compiled, NodeChange
from headrace.plan.backfills import Backfill, Chosen, Mode
from headrace.plan.comparing import renames
from headrace.plan.extents import NOTHING, Extent, of_keys, spans
from headrace.plan.timeline import NodeExtents
from headrace.plan.touching import NodeInput, touched
from headrace.run.graph import graph_of
from headrace.run.unchanged import returned
from headrace.schedule import GraphNode
from headrace.schedule.estimating import Estimate
from headrace.store import Transaction

OWN_CODE = "its own code changed"
FAILED = "failed as it was declared"
WAITS = "failed under the code as it was"
"""Once the change is applied it doesn't count as failed any more: it waits to be made, as what was never tried."""


class Reached(NamedTuple):
    """The partitions of a node that become stale, and why."""

    extent: Extent
    why: str


class Invalidated(msgspec.Struct, frozen=True):
    """What becomes stale and what failed before, by node in topological order; what it costs to make it again."""

    stale: tuple[Chosen, ...] = ()
    failed: tuple[Chosen, ...] = ()
    estimate: Estimate | None = None
    bytes: int | None = None
    backfills: tuple[NeededRow, ...] = ()
    planned: tuple[Backfill, ...] = ()
    """What those make, as they will be planned."""

    def of(self, node: str) -> int:
        """How many partitions of a node become stale because its own code changed."""
        return next((one.partitions for one in self.stale if one.node == node and one.why == OWN_CODE), 0)


def staled(
    tx: Transaction,
    old: Compiled,
    new: Compiled,
    changes: Sequence[NodeChange],
    *,
    version: int | None,
    env: str,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> Invalidated:
    """What these changes do to what is published. `version` is of what is applied in the store; nothing
    is made of what is `borrowed`."""
    before, after = graph_of(old), graph_of(new)
    there = _there(standings.read(tx, before, version=version, arrived={}), old, new)
    nodes = {node.name: node for node in after.nodes}
    changed = {change.node for change in changes if change.stale and change.node in new.project.assets}
    returning = {name: of_keys(nodes[name], returned(tx, new, name)) for name in changed if name in old.project.assets and name in nodes}
    reached = _stale(nodes, there, {name: there.get(name, NodeExtents()).visible - returning.get(name, NOTHING) for name in changed})
    again = tuple(_chosen(nodes[name], one.extent, there.get(name, NodeExtents()), one.why) for name, one in reached.items())
    repaired = _failed(nodes, there, changes)
    needed = _needed(nodes, [one for one in again if one.why == OWN_CODE], repaired, env)
    applied = {name: _once_applied(one, reached.get(name), returning.get(name, NOTHING), name in changed) for name, one in there.items()}
    ahead = planned_ahead(after, new, applied, needed, now_us=now_us, borrowed=borrowed)
    return Invalidated(
        stale=again,
        failed=repaired,
        estimate=_summed(tx, new, ahead.backfills) if again else None,
        bytes=sum(estimates.bytes_of(tx, one) for one in ahead.backfills),
        backfills=ahead.rows,
        planned=ahead.backfills,
    )


def _once_applied(standing: NodeExtents, reached: Reached | None, returning: Extent, own: bool) -> NodeExtents:
    """Where the partitions of a node stand once the change is applied: what it reaches isn't fresh any
    more, what its code published before is, and what failed under other code of its own only waits."""
    if reached is None and not returning:
        return standing
    stale = NOTHING if reached is None else reached.extent
    found = msgspec.structs.replace(standing, fresh=(standing.fresh | returning) - stale)
    return msgspec.structs.replace(found, failed=NOTHING, hopeless=NOTHING) if own else found


def _summed(tx: Transaction, compiled: Compiled, backfills: Sequence[Backfill]) -> Estimate | None:
    """How long backfills take that are done one after the other; None where it isn't known of all."""
    slots = compiled.project.settings.workers
    found = [estimates.estimate_backfill(tx, compiled, one, slots) for one in backfills]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or not known:
        return None
    seconds, low, high = (sum(each) for each in zip(*((one.seconds, one.low, one.high) for one in known), strict=True))
    return Estimate(seconds, low, high, known[0].basis)


def left(tx: Transaction, compiled: Compiled, before: Invalidated, *, version: int, env: str, now_us: int) -> Invalidated:
    """What of it is still stale once the change is applied: an environment may have had some of it ready."""
    names = {one.node for one in before.stale if one.why == OWN_CODE}
    return _outstanding(tx, compiled, names, before.failed, OWN_CODE, version=version, env=env, now_us=now_us)


def outstanding(tx: Transaction, compiled: Compiled, *, version: int, env: str, now_us: int) -> Invalidated:
    """What is applied and stale: nobody has asked for it since."""
    names = set(compiled.project.assets)
    return _outstanding(tx, compiled, names, (), "is stale", version=version, env=env, now_us=now_us)


def _outstanding(
    tx: Transaction,
    compiled: Compiled,
    names: set[str],
    failed: tuple[Chosen, ...],
    why: str,
    *,
    version: int,
    env: str,
    now_us: int,
) -> Invalidated:
    graph = graph_of(compiled)
    there, nodes = standings.read(tx, graph, version=version, arrived={}), {node.name: node for node in graph.nodes}
    extents = {name: there[name].visible - there[name].fresh for name in nodes if name in names and name in there}
    still = tuple(_chosen(nodes[name], extent, there[name], why) for name, extent in extents.items() if extent)
    ahead = planned_ahead(graph, compiled, there, _needed(nodes, still, failed, env), now_us=now_us)
    return Invalidated(stale=still, failed=failed, backfills=ahead.rows, planned=ahead.backfills)


def reached(tx: Transaction, compiled: Compiled, source: str, keys: Sequence[str], *, version: int, env: str) -> Invalidated:
    """What is published of what reads these partitions of a source, directly or not, and what makes it again."""
    graph = graph_of(compiled)
    there, nodes = standings.read(tx, graph, version=version, arrived={}), {node.name: node for node in graph.nodes}
    found = _stale(nodes, there, {}, {source: of_keys(nodes[source], keys)})
    again = tuple(_chosen(nodes[name], one.extent, there.get(name, NodeExtents()), one.why) for name, one in found.items())
    return Invalidated(stale=again, backfills=tuple(_needed(nodes, [one for one in again if one.node in compiled.project.assets], (), env)))


def _there(found: Mapping[str, NodeExtents], old: Compiled, new: Compiled) -> dict[str, NodeExtents]:
    """Where the partitions of each node stand once the change is applied: those of what is cut otherwise are taken back."""
    there = dict(found)
    for name, former in renames(old, new).items():
        if former in there and name not in there:
            there[name] = there[former]
    cut = {node.name: (node.partition, node.timezone) for node in graph_of(old).nodes}
    now = {node.name: (node.partition, node.timezone) for node in graph_of(new).nodes}
    return {name: one for name, one in there.items() if name not in cut or name not in now or cut[name][0] == now[name][0]}


def _stale(
    nodes: Mapping[str, GraphNode],
    there: Mapping[str, NodeExtents],
    changed: Mapping[str, Extent],
    begun: Mapping[str, Extent] | None = None,
) -> dict[str, Reached]:
    """The partitions that a change of code reaches by node (`changed`), and the published ones that read
    them or what has `begun`, and so on; what exports sent among them, where they send it again."""
    found: dict[str, Extent] = dict(begun or {})
    chosen: dict[str, Reached] = {}
    for name, node in nodes.items():
        standing = there.get(name, NodeExtents())
        own = changed.get(name, NOTHING)
        reading = NOTHING
        names: list[str] = []
        for spec in node.inputs:
            if spec.node not in found or node.tells:
                continue
            read = NodeInput(output=node, spec=spec, input=nodes[spec.node])
            rebuilt = read.reference and node.rebuild_on_reference
            if reached := (standing.visible if rebuilt else touched(read, found[spec.node], standing.known)) & standing.visible:
                reading, names = reading | reached, [*names, spec.node]
        if own or reading:
            found[name] = own | reading
            chosen[name] = Reached(found[name], OWN_CODE if own else f"reads {' and '.join(dict.fromkeys(names))}")
    return chosen


def _failed(nodes: Mapping[str, GraphNode], there: Mapping[str, NodeExtents], changes: Iterable[NodeChange]) -> tuple[Chosen, ...]:
    """What failed or was rejected of the nodes that the change concerns."""
    kinds = (ChangeKind.BODY, ChangeKind.SCHEMA, ChangeKind.CHECKS)
    concerned = {one.node: FAILED for one in changes if one.change in kinds}
    concerned |= {one.node: WAITS for one in changes if one.stale}
    failed = {name: there[name].failed for name in nodes if name in concerned and name in there and there[name].failed}
    return tuple(_chosen(nodes[name], extent, there[name], concerned[name]) for name, extent in failed.items())


def _chosen(node: GraphNode, extent: Extent, standing: NodeExtents, why: str) -> Chosen:
    return Chosen(node=node.name, spans=spans(node, extent, standing.known), partitions=len(extent), why=why)


def rows(chosen: Iterable[Chosen]) -> list[StaleRow]:
    """For a document."""
    return [
        StaleRow(node=one.node, partitions=one.partitions, from_=one.spans[0].first, to=one.spans[-1].last, why=one.why) for one in chosen
    ]


# Commands


def _needed(nodes: Mapping[str, GraphNode], stale: Sequence[Chosen], failed: Sequence[Chosen], env: str) -> Iterator[NeededRow]:
    """Whoever does them makes again what is stale, and what failed; what reads it follows by itself."""
    for group in _groups(nodes, [*stale, *(one for one in failed if one.why == WAITS)]):
        yield _backfill_of(nodes, group, env, Mode.MISSING)
    for group in _groups(nodes, [one for one in failed if one.why == FAILED]):
        yield _backfill_of(nodes, group, env, Mode.FAILED)


def _groups(nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen]) -> list[list[Chosen]]:
    """What one range can name: all that is cut by time, with what isn't cut; each of the rest."""
    timed = [one for one in chosen if nodes[one.node].partition.grain is not None or nodes[one.node].partition.whole]
    rest: dict[str, list[Chosen]] = {}
    for one in chosen:
        if one not in timed:
            rest.setdefault(one.node, []).append(one)
    return [*([timed] if timed else []), *rest.values()]


def _backfill_of(nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen], env: str, mode: Mode) -> NeededRow:
    first, last = _range(nodes, chosen)
    names = list(dict.fromkeys(one.node for one in chosen))
    words = ["headrace", *(["--env", env] if env != PRODUCTION else []), "backfill", *names, "--from", first, "--to", last]
    words += ["--mode", mode.value] if mode is not Mode.MISSING else []
    return NeededRow(select=names, from_=first, to=last, mode=mode, command=shlex.join([*words, "--reason", "TEXT"]))


def _range(nodes: Mapping[str, GraphNode], chosen: Sequence[Chosen]) -> tuple[str, str]:
    """The first and the last key, both included, in the finest grain of any of the nodes."""
    cut = [one for one in chosen if nodes[one.node].partition.grain is not None]
    if not cut:
        keys = sorted(key for one in chosen for span in one.spans for key in (span.first, span.last))
        return (keys[0], keys[-1]) if keys else (WHOLE, WHOLE)
    finest = nodes[min(cut, key=lambda one: GRAINS.index(_grain(nodes[one.node]))).node]
    begins = min(_bounds(nodes[one.node], one.spans[0].first)[0] for one in cut)
    ends = max(_bounds(nodes[one.node], one.spans[-1].last)[1] for one in cut)
    return key_at_us(begins, _grain(finest), finest.timezone), key_at_us(ends - 1, _grain(finest), finest.timezone)


def _bounds(node: GraphNode, key: str) -> tuple[int, int]:
    return bounds_us(key.partition("/")[0], _grain(node), node.timezone)


def _grain(node: GraphNode) -> Grain:
    assert node.partition.grain is not None
    return node.partition.grain
