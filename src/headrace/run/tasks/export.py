"""The task that writes what a consumer reads, for one interval, to where it wants it."""

from __future__ import annotations

from headrace.engine import InputData
from headrace.lake.catalog import newest_snapshot
from headrace.model import Consumer, InputMode, InputSpec, PartitionSpec
from headrace.model.export_links import reads_of
from headrace.model.exports import export_partition
from headrace.model.intervals import interval_of
from headrace.model.required import WHOLE, required
from headrace.plan.views import is_view
from headrace.run.messages import Export
from headrace.run.tasks.lookup import Lookup
from headrace.schedule import AttemptId
from headrace.store import Transaction


def task(lookup: Lookup, tx: Transaction, attempt: AttemptId, consumer: Consumer, keys: tuple[str, ...], now: int) -> Export:
    """One interval of a consumer, with exactly what it requires of what the consumer reads. Raises Undeliverable."""
    (interval,) = keys
    spec = export_partition(consumer, reads_of(lookup.project, consumer))
    span = interval_of(interval, spec.grain, consumer.timezone) if spec.grain is not None else None
    snapshot = newest_snapshot(tx)
    assert consumer.export is not None
    return Export(
        attempt=str(attempt),
        consumer=consumer.name,
        interval=interval,
        start=span.start.isoformat() if span else None,
        end=span.end.isoformat() if span else None,
        timezone=consumer.timezone,
        target=consumer.export,
        connection=lookup.project.settings.connections.get(_connection(consumer), {}),
        reads=tuple(_read(lookup, tx, consumer, spec, interval, name, snapshot) for name in consumer.reads),
        now_us=now,
    )


def _connection(consumer: Consumer) -> str:
    said = consumer.export or {}
    to = said.get("to")
    return str(to["connection"] if isinstance(to, dict) else said.get("connection", ""))


def _read(lookup: Lookup, tx: Transaction, consumer: Consumer, spec: PartitionSpec, interval: str, name: str, snapshot: int) -> InputData:
    """What the interval requires of one read; everything where that isn't cut by time."""
    how = InputSpec(node=name, place=consumer.place)
    return _read_as(lookup, tx, consumer, spec, interval, how, snapshot)


def _read_as(
    lookup: Lookup, tx: Transaction, consumer: Consumer, spec: PartitionSpec, interval: str, how: InputSpec, snapshot: int
) -> InputData:
    """As `_read`; of a view, what the interval requires of each of its inputs."""
    name = how.node
    if is_view(lookup.project, name):
        return lookup.view(how, lambda one: _read_as(lookup, tx, consumer, spec, interval, one, snapshot))
    node = lookup.project.sources.get(name) or lookup.project.assets[name]
    if interval == WHOLE or node.partition.grain is None or how.mode is InputMode.ALL:
        return lookup.data(tx, name, None, snapshot)
    keys = required(spec, consumer.timezone, interval, node.partition, node.timezone, how).keys
    return lookup.data(tx, name, keys, snapshot)
