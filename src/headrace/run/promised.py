"""Deadlines of consumers travel up the graph: what each node is promised to whom, and how long it takes from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace.model import Consumer
from headrace.model.days_off import days_off
from headrace.plan import Compiled
from headrace.plan.views import expanded_names
from headrace.schedule import ConsumerDeadline, GraphNode

_SECOND_US = 1_000_000


def with_promises(compiled: Compiled, nodes: Sequence[GraphNode], seconds: Mapping[str, float]) -> tuple[GraphNode, ...]:
    """The nodes (in topological order), each with what it is promised to. Consumers with the same deadline are one promise."""
    terms: dict[ConsumerDeadline, dict[str, int]] = {}
    for name, consumer in compiled.project.consumers.items():
        promise = _promise(compiled, consumer)
        same = next((term for term in terms if msgspec.structs.replace(term, consumer=name) == promise), promise)
        reads = {name: 0, **dict.fromkeys(expanded_names(compiled, consumer.reads), 0)}
        terms.setdefault(same, {}).update(reads)
    reached = [(promise, _after(nodes, reads, seconds)) for promise, reads in terms.items()]
    return tuple(msgspec.structs.replace(node, promises=_of(node, reached)) for node in nodes)


def _promise(compiled: Compiled, consumer: Consumer) -> ConsumerDeadline:
    off = days_off(compiled.project, consumer.calendar)
    return ConsumerDeadline(consumer.name, consumer.per, consumer.timezone, consumer.due or "", 0, off, consumer.max_age)


def _after(nodes: Sequence[GraphNode], reads: Mapping[str, int], seconds: Mapping[str, float]) -> dict[str, int]:
    """Node → microseconds from its beginning until the last of what is read was published, on the longest way; of those that lead there."""
    results: dict[str, int] = {}
    for node in reversed(nodes):
        below = results.get(node.name, reads.get(node.name))
        if below is None:
            continue
        results[node.name] = after = below + int(seconds.get(node.name, 0.0) * _SECOND_US)
        for name in (*(spec.node for spec in node.inputs), *node.depends):
            results[name] = max(results.get(name, 0), after)
    return results


def _of(node: GraphNode, reached: Sequence[tuple[ConsumerDeadline, dict[str, int]]]) -> tuple[ConsumerDeadline, ...]:
    return tuple(msgspec.structs.replace(promise, after_us=after[node.name]) for promise, after in reached if node.name in after)
