"""What nodes' data reaches: the assets made of it, directly or not, and the consumers that read any of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.model import Project
from headrace.observe.declared_promises import DeclaredPromises
from headrace.observe.diagnosis.causes import HEADRACE
from headrace.store.queries.incidents import Incident


def still_declared(incident: Incident, project: Project) -> Incident:
    """An open incident that affects nothing that was removed from the project since. A resolved one keeps
    what it affected."""
    if incident.state == "resolved":
        return incident
    assets = tuple(name for name in incident.affected.assets if name in project.assets)
    consumers = tuple(name for name in incident.affected.consumers if name in project.consumers)
    affected = msgspec.structs.replace(incident.affected, assets=assets, consumers=consumers)
    return msgspec.structs.replace(incident, affected=affected)


class DownstreamIndex:
    """Downstream of nodes, as applied. Keep it as long as that is."""

    def __init__(self, declared_promises: DeclaredPromises) -> None:
        self._declared_promises = declared_promises
        self._rank = {name: number for number, name in enumerate(declared_promises.nodes)}
        self._below: dict[str, list[str]] = {}
        for node in declared_promises.nodes.values():
            for spec in node.inputs:
                self._below.setdefault(spec.node, []).append(node.name)

    def assets(self, *nodes: str) -> tuple[str, ...]:
        """The assets below any of these nodes, in topological order."""
        results, waiting = set[str](), list(nodes)
        while waiting:
            for name in self._below.get(waiting.pop(), ()):
                if name not in results:
                    results.add(name)
                    waiting.append(name)
        return tuple(sorted(results, key=self._rank.__getitem__))

    def consumers(self, *nodes: str) -> tuple[str, ...]:
        """The consumers that read any of these nodes or what is made of it; of a consumer's export, that consumer; of
        Headrace itself, all."""
        return self.readers(nodes, self.assets(*nodes))

    def readers(self, nodes: Iterable[str], below: Iterable[str]) -> tuple[str, ...]:
        """The same where what is below the nodes is known."""
        names = {*nodes, *below}
        return tuple(
            terms.consumer
            for terms in self._declared_promises.consumers
            if HEADRACE in names or terms.consumer in names or not names.isdisjoint(terms.reads)
        )
