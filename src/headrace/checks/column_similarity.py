"""How alike two columns are: traits of their values, and agreement row by row. Pure.

Renames, drift and facts compare columns with these.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec

# Traits of a column's values, from a sample, and how alike two columns are in them. The values
# themselves aren't kept.

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


# Whether two columns hold the same values, row by row, where a key recognises rows of an earlier
# delivery. The similarity of two names is only an opinion beside such evidence. An agreement
# weighs as much as it was improbable: zeros, flags and few categories agree by accident, so each
# equal row counts with the information of its value, in bits.

KEYS_MIN = 20
"""Rows that must be known again."""
UNIQUE = 0.98
"""A key tells this part of the rows apart, on both sides."""
KEY_COLUMNS_MAX = 12
"""Columns that are tried as keys, alone and in pairs."""
CONSTANT_FACTOR = 0.9
"""From this part of the rows on a factor is one factor, …"""
FACTOR_NEAR = 1e-3
"""… give or take what rounding leaves."""
BITS_FULL = 40.0
"""From so many bits on an agreement is no accident."""

Cells = Mapping[str, Sequence[str | None]]
"""Column → its cells as text, of some rows."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How two columns agree in the rows that both sides have. `bits` is the information of the equal
    ones, `of` that of all; `factor` is what the earlier values have to be multiplied by."""

    rows: int
    equal: int
    bits: float
    of: float
    accident: float = 0.0
    """Bits that two columns of these values would have in common if they had nothing to do with each
    other."""
    factor: float = 1.0

    @property
    def share(self) -> float:
        """Of the information that is no accident, from 0 to 1."""
        left = self.of - self.accident
        return max(0.0, self.bits - self.accident) / left if left > 0 else 0.0

    @property
    def informative(self) -> bool:
        """Whether rows could tell columns apart at all."""
        return self.of - self.accident >= BITS_FULL

    @property
    def weight(self) -> float:
        """How much that says, from 0 to 1."""
        return self.share * min(1.0, self.bits / BITS_FULL)


OF_ROWS = 24.0
"""Weight of rows that agree, in nats: more than names can have."""


class RenameCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a column that is gone may be called now, and what speaks for it."""

    to: str
    base: float
    """Log odds by name, type, place and distribution."""
    overlap: float
    """Share of values that both have, each as often."""
    rows: Agreement | None = None

    @property
    def log_odds(self) -> float:
        """With what rows say."""
        return self.base + (OF_ROWS * self.rows.weight if self.rows is not None else 0.0)

    @property
    def agreement(self) -> float:
        """How far the values are the same, from 0 to 1: of rows, where they are known again."""
        return self.overlap if self.rows is None else self.rows.share


def pooled_agreement(some: Sequence[Agreement]) -> Agreement:
    """What several intervals say of one pair. Another factor in each is none."""
    one_factor = len({round(agreement.factor, 6) for agreement in some if agreement.equal}) <= 1
    return Agreement(
        rows=sum(agreement.rows for agreement in some),
        equal=sum(agreement.equal for agreement in some) if one_factor else 0,
        bits=sum(agreement.bits for agreement in some) if one_factor else 0.0,
        of=sum(agreement.of for agreement in some),
        accident=sum(agreement.accident for agreement in some),
        factor=next((agreement.factor for agreement in some if agreement.equal), 1.0),
    )


def agreements(
    before: Cells, after: Cells, keys: Sequence[str], gone: Sequence[str], new: Sequence[str]
) -> dict[tuple[str, str], Agreement]:
    """(column that is gone, new one) → how they agree; nothing where no key of `keys` (columns that
    both sides have) knows enough rows again."""
    matched = _matched(before, after, keys)
    if len(matched) < KEYS_MIN:
        return {}
    results = {}
    for column in gone:
        was = [_cell(before, column, row) for row, _ in matched]
        information = _information(was)
        for name in new:
            now = [_cell(after, name, row) for _, row in matched]
            results[column, name] = _agreement(was, now, information)
    return results


