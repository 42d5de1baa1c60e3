"""Which partitions of a node there should be by now: what a calendar shows as missing where nothing was ever heard of them."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.model.intervals import bounds_us, key_at_us, previous_key, start_us
from headrace.model.required import SEPARATOR
from headrace.observe.obligations import Scene
from headrace.observe.watched import Node, began


def expected(node: Node, scene: Scene, now_us: int, *, below: str | None) -> Iterator[tuple[str, int]]:
    """Each partition with the end of its interval (microseconds), newest first: from the last that has ended to the node's start; only
    those before the key `below`. None of a node whose keys grow with its data, nor of days on which nothing is due. Lazy: years of hours
    are many."""
    grain, start = node.partition.grain, _start_us(node, scene)
    if grain is None or start is None or (node.partition.key is not None and node.partition.values is None):
        return
    moment = key_at_us(now_us, grain, node.timezone)
    if below is not None and began(below, grain, node.timezone) is not None:
        moment = below.partition(SEPARATOR)[0]
        if node.partition.values:
            yield from _within(node, moment, below)
    while start_us(moment := previous_key(moment, grain, node.timezone), grain, node.timezone) >= start:
        yield from _within(node, moment, None)


def _start_us(node: Node, scene: Scene) -> int | None:
    """Since when there should be any: as how far it is behind is counted."""
    start, newest = scene.rhythms[node.name].start_us, scene.world.newest(node.name)
    if start is None and newest is not None and node.partition.grain is not None:
        return began(newest.oldest, node.partition.grain, node.timezone)
    return start


def _within(node: Node, moment: str, below: str | None) -> Iterator[tuple[str, int]]:
    grain = node.partition.grain
    assert grain is not None
    if node.no_data.covers(moment, grain, node.timezone):
        return
    ended = bounds_us(moment, grain, node.timezone)[1]
    keys = [f"{moment}{SEPARATOR}{value}" for value in sorted(node.partition.values or (), reverse=True)] or [moment]
    yield from ((key, ended) for key in keys if below is None or key < below)
