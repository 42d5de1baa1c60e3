"""Exports as nodes of the core, with their consumer's name and intervals."""

from __future__ import annotations

from headrace.model import Consumer, InputSpec, Project
from headrace.model.export_problems import reads_of
from headrace.model.exports import Export, OnRestatement, export_of, export_partition
from headrace.plan import Compiled
from headrace.plan.compiled import expand_views
from headrace.scheduler import GraphNode

ATTEMPTS_MAX = 10_000
"""Practically no limit: a destination that is down comes back.

Each pass retries until the export is removed.
"""
TIMEOUT_US = 3_600_000_000


def exports(project: Project) -> dict[str, Export]:
    """Return the consumers with an export, by name."""
    results = {name: export_of(consumer) for name, consumer in project.consumers.items()}
    return {name: export for name, export in results.items() if export is not None}


def export_inputs(consumer: Consumer) -> tuple[InputSpec, ...]:
    """Return what an export reads: for each interval of the consumer, its required partitions."""
    return tuple(InputSpec(node=name, place=consumer.place) for name in consumer.reads)


def export_nodes(compiled: Compiled) -> tuple[GraphNode, ...]:
    """Return the exports of an applied project as nodes for the core, after all of their inputs."""
    project = compiled.project
    return tuple(
        _node(compiled, project.consumers[name], export)
        for name, export in exports(project).items()
    )


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
