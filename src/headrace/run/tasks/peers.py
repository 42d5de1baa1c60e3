"""The sources that a delivery's rows are judged beside: those of other owners that are cut alike, with what they delivered for the same
interval, whether it is published or held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headrace.model import Grain, Project, Source
from headrace.quality import metrics
from headrace.quality.anomalies.peers import BEFORE_MIN, PEERS_MIN, Peer
from headrace.store import Transaction
from headrace.store.queries import common_moves
from headrace.store.queries import metrics as stored

PEERS_MAX = 6
WEEK = 7


def candidates(project: Project, source: Source) -> list[Source]:
    """The sources that may be its peers; none where they are too few to tell."""
    others = [
        other
        for other in project.sources.values()
        if other.owner != source.owner and other.partition.grain is source.partition.grain and other.partition.key is None
    ]
    return others[:PEERS_MAX] if len(others) >= PEERS_MIN else []


def peers_of(tx: Transaction, project: Project, source: Source, key: str) -> Iterator[Peer]:
    """Those of which something was delivered for an interval."""
    for other in candidates(project, source):
        peer = as_peer(tx, other, key)
        if peer is not None:
            yield peer


def as_peer(tx: Transaction, source: Source, key: str) -> Peer | None:
    """What a source delivered for an interval, and for those before it that are like it; None where nothing is known of it."""
    known = stored.rows_until(tx, source.name, key, metrics.HISTORY_PARTITIONS + 1)
    if known and known[-1][0] == key:
        return Peer(source.name, known[-1][1], _like(key, known[:-1], source.partition.grain))
    return _held(tx, source, key, known)


def held_beside(tx: Transaction, source: Source, key: str) -> Peer | None:
    """The delivery of a source that is held for an interval, as peers are compared, also where readers
    see an earlier one of the same interval; None where none is held."""
    known = stored.rows_until(tx, source.name, key, metrics.HISTORY_PARTITIONS + 1)
    return _held(tx, source, key, [item for item in known if item[0] != key])


def _held(tx: Transaction, source: Source, key: str, before: list[tuple[str, int]]) -> Peer | None:
    vector = common_moves.measured_of_held(tx, source.name, key)
    return None if vector is None else Peer(source.name, metrics.decoded(vector).rows, _like(key, before, source.partition.grain))


def _like(key: str, before: list[tuple[str, int]], grain: Grain | None) -> tuple[int, ...]:
    """Of days, the same days of the week, where enough of them are known: all thin out on Sundays, and that explains nothing."""
    if grain is Grain.DAY:
        at = date.fromisoformat(key).toordinal()
        same = tuple(rows for other, rows in before if (at - date.fromisoformat(other).toordinal()) % WEEK == 0)
        if len(same) >= BEFORE_MIN:
            return same
    return tuple(rows for _, rows in before)
