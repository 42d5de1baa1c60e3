"""Restatements: partitions published again with other rows, their causes and their readers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from headrace.model import Asset, InputSpec, Source, UsageError
from headrace.model.causes import CauseKind
from headrace.model.partitions import command_line, order_of, range_of, required, split
from headrace.plan import Compiled
from headrace.plan.compiled import expand_view_names, is_view
from headrace.project.caches import cached_by_version
from headrace.project.session import ProjectSession
from headrace.responses import ProposedRow, RestatedRow
from headrace.runtime.history_retention import TOLD
from headrace.runtime.recomputation import code_changed, differs
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import applied_versions, attempts, audit_trail, incidents, publications
from headrace.store.queries.publications import Replaced

# Why partitions that readers had seen were published again with other rows, by the inputs of each.

_BEGINNING = -1


class RestatementReason(NamedTuple):
    """The cause of a restatement, and the sources concerned.

    `restatement` or `correction`: other data of `sources`; `arrival`: `sources` arrived after the
    partition had been computed without them; `code`: other code; else `again`: `sources` were
    re-ingested with accepted renames, or a person requested it.
    """

    cause: str
    sources: tuple[str, ...] = ()


_Read = list[Replaced] | tuple[str, str | None]
"""What a partition reads: the replacements of a source, or a partition of an asset (None: any)."""


def _data_cause(*, corrects: bool) -> str:
    return "correction" if corrects else "restatement"


class RestatementCauses:
    """The causes of replaced publications; `results` maps nodes to replacements, oldest first."""

    def __init__(
        self, tx: Transaction, compiled: Compiled, results: Mapping[str, Sequence[Replaced]]
    ) -> None:
        self._tx, self._compiled, self._found = tx, compiled, results
        self._at = {name: {row.partition: row for row in rows} for name, rows in results.items()}
        """The newest replacement of each partition."""
        self._order = {name: place for place, name in enumerate(compiled.order)}
        self._fingerprints: dict[tuple[int, str], str | None] = {}
        self._inputs: dict[tuple[str, str | None], list[_Read]] = {}

    def groups(self, name: str) -> list[tuple[RestatementReason, list[Replaced]]]:
        """Return a node's replacements, grouped by the cause of their partition's last change.

        Groups are in order of first appearance.
        """
        groups: dict[RestatementReason, list[Replaced]] = {}
        causes = {key: self._because(name, item) for key, item in self._at[name].items()}
        for item in self._found[name]:
            groups.setdefault(causes[item.partition], []).append(item)
        return list(groups.items())

    def _because(self, name: str, item: Replaced) -> RestatementReason:
        if name in self._compiled.project.sources:
            cause = "again" if item.reread else _data_cause(corrects=item.corrects)
            return RestatementReason(cause, (name,))
        span = (item.at_before, item.at)
        read = self._sources(name, item.partition, span)
        redelivered = [source for source in read.values() if not source.reread]
        if redelivered:
            cause = _data_cause(corrects=all(source.corrects for source in redelivered))
            return RestatementReason(cause, self._ordered(source.node for source in redelivered))
        if read:
            return RestatementReason("again", self._ordered(read))
        if self._fingerprint(item.version_before, name) != self._fingerprint(item.version, name):
            return RestatementReason("code")
        arrived_sources = set(self._arrived(name, item.partition, span))
        if arrived_sources:
            return RestatementReason("arrival", self._ordered(arrived_sources))
        return RestatementReason("again")

    def _ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(names, key=self._order.__getitem__))

    def _arrived(self, name: str, key: str, span: tuple[int, int]) -> Iterator[str]:
        """Yield the upstream sources that arrived for the first time within `span`.

        These are `optional` inputs, without which the partition had been computed.
        """
        waiting, seen = [(name, key)], {(name, key)}
        while waiting:
            places = set(self._needed_of_inputs(*waiting.pop())) - seen
            seen |= places
            for place in places:
                if not self._arrived_within(*place, span):
                    continue
                if place[0] in self._compiled.project.sources:
                    yield place[0]
                elif place[0] in self._compiled.nodes:
                    waiting.append(place)

    def _arrived_within(self, name: str, key: str, span: tuple[int, int]) -> bool:
        first = min(publications.times(self._tx, name, key), default=_BEGINNING)
        return span[0] < first <= span[1]

    def _needed_of_inputs(self, name: str, key: str) -> Iterator[tuple[str, str]]:
        """Yield node and partition of all that a partition is computed from, except its own node's.

        Inputs of which it reads all partitions are left out.
        """
        for spec in self._compiled.nodes[name].inputs:
            if spec.node != name:
                yield from ((spec.node, item) for item in self._needed(name, key, spec) or ())

    def _sources(self, name: str, key: str | None, span: tuple[int, int]) -> dict[str, Replaced]:
        """Return a replacement of each upstream source within `span`.

        `key` None stands for any partition. Of several of one source, the one counts to which the
        last of the inputs leads; that is why the walk begins with them.
        """
        results: dict[str, Replaced] = {}
        waiting: list[_Read] = [(name, key)]
        seen = set()
        while waiting:
            read = waiting.pop()
            if isinstance(read, tuple):
                if read not in seen:
                    seen.add(read)
                    waiting += self._reads(*read)
                continue
            row = next((row for row in read if span[0] <= row.at <= span[1]), None)
            if row is not None:
                results.setdefault(row.node, row)
        return results

    def _reads(self, name: str, key: str | None) -> list[_Read]:
        """Return what a partition reads, input by input: everything downstream of it asks."""
        reads = self._inputs.get((name, key))
        if reads is None:
            reads = self._inputs[name, key] = list(self._read(name, key))
        return reads

    def _read(self, name: str, key: str | None) -> Iterator[_Read]:
        for spec in self._compiled.nodes[name].inputs:
            needed = self._needed(name, key, spec)
            if spec.node in self._compiled.project.sources:
                yield self._replacements(spec.node, needed)
            elif spec.node in self._compiled.nodes:
                keys = self._replaced_keys(spec.node, needed)
                yield from ((spec.node, item) for item in keys)

    def _replacements(self, name: str, needed: Collection[str] | None) -> list[Replaced]:
        """Return the newest replacements of these partitions of a node; None stands for all."""
        replaced = self._at.get(name, {})
        if needed is None:
            return list(replaced.values())
        return [replaced[key] for key in needed if key in replaced]

    def _replaced_keys(self, name: str, needed: Collection[str] | None) -> Sequence[str | None]:
        """Return those of the partitions that were replaced; a None stands for any partition.

        What is read of nodes whose replacements aren't listed may have come through any of theirs.
        """
        project = self._compiled.project
        if needed is None or is_view(project, name) or not _restates_past(self._compiled, name):
            return [None]
        return [key for key in needed if key in self._at.get(name, {})]

    def _needed(self, name: str, key: str | None, spec: InputSpec) -> Collection[str] | None:
        """Return the partitions of an input that a partition is computed from; None for all."""
        node, source = self._node(name), self._node(spec.node)
        if key is None or node is None or source is None:
            return None
        try:
            return required(
                node.partition,
                node.timezone,
                key,
                source.partition,
                source.timezone,
                spec,
                partial(self._keys, spec.node),
            ).keys
        except UsageError:  # the partitioning was different then
            return None

    def _keys(self, name: str, interval: str) -> list[str]:
        """Return the data keys with replacements in an interval."""
        node = self._node(name)
        assert node is not None
        pairs = (split(key, node.partition) for key in self._at.get(name, ()))
        return [data for time, data in pairs if time == interval]

    def _node(self, name: str) -> Source | Asset | None:
        return self._compiled.project.source_or_asset(name)

    def _fingerprint(self, version: int, name: str) -> str | None:
        """Return a node's code fingerprint in a version; None if unknown."""
        if (version, name) not in self._fingerprints:
            fingerprints = applied_versions.fingerprints(self._tx, version)
            self._fingerprints[version, name] = fingerprints.get(name)
        return self._fingerprints[version, name]


