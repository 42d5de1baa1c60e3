"""Unsound, accepted and withdrawn publications, and everything made from them (SEMANTICS §7).

`wrong_periods` and the delay ledger use it to say when a consumer's data was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
    from headrace.sql.values import Edge


# From each named publication the walk goes downstream, node by node, to the publications that read
# it while readers saw it. A result that stayed identical after its recomputation from sound inputs
# was never wrong, because its readers aren't recomputed for it either.

Carry = Callable[[str, frozenset[str], str], frozenset[str] | None]
"""(node, columns, reader) → the reader's columns that derive from them; empty: all; None: none."""


class Taint(msgspec.Struct, frozen=True):
    """A publication that is unsound, accepted or withdrawn, or made from such data.

    `columns` are affected (empty: all). It is known since `known_us`, by an incident, an exception
    or withdrawn rows. The publication was visible in the lake snapshots from `read_from` to
    `read_until`.
    """

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
    """When the incident stopped covering it."""
    withdrawn: int | None = None
    """Id of the first publication with the withdrawn rows."""
    removable: tuple[str, str] | None = None
    """For data made from withdrawn rows: the last (node, partition) made only from them.

    None: the data reads all that is published, and is right once it is recomputed.
    """


_Reached: TypeAlias = tuple[InputSpec, Taint, frozenset[str]]
"""A tainted input, and the node's columns that derive from it."""


def spread_taints(
    tx: Transaction, context: EvaluationContext, roots: Iterable[Taint], carry: Carry
) -> dict[str, list[Taint]]:
    """Return node → its publications that are tainted themselves or through an input.

    Exports are included.
    """
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
            results[node.name] = list(
                dict.fromkeys([*results.get(node.name, ()), *_made_of(tx, context, node, reached)])
            )
    return results


def _made_of(
    tx: Transaction, context: EvaluationContext, node: Node, reached: Sequence[_Reached]
) -> list[Taint]:
    """Return the tainted publications of a node that read any of these inputs."""
    publications = stored.computed_since(
        tx, node.name, min(taint.read_from for _, taint, _ in reached)
    )
    taints = [
        taint
        for publication in publications
        for taint in _taints_of(context, node, publication, reached)
    ]
    return _not_the_same_again(taints, publications)


def _taints_of(
    context: EvaluationContext,
    node: Node,
    publication: stored.PublicationProvenance,
    reached: Sequence[_Reached],
) -> Iterator[Taint]:
    """Yield a taint of one publication for each of the tainted inputs that it read."""
    visible = [each for each in reached if publication.saw(each[1].read_from, each[1].read_until)]
    keys = {
        spec: needed(context, node, spec, publication.partition)
        for spec in dict.fromkeys(spec for spec, _, _ in visible)
    }
    for spec, taint, columns in visible:
        input_keys = keys[spec]
        if input_keys is None:
            removable = taint.removable
        elif taint.partition in input_keys:
            removable = node.name, publication.partition
        else:
            continue
        yield msgspec.structs.replace(
            _onwards(taint, publication, node.name, columns), removable=removable
        )


def _not_the_same_again(
    taints: Sequence[Taint], publications: Iterable[stored.PublicationProvenance]
) -> list[Taint]:
    """Drop taints that an identical publication made from untainted inputs replaced."""
    replaced = {
        (publication.partition, publication.snapshot): publication
        for publication in publications
        if publication.identical
    }
    tainted = {
        (taint.partition, taint.read_from, taint.incident, taint.exception, taint.withdrawn)
        for taint in taints
    }

    def same_again(taint: Taint) -> bool:
        """Return whether the same content was published later from inputs without the taint."""
        why = (taint.incident, taint.exception, taint.withdrawn)
        following = replaced.get((taint.partition, taint.read_until))
        while following is not None and (following.partition, following.snapshot, *why) in tainted:
            following = replaced.get((following.partition, following.ended_snapshot or EVER))
        return following is not None

    return [taint for taint in taints if not same_again(taint)]


def _onwards(
    taint: Taint, provenance: stored.PublicationProvenance, node: str, columns: frozenset[str]
) -> Taint:
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


