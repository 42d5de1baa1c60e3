"""Evidence that Headrace, a source or a file of the lake wasn't available."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from headrace.incidents.diagnosis.evidence import ENVIRONMENT, NO_WORKER, Evidence, Family, needed
from headrace.model import Project, Source
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.intervals import bounds_us
from headrace.model.secrets import is_reference
from headrace.slo.blockage import Blockage, BlockReason
from headrace.slo.damaged_files import DamagedFile, damaged_files, partitions_in
from headrace.slo.declared_promises import WHOLE, Node, Terms
from headrace.slo.freshness import TOLERANCE_US, next_observation, usual_break
from headrace.slo.incident_impact import DownstreamIndex
from headrace.slo.obligations import EvaluationContext
from headrace.slo.times import dated
from headrace.store.queries import availability, ingestion, lake_maintenance, publications
from headrace.store.queries import evidence as stored
from headrace.store.queries.availability import Due, Waited
from headrace.store.queries.evidence import GAP
from headrace.store.transaction import Transaction

# Headrace itself was down: a delivery that had arrived was found after its deadline, although an
# observation at the usual cadence would have found it in time. A project that is observed once a
# day on purpose isn't down in between; deadlines that this cadence can't meet belong to
# `deadlines`. Also evidence that no worker starts, or that the lake can't be written.

OUTAGE_NATS = 12.0
WORKERS_KIND = "workers"
"""Prefix of the id of evidence that no worker starts."""
LAKE_KIND = "closed"
"""Prefix of the id of evidence that the lake can't be written."""


def gather_outages(
    tx: Transaction,
    blockage: Blockage,
    reach: DownstreamIndex,
    after: int,
) -> tuple[list[Evidence], int]:
    """Return the outages that delayed deliveries found after a time, and the newest such time."""
    results: dict[str, tuple[int, Evidence]] = {}
    last = after
    for node in blockage.context.declared.nodes.values():
        waited = availability.waited_deliveries(tx, node.name, after) if node.is_source else []
        for seen_us, group in groupby(waited, key=lambda item: item.observed_at):
            last = max(last, seen_us)
            outages = _outages(tx, blockage, reach, node, list(group), seen_us)
            due_us, evidence = min(outages, key=lambda each: each[0], default=(0, None))
            if evidence is not None and (
                evidence.id not in results or due_us < results[evidence.id][0]
            ):
                results[evidence.id] = due_us, evidence
    return [evidence for _, evidence in results.values()], last


def without_workers(tx: Transaction) -> Iterator[Evidence]:
    """Yield evidence that no worker starts, so that nothing is computed."""
    problem = lake_maintenance.problem(tx, lake_maintenance.WORKERS)
    if problem is not None:
        yield Evidence(
            id=f"{WORKERS_KIND}:broken",
            node=HEADRACE,
            family=Family.ABSENCE,
            kind=CauseKind.RUNTIME_DOWN.value,
            expected="workers start",
            observed=problem.why,
            strength=OUTAGE_NATS,
            at_us=problem.seen,
            began_us=problem.since,
            detail=NO_WORKER,
        )


def without_lake(tx: Transaction) -> Iterator[Evidence]:
    """Yield evidence that the lake can't be written, so that nothing is published."""
    problem = lake_maintenance.problem(tx, lake_maintenance.LAKE)
    if problem is not None:
        yield Evidence(
            id=f"{LAKE_KIND}:lake",
            node=HEADRACE,
            family=Family.RESOURCES,
            kind=CauseKind.RESOURCE_EXHAUSTED.value,
            expected=needed(problem.why),
            observed=problem.why,
            strength=OUTAGE_NATS,
            at_us=problem.seen,
            began_us=problem.since,
            error_kind=ENVIRONMENT,
        )


def known_outages(tx: Transaction) -> list[Evidence]:
    """Return the outages found before."""
    return [msgspec.msgpack.decode(item, type=Evidence) for item in stored.contents_of(tx, GAP)]


