"""Contracts that take back something which other domains read: who should agree to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.model import Asset, Contract, Project, Source
from headrace.model.policy import ChangedContract, ReadingDomain
from headrace.plan.comparison import renames
from headrace.plan.compiled import Compiled
from headrace.plan.contracts import VersionLevel, contract_changes
from headrace.plan.domain_moves import DomainMoves
from headrace.plan.node_graph import NodeGraph

GONE = "the contract is gone"
"""Also that of a node that isn't declared any more."""


def contracts_crossing_domains(old: Compiled | None, new: Compiled) -> tuple[ChangedContract, ...]:
    """Return the contracts that take back something, if nodes of other domains read it now.

    A domain reads a contract's node if one of its assets or consumers is downstream of it in the
    applied project. Nodes without a domain don't count. A plan that moves nodes to other domains
    takes something back, too, if a domain isn't asked any more while its nodes read on.
    """
    return tuple(_crossing(old, new)) if old is not None else ()


def _crossing(old: Compiled, new: Compiled) -> Iterator[ChangedContract]:
    graph = None
    new_names = {former: name for name, former in renames(old, new).items()}
    moves = DomainMoves(old, new, new_names)
    tables: list[Source | Asset] = [*old.project.sources.values(), *old.project.assets.values()]
    for node in tables:
        name = new_names.get(node.name, node.name)
        was, now = _contract(old.project, node.name), _contract(new.project, name)
        if was is None:
            continue
        changes = _taken_back(was, now)
        if not changes and not moves:
            continue
        graph = graph or NodeGraph(old, data_only=True)
        readers = _reading_domains(old.project, graph, node.name, node.domain)
        changes, readers = _with_moves(moves, node.name, changes, readers)
        if readers:
            yield ChangedContract(
                node=name,
                contract=was.name,
                before=was.version,
                after=None if now is None else now.version,
                changes=changes,
                readers=readers,
            )


def _with_moves(
    moves: DomainMoves, node: str, changes: tuple[str, ...], readers: tuple[ReadingDomain, ...]
) -> tuple[tuple[str, ...], tuple[ReadingDomain, ...]]:
    """Return what is taken back, among it the say of a domain, and the domains to ask about it."""
    unasked = moves.unasked(node, readers) if moves else ()
    lost = moves.texts(node, unasked) if unasked else ()
    return (*changes, *lost), readers if changes else unasked


def _contract(project: Project, name: str) -> Contract | None:
    node = project.source_or_asset(name)
    return None if node is None else project.contracts.get(node.contract or "")


def _taken_back(was: Contract, now: Contract | None) -> tuple[str, ...]:
    if now is None:
        return (GONE,)
    changes = contract_changes(was, now)
    return tuple(change.said for change in changes if change.level is VersionLevel.MAJOR)


def _reading_domains(
    project: Project, graph: NodeGraph, name: str, domain: str | None
) -> tuple[ReadingDomain, ...]:
    nodes: dict[str, list[str]] = {}
    owners: dict[str, set[str]] = {}
    for below in sorted(graph.downstream([name])):
        reader = project.node(below)
        if reader is None or reader.domain is None or reader.domain == domain:
            continue
        nodes.setdefault(reader.domain, []).append(below)
        owners.setdefault(reader.domain, set()).add(reader.owner)
    return tuple(
        ReadingDomain(domain=item, owners=tuple(sorted(owners[item])), nodes=tuple(nodes[item]))
        for item in sorted(nodes)
    )
