"""Partitions that a node should have by now.

A calendar displays those without any record as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile

from headrace.model import Grain
from headrace.model.intervals import bounds_us, key_at_us, previous_key, start_us
from headrace.model.partitions import SEPARATOR
from headrace.slo.declared_promises import Node, began
from headrace.slo.obligations import EvaluationContext

_HOUR_US = 3_600_000_000
_ELAPSED = {Grain.HOUR: _HOUR_US, Grain.DAY: 24 * _HOUR_US}
"""Grains whose intervals are counted by elapsed time; a day may be an hour longer or shorter."""


def expected(
    node: Node,
    context: EvaluationContext,
    now_us: int,
    *,
    below: str | None,
    declared_us: int | None = None,
) -> Iterator[tuple[str, int]]:
    """Yield each expected partition with the end of its interval (µs), newest first.

    They range from the last ended interval to the node's start, restricted to keys before `below`.
    Nodes with a dynamic set of keys have none, nor have days without data. Lazy, because years of
    hours are many. `declared_us` is the time from which a source without any delivery is expected
    to deliver.
    """
    grain, start = node.partition.grain, _start_us(node, context, declared_us)
    if grain is None or start is None or (node.partition.grows):
        return
    interval = key_at_us(now_us, grain, node.timezone)
    if below is not None and began(below, grain, node.timezone) is not None:
        interval = below.partition(SEPARATOR)[0]
        if node.partition.values:
            yield from _within(node, interval, below)
    while (
        start_us(interval := previous_key(interval, grain, node.timezone), grain, node.timezone)
        >= start
    ):
        yield from _within(node, interval, None)


def within(
    node: Node,
    context: EvaluationContext,
    now_us: int,
    first: str,
    last: str,
    declared_us: int | None = None,
) -> Iterator[str]:
    """Yield the expected keys from `first` to `last`, both included, newest first."""
    grain, start = node.partition.grain, _start_us(node, context, declared_us)
    since = began(last, grain, node.timezone) if grain is not None else None
    if grain is not None and start is not None and since is not None:
        newest = start_us(key_at_us(now_us, grain, node.timezone), grain, node.timezone)
        interval = last.partition(SEPARATOR)[0]
        if start <= since < newest and last in {key for key, _ in _within(node, interval, None)}:
            yield last
    for key, _ in expected(
        node, context, now_us, below=last if since is not None else None, declared_us=declared_us
    ):
        if key < first:
            return
        if key < last or key.startswith(last):
            yield key


def count_absent(
    node: Node,
    context: EvaluationContext,
    now_us: int,
    heard: Callable[[str, str | None], int],
    since: str = "",
    declared_us: int | None = None,
) -> int:
    """Return the number of expected partitions without any record, from the key `since` on.

    `heard` counts the recorded ones from one key (included) to another (excluded).
    """
    grain, start = node.partition.grain, _start_us(node, context, declared_us)
    if (
        grain is None
        or start is None
        or (node.partition.key is not None and not node.partition.values)
    ):
        return 0
    begun = began(since, grain, node.timezone) if since else None
    start = max(start, begun) if begun is not None else start
    first, end = key_at_us(start, grain, node.timezone), key_at_us(now_us, grain, node.timezone)
    begins, ends = start_us(first, grain, node.timezone), start_us(end, grain, node.timezone)
    if grain in _ELAPSED and node.no_data.none:  # years of hours are too many to iterate
        whole = round((ends - begins) / _ELAPSED[grain]) * max(1, len(node.partition.values or ()))
    else:
        keys = expected(node, context, now_us, below=None, declared_us=declared_us)
        whole = sum(1 for _ in takewhile(lambda item: item[0] >= first, keys))
    return max(0, whole - heard(first, end))


def _start_us(node: Node, context: EvaluationContext, declared_us: int | None) -> int | None:
    """Return the start of the expected partitions, as it counts for the node's backlog.

    For a source without any delivery it is the interval of its declaration, as in its incident.
    """
    start, newest, grain = (
        context.rhythms[node.name].start_us,
        context.facts.newest(node.name),
        node.partition.grain,
    )
    if start is not None or grain is None:
        return start
    if newest is not None:
        return began(newest.oldest, grain, node.timezone)
    return (
        None
        if declared_us is None
        else began(key_at_us(declared_us, grain, node.timezone), grain, node.timezone)
    )


def _within(node: Node, interval: str, below: str | None) -> Iterator[tuple[str, int]]:
    if node.no_data.covers(interval):
        return
    grain = node.partition.time_grain
    ended = bounds_us(interval, grain, node.timezone)[1]
    keys = [
        f"{interval}{SEPARATOR}{value}"
        for value in sorted(node.partition.values or (), reverse=True)
    ] or [interval]
    yield from ((key, ended) for key in keys if below is None or key < below)
