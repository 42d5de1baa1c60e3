"""Sets of moments: sorted, disjoint, half-open spans of integer microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Moments = tuple[tuple[int, int], ...]
"""(from, until), sorted, disjoint and not empty."""
NONE: Moments = ()
EVER = 1 << 62
"""Later than every moment."""


def union(spans: Iterable[tuple[int, int]]) -> Moments:
    """All moments that are in any of them."""
    results: list[tuple[int, int]] = []
    for began, ended in sorted(spans):
        if ended <= began:
            continue
        if results and began <= results[-1][1]:
            results[-1] = (results[-1][0], max(results[-1][1], ended))
        else:
            results.append((began, ended))
    return tuple(results)


def common(item: Moments, other: Moments) -> Moments:
    """All moments that are in both."""
    results, first, second = [], 0, 0
    while first < len(item) and second < len(other):
        began, ended = max(item[first][0], other[second][0]), min(item[first][1], other[second][1])
        if began < ended:
            results.append((began, ended))
        if item[first][1] <= other[second][1]:
            first += 1
        else:
            second += 1
    return tuple(results)


def without(item: Moments, other: Moments) -> Moments:
    """The moments of one that aren't in the other."""
    return common(item, outside(other))


def outside(spans: Moments) -> Moments:
    """All moments that aren't in them."""
    edges = [-EVER, *(edge for span in spans for edge in span), EVER]
    return tuple((began, ended) for began, ended in zip(edges[::2], edges[1::2], strict=True) if began < ended)


def length(spans: Sequence[tuple[int, int]]) -> int:
    """How many microseconds they hold."""
    return sum(ended - began for began, ended in spans)


def holds(spans: Moments, at_us: int) -> bool:
    """Whether a moment is in them."""
    return any(began <= at_us < ended for began, ended in spans)