def _outages(
    tx: Transaction,
    blockage: Blockage,
    reach: DownstreamIndex,
    source: Node,
    waited: list[Waited],
    seen_us: int,
) -> Iterator[tuple[int, Evidence]]:
    """Yield the outage that ended with an observation of a source.

    It comes with the first deadline of each consumer that was missed because of it.
    """
    declared = blockage.context.declared
    observations = availability.observations_before(tx, source.name, seen_us)
    if not observations or observations[0].failed:
        return  # it was never observed before, or it couldn't be read
    pace = declared.tick_every_us or usual_break(
        _breaks(tx, source.name, [observation.at for observation in observations], seen_us)
    )
    arrivals = _Arrivals(source, waited, observations[0].at, seen_us, pace)
    sources = [node.name for node in declared.nodes.values() if node.is_source]
    for consumer in reach.consumers(source.name):
        terms = next(terms for terms in declared.consumers if terms.consumer == consumer)
        outage = _first_outage(tx, blockage, terms, arrivals, sources)
        if outage is not None:
            yield outage


class _Arrivals(NamedTuple):
    """Deliveries of a source that one observation found after another; times in microseconds."""

    source: Node
    waited: list[Waited]
    before_us: int
    """The observation before."""
    seen_us: int
    """The observation that found them."""
    pace_us: int
    """The usual time between two observations."""

    def first_us(self, terms: Terms, due: Due) -> int:
        """Return when the first of a consumer's interval arrived; its deadline if none did."""
        return min(
            (
                item.arrived_at
                for item in self.waited
                if _is_of(self.source, item.partition, terms, due.interval)
            ),
            default=due.due_at,
        )


def _first_outage(
    tx: Transaction,
    blockage: Blockage,
    terms: Terms,
    arrivals: _Arrivals,
    sources: list[str],
) -> tuple[int, Evidence] | None:
    """Return the outage that made a consumer miss a deadline, with the first such deadline."""
    seen_us, pace = arrivals.seen_us, arrivals.pace_us
    for due in availability.missed_deadlines(tx, terms.consumer, arrivals.before_us, seen_us):
        arrived = arrivals.first_us(terms, due)
        if arrived >= due.due_at or _needs_an_action(blockage, terms, due):
            continue  # the deadline would have been missed anyway
        last = _away_since(tx, sources, due.due_at, arrived, pace, seen_us)
        if last is not None:
            return due.due_at, _outage_evidence(blockage.context, terms, due, last, pace, seen_us)
    return None


def _needs_an_action(blockage: Blockage, terms: Terms, due: Due) -> bool:
    """Return whether an interval has a blocker that time alone doesn't end."""
    return any(item.block is not BlockReason.WAITING for item in blockage.of(terms, due.interval))


