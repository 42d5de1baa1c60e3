"""What a partition is judged beside: the versions of all others, other owners' sources, and what is declared about oddities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.model import Asset, InputMode, Source
from headrace.model.common import anomaly_policies
from headrace.model.intervals import bounds_us
from headrace.model.required import SEPARATOR, WHOLE
from headrace.plan.lineage import ALL
from headrace.quality.anomalies.occasions import country_of
from headrace.quality.anomalies.policy import IGNORE
from headrace.quality.anomalies.stale import PublishedContent
from headrace.quality.facts import FactSeverity
from headrace.run.messages import AnomalyContext
from headrace.run.tasks.lookup import TaskLookup
from headrace.run.tasks.peers import peers_of
from headrace.store import Transaction
from headrace.store.queries import drift, exceptions, metrics, publications

EACH_KNOWN = 14
"""In how many earlier partitions rows are compared with the rows of their input."""


def of_asset(lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...]) -> AnomalyContext:
    """Of something computed: what is declared, and which partitions that it is made of are unlike their history. What follows from data
    that somebody accepted isn't held once more."""
    every, of_columns = anomaly_policies(asset.on_anomaly)
    if asset.partition.grain is None:  # it isn't judged by others: no-ops needn't pay for being asked about
        return AnomalyContext(on_anomaly=every, of_columns=of_columns, sources=len(lookup.project.sources))
    if every is None and _stands_on_an_exception(lookup, tx, asset, keys):
        every = FactSeverity.WARN.value
    above = sorted(_above(lookup, asset.name))
    unusual = drift.unusual_partitions(tx, above, min(keys), max(keys))
    rewritten = lookup.rewritten(tx, asset.name)
    return AnomalyContext(
        on_anomaly=every,
        of_columns=of_columns,
        sources=len(lookup.project.sources),
        unusual=tuple(unusual),
        more_rows=tuple(drift.unusual_partitions(tx, above, min(keys), max(keys), drift.ROW_KINDS)) if unusual and rewritten else None,
        rows_each=_rows_each(lookup, tx, asset, keys) if rewritten else None,
        emptied=tuple(_emptied(lookup, tx, asset, above, keys)) if unusual else (),
        calendar=_calendar(lookup, asset),
    )


def aged_from_us(tx: Transaction, node: Source | Asset, key: str, timezone: str) -> int:
    """The instant that ages in what readers see of a partition were measured from when it was published."""
    publication = publications.current(tx, node.name, key)
    published_us = 0 if publication is None else publication.published_at
    grain = node.partition.grain
    if grain is None:
        return published_us
    return min(published_us, bounds_us(key.partition(SEPARATOR)[0], grain, timezone)[1])


def _emptied(lookup: TaskLookup, tx: Transaction, asset: Asset, above: Sequence[str], keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(partition, the asset's column) where that is made of columns that were emptied, as is known, and were published so."""
    results: dict[str, list[tuple[str, str]]] = {}
    for node, partition, column in drift.emptied(tx, above, min(keys), max(keys)):
        results.setdefault(partition, []).append((node, column))
    for partition, columns in results.items():
        yield from ((partition, own) for own in lookup.uses.made_of(asset.name, columns))


def _rows_each(lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...]) -> float | None:
    """The most rows that an asset ever had for each row of its one input, where each of its partitions is made of the same one of that,
    and this is known of enough partitions."""
    inputs = lookup.compiled.nodes[asset.name].inputs
    if len(keys) > 1 or len(inputs) != 1 or inputs[0].mode is not InputMode.REQUIRED or inputs[0].lookback is not None:
        return None
    read = lookup.project.sources.get(inputs[0].node) or lookup.project.assets[inputs[0].node]
    if (read.partition.grain, read.timezone) != (asset.partition.grain, asset.timezone) or read.partition.key or asset.partition.key:
        return None
    results = publications.rows_each(tx, asset.name, read.name, keys[0], EACH_KNOWN)
    return max(results) if len(results) == EACH_KNOWN else None


def of_source(lookup: TaskLookup, tx: Transaction, source: Source, keys: tuple[str, ...]) -> AnomalyContext:
    """Of a delivery. One of several intervals is judged without peers; one that isn't cut by time, by its declaration alone."""
    every, of_columns = anomaly_policies(source.on_anomaly)
    if min(keys) == WHOLE or source.on_anomaly == IGNORE:
        return AnomalyContext(on_anomaly=every, of_columns=of_columns, sources=len(lookup.project.sources))
    return AnomalyContext(
        on_anomaly=every,
        of_columns=of_columns,
        sources=len(lookup.project.sources),
        versions=() if source.expect.unchanged else tuple(PublishedContent(*version) for version in metrics.versions(tx, source.name)),
        peers=tuple(peers_of(tx, lookup.project, source, keys[0])) if len(keys) == 1 else (),
        calendar=_calendar(lookup, source),
        used=None if ALL in (used := lookup.uses.direct(source.name)) else tuple(used),
    )


def _calendar(lookup: TaskLookup, node: Source | Asset) -> str:
    """What says which days are public holidays. A calendar of the project's own lists days without data, which nobody judges."""
    if node.calendar is not None and node.calendar not in lookup.project.calendars:
        return node.calendar
    return country_of(node.timezone)


def _stands_on_an_exception(lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...]) -> bool:
    excepted = exceptions.nodes_between(tx, min(keys), max(keys))
    return bool(excepted) and not excepted.isdisjoint(_above(lookup, asset.name))


def _above(lookup: TaskLookup, name: str) -> set[str]:
    """Everything that an asset is made of, directly or not."""
    results: set[str] = set()
    waiting = [name]
    while waiting:
        node = lookup.compiled.nodes.get(waiting.pop())
        new = {spec.node for spec in node.inputs} - results if node is not None else set()
        results |= new
        waiting += new
    return results
