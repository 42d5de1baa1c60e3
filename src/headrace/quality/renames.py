"""Which of the new columns is which of those that are gone: by name, type, place and values, decided over all of them at once. Pure.

Each pair gets the odds that it is one column under two names, from a logistic model over how much alike the two are. What speaks for a
pair also speaks against its rivals: a score is a pair's odds against all others that claim either of the two, so that twins are never
proposed with confidence. `benchmarks/renames.py` makes the schemas that the weights were fitted on, and measures on others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from headrace.quality.assignment import Pair, assign
from headrace.quality.drift import Rename
from headrace.quality.rename_names import similarity, words
from headrace.quality.rename_traits import Alike, Traits, alike

PROPOSED = 0.3
"""A pair with a lower score isn't proposed. What is proposed is a person's to accept; few pairs have a score in between."""
PAIRS_MAX = 10_000
"""Pairs of which the values are compared; of more (100 columns against 100), only those whose names have a word in common."""
SAME = 0.99
"""Names so much alike are the same words."""
_NAMED = 0.5
_CLEAR = 0.3
"""By so much a pair's names must be more alike than any other's, to be the only ones that come near."""
_ODDS_MIN = -4.0
_WITH_VALUES = (-15.94, 0.77, 2.48, 3.7, 2.43, 4.03, 1.6, 4.98, 1.15, 3.41, 2.41)
"""Bias; then for name, same words, no other name near, type, place, overlap, spread, shape, nulls, distinct."""
_WITHOUT_VALUES = (-11.2, 2.89, 2.89, 4.39, 6.24, 4.44)
"""Bias; then for name, same words, no other name near, type, place."""
_FAMILIES = {
    "TINYINT": "whole", "SMALLINT": "whole", "INTEGER": "whole", "BIGINT": "whole", "HUGEINT": "whole", "UBIGINT": "whole",
    "UINTEGER": "whole", "USMALLINT": "whole", "UTINYINT": "whole", "FLOAT": "real", "DOUBLE": "real", "DECIMAL": "real",
    "DATE": "time", "TIMESTAMP": "time",
}  # fmt: skip
_NEAR = {frozenset(("whole", "real")): 0.6, frozenset(("whole", "BOOLEAN")): 0.3}


def propose(gone: Sequence[Traits], new: Sequence[Traits], *, least: float = PROPOSED) -> tuple[Rename, ...]:
    """The renames that are probable, in the order of the columns that are gone; each column in at most one."""
    odds = {pair: value for pair, value in _odds(gone, new) if value > _ODDS_MIN}
    scores = _scores(odds)
    chosen = assign({pair: odds[pair] - _ODDS_MIN for pair in odds})
    renames = (_rename(gone[row], new[column], scores[row, column]) for row, column in sorted(chosen.items()))
    return tuple(one for one in renames if one.score >= least)


def _odds(gone: Sequence[Traits], new: Sequence[Traits]) -> Iterator[tuple[Pair, float]]:
    names = name_similarities(gone, new)
    named_only = len(gone) * len(new) > PAIRS_MAX
    for (row, column), (name, alone) in names.items():
        if not named_only or name > _NAMED:
            yield (row, column), log_odds(features(gone[row], new[column], name, alone=alone))


def name_similarities(gone: Sequence[Traits], new: Sequence[Traits]) -> dict[Pair, tuple[float, bool]]:
    """How much alike each two names are, and whether no other name comes near for either of the two."""
    every = len(gone) * len(new) <= PAIRS_MAX
    names = {
        (i, j): similarity(one.name, other.name)
        for i, one in enumerate(gone)
        for j, other in enumerate(new)
        if every or not set(words(one.name)).isdisjoint(words(other.name))
    }
    rows: dict[int, list[float]] = {}
    columns: dict[int, list[float]] = {}
    for (row, column), name in names.items():
        rows.setdefault(row, []).append(name)
        columns.setdefault(column, []).append(name)
    return {
        (row, column): (name, name > _NAMED and name - _CLEAR >= max(_second(rows[row]), _second(columns[column])))
        for (row, column), name in names.items()
    }


def _second(values: Sequence[float]) -> float:
    return sorted(values)[-2] if len(values) > 1 else 0.0


def _scores(odds: dict[Pair, float]) -> dict[Pair, float]:
    """Each pair against all others that claim one of the two, and against neither being anything else."""
    weights = {pair: math.exp(min(value, 30.0)) for pair, value in odds.items()}
    rows: dict[int, float] = {}
    columns: dict[int, float] = {}
    for (row, column), weight in weights.items():
        rows[row] = rows.get(row, 0.0) + weight
        columns[column] = columns.get(column, 0.0) + weight
    return {(row, column): weight / (1 + rows[row] + columns[column] - weight) for (row, column), weight in weights.items()}


def features(one: Traits, other: Traits, name: float, *, alone: bool) -> tuple[float, ...]:
    """How much alike two columns are, each from 0 to 1: name, same words, no other name near, type, place; and where both have values
    overlap, spread, shape, nulls, distinct."""
    near = math.exp(-2.0 * abs(one.position - other.position))
    base = (name, float(name >= SAME), float(alone), _types(one.type, other.type), near)
    found = alike(one, other)
    return base if found is None else (*base, *_of_values(found))


def _of_values(found: Alike) -> tuple[float, ...]:
    return (found.overlap, found.spread, found.shape, found.nulls, found.distinct)


def log_odds(values: Sequence[float]) -> float:
    """That two columns with these features are one, as a logarithm of odds."""
    bias, *weights = _WITHOUT_VALUES if len(values) == len(_WITHOUT_VALUES) - 1 else _WITH_VALUES
    return bias + sum(weight * value for weight, value in zip(weights, values, strict=True))


def _types(one: str, other: str) -> float:
    first, second = _family(one), _family(other)
    return 1.0 if first == second else _NEAR.get(frozenset((first, second)), 0.25 if "VARCHAR" in (first, second) else 0.0)


def _family(kind: str) -> str:
    head = kind.partition("(")[0].partition(" ")[0].upper()
    return _FAMILIES.get(head, head)


def _rename(one: Traits, other: Traits, score: float) -> Rename:
    return Rename(column=one.name, to=other.name, score=round(min(score, 0.99), 2), evidence=tuple(_evidence(one, other)))


def _evidence(one: Traits, other: Traits) -> Iterator[str]:
    """In clauses, for people; no values."""
    name = similarity(one.name, other.name)
    if name >= 0.5:
        yield "the names are the same words" if name >= 1.0 else "the names have words in common"
    yield f"both are {one.type}" if one.type == other.type else f"{one.type} became {other.type}"
    if abs(one.position - other.position) < 0.05:
        yield "it stands in the same place"
    found = alike(one, other)
    if found is None:
        yield "there are no values to compare"
        return
    if found.overlap >= 0.05:
        yield f"{found.overlap:.0%} of the values are the same"
    what = "numbers" if one.numbers and other.numbers else "lengths of the texts"
    yield f"the {what} are spread alike to {found.spread:.0%}"
    if one.nulls or other.nulls:
        yield f"empty in {one.nulls:.0%} of the rows before, in {other.nulls:.0%} now"


def places(kept: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    """Column → where it stands among those that both schemas have: after how many of them, and the how manieth there, in tenths.
    `kept` are the names, as written in `columns`, of what both have."""
    there, found, before, inside = set(kept), {}, 0, 0
    for name in columns:
        if name in there:
            before, inside = before + 1, 0
        else:
            found[name] = before + inside / 10
            inside += 1
    return found
