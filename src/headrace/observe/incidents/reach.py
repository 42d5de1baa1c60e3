"""What a node's data reaches: the assets made of it, directly or not, and the consumers that read any of them."""

from __future__ import annotations

from headrace.observe.diagnosis.causes import HEADRACE
from headrace.observe.watched import Watched


class Reach:
    """Downstream of each node, as applied."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._below: dict[str, list[str]] = {}
        for node in watched.nodes.values():
            for spec in node.inputs:
                self._below.setdefault(spec.node, []).append(node.name)

    def assets(self, node: str) -> tuple[str, ...]:
        """The assets below a node, in topological order."""
        found, waiting = set[str](), [node]
        while waiting:
            for name in self._below.get(waiting.pop(), ()):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return tuple(name for name in self._watched.nodes if name in found)

    def consumers(self, node: str) -> tuple[str, ...]:
        """The consumers that read a node or what is made of it; of a consumer's export, that consumer; of
        Headrace itself, all."""
        if node == HEADRACE:
            return tuple(terms.consumer for terms in self._watched.consumers)
        names = {node, *self.assets(node)}
        return tuple(terms.consumer for terms in self._watched.consumers if terms.consumer == node or names & set(terms.reads))
