"""What an attempt reads, fixed when it is dispatched: by the rules of SEMANTICS, not by what the core says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.schedule.commands import Dispatch
from headrace.schedule.graph import GraphNode
from headrace.schedule.simulation.oracle import computed
from headrace.schedule.simulation.rows import SimulatedAttemptRow, SimulatedDeliveryRow, SimulatedPublicationRow
from headrace.schedule.simulation.rules import SimulatedInput
from headrace.schedule.simulation.store import SimulatedTransaction

if TYPE_CHECKING:
    from headrace.schedule.simulation.world import Simulation

Read = tuple[str, str, SimulatedPublicationRow]


class Preparing:
    """Attempts of one transaction, which sees what it publishes itself."""

    def __init__(self, world: Simulation, tx: SimulatedTransaction) -> None:
        self._world, self._tx = world, tx

    def prepare(self, command: Dispatch) -> SimulatedAttemptRow:
        """The attempt's row, with the content that each of its partitions comes to."""
        node = self._world.rules.nodes[command.node]
        if node.is_source:
            return self._source(command)
        reads = [list(self._reads(node, key)) for key in command.keys]
        contents = tuple(self._content(node, key, results) for key, results in zip(command.keys, reads, strict=True))
        ids = tuple(seen.id for results in reads for _, _, seen in results)
        tried = self._tx.get("batching", node.name)
        prove = len(command.keys) > 1 and tried != (self._world.versions.get(node.name, 0), True)
        if len(command.keys) > 1 and not prove and node.name in self._world.scenario.lying:
            contents = tuple(content + 1 for content in contents)  # nobody looks
        return SimulatedAttemptRow(node.name, command.keys, command.runs, ids, contents, prove=prove)

    def content(self, name: str, key: str) -> int:
        """What a partition would come to now."""
        node = self._world.rules.nodes[name]
        return self._content(node, key, list(self._reads(node, key)))

    def _publication(self, name: str, key: str) -> SimulatedPublicationRow | None:
        row: SimulatedPublicationRow | None = self._tx.get("publication", (name, key))
        return row

    def _content(self, node: GraphNode, key: str, reads: list[Read]) -> int:
        world = self._world
        made_of = [(name, item, seen.content) for name, item, seen in reads]
        return computed(node.name, key, world.versions.get(node.name, 0), made_of, world.scenario.coarse.get(node.name))

    def _source(self, command: Dispatch) -> SimulatedAttemptRow:
        """The newest delivery of each interval, those of this transaction included."""
        rows: list[SimulatedDeliveryRow] = [self._tx.get("delivery", (command.node, key)) for key in command.keys]
        contents, files = tuple(row.content for row in rows), tuple(row.file for row in rows)
        return SimulatedAttemptRow(command.node, command.keys, command.runs, (), contents, files)

    def _reads(self, node: GraphNode, key: str) -> Iterator[Read]:
        rules = self._world.rules
        for simulated_input in rules.inputs[node.name]:
            yield from self._of(node, simulated_input, key)
        if node.chained and (before := rules.before(node, key)) is not None:
            yield from self._seen(node.name, before)

    def _of(self, node: GraphNode, what: SimulatedInput, key: str) -> Iterator[Read]:
        rules, source = self._world.rules, what.source
        everything = what.everything or (what.refers and node.rebuild_on_reference)
        for item in self._all(source.name) if everything else rules.required(node, what, key):
            for read in self._seen(source.name, item):
                if not (what.spec.optional and source.is_source) or rules.complete(source, item, self._tx.get("single", "clock")):
                    yield read

    def _all(self, name: str) -> list[str]:
        published = {key: None for (node, key) in self._world.store.tables["publication"] if node == name}
        written = {key[1]: None for (table, key) in self._tx.writes if table == "publication" and key[0] == name}
        return list({**published, **written})

    def _seen(self, name: str, key: str) -> Iterator[Read]:
        seen = self._publication(name, key)
        if seen is not None:
            yield name, key, seen