def _away_since(
    tx: Transaction, sources: list[str], due_us: int, arrived: int, pace: int, seen_us: int
) -> int | None:
    """Return the last activity of Headrace before it was down; None if it wasn't down.

    It was down if a deadline was missed, or data was much later than the cadence explains.
    """
    last = availability.last_activity(tx, sources, due_us)
    expected = next_observation(last, pace, arrived)
    if expected + TOLERANCE_US < due_us:
        return last
    late = expected + max(TOLERANCE_US, pace // 10)
    return (
        last if late < seen_us and availability.last_activity(tx, sources, late) == last else None
    )


def _breaks(tx: Transaction, source: str, observations: list[int], seen_us: int) -> dict[int, int]:
    """Return end → length of each gap between two observations."""
    results = {
        until: until - began
        for began, until in availability.long_observation_gaps(tx, source, seen_us)
    }
    return results | {later: later - earlier for later, earlier in pairwise(observations)}


def _is_of(source: Node, partition: str, terms: Terms, interval: str) -> bool:
    """Return whether a delivery overlaps a consumer's interval."""
    grain = source.partition.grain
    if grain is None or source.partition.by_delivery:
        return True
    start, end = bounds_us(partition.partition("/")[0], grain, source.timezone)
    since, until = bounds_us(interval, terms.per, terms.timezone)
    return start < until and since < end


def _outage_evidence(
    context: EvaluationContext, terms: Terms, due: Due, last: int, pace: int, seen_us: int
) -> Evidence:
    zone = context.declared.timezone
    return Evidence(
        id=f"{GAP}:{last}",
        node=HEADRACE,
        family=Family.ABSENCE,
        kind=CauseKind.RUNTIME_DOWN.value,
        expected=f"an observation before {dated(due.due_at, zone)}, when {terms.consumer} was due",
        observed=f"nothing was observed from {dated(last, zone)} until {dated(seen_us, zone)}",
        strength=OUTAGE_NATS,
        at_us=seen_us,
        began_us=last + pace,
    )


# Failed observations of a source: no answer, or access denied. Denied access counts at once.
# Without an answer, one failure is enough for a source that is observed every ten minutes or less
# often; any other source needs two in a row.

SELDOM_US = 10 * 60 * 1_000_000
"""From this gap between observations on, one failure is enough; below it, two in a row."""
_KINDS = {
    "access_denied": CauseKind.ACCESS_DENIED,
    "configuration_error": CauseKind.CONFIGURATION_ERROR,
}


def gather_failed_observations(
    tx: Transaction, project: Project, overdue: Container[str] = ()
) -> Iterator[Evidence]:
    """Yield evidence of the sources whose newest observations failed.

    A pause that a server asked for is evidence only for `overdue` sources, whose data is late
    because of it.
    """
    sources = project.sources
    for result in ingestion.failing_sources(tx):
        source = sources.get(result.source)
        if source is None or (result.code == "source_throttled" and result.source not in overdue):
            continue
        kind = _KINDS.get(result.code or "", CauseKind.SOURCE_UNAVAILABLE)
        if (
            kind is CauseKind.SOURCE_UNAVAILABLE
            and result.times < 2
            and (result.gap or SELDOM_US) < SELDOM_US
        ):
            continue
        yield Evidence(
            id=f"look:{result.source}",
            node=result.source,
            family=Family.ACCESS,
            kind=kind.value,
            expected="an answer",
            observed=result.error,
            strength=EXACT_NATS,
            at_us=result.at,
            began_us=result.since,
            detail=result.code or "",
            error_kind="transient",
            host=host_of(source, project),
        )


def host_of(source: Source, project: Project) -> str:
    """Return what several sources may share: a server, else a connection or a folder.

    It never contains credentials. A server that an environment variable names has its name.
    """
    connector: dict[str, Any] = source.connector
    if connector.get("connection"):
        name = str(connector["connection"])
        return _server(project.settings.connections.get(name, {})) or name
    http = connector.get("http")
    url = http.get("url") if isinstance(http, dict) else http
    if isinstance(url, str):
        variable, _, rest = url.partition("}")
        names_server = url.startswith("${") and rest[:1] in ("", "/", "?", "#")
        return f"{variable}}}" if names_server else urlsplit(url).hostname or ""
    return (source.files or "").rpartition("/")[0]


def host_at(project: Project, node: str) -> str:
    """Return the same for a node by name; empty if it isn't a source."""
    source = project.sources.get(node)
    return "" if source is None else host_of(source, project)


def _server(connection: Mapping[str, Any]) -> str:
    """Return the server of a connection; empty if only a secret names it."""
    host, url = connection.get("host"), connection.get("url")
    if isinstance(host, str) and not is_reference(host):
        return host
    return "" if not isinstance(url, str) or is_reference(url) else urlsplit(url).hostname or ""


# Files that readers see now and that are missing or changed: evidence for each partition in them.

DAMAGE_KIND = "lake"
EXACT_NATS = 12.0
FILES_MAX = 500
"""At most this many damaged files per node have evidence at a time.

The next ones follow as these are repaired.
"""


def gather_damaged_files(
    tx: Transaction, context: EvaluationContext
) -> Iterator[tuple[Evidence, str | None]]:
    """Yield evidence of damaged files that readers need, with the attempt that published it.

    There is one piece for each partition in a file.
    """
    files_by_node: dict[str, list[DamagedFile]] = {}
    for file in damaged_files(tx):
        if file.node in context.declared.nodes:
            files_by_node.setdefault(file.node, []).append(file)
    for name, files in files_by_node.items():
        node_files = {file.id: file for file in files[:FILES_MAX]}
        for number, held in sorted(partitions_in(tx, name, node_files.keys()).items()):
            for key in sorted(held) or [WHOLE]:
                evidence = _damage_evidence(node_files[number], key)
                yield evidence, _published_by(tx, name, key)


def _published_by(tx: Transaction, node: str, key: str) -> str | None:
    """Return the attempt that published what readers see of a partition; None without any."""
    publication = publications.current(tx, node, key)
    return None if publication is None else f"{publication.epoch}.{publication.n}"


def _damage_evidence(file: DamagedFile, key: str) -> Evidence:
    expected = file.given_up or f"{file.path}, {file.size_bytes:,} bytes"
    return Evidence(
        # the rest of lost rows gets another file id with each repaired partition
        id=f"{DAMAGE_KIND}:{file.given_up or file.id}@{key}",
        node=file.node,
        partition="" if key == WHOLE else key,
        family=Family.FILE,
        kind=CauseKind.DATA_CORRUPTED.value,
        expected=expected,
        observed=file.wrong,
        strength=EXACT_NATS,
        at_us=file.since,
    )
