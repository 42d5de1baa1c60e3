"""Who is above and below a node: the graph of what is applied, both ways, with its consumers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from headrace.model import Project
from headrace.operations.remembering import of_version
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled


class EdgeIndex:
    """Edges by name, in both directions; consumers are below what they read."""

    def __init__(self, project: Project, compiled: Compiled) -> None:
        self._consumers = project.consumers
        self.above: dict[str, tuple[str, ...]] = {
            node.name: tuple(dict.fromkeys((*(spec.node for spec in node.inputs), *node.depends))) for node in compiled.nodes.values()
        }
        self.above |= {consumer.name: consumer.reads for consumer in project.consumers.values()}
        self.below: dict[str, list[str]] = {}
        for name, parents in self.above.items():
            for parent in parents:
                self.below.setdefault(parent, []).append(name)

    def consumers(self, name: str) -> list[str]:
        """All consumers that a node reaches, by name."""
        return sorted(distance for distance in self.distances(name, self.below) if distance in self._consumers)

    def distances(
        self, name: str, edges: Mapping[str, list[str]] | Mapping[str, tuple[str, ...]], most: int | None = None
    ) -> dict[str, int]:
        """Everything that can be reached along `edges` within `most` steps, nearest first, with how many steps it takes."""
        results, queue = {name: 0}, deque([name])
        while queue:
            item = queue.popleft()
            if most is not None and results[item] >= most:
                continue
            for other in edges.get(item, ()):
                if other not in results:
                    results[other] = results[item] + 1
                    queue.append(other)
        return results


def reach_of(session: ProjectSession, compiled: Compiled) -> EdgeIndex:
    """That of what is applied, kept as long as it is; before that, of what the files say now."""
    if session.version is None:
        return EdgeIndex(compiled.project, compiled)
    return of_version(session, "reach", lambda: EdgeIndex(compiled.project, compiled))
