"""Unsound, accepted and withdrawn publications, and everything made from them (SEMANTICS §7).

`wrong_periods` and the delay ledger use it to say when a consumer's data was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from headrace.model import InputSpec, UsageError
from headrace.model.partitions import required
from headrace.slo.declared_promises import Node
from headrace.slo.obligations import EvaluationContext
from headrace.slo.timeline import EVER
from headrace.store.queries import exceptions as stored
from headrace.store.queries.publications import Withdrawn
from headrace.store.transaction import Transaction

if TYPE_CHECKING:
    from headrace.plan import Compiled
    from headrace.plan.schemas import ColumnLineage


# From each named publication the walk goes downstream, node by node, to the publications that
# read it while readers saw it. A result that came out the same once it was recomputed from sound
# inputs was never wrong, because its readers aren't recomputed for it either.

Carry = Callable[[str, frozenset[str], str], frozenset[str] | None]
"""(node, columns of it, a node that reads it) → the columns of that which come from them, empty for all; None where none does."""


class Taint(msgspec.Struct, frozen=True):
    """One publication and what is the matter with it: of the columns named (empty: all), known since then, by which incident, which
    exception, or of which withdrawn rows. `read_from` and `read_until` are the lake's snapshots in which it was there."""

    node: str
    partition: str
    from_us: int
    until_us: int
    known_us: int
    read_from: int
    read_until: int
    incident: int | None = None
    exception: int | None = None
    columns: frozenset[str] = frozenset()
    withdrawn_us: int = EVER
    """From when on the incident was said not to cover it."""
    withdrawn: int | None = None
    """The first publication of the rows that were withdrawn."""
    removable: tuple[str, str] | None = None
    """Of what was made of it: the last node and partition on the way that has nothing but what was made of it. None: what follows
    it reads all that is published, and is right once it is computed again."""


_Reached: TypeAlias = tuple[InputSpec, Taint, frozenset[str]]
"""What is the matter with an input, and the node's columns that come from it."""


def spread_taints(tx: Transaction, context: EvaluationContext, roots: Iterable[Taint], carry: Carry) -> dict[str, list[Taint]]:
    """Node → all its publications that any of these is the matter with, by itself or through what it read; exports among them."""
    results: dict[str, list[Taint]] = {}
    for root in roots:
        results.setdefault(root.node, []).append(root)
    if not results:
        return results
    for node in (*context.declared.nodes.values(), *context.declared.exports.values()):
        reached = [
            (spec, taint, columns)
            for spec in node.inputs
            for taint in results.get(spec.node, ())
            if (columns := carry(taint.node, taint.columns, node.name)) is not None
        ]
        if reached:
            results[node.name] = list(dict.fromkeys([*results.get(node.name, ()), *_made_of(tx, context, node, reached)]))
    return results


def _made_of(tx: Transaction, context: EvaluationContext, node: Node, reached: Sequence[_Reached]) -> list[Taint]:
    """The publications of a node that read any of these."""
    publications = stored.computed_since(tx, node.name, min(taint.read_from for _, taint, _ in reached))
    taints = []
    for publication in publications:
        seen = [each for each in reached if publication.saw(each[1].read_from, each[1].read_until)]
        keys = {spec: needed(context, node, spec, publication.partition) for spec in dict.fromkeys(spec for spec, _, _ in seen)}
        for spec, taint, columns in seen:
            wanted = keys[spec]
            if wanted is None or taint.partition in wanted:
                removable = taint.removable if wanted is None else (node.name, publication.partition)
                taints.append(msgspec.structs.replace(_onwards(taint, publication, node.name, columns), removable=removable))
    return _not_the_same_again(taints, publications)


def _not_the_same_again(taints: Sequence[Taint], publications: Iterable[stored.PublicationProvenance]) -> list[Taint]:
    """Without those that were replaced by the same, made of nothing that this is the matter with."""
    replaced = {(publication.partition, publication.snapshot): publication for publication in publications if publication.identical}
    tainted = {(taint.partition, taint.read_from, taint.incident, taint.exception, taint.withdrawn) for taint in taints}

    def same_again(taint: Taint) -> bool:
        provenance = replaced.get((taint.partition, taint.read_until))
        while (
            provenance is not None
            and (provenance.partition, provenance.snapshot, taint.incident, taint.exception, taint.withdrawn) in tainted
        ):
            provenance = replaced.get((provenance.partition, EVER if provenance.ended_snapshot is None else provenance.ended_snapshot))
        return provenance is not None

    return [taint for taint in taints if not same_again(taint)]


