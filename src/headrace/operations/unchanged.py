"""Whether computing partitions again can come to anything else than what was published: another code, or other inputs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from headrace.model import InputSpec, UsageError
from headrace.model.required import required
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries import partitions, publications, versions
from headrace.store.queries.publications import Computed


def unchanged(tx: Transaction, compiled: Compiled, node: str, keys: Iterable[str]) -> list[str]:
    """Those of an asset's partitions whose newest publication, whether readers still see it or not, was computed by the code that is
    applied now from the inputs as they are now. What was never published isn't among them."""
    found = []
    fingerprints: dict[int, str | None] = {}
    for key in keys:
        newest = publications.computed(tx, node, key)
        if newest is None:
            continue
        if newest.version not in fingerprints:
            fingerprints[newest.version] = _fingerprint(tx, newest.version, node)
        if fingerprints[newest.version] == compiled.nodes[node].fingerprint and not _input_changed(tx, compiled, node, newest):
            found.append(key)
    return found


def code_changed(tx: Transaction, compiled: Compiled, node: str, key: str, known: dict[tuple[int, str], str | None]) -> bool:
    """Whether an asset's partition was published by other code than is applied now. `known` keeps what was looked up."""
    newest = publications.computed(tx, node, key)
    if newest is None:
        return False
    at = (newest.version, node)
    if at not in known:
        known[at] = _fingerprint(tx, *at)
    return known[at] != compiled.nodes[node].fingerprint


def _fingerprint(tx: Transaction, version: int, node: str) -> str | None:
    applied = versions.get(tx, version)
    if applied is None:
        return None
    known = msgspec.msgpack.decode(applied.compiled, type=Compiled).nodes.get(node)
    return None if known is None else known.fingerprint


def _input_changed(tx: Transaction, compiled: Compiled, node: str, one: Computed) -> bool:
    """Whether an input that it needs has other rows since it was read."""
    for spec in compiled.nodes[node].inputs:
        changed = publications.changed_since(tx, spec.node, one.read, besides=one.snapshot if one.planned else None)
        wanted = _required(tx, compiled, node, one.partition, spec) if changed else None
        if changed and (wanted is None or wanted & changed):
            return True
    return False


def _required(tx: Transaction, compiled: Compiled, node: str, key: str, spec: InputSpec) -> frozenset[str] | None:
    """The partitions of an input that a partition is computed from; None: of all."""
    project = compiled.project
    declared, source = project.assets[node], project.sources.get(spec.node) or project.assets[spec.node]
    seen = partial(partitions.data_keys, tx, spec.node)
    try:
        keys = required(declared.partition, declared.timezone, key, source.partition, source.timezone, spec, seen).keys
    except UsageError:  # it is partitioned otherwise since
        return None
    return None if keys is None else frozenset(keys)
