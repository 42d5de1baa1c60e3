"""What other sources did in the same interval: a holiday thins all of them, a fault one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from headrace.quality.anomalies.odd import Odd

PEERS_MIN = 2
EXPLAINED = 0.5
"""Peers explain a move where theirs is at least this part of it."""


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """Another owner's source: how many rows it has in this interval, and had in those before, oldest first."""

    name: str
    rows: int
    before: tuple[int, ...]


def shared_move(one: Odd, peers: Sequence[Peer]) -> str:
    """In words, that peers moved as rows did; empty where they didn't, or too few are known."""
    moves = sorted(move for peer in peers if (move := _move(peer)) is not None)
    if one.metric.family != "rows" or len(moves) < PEERS_MIN:
        return ""
    middle = moves[len(moves) // 2] if len(moves) % 2 else (moves[len(moves) // 2 - 1] + moves[len(moves) // 2]) / 2
    if middle * one.off <= 0 or abs(middle) < EXPLAINED * abs(one.off):
        return ""
    return f"{len(moves)} sources of other owners moved alike"


def _move(peer: Peer) -> float | None:
    """How far a peer's rows lie from what they usually are, as a logarithm."""
    if len(peer.before) < 7:
        return None
    usual = sorted(peer.before)[len(peer.before) // 2]
    return math.log(peer.rows + 1) - math.log(usual + 1)
