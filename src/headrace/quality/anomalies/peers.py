"""What other sources did in the same interval: a holiday thins all of them, a fault one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from headrace.quality.anomalies.odd import MetricAnomaly

PEERS_MIN = 2
BEFORE_MIN = 4
"""Of so many intervals it has to be known how many rows a peer had."""
EXPLAINED = 0.5
"""Peers explain a move where theirs is at least this part of it."""


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """Another owner's source: how many rows it has in this interval, and had in those before that are like it, oldest first."""

    name: str
    rows: int
    before: tuple[int, ...]


def shared_move(anomaly: MetricAnomaly, peers: Sequence[Peer]) -> str:
    """In words, that peers moved as rows did; empty where they didn't, or too few are known."""
    return alike(anomaly.off, peers) if anomaly.metric.family == "rows" else ""


def alike(off: float, peers: Sequence[Peer]) -> str:
    """In words, that peers moved as rows did that are off by so much, as a logarithm; empty where they didn't, or too few are known."""
    moves = sorted(result for peer in peers if (result := move(peer)) is not None)
    if len(moves) < PEERS_MIN:
        return ""
    middle = moves[len(moves) // 2] if len(moves) % 2 else (moves[len(moves) // 2 - 1] + moves[len(moves) // 2]) / 2
    if middle * off <= 0 or abs(middle) < EXPLAINED * abs(off):
        return ""
    return f"{len(moves)} sources of other owners moved alike"


def move(peer: Peer) -> float | None:
    """How far a source's rows lie from what they usually are, as a logarithm; None where too little is known."""
    if len(peer.before) < BEFORE_MIN:
        return None
    usual = sorted(peer.before)[len(peer.before) // 2]
    return math.log(peer.rows + 1) - math.log(usual + 1)
