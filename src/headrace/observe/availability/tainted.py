"""What was made of a publication that isn't sound, that somebody accepted as an exception, or that was withdrawn: it is as unsound as
that (SEMANTICS §7).

From each publication that is named it goes downstream, node by node, to the publications that read it while readers saw it. What came
out the same once it was made of what is sound was never wrong: nothing that reads it is made again for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from headrace.model import InputSpec, UsageError
from headrace.model.required import required
from headrace.observe.availability.spans import EVER
from headrace.observe.declared_promises import Node
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import unsound as stored
from headrace.store.queries.withdrawals import Withdrawn

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


def spread(tx: Transaction, context: EvaluationContext, roots: Iterable[Taint], carry: Carry) -> dict[str, list[Taint]]:
    """Node → all its publications that any of these is the matter with, by itself or through what it read; exports among them."""
    found: dict[str, list[Taint]] = {}
    for one in roots:
        found.setdefault(one.node, []).append(one)
    if not found:
        return found
    for node in (*context.declared.nodes.values(), *context.declared.exports.values()):
        reached = [
            (spec, one, columns)
            for spec in node.inputs
            for one in found.get(spec.node, ())
            if (columns := carry(one.node, one.columns, node.name)) is not None
        ]
        if reached:
            found[node.name] = list(dict.fromkeys([*found.get(node.name, ()), *_made(tx, context, node, reached)]))
    return found


def _made(tx: Transaction, context: EvaluationContext, node: Node, reached: Sequence[_Reached]) -> list[Taint]:
    """The publications of a node that read any of these."""
    publications = stored.made_since(tx, node.name, min(one.read_from for _, one, _ in reached))
    found = []
    for made in publications:
        seen = [each for each in reached if made.saw(each[1].read_from, each[1].read_until)]
        keys = {spec: needed(context, node, spec, made.partition) for spec in dict.fromkeys(spec for spec, _, _ in seen)}
        for spec, one, columns in seen:
            wanted = keys[spec]
            if wanted is None or one.partition in wanted:
                removable = one.removable if wanted is None else (node.name, made.partition)
                found.append(msgspec.structs.replace(_onwards(one, made, node.name, columns), removable=removable))
    return _not_the_same_again(found, publications)


def _not_the_same_again(found: Sequence[Taint], publications: Iterable[stored.PublicationProvenance]) -> list[Taint]:
    """Without those that were replaced by the same, made of nothing that this is the matter with."""
    replaced = {(made.partition, made.snapshot): made for made in publications if made.identical}
    tainted = {(one.partition, one.read_from, one.incident, one.exception, one.withdrawn) for one in found}

    def same_again(one: Taint) -> bool:
        made = replaced.get((one.partition, one.read_until))
        while made is not None and (made.partition, made.snapshot, one.incident, one.exception, one.withdrawn) in tainted:
            made = replaced.get((made.partition, EVER if made.ended_snapshot is None else made.ended_snapshot))
        return made is not None

    return [one for one in found if not same_again(one)]


def _onwards(one: Taint, made: stored.PublicationProvenance, node: str, columns: frozenset[str]) -> Taint:
    return Taint(
        node=node,
        partition=made.partition,
        from_us=made.published_at,
        until_us=EVER if made.ended_at is None else made.ended_at,
        known_us=one.known_us,
        read_from=made.snapshot,
        read_until=EVER if made.ended_snapshot is None else made.ended_snapshot,
        incident=one.incident,
        exception=one.exception,
        columns=columns,
        withdrawn_us=one.withdrawn_us,
        withdrawn=one.withdrawn,
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


def unsound(rows: Iterable[stored.Unsound]) -> list[Taint]:
    """What incidents name."""
    return [_named(one) for one in rows]


def _named(one: stored.Unsound) -> Taint:
    ends = EVER if one.ended_at is None else one.ended_at
    until = EVER if one.until_at is None else one.until_at
    if one.damaged_at is not None:  # what was computed from it before was computed from sound rows
        return Taint(one.node, one.partition, max(one.published_at, one.damaged_at), min(ends, until), one.known_at, EVER, EVER,
                     one.incident_id, None, frozenset(one.columns))  # fmt: skip
    return Taint(
        one.node, one.partition, one.published_at, ends, one.known_at, one.snapshot,
        EVER if one.ended_snapshot is None else one.ended_snapshot, one.incident_id, None, frozenset(one.columns), until,
    )  # fmt: skip


def accepted(rows: Iterable[stored.AcceptedPublication]) -> list[Taint]:
    """What somebody published as an exception."""
    return [
        Taint(
            one.node, one.partition, one.published_at, EVER if one.ended_at is None else one.ended_at, one.published_at, one.snapshot,
            EVER if one.ended_snapshot is None else one.ended_snapshot, None, one.id,
        )
        for one in rows
    ]  # fmt: skip


def withdrawn(rows: Iterable[Withdrawn]) -> list[Taint]:
    """What was withdrawn: readers see none of it, but what was made of it while they did."""
    return [Taint(one.node, one.partition, one.at, one.at, one.at, one.snapshot, one.ended_snapshot, withdrawn=one.rows) for one in rows]


def all_of_all(_node: str, _columns: frozenset[str], _below: str) -> frozenset[str]:
    """All columns come from all."""
    return frozenset()
