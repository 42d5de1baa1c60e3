"""Nodes that fail in all their partitions."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

from headrace.model.texts import hidden
from headrace.store.queries import attempts
from headrace.store.queries.failures import WITH_RESULT, newest_failures
from headrace.store.transaction import Transaction


def failing_alike(tx: Transaction, version: int) -> list[str]:
    """Return the nodes whose newest failures aren't about one partition alone, by name.

    Since an attempt had another result, all failed at this version: one in a way that is the same
    in every partition, or several partitions deterministically, at the same line and with the same
    words, other than values of rows.
    """
    nodes = [failure.node for failure in newest_failures(tx, version)]
    return [node for node in nodes if _fails_alike(tx, node, version)]


def _fails_alike(tx: Transaction, node: str, version: int) -> bool:
    failed = takewhile(
        lambda each: each.state in ("failed", "lost") and each.version == version,
        attempts.of_node(tx, node, states=WITH_RESULT),
    )
    errors = [(each.partitions, each.error) for each in failed if each.error is not None]
    # Of a batch, one partition may be the reason.
    ways = {
        (keys, error.get("file"), error.get("line"), hidden(str(error.get("message"))))
        for keys, error in errors
        if error.get("kind") == "deterministic" and len(keys) == 1
    }
    several = any(number > 1 for number in Counter(way[1:] for way in ways).values())
    return several or any(error.get("everywhere") for _, error in errors)
