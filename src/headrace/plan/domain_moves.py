"""Nodes that a plan moves to other domains, and the domains that then aren't asked any more. Pure.

Else a contract could be weakened in two plans that nobody else agrees to: the first one moves its
node, or a node that reads it, so that both are of one domain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from headrace.model.policy import ReadingDomain
from headrace.plan.compiled import Compiled
from headrace.plan.node_graph import NodeGraph


class DomainMoves:
    """The moves of a plan. Nodes have their applied names."""

    def __init__(self, old: Compiled, new: Compiled, new_names: dict[str, str]) -> None:
        self._old, self._new, self._new_names = old.project, new, new_names
        self._graph: NodeGraph | None = None
        self._moved = {
            node.name: domain
            for node in old.project.nodes()
            if (now := new.project.node(new_names.get(node.name, node.name))) is not None
            if (domain := now.domain) != node.domain
        }

    def __bool__(self) -> bool:
        return bool(self._moved)

    def unasked(self, node: str, readers: Sequence[ReadingDomain]) -> tuple[ReadingDomain, ...]:
        """Return the readers that still read a node, without a say in changes of its contract."""
        results = []
        for reader in readers:
            names = tuple(self._reading_on(node, reader))
            if names and not self._has_a_say(node, reader.domain):
                owners = {owner.owner for name in names if (owner := self._old.node(name))}
                results.append(
                    ReadingDomain(domain=reader.domain, owners=tuple(sorted(owners)), nodes=names)
                )
        return tuple(results)

    def texts(self, node: str, readers: Sequence[ReadingDomain]) -> tuple[str, ...]:
        """Return the moves of a node and of nodes that read it, in words."""
        names = (node, *(name for reader in readers for name in reader.nodes))
        return tuple(self._text(name) for name in names if name in self._moved)

    def _reading_on(self, node: str, reader: ReadingDomain) -> Iterator[str]:
        below = self._below(node)
        yield from (name for name in reader.nodes if self._new_names.get(name, name) in below)

    def _has_a_say(self, node: str, domain: str) -> bool:
        """Whether a domain then isn't the node's own one, and a node of it reads the node."""
        now = self._new.project.node(self._new_names.get(node, node))
        return (now is None or now.domain != domain) and any(
            reader.domain == domain
            for name in self._below(node)
            if (reader := self._new.project.node(name)) is not None
        )

    def _below(self, node: str) -> Collection[str]:
        """Return what is then downstream of a node, with the new names."""
        self._graph = self._graph or NodeGraph(self._new, data_only=True)
        return self._graph.downstream([self._new_names.get(node, node)])

    def _text(self, node: str) -> str:
        applied = self._old.node(node)
        before = "no domain" if applied is None else _named(applied.domain)
        return f"{node} moves from {before} to {_named(self._moved[node])}"


def _named(domain: str | None) -> str:
    return "no domain" if domain is None else f"the domain {domain}"