def _onwards(taint: Taint, provenance: stored.PublicationProvenance, node: str, columns: frozenset[str]) -> Taint:
    return Taint(
        node=node,
        partition=provenance.partition,
        from_us=provenance.published_at,
        until_us=EVER if provenance.ended_at is None else provenance.ended_at,
        known_us=taint.known_us,
        read_from=provenance.snapshot,
        read_until=EVER if provenance.ended_snapshot is None else provenance.ended_snapshot,
        incident=taint.incident,
        exception=taint.exception,
        columns=columns,
        withdrawn_us=taint.withdrawn_us,
        withdrawn=taint.withdrawn,
    )


def needed(context: EvaluationContext, node: Node, spec: InputSpec, key: str) -> frozenset[str] | None:
    """The partitions of an input that one of a node was made of; None: of all."""
    source = context.node(spec.node)
    try:
        keys = required(
            node.cut(key), node.timezone, key, source.partition, source.timezone, spec, partial(context.facts.keys, source.name)
        ).keys
    except UsageError:
        return None  # cut otherwise then
    return None if keys is None else frozenset(keys)


def unsound_taints(rows: Iterable[stored.Unsound]) -> list[Taint]:
    """What incidents name."""
    return [_named_taint(row) for row in rows]


def _named_taint(unsound: stored.Unsound) -> Taint:
    ends = EVER if unsound.ended_at is None else unsound.ended_at
    until = EVER if unsound.until_at is None else unsound.until_at
    if unsound.damaged_at is not None:  # what was computed from it before was computed from sound rows
        return Taint(
            unsound.node,
            unsound.partition,
            max(unsound.published_at, unsound.damaged_at),
            min(ends, until),
            unsound.known_at,
            EVER,
            EVER,
            unsound.incident_id,
            None,
            frozenset(unsound.columns),
        )
    return Taint(
        unsound.node, unsound.partition, unsound.published_at, ends, unsound.known_at, unsound.snapshot,
        EVER if unsound.ended_snapshot is None else unsound.ended_snapshot, unsound.incident_id, None, frozenset(unsound.columns), until,
    )  # fmt: skip


def accepted_taints(rows: Iterable[stored.AcceptedPublication]) -> list[Taint]:
    """What somebody published as an exception."""
    return [
        Taint(
            row.node, row.partition, row.published_at, EVER if row.ended_at is None else row.ended_at, row.published_at, row.snapshot,
            EVER if row.ended_snapshot is None else row.ended_snapshot, None, row.id,
        )
        for row in rows
    ]  # fmt: skip


def withdrawn_taints(rows: Iterable[Withdrawn]) -> list[Taint]:
    """What was withdrawn: readers see none of it, but what was made of it while they did."""
    return [Taint(row.node, row.partition, row.at, row.at, row.at, row.snapshot, row.ended_snapshot, withdrawn=row.rows) for row in rows]


def all_of_all(_node: str, _columns: frozenset[str], _below: str) -> frozenset[str]:
    """All columns come from all."""
    return frozenset()


# Which columns carry a fault downstream. The lineage is loaded only where a fault names columns,
# since loading it takes time.

ALL = "*"


class Carrying:
    """A `tainted.Carry` of a project's lineage. `load` gives a function: node → its lines, KeyError for one that has none."""

    def __init__(self, load: Callable[[], Callable[[str], ColumnLineage]]) -> None:
        self._load = load

    @cached_property
    def _lines(self) -> Callable[[str], ColumnLineage]:
        return self._load()

    def __call__(self, node: str, columns: frozenset[str], below: str) -> frozenset[str] | None:
        """The columns of `below` that come from these of `node`; all where a row's being there depends on them, or nothing is known."""
        if not columns:
            return columns
        try:
            lines = self._lines(below)
        except KeyError:
            return frozenset()  # an export, which hands on all that it reads
        wanted = {column.lower() for column in columns}
        if any(edge.input.lower() == node.lower() and (edge.column == ALL or edge.column.lower() in wanted) for edge in lines.filters):
            return frozenset()
        results = {
            column
            for column, edges in lines.columns.items()
            for edge in edges
            if edge.input.lower() == node.lower() and (edge.column == ALL or edge.column.lower() in wanted)
        }
        if ALL in results:
            return frozenset()
        return frozenset(results) or None


def lineage_of(compiled: Compiled) -> Callable[[], Callable[[str], ColumnLineage]]:
    """The lineage of what is applied, when it is first needed."""

    def load() -> Callable[[str], ColumnLineage]:
        from headrace.plan.impact import compile_lineage

        return compile_lineage(compiled).of

    return load
