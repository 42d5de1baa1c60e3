"""What a plan staged with code that isn't applied any more doesn't count: it is dropped, and made again."""

from __future__ import annotations

import msgspec

from headrace.plan import Compiled
from headrace.run.applying import AppliedVersion
from headrace.run.overlays.staged import OverlayPartitions
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import plans, versions


def drop_outdated(tx: Transaction, staged: OverlayPartitions, applied: AppliedVersion) -> set[str]:
    """Drop it; the nodes that it was of."""
    made_by = {AttemptId(outcome.epoch, outcome.n): outcome.version for outcome in plans.outcomes(tx, staged.plan)}
    others = {version for version in made_by.values() if version != applied.id}
    changed = {version: _changed(tx, version, applied.compiled) for version in others}
    gone = set()
    for node in list(staged.rows):
        nodes = (changed.get(made_by.get(AttemptId(row.epoch, row.n), 0), ()) for row in staged.rows[node].values())
        if any(node in results for results in nodes):
            staged.forget_node(tx, node)
            gone.add(node)
    return gone


def recut(tx: Transaction, version: int, applied: AppliedVersion, nodes: list[str]) -> list[str]:
    """Of the nodes of a plan that was made when `version` was applied, those that aren't there any more or are cut otherwise: what was
    planned means nothing to them."""
    if version == applied.id:
        return []
    before = _compiled(tx, version)
    return [name for name in nodes if _cut(before, name) is None or _cut(before, name) != _cut(applied.compiled, name)]


def _changed(tx: Transaction, version: int, now: Compiled) -> set[str]:
    before = _compiled(tx, version)
    names = (before.nodes if before is not None else {}) | now.nodes
    return {name for name in names if _fingerprint(before, name) is None or _fingerprint(before, name) != _fingerprint(now, name)}


def _fingerprint(compiled: Compiled | None, name: str) -> str | None:
    node = compiled.nodes.get(name) if compiled is not None else None
    return None if node is None else node.fingerprint


def _cut(compiled: Compiled | None, name: str) -> tuple[object, ...] | None:
    if compiled is None or name not in compiled.nodes:
        return None
    declared = compiled.project.sources.get(name) or compiled.project.assets[name]
    return (declared.partition, declared.timezone, getattr(declared, "materialize", None))


def _compiled(tx: Transaction, version: int) -> Compiled | None:
    result = versions.get(tx, version)
    return None if result is None else msgspec.msgpack.decode(result.compiled, type=Compiled)
