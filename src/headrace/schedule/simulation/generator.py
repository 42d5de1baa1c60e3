"""Chance that a seed decides: SplitMix64, and numbers that depend on names alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def scramble(value: int) -> int:
    """A number of 64 bits that looks like chance."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def drawn(seed: int, *names: object) -> float:
    """A number in [0, 1) for something that has a name: taking other things out of a scenario doesn't change it."""
    return scramble(seed * _GOLDEN + zlib.crc32(repr(names).encode()) & _MASK) / 2**64


class Generator:
    """A sequence of numbers that the seed decides."""

    def __init__(self, seed: int) -> None:
        self._state = scramble(seed & _MASK)

    def number(self) -> int:
        """The next 64 bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        return scramble(self._state)

    def below(self, bound: int) -> int:
        """From 0 to `bound` - 1."""
        return self.number() % bound

    def between(self, first: int, last: int) -> int:
        """From `first` to `last`, both included."""
        return first + self.below(last - first + 1)

    def chance(self, probability: float) -> bool:
        """Whether something of that probability happens."""
        return self.number() < probability * 2**64

    def choice(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.below(len(among))]

    def sample(self, among: Sequence[T], count: int) -> list[T]:
        """So many different ones, in the order in which they stand; all where there are fewer."""
        left = list(range(len(among)))
        while len(left) > count:
            left.pop(self.below(len(left)))
        return [among[index] for index in left]