def _matched(before: Cells, after: Cells, keys: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of both sides that have the same key, by the key that knows most of them again."""
    best: list[tuple[int, int]] = []
    known = [key for key in keys if key in before and key in after][:KEY_COLUMNS_MAX]
    for key in _keys(known):
        first, second = _rows_by(before, key), _rows_by(after, key)
        if first is None or second is None:
            continue
        results = [(row, second[cells]) for cells, row in first.items() if cells in second]
        if len(results) > len(best):
            best = results
    return best


def _keys(columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in (1, 2):
        yield from itertools.combinations(columns, size)


def _rows_by(cells: Cells, key: tuple[str, ...]) -> dict[tuple[str, ...], int] | None:
    """Key → row, where the key tells rows apart; rows that it doesn't are left out."""
    rows: dict[tuple[str, ...], int] = {}
    twice, filled = set[tuple[str, ...]](), 0
    for at, results in enumerate(zip(*(cells[name] for name in key), strict=True)):
        if None in results:
            continue
        named = tuple(canonical(item) for item in results if item is not None)
        filled += 1
        if named in rows:
            twice.add(named)
        rows[named] = at
    if not filled or len(rows) < UNIQUE * filled:
        return None
    return {named: at for named, at in rows.items() if named not in twice}


def _cell(cells: Cells, column: str, row: int) -> str | None:
    value = cells[column][row] if column in cells else None
    return None if value is None else canonical(value)


def _information(values: Sequence[str | None]) -> list[float]:
    """Of each value, in bits, by how often it is there. Nulls say nothing."""
    counts = Counter(value for value in values if value is not None)
    total = sum(counts.values())
    return [0.0 if value is None else -math.log2(counts[value] / total) for value in values]


def _agreement(was: Sequence[str | None], now: Sequence[str | None], information: Sequence[float]) -> Agreement:
    same = [item is not None and item == other for item, other in zip(was, now, strict=True)]
    of, rows = sum(information), sum(item is not None for item in was)
    bits = sum(own for own, is_same in zip(information, same, strict=True) if is_same)
    plain = Agreement(rows=rows, equal=sum(same), bits=bits, of=of, accident=_accident(was, now, information))
    factor = _factor(was, now)
    if factor is None or plain.share >= 1 - CONSTANT_FACTOR:
        return plain
    scaled = [_is_scaled(item, other, factor) for item, other in zip(was, now, strict=True)]
    bits = sum(own for own, is_same in zip(information, scaled, strict=True) if is_same)
    return Agreement(rows=rows, equal=sum(scaled), bits=bits, of=of, factor=factor)


def _accident(was: Sequence[str | None], now: Sequence[str | None], information: Sequence[float]) -> float:
    """What rows would agree on if they were shuffled."""
    counts = Counter(value for value in now if value is not None)
    return sum(own * counts[value] / len(now) for value, own in zip(was, information, strict=True) if value is not None)


def _factor(was: Sequence[str | None], now: Sequence[str | None]) -> float | None:
    """What nearly all values were multiplied by, if that is one number."""
    pairs = ((number(item), number(other)) for item, other in zip(was, now, strict=True))
    ratios = [new / old for old, new in pairs if old and new]
    if len(ratios) < KEYS_MIN:
        return None
    middle = statistics.median(ratios)
    near = sum(abs(ratio / middle - 1) <= FACTOR_NEAR for ratio in ratios)
    return middle if near >= CONSTANT_FACTOR * len(ratios) else None


def _is_scaled(item: str | None, other: str | None, factor: float) -> bool:
    old, new = number(item), number(other)
    if old is None or new is None:
        return False
    return abs(new - factor * old) <= FACTOR_NEAR * max(abs(new), abs(factor * old))


def number(value: str | None) -> float | None:
    """A finite number, if the text is one."""
    try:
        result = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return result if math.isfinite(result) else None
