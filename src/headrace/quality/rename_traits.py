"""What a column's values are like, from a sample of them, and how much alike two columns are in that. Values themselves aren't kept."""

from __future__ import annotations

import bisect
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec

TOP = 400
"""Different values of which the share is known."""
SHAPES = 12
NUMBERS = 200
"""Points at which a column's distribution is known."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?")
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
TEXT_MAX = 200
BITS = 6.0
"""Information of a value from which on its kind of value tells columns apart."""
DECIMALS_MAX = 4
_Key = TypeVar("_Key", int, str)


class ColumnTraits(msgspec.Struct, frozen=True, kw_only=True):
    """A column, as far as that tells it from others. Shares are of rows (`nulls`) or of those that hold a value."""

    name: str
    type: str
    position: float
    """Where it stands among the columns that both schemas have: after how many of them, and the how manieth there (tenths)."""
    rows: int = 0
    nulls: float = 0.0
    values: int = 0
    distinct: int = 0
    """Different values."""
    numeric: float = 0.0
    whole: float = 0.0
    """Share of numbers without a fraction, of the numbers."""
    numbers: tuple[float, ...] = ()
    """Quantiles, evenly spread."""
    lengths: tuple[float, ...] = ()
    shapes: dict[str, float] = {}
    """`9-9-9`, `a 9`: runs of digits and letters → share."""
    shares: dict[int, float] = {}
    """Hash of a value → its share, of the most frequent."""
    telling: float = 0.0
    """How little the values would have in common with another column's by accident, from 0 (zeros,
    flags, small whole numbers that are all there) to 1."""


def traits(name: str, kind: str, position: float, values: Sequence[str | None]) -> ColumnTraits:
    """What a sample of a column's values, as text, shows."""
    there = [canonical(value[:TEXT_MAX]) for value in values if value is not None]
    if not there:
        return ColumnTraits(name=name, type=kind, position=position, rows=len(values), nulls=1.0 if values else 0.0)
    numbers = sorted(float(value) for value in there if _NUMBER.fullmatch(value))
    counted = Counter(there)
    shapes = Counter(_shape(value) for value in there)
    return ColumnTraits(
        name=name,
        type=kind,
        position=position,
        rows=len(values),
        nulls=1 - len(there) / len(values),
        values=len(there),
        distinct=len(counted),
        numeric=len(numbers) / len(there),
        whole=sum(number.is_integer() for number in numbers) / len(numbers) if numbers else 0.0,
        numbers=_quantiles(numbers) if len(numbers) >= 0.9 * len(there) else (),
        lengths=_quantiles(sorted(float(len(value)) for value in there)),
        shapes={shape: count / len(there) for shape, count in shapes.most_common(SHAPES)},
        shares={_hash(value): count / len(there) for value, count in counted.most_common(TOP)},
        telling=_telling(counted),
    )


def _telling(counted: Counter[str]) -> float:
    """The values' information (a row's, on average; `BITS` are enough), less what numbers that fill
    their range have in common with any others of that range."""
    total = sum(counted.values())
    bits = -sum(count / total * math.log2(count / total) for count in counted.values())
    return min(1.0, bits / BITS) * (1 - _filled(counted))


def _filled(counted: Counter[str]) -> float:
    """Which part of the numbers between the smallest and the largest is there, at as many decimals."""
    numbers = [value for value in counted if _NUMBER.fullmatch(value)]
    if len(numbers) < 0.9 * len(counted):
        return 0.0
    decimals = min(max(len(value.partition(".")[2]) for value in numbers), DECIMALS_MAX)
    places = [float(value) for value in numbers]
    between = (max(places) - min(places)) * 10**decimals + 1
    return float(min(1.0, len(numbers) / between))


def canonical(value: str) -> str:
    """`67.7100` and `67.71` are one value, `007` and `7` aren't."""
    plain = value.strip()
    if "." not in plain or not _NUMBER.fullmatch(plain):
        return plain
    number = float(plain)
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _shape(value: str) -> str:
    return _LETTERS.sub("a", _DIGITS.sub("9", value))[:24]


def _hash(value: str) -> int:
    return int.from_bytes(blake2b(value.encode(errors="surrogatepass"), digest_size=7).digest())


def _quantiles(ordered: Sequence[float]) -> tuple[float, ...]:
    if len(ordered) <= NUMBERS:
        return tuple(ordered)
    return tuple(ordered[int((i + 0.5) * len(ordered) / NUMBERS)] for i in range(NUMBERS))


class Alike(msgspec.Struct, frozen=True):
    """How much alike two columns' values are, from 0 to 1 each."""

    overlap: float
    """Share of values that both have, each as often."""
    spread: float
    """How much of the distributions (of numbers, else of lengths) lies in the same place."""
    shape: float
    nulls: float
    distinct: float


def alike(traits: ColumnTraits, other: ColumnTraits) -> Alike | None:
    """None where one of them has no values."""
    if not traits.shares or not other.shares:
        return None
    numbers = bool(traits.numbers and other.numbers) and not (_all_different(traits) and _all_different(other))
    spread = _spread(traits.numbers, other.numbers) if numbers else _spread(traits.lengths, other.lengths)
    if bool(traits.numbers) != bool(other.numbers):
        spread = 0.0
    chance = math.sqrt(1 / traits.values + 1 / other.values)
    return Alike(
        overlap=_common(traits.shares, other.shares),
        spread=min(1.0, spread + chance) if spread else 0.0,
        shape=min(1.0, _common(traits.shapes, other.shapes) + chance),
        nulls=1 - min(1.0, 2 * abs(math.sqrt(traits.nulls) - math.sqrt(other.nulls))),
        distinct=1 - min(1.0, max(0.0, _apart(traits, other) - chance)),
    )


def _all_different(traits: ColumnTraits) -> bool:
    """Whether it counts or names rows: tomorrow's numbers lie elsewhere, but are as long."""
    return traits.distinct > 0.95 * traits.values and traits.whole == 1.0


def _apart(traits: ColumnTraits, other: ColumnTraits) -> float:
    """How differently many different values there are, in powers of ten: by number, or by share, whichever fits better (categories
    have a number, keys have a share)."""
    by_number = math.log10(traits.distinct / other.distinct)
    return min(abs(by_number), abs(by_number - math.log10(traits.values / other.values)))


def _common(item: Mapping[_Key, float], other: Mapping[_Key, float]) -> float:
    return sum(min(share, other.get(value, 0.0)) for value, share in item.items())


def _spread(item: Sequence[float], other: Sequence[float]) -> float:
    """1 less the greatest distance of the two cumulative distributions."""
    if not item or not other:
        return 0.0
    points = sorted({*item, *other})
    return 1 - max(abs(bisect.bisect_right(item, at) / len(item) - bisect.bisect_right(other, at) / len(other)) for at in points)