def needed(
    context: EvaluationContext, node: Node, spec: InputSpec, key: str
) -> frozenset[str] | None:
    """Return the partitions of an input that a partition was made of; None: all of them."""
    source = context.node(spec.node)
    try:
        keys = required(
            node.cut(key),
            node.timezone,
            key,
            source.partition,
            source.timezone,
            spec,
            partial(context.facts.keys, source.name),
        ).keys
    except UsageError:
        return None  # it was partitioned differently then
    return None if keys is None else frozenset(keys)


def unsound_taints(rows: Iterable[stored.Unsound]) -> list[Taint]:
    """Return the publications that incidents name as wrong."""
    return [_named_taint(row) for row in rows]


def _named_taint(unsound: stored.Unsound) -> Taint:
    ends = EVER if unsound.ended_at is None else unsound.ended_at
    until = EVER if unsound.until_at is None else unsound.until_at
    # data computed from it before the damage was computed from sound rows
    if unsound.damaged_at is not None:
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
        unsound.node,
        unsound.partition,
        unsound.published_at,
        ends,
        unsound.known_at,
        unsound.snapshot,
        EVER if unsound.ended_snapshot is None else unsound.ended_snapshot,
        unsound.incident_id,
        None,
        frozenset(unsound.columns),
        until,
    )


def accepted_taints(rows: Iterable[stored.AcceptedPublication]) -> list[Taint]:
    """Return the publications that somebody accepted as exceptions."""
    return [
        Taint(
            row.node,
            row.partition,
            row.published_at,
            EVER if row.ended_at is None else row.ended_at,
            row.published_at,
            row.snapshot,
            EVER if row.ended_snapshot is None else row.ended_snapshot,
            None,
            row.id,
        )
        for row in rows
    ]


def withdrawn_taints(rows: Iterable[Withdrawn]) -> list[Taint]:
    """Return the withdrawn publications.

    Readers no longer see them, but see what was made from them while they did.
    """
    return [
        Taint(
            row.node,
            row.partition,
            row.at,
            row.at,
            row.at,
            row.snapshot,
            row.ended_snapshot,
            withdrawn=row.rows,
        )
        for row in rows
    ]


def all_of_all(_node: str, _columns: frozenset[str], _below: str) -> frozenset[str]:
    """Carry every fault to all columns, whatever the lineage."""
    return frozenset()


# Which columns carry a fault downstream. The lineage is loaded only if a fault names columns, since
# loading takes time.

ALL = "*"


class Carrying:
    """An `unsound.Carry` over a project's lineage.

    `load` returns a function from a node to its column lineage, which raises KeyError for a node
    that has none.
    """

    def __init__(self, load: Callable[[], Callable[[str], ColumnLineage]]) -> None:
        self._load = load

    @cached_property
    def _lines(self) -> Callable[[str], ColumnLineage]:
        return self._load()

    def __call__(self, node: str, columns: frozenset[str], below: str) -> frozenset[str] | None:
        """Return the columns of `below` that derive from these columns of `node`.

        Return all (empty) if they decide which rows exist, or if nothing is known.
        """
        if not columns:
            return columns
        try:
            lines = self._lines(below)
        except KeyError:
            return frozenset()  # an export, which passes on all that it reads
        lowercase = {column.lower() for column in columns}
        if _any_reads(lines.filters, node.lower(), lowercase):
            return frozenset()
        results = {
            column
            for column, edges in lines.columns.items()
            if _any_reads(edges, node.lower(), lowercase)
        }
        if ALL in results:
            return frozenset()
        return frozenset(results) or None


def _any_reads(edges: Iterable[Edge], node: str, columns: Collection[str]) -> bool:
    """Return whether an edge comes from one of a node's columns, named in lower case."""
    return any(
        edge.input.lower() == node and (edge.column == ALL or edge.column.lower() in columns)
        for edge in edges
    )


def lineage_of(compiled: Compiled) -> Callable[[], Callable[[str], ColumnLineage]]:
    """Return a loader for the lineage of the applied version."""

    def load() -> Callable[[str], ColumnLineage]:
        from headrace.compiler.lineage import compile_lineage

        return compile_lineage(compiled).of

    return load
