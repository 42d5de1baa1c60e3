"""Up to where a consumer can read: the newest of its intervals that is there. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.intervals import previous_key, start_us
from headrace.observe.obligations import Obligation, Scene, needed
from headrace.observe.watched import Terms

EMPTY_INTERVALS_MAX = 100
"""So many intervals without rows are passed over to find the newest with rows."""


def data_through(terms: Terms, found: Sequence[Obligation], scene: Scene) -> str | None:
    """The newest interval that can be read. Under `max_age`, the newest with rows before any hole."""
    if not scene.has_rhythm(terms):
        return None
    if terms.max_age is None:
        return next((one.interval for one in reversed(found) if one.met_at_us is not None), None)
    hole = next((place for place, one in enumerate(found) if not one.settled), len(found))
    if hole == 0 and found:
        return _before_first(found[0], terms, scene)
    for one in reversed(found[max(0, hole - EMPTY_INTERVALS_MAX) : hole]):
        if one.met_at_us is not None and _has_rows(terms, one.interval, scene):
            return one.interval
    return None


def _before_first(first: Obligation, terms: Terms, scene: Scene) -> str | None:
    """Where the oldest obligation that is known of isn't met: the interval before it, if that was ever expected."""
    before = previous_key(first.interval, terms.per, terms.timezone)
    starts = [scene.rhythms[node.name].start_us for node in scene.known_reads(terms) if scene.rhythms[node.name].has]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or start_us(before, terms.per, terms.timezone) < max(known):
        return None
    return before


def _has_rows(terms: Terms, interval: str, scene: Scene) -> bool:
    """Whether each read that is cut by time has rows in what the interval requires."""
    for node in scene.known_reads(terms):
        keys = needed(node, terms, interval, scene) if node.partition.grain is not None else None
        if keys and not any(scene.world.rows(node.name, key) for key in keys):
            return False
    return True
