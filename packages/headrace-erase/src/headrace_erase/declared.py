"""What was ever declared of which something is kept: removed nodes keep their data."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from headrace.extension import Compiled
from headrace.lake import catalog
from headrace.store import Transaction
from headrace.store.queries import applied_versions
from headrace_erase.queries import erasures as stored

T = TypeVar("T")


def with_removed(tx: Transaction, compiled: Compiled) -> Compiled:
    """Return the project with what is removed from it and has data, as it was declared last.

    What was removed last comes first, each after its inputs, which are taken with it.
    """
    names = stored.nodes_with_data(tx) | set(() if catalog.missing(tx) else catalog.tables(tx))
    missing = names - compiled.nodes.keys() - compiled.project.consumers.keys()
    for before in _versions(tx) if missing else ():
        project = before.project
        wanted = _with_inputs(before, missing) - compiled.nodes.keys()
        consumers = _some(project.consumers, missing)
        nodes = {name: before.nodes[name] for name in before.order if name in wanted}
        compiled = replace(
            compiled,
            nodes={**compiled.nodes, **nodes},
            order=(*compiled.order, *nodes),
            project=replace(
                compiled.project,
                sources={**_some(project.sources, wanted), **compiled.project.sources},
                assets={**_some(project.assets, wanted), **compiled.project.assets},
                consumers={**consumers, **compiled.project.consumers},
            ),
        )
        missing -= {*nodes, *consumers}
        if not missing:
            break
    return compiled


def earlier_codes(tx: Transaction, compiled: Compiled) -> list[Compiled]:
    """Return the versions with other code than now that made rows of its nodes, newest first.

    The files of older snapshots have their columns.
    """
    versions = {
        version
        for name in compiled.nodes
        for version in applied_versions.published_versions(tx, name, past=True)
    }
    results = []
    for version in sorted(versions, reverse=True):
        before = applied_versions.fingerprints(tx, version)
        if any(before.get(name) != node.fingerprint for name, node in compiled.nodes.items()):
            content = applied_versions.compiled(tx, version)
            results.append(msgspec.msgpack.decode(content, type=Compiled))
    return results


def _versions(tx: Transaction) -> Iterator[Compiled]:
    """Yield the versions that are stored, newest first."""
    for heading in applied_versions.headings(tx):
        content = applied_versions.compiled(tx, heading.id)
        if content:
            yield msgspec.msgpack.decode(content, type=Compiled)


def _with_inputs(compiled: Compiled, names: set[str]) -> set[str]:
    """Return those of the names that a version has, with all that they read."""
    waiting, results = [name for name in names if name in compiled.nodes], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in results:
            results.add(name)
            waiting += [spec.node for spec in compiled.nodes[name].inputs]
    return results


def _some(values: dict[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: value for name, value in values.items() if name in names}
