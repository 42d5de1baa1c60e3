"""The task that writes what a consumer reads, for one interval, to where it wants it."""

from __future__ import annotations

from headrace.govern import identity
from headrace.model import Consumer, Source
from headrace.model.export_links import reads_of
from headrace.model.exports import export_partition
from headrace.model.intervals import interval_of
from headrace.run.exporting import export_inputs
from headrace.run.messages import ExportTask
from headrace.run.tasks.inputs import input_of
from headrace.run.tasks.lookup import TaskLookup
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import export_targets


def task(
    lookup: TaskLookup, tx: Transaction, attempt: AttemptId, consumer: Consumer, keys: tuple[str, ...], now: int, snapshot: int
) -> ExportTask:
    """One interval of a consumer, with exactly what it requires of what the consumer reads. Raises Undeliverable."""
    (interval,) = keys
    spec = export_partition(consumer, reads_of(lookup.project, consumer))
    span = interval_of(interval, spec.grain, consumer.timezone) if spec.grain is not None else None
    reader = Source(name=consumer.name, owner=consumer.owner, partition=spec, timezone=consumer.timezone, place=consumer.place)
    assert consumer.export is not None
    return ExportTask(
        attempt=str(attempt),
        consumer=consumer.name,
        interval=interval,
        start=span.start.isoformat() if span else None,
        end=span.end.isoformat() if span else None,
        timezone=consumer.timezone,
        target=consumer.export,
        connection=lookup.project.settings.connections.get(_connection(consumer), {}),
        reads=tuple(input_of(lookup, tx, reader, spec, keys, snapshot) for spec in export_inputs(consumer)),
        now_us=now,
        project=identity.of_state(tx) or "",
        take_over=export_targets.take_over(tx, consumer.name),
    )


def _connection(consumer: Consumer) -> str:
    said = consumer.export or {}
    to = said.get("to")
    return str(to["connection"] if isinstance(to, dict) else said.get("connection", ""))
