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
    found: list[tuple[int, int]] = []
    for began, ended in sorted(spans):
        if ended <= began:
            continue
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return tuple(found)


def common(one: Moments, other: Moments) -> Moments:
    """All moments that are in both."""
    found, first, second = [], 0, 0
    while first < len(one) and second < len(other):
        began, ended = max(one[first][0], other[second][0]), min(one[first][1], other[second][1])
        if began < ended:
            found.append((began, ended))
        if one[first][1] <= other[second][1]:
            first += 1
        else:
            second += 1
    return tuple(found)


def without(one: Moments, other: Moments) -> Moments:
    """The moments of one that aren't in the other."""
    return common(one, outside(other))


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
