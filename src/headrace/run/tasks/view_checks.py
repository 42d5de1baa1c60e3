"""Blocking checks of views, for the audit of what the views read: a view has no publication of its own that could be held back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN
from headrace.model import Asset, InputSpec, Severity, Source
from headrace.plan.views import expanded, expanded_names, is_view
from headrace.run.messages import ViewCheck, ViewCheckReads
from headrace.run.tasks.inputs import input_of, wanted_of
from headrace.run.tasks.lookup import TaskLookup, Undeliverable
from headrace.store import Transaction
from headrace.store.queries import publications


def view_checks(lookup: TaskLookup, tx: Transaction, node: Source | Asset, keys: Sequence[str], snapshot: int) -> tuple[ViewCheck, ...]:
    """The views with blocking checks that read a node, over what else they read for these partitions of it. One whose other
    inputs aren't published yet is left out: it is judged when the last of them is."""
    return tuple(_checks(lookup, tx, node, keys, snapshot))


def _checks(lookup: TaskLookup, tx: Transaction, node: Source | Asset, keys: Sequence[str], snapshot: int) -> Iterator[ViewCheck]:
    for view in _views(lookup, node):
        try:
            data = _seen(lookup, tx, node, InputSpec(node=view.name, place=view.place), keys, snapshot)
        except Undeliverable:
            continue
        yield ViewCheck(
            data=data,
            checks=tuple(check for check in view.checks if check.severity is Severity.BLOCKING),
            references=lookup.references(tx, view.name, snapshot),
            timezone=view.timezone,
            macros=lookup.project.macros,
        )


def _views(lookup: TaskLookup, node: Source | Asset) -> list[Asset]:
    return [view for view in lookup.checked_views if node.name in expanded_names(lookup.compiled, [view.name])]


def beside(lookup: TaskLookup, tx: Transaction, node: Source | Asset, keys: Sequence[str]) -> tuple[ViewCheckReads, ...]:
    """What the node's views read besides it, and how new that is."""
    reads = []
    for view in _views(lookup, node):
        for spec in expanded(lookup.compiled, [InputSpec(node=view.name, place=view.place)]):
            if spec.node != node.name:
                wanted = wanted_of(lookup, tx, node, spec, keys)
                asked = None if wanted is None else tuple(wanted)
                reads.append(ViewCheckReads(spec.node, asked, publications.newest_id(tx, spec.node, asked)))
    return tuple(reads)


def _seen(lookup: TaskLookup, tx: Transaction, node: Source | Asset, spec: InputSpec, keys: Sequence[str], snapshot: int) -> InputData:
    """What the view reads by this input, as if it were cut like the node. Of the node itself: what is published besides `keys`."""
    if is_view(lookup.project, spec.node):
        return lookup.view(spec, lambda spec: _seen(lookup, tx, node, spec, keys, snapshot))
    wanted = wanted_of(lookup, tx, node, spec, keys)
    if spec.node != node.name:
        if wanted is not None and len(wanted) > len(set(wanted) & set(lookup.published_keys(tx, spec.node))):
            raise Undeliverable(f"{spec.node} isn't published for all of {', '.join(keys)} yet")
        return input_of(lookup, tx, node, spec, keys, snapshot)
    others = set(lookup.published_keys(tx, node.name)) if wanted is None else set(wanted)
    known = lookup.table(tx, node.name)
    if known is None or (isinstance(node, Asset) and node.accumulates):
        return InputData(name=node.name, files=(), columns=())
    columns = tuple(column for column in known.columns if column.name != PARTITION_COLUMN)
    left = sorted(others - set(keys))
    return lookup.data(tx, node.name, left, snapshot) if left else InputData(name=node.name, files=(), columns=columns)