# Recent restatements with their cause and their readers, and stale data whose recomputation nobody
# has requested yet.

TOLD_US = TOLD // timedelta(microseconds=1)
"""How long readers are informed of a restatement, in µs."""
KEPT_US = 10_000_000
"""Maximum delay in µs until an expired restatement disappears from responses."""
REPLACED_MAX = 10_000
PROPOSED_MAX = 10_000


def restatements_since(
    tx: Transaction,
    compiled: Compiled,
    zone: ZoneInfo,
    since_us: int,
    only: Collection[int] | None = None,
) -> list[RestatedRow]:
    """Return restatements since a point in time, node by node in topological order.

    Only partitions whose content differs now, and that still have their rows; `only` restricts
    them to some publications.
    """
    results: dict[str, list[Replaced]] = {}
    for item in publications.replaced_since(tx, since_us, REPLACED_MAX):
        chosen = only is None or item.id in only
        if chosen and not item.was_removed and _restates_past(compiled, item.node):
            results.setdefault(item.node, []).append(item)
    if not results:
        return []
    readers, causes = _readers(compiled), RestatementCauses(tx, compiled, results)
    names = [name for name in compiled.order if name in results]
    groups = (
        (name, cause, _changed(group)) for name in names for cause, group in causes.groups(name)
    )
    return [
        _row(compiled, zone, name, group, cause, readers) for name, cause, group in groups if group
    ]


