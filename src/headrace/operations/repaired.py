"""What a run repaired: what it published and what had failed, been held, rejected or lost before; and who reads it."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.model.ordering import order_of
from headrace.operations.responses import RepairedRow
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries import attempts, failures

LOOKED_AT_MAX = 500
"""So many of a run's publications are looked at: a run of more is no repair by hand."""
_WRONG = ("failed", "held", "rejected", "lost")


def wrong_before(tx: Transaction, run: int, published: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Node → partitions of a run's that came to nothing when they were tried before it."""
    results: dict[str, list[str]] = {}
    for node, key in list(published)[:LOOKED_AT_MAX]:
        before = next((attempt for attempt in attempts.of_partition(tx, node, key) if attempt.run_id != run), None)
        if before is not None and before.state in _WRONG:
            results.setdefault(node, []).append(key)
    return results


def rows(tx: Transaction, compiled: Compiled, results: dict[str, list[str]]) -> list[RepairedRow]:
    """For a document, inputs first."""
    return [_row(tx, compiled, name, results[name]) for name in compiled.order if name in results]


def _row(tx: Transaction, compiled: Compiled, name: str, keys: list[str]) -> RepairedRow:
    node = compiled.project.sources.get(name) or compiled.project.assets[name]
    ordered = (
        sorted(keys, key=lambda key: order_of(key, node.partition, node.timezone)) if node.partition.grain is not None else sorted(keys)
    )
    below = _below(compiled, name)
    return RepairedRow(
        node=name,
        partitions=ordered,
        still_wrong=len(failures.of_node(tx, name)),
        assets=sorted(below - {name}),
        consumers=sorted(item for item, consumer in compiled.project.consumers.items() if below & set(consumer.reads)),
    )


def _below(compiled: Compiled, name: str) -> set[str]:
    results = {name}
    for item in compiled.order:
        if results & {spec.node for spec in compiled.nodes[item].inputs}:
            results.add(item)
    return results
