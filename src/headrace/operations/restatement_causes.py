"""Why partitions that readers had seen were published again with other rows: each by what it was computed from."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from headrace.model import Asset, InputSpec, Source, UsageError
from headrace.model.required import required, split
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries import publications, versions
from headrace.store.queries.restatements import Replaced

_BEGINNING = -1


class RestatementReason(NamedTuple):
    """`restatement` or `correction` of the `sources` that are named, `arrival` where those came for the
    first time after it had been computed without them, `code` where other code computed it, else `again`:
    with the `sources` whose deliveries were ingested once more, as other names were accepted, or somebody asked."""

    cause: str
    sources: tuple[str, ...] = ()


class RestatementCauses:
    """The causes of all that was replaced: node → its replacements, oldest first."""

    def __init__(self, tx: Transaction, compiled: Compiled, results: Mapping[str, Sequence[Replaced]]) -> None:
        self._tx, self._compiled, self._found = tx, compiled, results
        self._at = {name: {row.partition: row for row in rows} for name, rows in results.items()}
        """The newest of each partition."""
        self._order = {name: place for place, name in enumerate(compiled.order)}
        self._times: dict[tuple[str, str], list[int]] = {}
        """When each partition was replaced, in order."""
        for name, rows in results.items():
            for row in rows:
                self._times.setdefault((name, row.partition), []).append(row.at)
        self._fingerprints: dict[tuple[int, str], str | None] = {}

    def groups(self, name: str) -> list[tuple[RestatementReason, list[Replaced]]]:
        """A node's partitions by why they changed last, in the order in which these were first seen."""
        groups: dict[RestatementReason, list[Replaced]] = {}
        causes = {key: self._because(name, item) for key, item in self._at[name].items()}
        for item in self._found[name]:
            groups.setdefault(causes[item.partition], []).append(item)
        return list(groups.items())

    def _because(self, name: str, item: Replaced) -> RestatementReason:
        if name in self._compiled.project.sources:
            return RestatementReason("again" if item.reread else "correction" if item.corrects else "restatement", (name,))
        before = self._times[name, item.partition]
        place = bisect.bisect_left(before, item.at)
        span = (before[place - 1] if place else _BEGINNING, item.at)
        read = {source.node: source for source in self._sources(name, item.partition, span)}
        if came_anew := {node for node, made in read.items() if not made.reread}:
            corrects = all(read[node].corrects for node in came_anew)
            return RestatementReason("correction" if corrects else "restatement", tuple(sorted(came_anew, key=self._order.__getitem__)))
        if read:
            return RestatementReason("again", tuple(sorted(read, key=self._order.__getitem__)))
        if self._fingerprint(item.version_before, name) != self._fingerprint(item.version, name):
            return RestatementReason("code")
        computed = publications.times(self._tx, name, item.partition)
        without = max((at for at in computed if at < item.at), default=_BEGINNING)
        came = set(self._arrived(name, item.partition, (without, item.at)))
        if came:
            return RestatementReason("arrival", tuple(sorted(came, key=self._order.__getitem__)))
        return RestatementReason("again")

    def _arrived(self, name: str, key: str, span: tuple[int, int]) -> Iterator[str]:
        """The sources that a partition is computed from and that came within a time for the first time:
        `optional` ones, which it had been computed without."""
        for spec in self._compiled.nodes[name].inputs:
            for item in () if spec.node == name else self._needed(name, key, spec) or ():
                first = min(publications.times(self._tx, spec.node, item), default=_BEGINNING)
                if not span[0] < first <= span[1]:
                    continue
                if spec.node in self._compiled.project.sources:
                    yield spec.node
                elif spec.node in self._compiled.nodes:
                    yield from self._arrived(spec.node, item, span)

    def _sources(self, name: str, key: str | None, span: tuple[int, int]) -> Iterator[Replaced]:
        """What of sources was replaced in a time, and a node's partition (None: any of them) was computed from."""
        for spec in self._compiled.nodes[name].inputs:
            results = self._at.get(spec.node, {})
            wanted = self._needed(name, key, spec)
            if spec.node in self._compiled.project.sources:
                rows = results.values() if wanted is None else (results[item] for item in wanted if item in results)
                if (made := next((row for row in rows if span[0] <= row.at <= span[1]), None)) is not None:
                    yield made
            elif spec.node in self._compiled.nodes:
                node = self._node(spec.node)
                passes_on = wanted is None or node is None or node.partition.whole or not results
                for item in [None] if passes_on else [one for one in wanted or () if one in results]:
                    yield from self._sources(spec.node, item, span)

    def _needed(self, name: str, key: str | None, spec: InputSpec) -> Collection[str] | None:
        """The partitions of an input that a partition is computed from; None for all."""
        node, source = self._node(name), self._node(spec.node)
        if key is None or node is None or source is None:
            return None
        try:
            return required(
                node.partition, node.timezone, key, source.partition, source.timezone, spec, partial(self._keys, spec.node)
            ).keys
        except UsageError:  # cut otherwise then
            return None

    def _keys(self, name: str, moment: str) -> list[str]:
        """The data keys of what was replaced of an interval."""
        node = self._node(name)
        assert node is not None
        pairs = (split(key, node.partition) for key in self._at.get(name, ()))
        return [data for time, data in pairs if time == moment]

    def _node(self, name: str) -> Source | Asset | None:
        project = self._compiled.project
        return project.source_or_asset(name)

    def _fingerprint(self, version: int, name: str) -> str | None:
        """Of a node as one version has it; None where that isn't known any more."""
        if (version, name) not in self._fingerprints:
            row = versions.get(self._tx, version)
            nodes = {} if row is None else msgspec.msgpack.decode(row.compiled, type=Compiled).nodes
            self._fingerprints[version, name] = nodes[name].fingerprint if name in nodes else None
        return self._fingerprints[version, name]
