"""Exports in the core: a node with its consumer's name and intervals."""

from __future__ import annotations

from headrace.model import Consumer, InputSpec, Project
from headrace.model.exports import Export, OnRestatement, export_of, export_partition, reads_of
from headrace.plan import Compiled
from headrace.plan.compiled import expand_views
from headrace.scheduler import GraphNode

ATTEMPTS_MAX = 10_000
"""A destination that is away comes back: every pass tries again, until somebody takes the export out."""
TIMEOUT_US = 3_600_000_000


def exports(project: Project) -> dict[str, Export]:
    """The consumers that are exported to, by name."""
    results = {name: export_of(consumer) for name, consumer in project.consumers.items()}
    return {name: export for name, export in results.items() if export is not None}


def export_inputs(consumer: Consumer) -> tuple[InputSpec, ...]:
    """What an export reads: per interval of the consumer, what that interval requires."""
    return tuple(InputSpec(node=name, place=consumer.place) for name in consumer.reads)


def export_nodes(compiled: Compiled) -> tuple[GraphNode, ...]:
    """The exports of an applied project, as the core needs them. They come after everything that they read."""
    project = compiled.project
    return tuple(_node(compiled, project.consumers[name], export) for name, export in exports(project).items())


def _node(compiled: Compiled, consumer: Consumer, export: Export) -> GraphNode:
    project = compiled.project
    return GraphNode(
        name=consumer.name,
        is_source=False,
        partition=export_partition(consumer, reads_of(project, consumer)),
        timezone=consumer.timezone,
        inputs=expand_views(compiled, export_inputs(consumer)),
        attempts_max=ATTEMPTS_MAX,
        timeout_us=TIMEOUT_US,
        settled=True,
        tells=export.on_restatement is OnRestatement.TELL,
    )
