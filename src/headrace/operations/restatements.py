"""The past changed: what was published again with other rows, because of what, and who reads it; and what waits to be decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec

from headrace.model import Source
from headrace.model.commands import command_line, range_of
from headrace.model.ordering import order_of
from headrace.observe.diagnosis.causes import CauseKind
from headrace.operations.remembering import of_version
from headrace.operations.responses import ProposedRow, RestatedRow
from headrace.operations.restatement_causes import RestatementCauses, RestatementReason
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.plan.views import expanded_names
from headrace.run.retiring import TOLD
from headrace.run.unchanged import code_changed, differs
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import applying, attempts, incidents, publications, restatements, trail
from headrace.store.queries.restatements import Replaced

TOLD_US = TOLD // timedelta(microseconds=1)
"""For so long after it readers are told that the past changed."""
KEPT_US = 10_000_000
"""What isn't told any more for its age goes after so long at the latest."""
REPLACED_MAX = 10_000
PROPOSED_MAX = 10_000


def restated(tx: Transaction, compiled: Compiled, zone: ZoneInfo, since_us: int, only: Collection[int] | None = None) -> list[RestatedRow]:
    """Node by node, inputs first, what was published again since a time and has other content now than before; of some publications
    (`only`)."""
    results: dict[str, list[Replaced]] = {}
    for item in restatements.replaced(tx, since_us, REPLACED_MAX):
        if _told(compiled, item.node) and (only is None or item.id in only):
            results.setdefault(item.node, []).append(item)
    if not results:
        return []
    readers, causes = _readers(compiled), RestatementCauses(tx, compiled, results)
    names = [name for name in compiled.order if name in results]
    groups = ((name, cause, _changed(group)) for name in names for cause, group in causes.groups(name))
    return [_row(compiled, zone, name, group, cause, readers) for name, cause, group in groups if group]


def lately(session: ProjectSession, tx: Transaction, compiled: Compiled, now_us: int) -> list[RestatedRow]:
    """All that readers are told of; the same as long as nothing is published and nobody does anything."""
    since_us = now_us - TOLD_US
    word = f"{publications.last_id(tx)} {trail.last_seq(tx)} {since_us // KEPT_US}"
    return of_version(session, "restated", lambda: restated(tx, compiled, session.zone, since_us), word)


def proposed(tx: Transaction, compiled: Compiled) -> list[ProposedRow]:
    """What is stale and is made again only if somebody asks, with the command that does it."""
    results: dict[str, list[str]] = {}
    for node, key in restatements.proposed(tx, PROPOSED_MAX):
        if node in compiled.project.assets:
            results.setdefault(node, []).append(key)
    known: dict[tuple[int, str], str | None] = {}
    rows = (_proposed(compiled, name, results[name]) for name in compiled.order if name in results)
    changed = [msgspec.structs.replace(row, own_code=code_changed(tx, compiled, row.node, row.from_, known)) for row in rows]
    failing = (
        {incident.node: incident.shown for incident in incidents.open_ones(tx) if incident.kind == CauseKind.CODE_ERROR} if changed else {}
    )
    return [_corrected_first(tx, compiled, row, failing.get(row.node), known) for row in changed]


def _corrected_first(
    tx: Transaction, compiled: Compiled, row: ProposedRow, incident: str | None, known: dict[tuple[int, str], str | None]
) -> ProposedRow:
    """The same, with the incident's command in place of its own where the code that is applied has only failed so far."""
    if incident is None or not row.own_code:
        return row
    tried = attempts.of_node(tx, row.node, limit=1, states=("failed", "rejected", "held"))
    failed = [attempt.version for attempt in tried if attempt.version is not None]
    if not failed or differs(tx, compiled, row.node, failed[0], known):
        return row  # other code than has failed
    if any(not differs(tx, compiled, row.node, version, known) for version in applying.published_versions(tx, row.node)):
        return row  # code that has computed other partitions
    return msgspec.structs.replace(row, incident=incident, command=command_line("incident", incident))


def read_by(rows: Iterable[RestatedRow], consumer: str) -> list[RestatedRow]:
    """Those that a consumer reads."""
    return [row for row in rows if consumer in row.consumers]


def _told(compiled: Compiled, name: str) -> bool:
    """Whether a new publication of an old partition means another past: a merge's partitions are states of one table."""
    node = compiled.project.source_or_asset(name)
    return node is not None and node.partition.grain is not None and not (not isinstance(node, Source) and node.accumulates)


def _row(
    compiled: Compiled,
    zone: ZoneInfo,
    name: str,
    results: Sequence[Replaced],
    cause: RestatementReason,
    readers: Mapping[str, Sequence[str]],
) -> RestatedRow:
    first, last = _by_partition(results, newest=False), _by_partition(results, newest=True)
    keys = _ordered(compiled, name, last)
    at = max(item.at for item in last.values())
    return RestatedRow(
        node=name,
        partitions=len(keys),
        from_=keys[0],
        to=keys[-1],
        rows_before=sum(item.rows_before for item in first.values()),
        rows_after=sum(item.rows for item in last.values()),
        at=instant(at).astimezone(zone),
        cause=cause.cause,
        because=list(cause.sources),
        consumers=list(readers.get(name, ())),
    )


def _changed(results: Sequence[Replaced]) -> list[Replaced]:
    """Without the partitions that are again what they were before all of it."""
    first, last = _by_partition(results, newest=False), _by_partition(results, newest=True)
    back = {key for key, item in first.items() if item.hash_before is not None and item.hash_before == last[key].hash}
    return [item for item in results if item.partition not in back]


def _by_partition(result: Iterable[Replaced], *, newest: bool) -> dict[str, Replaced]:
    chosen: dict[str, Replaced] = {}
    for item in result:
        if newest or item.partition not in chosen:
            chosen[item.partition] = item
    return chosen


def _readers(compiled: Compiled) -> dict[str, list[str]]:
    """Node → consumers that read it, through a view too."""
    results: dict[str, list[str]] = {}
    for name, consumer in compiled.project.consumers.items():
        for read in dict.fromkeys((*consumer.reads, *expanded_names(compiled, consumer.reads))):
            results.setdefault(read, []).append(name)
    return results


def _proposed(compiled: Compiled, name: str, keys: Sequence[str]) -> ProposedRow:
    keys = _ordered(compiled, name, keys)
    asset = compiled.project.assets[name]
    ranged = asset.partition.grain is not None
    first, last = range_of(keys)
    span = ("--from", first, "--to", last, "--reason", "TEXT")
    command = command_line("backfill", name, *span) if ranged else command_line("run", name)
    return ProposedRow(node=name, partitions=len(keys), from_=keys[0], to=keys[-1], command=command)


def _ordered(compiled: Compiled, name: str, keys: Iterable[str]) -> list[str]:
    node = compiled.project.sources.get(name) or compiled.project.assets[name]
    return sorted(keys, key=lambda key: order_of(key, node.partition, node.timezone)) if node.partition.grain is not None else sorted(keys)