def recent_restatements(
    session: ProjectSession, tx: Transaction, compiled: Compiled, now_us: int
) -> list[RestatedRow]:
    """Return the restatements that readers are informed of.

    Cached until a publication or an audit entry is added, or a restatement expires.
    """
    since_us = now_us - TOLD_US
    expired = publications.last_ended(tx, since_us // KEPT_US * KEPT_US)
    word = f"{publications.last_id(tx)} {audit_trail.last_seq(tx)} {expired}"
    return cached_by_version(
        session, "restated", lambda: restatements_since(tx, compiled, session.zone, since_us), word
    )


def proposed_recomputations(tx: Transaction, compiled: Compiled) -> list[ProposedRow]:
    """Return stale partitions that are recomputed only on request, with the command."""
    results: dict[str, list[str]] = {}
    for node, key in publications.proposed_recomputations(tx, PROPOSED_MAX):
        if node in compiled.project.assets:
            results.setdefault(node, []).append(key)
    code = applied_versions.fingerprints_once(tx)
    rows = (_proposed(compiled, name, results[name]) for name in compiled.order if name in results)
    changed = [
        msgspec.structs.replace(row, own_code=code_changed(tx, code, compiled, row.node, row.from_))
        for row in rows
    ]
    failing = (
        {
            incident.node: incident.label
            for incident in incidents.open_incidents(tx)
            if incident.kind == CauseKind.CODE_ERROR
        }
        if changed
        else {}
    )
    return [_corrected_first(tx, compiled, row, failing.get(row.node), code) for row in changed]


def _corrected_first(
    tx: Transaction,
    compiled: Compiled,
    row: ProposedRow,
    incident: str | None,
    code: applied_versions.CodeOfVersion,
) -> ProposedRow:
    """Return the row with the incident's command if the applied code has only failed so far."""
    if incident is None or not row.own_code:
        return row
    tried = attempts.of_node(tx, row.node, limit=1, states=("failed", "rejected", "held"))
    failed = [attempt.version for attempt in tried if attempt.version is not None]
    if not failed or differs(code, compiled, row.node, failed[0]):
        return row  # the applied code differs from the failed code
    if any(
        not differs(code, compiled, row.node, version)
        for version in applied_versions.published_versions(tx, row.node)
    ):
        return row  # the applied code has computed other partitions
    return msgspec.structs.replace(
        row, incident=incident, command=command_line("incident", incident)
    )


def read_by(rows: Iterable[RestatedRow], consumer: str) -> list[RestatedRow]:
    """Return the restatements of a consumer's inputs."""
    return [row for row in rows if consumer in row.consumers]


def _restates_past(compiled: Compiled, name: str) -> bool:
    """Whether a republication of an old partition restates the past.

    The partitions of a merge don't: they are states of one table.
    """
    node = compiled.project.source_or_asset(name)
    return (
        node is not None
        and node.partition.grain is not None
        and not (not isinstance(node, Source) and node.accumulates)
    )


def _row(
    compiled: Compiled,
    zone: ZoneInfo,
    name: str,
    results: Sequence[Replaced],
    cause: RestatementReason,
    readers: Mapping[str, Sequence[str]],
) -> RestatedRow:
    first, last = _by_partition(results, newest=False), _by_partition(results, newest=True)
    keys = in_order(compiled, name, last)
    at = max(item.at for item in last.values())
    asset = compiled.project.assets.get(name)
    has_rows = asset is None or asset.readable
    return RestatedRow(
        node=name,
        partitions=len(keys),
        from_=keys[0],
        to=keys[-1],
        rows_before=sum(item.rows_before for item in first.values()) if has_rows else None,
        rows_after=sum(item.rows for item in last.values()) if has_rows else None,
        at=instant(at).astimezone(zone),
        cause=cause.cause,
        because=list(cause.sources),
        consumers=list(readers.get(name, ())),
    )


def _changed(results: Sequence[Replaced]) -> list[Replaced]:
    """Return the replacements without partitions that have their original content again."""
    first, last = _by_partition(results, newest=False), _by_partition(results, newest=True)
    back = {
        key
        for key, item in first.items()
        if item.hash_before is not None and item.hash_before == last[key].hash
    }
    return [item for item in results if item.partition not in back]


def _by_partition(result: Iterable[Replaced], *, newest: bool) -> dict[str, Replaced]:
    chosen: dict[str, Replaced] = {}
    for item in result:
        if newest or item.partition not in chosen:
            chosen[item.partition] = item
    return chosen


def _readers(compiled: Compiled) -> dict[str, list[str]]:
    """Return node → consumers that read it, directly or through views."""
    results: dict[str, list[str]] = {}
    for name, consumer in compiled.project.consumers.items():
        for read in dict.fromkeys((*consumer.reads, *expand_view_names(compiled, consumer.reads))):
            results.setdefault(read, []).append(name)
    return results


def _proposed(compiled: Compiled, name: str, keys: Sequence[str]) -> ProposedRow:
    keys = in_order(compiled, name, keys)
    asset = compiled.project.assets[name]
    ranged = asset.partition.grain is not None
    first, last = range_of(keys)
    span = ("--from", first, "--to", last, "--reason", "TEXT")
    command = command_line("backfill", name, *span) if ranged else command_line("run", name)
    return ProposedRow(node=name, partitions=len(keys), from_=keys[0], to=keys[-1], command=command)


def in_order(compiled: Compiled, name: str, keys: Iterable[str]) -> list[str]:
    """Return partitions of a node in the order of time, or of their keys."""
    node = compiled.project.sources.get(name) or compiled.project.assets[name]
    return (
        sorted(keys, key=lambda key: order_of(key, node.partition, node.timezone))
        if node.partition.grain is not None
        else sorted(keys)
    )
