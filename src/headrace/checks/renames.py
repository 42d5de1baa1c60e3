"""Renamed columns: matches of new and missing columns by name, type, position, values. Pure.

A logistic model over their similarity gives each pair the odds that both are the same column.
Evidence for a pair is also evidence against its rivals: a score is the odds of a pair against all
others with one of its columns, so two equal columns are never proposed with confidence.
`benchmarks/renames.py` creates the schemas on which the weights were fitted, and measures on
others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from headrace.checks.assignment import Pair, assign
from headrace.checks.column_names import similarity, words
from headrace.checks.column_similarity import (
    Agreement,
    Alike,
    ColumnTraits,
    RenameCandidate,
    RenameRival,
    alike,
    pooled_agreement,
)
from headrace.checks.drift import ColumnRename

PROPOSED = 0.3
"""The minimum score of a proposal, which a person accepts; few pairs score in between."""
PAIRS_MAX = 10_000
"""The maximum number of pairs whose values are compared (100 × 100 columns).

With more, only pairs whose names have a word in common are compared.
"""
SAME = 0.99
"""The minimum similarity of names that consist of the same words."""
_NAMED = 0.5
_CLEAR = 0.3
"""The margin over all rivals by which names must be more alike to count as unrivalled."""
_ODDS_MIN = -4.0
_WITH_VALUES = (-15.94, 0.77, 2.48, 3.7, 2.43, 4.03, 1.6, 4.98, 1.15, 3.41, 2.41)
"""Bias; then the weights of the 10 `features`, in their order."""
_WITHOUT_VALUES = (-11.2, 2.89, 2.89, 4.39, 6.24, 4.44)
"""Bias; then the weights of the first 5 `features`."""
_OF_TELLING = 4.0
"""The weight of shared values that can't be equal by chance."""
CONTESTED = 0.85
"""The maximum score of a proposal if the values speak for a rival, …"""
BETTER = 0.1
"""… namely if a rival's values agree better by this much, …"""
AS_WELL = 0.5
"""… or, without matched rows, agree at least this much and not worse by `BETTER`, …"""
CLEARLY = 0.25
"""… or, with matched rows, agree at most this much less."""
RIVAL = 0.02
"""The minimum score of a rival that is reported; one whose values agree better always is."""
RIVALS_MAX = 3
OVERLAP = 0.05
"""The minimum share of equal values that the evidence mentions."""
CANDIDATES_MAX = 8
_FAMILIES = {
    "TINYINT": "whole",
    "SMALLINT": "whole",
    "INTEGER": "whole",
    "BIGINT": "whole",
    "HUGEINT": "whole",
    "UBIGINT": "whole",
    "UINTEGER": "whole",
    "USMALLINT": "whole",
    "UTINYINT": "whole",
    "FLOAT": "real",
    "DOUBLE": "real",
    "DECIMAL": "real",
    "DATE": "time",
    "TIMESTAMP": "time",
}
_NEAR = {frozenset(("whole", "real")): 0.6, frozenset(("whole", "BOOLEAN")): 0.3}


def propose(
    missing: Sequence[ColumnTraits],
    new: Sequence[ColumnTraits],
    *,
    rows: Mapping[tuple[str, str], Agreement] | None = None,
    least: float = PROPOSED,
) -> tuple[ColumnRename, ...]:
    """Return the probable renames in the order of the missing columns; each column at most once.

    `rows` holds the agreement row by row of pairs of names for which it is known.
    """
    candidates = _candidates(missing, new, rows or {})
    renames = []
    for rename in chosen(candidates, least=least):
        was = next(column for column in missing if column.name == rename.column)
        now = next(column for column in new if column.name == rename.to)
        evidence = (*_evidence(was, now), *rename.evidence)
        rivals = rename.rivals or (() if len(missing) * len(new) <= PAIRS_MAX else None)
        renames.append(msgspec.structs.replace(rename, evidence=evidence, rivals=rivals))
    return tuple(renames)


def chosen(
    candidates: Mapping[str, Sequence[RenameCandidate]], *, least: float = PROPOSED
) -> tuple[ColumnRename, ...]:
    """Return the renames among candidates, which map missing columns to possible new ones."""
    columns = list(candidates)
    by_pair = _by_pair(candidates)
    odds = {pair: candidate.log_odds for pair, candidate in by_pair.items()}
    scores = _scores(odds)
    pairs = assign({pair: value - _ODDS_MIN for pair, value in odds.items()})
    used = set(pairs.values())
    renames = []
    for pair in sorted(pairs.items()):
        row, candidate = pair[0], by_pair[pair]
        rival_pairs = _rival_pairs(pair, by_pair)
        free = [by_pair[rival] for rival in rival_pairs if rival[1] not in used]
        score = _unrivalled(scores[pair], candidate, free)
        rivals = [(scores[rival], by_pair[rival]) for rival in rival_pairs]
        renames.append(
            ColumnRename(
                column=columns[row],
                to=candidate.to,
                score=round(min(score, 0.99), 2),
                evidence=tuple(_matched_rows(candidate)),
                rivals=tuple(_close(columns[row], candidate, rivals)),
                candidates=tuple(sorted(candidates[columns[row]], key=_by_odds)[:CANDIDATES_MAX]),
            )
        )
    return tuple(rename for rename in renames if rename.score >= least)


def _by_pair(candidates: Mapping[str, Sequence[RenameCandidate]]) -> dict[Pair, RenameCandidate]:
    """Return the probable candidates by the number of their missing column and of their name.

    Names are numbered in the order in which candidates mention them.
    """
    numbers: dict[str, int] = {}
    for column_candidates in candidates.values():
        for candidate in column_candidates:
            numbers.setdefault(candidate.to, len(numbers))
    return {
        (row, numbers[candidate.to]): candidate
        for row, column_candidates in enumerate(candidates.values())
        for candidate in column_candidates
        if candidate.log_odds > _ODDS_MIN
    }


def _rival_pairs(pair: Pair, pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs of the same missing column with other new columns."""
    row, column = pair
    return [other for other in pairs if other[0] == row and other[1] != column]


def pooled(several: Sequence[Sequence[RenameCandidate]]) -> list[RenameCandidate]:
    """Merge the candidates of several intervals for one column.

    Odds by name are averaged, since they are one opinion; agreements of rows add up.
    """
    by_name: dict[str, list[RenameCandidate]] = {}
    for candidates in several:
        for candidate in candidates:
            by_name.setdefault(candidate.to, []).append(candidate)
    return [
        RenameCandidate(
            to=name,
            base=sum(candidate.base for candidate in candidates) / len(candidates),
            overlap=sum(candidate.overlap for candidate in candidates) / len(candidates),
            rows=_pooled_rows(
                [candidate.rows for candidate in candidates if candidate.rows is not None]
            ),
        )
        for name, candidates in by_name.items()
    ]


def _pooled_rows(some: Sequence[Agreement]) -> Agreement | None:
    return pooled_agreement(some) if some else None


def _by_odds(candidate: RenameCandidate) -> float:
    return -candidate.log_odds


def _by_agreement(scored: tuple[float, RenameCandidate]) -> tuple[float, float]:
    score, candidate = scored
    return -candidate.agreement, -score


def _unrivalled(
    score: float, candidate: RenameCandidate, rivals: Sequence[RenameCandidate]
) -> float:
    """Return the score, limited to `CONTESTED` if a rival's values agree better."""
    contested = any(_speaks_against(rival, candidate) for rival in rivals)
    return min(score, CONTESTED) if contested else score


def _speaks_against(rival: RenameCandidate, candidate: RenameCandidate) -> bool:
    if rival.agreement > candidate.agreement + BETTER:
        return True
    if candidate.rows is None or not candidate.rows.informative:
        return rival.overlap >= max(AS_WELL, candidate.overlap - BETTER)
    return candidate.agreement > BETTER and rival.agreement >= candidate.agreement - CLEARLY


def _matched_rows(candidate: RenameCandidate) -> Iterator[str]:
    """Return the clause about matched rows, without values."""
    if candidate.rows is not None and candidate.rows.equal:
        times = "" if candidate.rows.factor == 1.0 else f" times {candidate.rows.factor:g}"
        share = candidate.rows.equal / candidate.rows.rows
        yield f"{share:.0%} of {candidate.rows.rows:,} rows have the same value{times}"


def _close(
    column: str, candidate: RenameCandidate, rivals: Iterable[tuple[float, RenameCandidate]]
) -> list[RenameRival]:
    """Return at most `RIVALS_MAX` rivals that came close, the best score first.

    If there are more, those whose values agree best are returned.
    """
    close = [
        (score, rival)
        for score, rival in rivals
        if score >= RIVAL or rival.agreement > candidate.agreement
    ]
    nearest = sorted(close, key=_by_agreement)[:RIVALS_MAX]
    return [
        RenameRival(
            to=rival.to,
            score=round(score, 2),
            why="; ".join([*_alike_names(column, rival.to), *_agrees(rival)]),
        )
        for score, rival in sorted(nearest, key=lambda scored: -scored[0])
    ]


def _agrees(candidate: RenameCandidate) -> Iterator[str]:
    if candidate.rows is not None and candidate.rows.rows:
        share = candidate.rows.equal / candidate.rows.rows
        yield f"the same value in {share:.0%} of {candidate.rows.rows:,} rows"
    elif candidate.overlap >= OVERLAP:
        yield f"{candidate.overlap:.0%} of the values are the same"


def _alike_names(item: str, other: str) -> Iterator[str]:
    name = similarity(item, other)
    if name >= 0.5:
        yield "the names are the same words" if name >= 1.0 else "the names have words in common"


def _candidates(
    missing: Sequence[ColumnTraits],
    new: Sequence[ColumnTraits],
    rows: Mapping[tuple[str, str], Agreement],
) -> dict[str, list[RenameCandidate]]:
    names = name_similarities(missing, new)
    named_only = len(missing) * len(new) > PAIRS_MAX
    results: dict[str, list[RenameCandidate]] = {traits.name: [] for traits in missing}
    for (row, column), (name, alone) in names.items():
        traits, other = missing[row], new[column]
        agreed = rows.get((traits.name, other.name))
        if named_only and name <= _NAMED and agreed is None:
            continue
        both = alike(traits, other)
        overlap = 0.0 if both is None else both.overlap
        base = log_odds(features(traits, other, name, alone=alone))
        telling = overlap * min(traits.telling, other.telling)
        base += _OF_TELLING * telling
        results[traits.name].append(
            RenameCandidate(to=other.name, base=base, overlap=overlap, rows=agreed)
        )
    return results


def name_similarities(
    missing: Sequence[ColumnTraits], new: Sequence[ColumnTraits]
) -> dict[Pair, tuple[float, bool]]:
    """Return the similarity of each pair of names, and whether no other name comes close."""
    every = len(missing) * len(new) <= PAIRS_MAX
    names = {
        (i, j): similarity(traits.name, other.name)
        for i, traits in enumerate(missing)
        for j, other in enumerate(new)
        if every or not set(words(traits.name)).isdisjoint(words(other.name))
    }
    rows: dict[int, list[float]] = {}
    columns: dict[int, list[float]] = {}
    for (row, column), name in names.items():
        rows.setdefault(row, []).append(name)
        columns.setdefault(column, []).append(name)
    return {
        (row, column): (
            name,
            name > _NAMED and name - _CLEAR >= max(_second(rows[row]), _second(columns[column])),
        )
        for (row, column), name in names.items()
    }


def _second(values: Sequence[float]) -> float:
    return sorted(values)[-2] if len(values) > 1 else 0.0


def _scores(odds: dict[Pair, float]) -> dict[Pair, float]:
    """Return each pair's score against all pairs with one of its columns, and against no match."""
    weights = {pair: math.exp(min(value, 30.0)) for pair, value in odds.items()}
    rows: dict[int, float] = {}
    columns: dict[int, float] = {}
    for (row, column), weight in weights.items():
        rows[row] = rows.get(row, 0.0) + weight
        columns[column] = columns.get(column, 0.0) + weight
    return {
        (row, column): weight / (1 + rows[row] + columns[column] - weight)
        for (row, column), weight in weights.items()
    }


def features(
    traits: ColumnTraits, other: ColumnTraits, name: float, *, alone: bool
) -> tuple[float, ...]:
    """Return the features of a pair, from 0 to 1 each.

    They are name, same words, unrivalled name, type, position; if both columns have values, also
    overlap, spread, shape, nulls, distinct.
    """
    near = math.exp(-2.0 * abs(traits.position - other.position))
    base = (name, float(name >= SAME), float(alone), _types(traits.type, other.type), near)
    result = alike(traits, other)
    return base if result is None else (*base, *_of_values(result))


def _of_values(result: Alike) -> tuple[float, ...]:
    return (result.overlap, result.spread, result.shape, result.nulls, result.distinct)


def log_odds(values: Sequence[float]) -> float:
    """Return the log odds that two columns with these features are the same column."""
    bias, *weights = _WITHOUT_VALUES if len(values) == len(_WITHOUT_VALUES) - 1 else _WITH_VALUES
    return bias + sum(weight * value for weight, value in zip(weights, values, strict=True))


def _types(item: str, other: str) -> float:
    first, second = _family(item), _family(other)
    return (
        1.0
        if first == second
        else _NEAR.get(frozenset((first, second)), 0.25 if "VARCHAR" in (first, second) else 0.0)
    )


def _family(kind: str) -> str:
    head = kind.partition("(")[0].partition(" ")[0].upper()
    return _FAMILIES.get(head, head)


def _evidence(traits: ColumnTraits, other: ColumnTraits) -> Iterator[str]:
    """Return the evidence in clauses for people, without values."""
    yield from _alike_names(traits.name, other.name)
    yield (
        f"both are {traits.type}"
        if traits.type == other.type
        else f"it is read as {other.type}, the column is {traits.type}"
    )
    if abs(traits.position - other.position) < 0.05:
        yield "it is in the same position"
    result = alike(traits, other)
    if result is None:
        yield "there are no values to compare"
        return
    if result.overlap >= OVERLAP:
        yield f"{result.overlap:.0%} of the values are the same"
    what = "numbers" if traits.numbers and other.numbers else "lengths of the texts"
    yield f"the {what} are spread alike to {result.spread:.0%}"
    if traits.nulls or other.nulls:
        yield f"empty in {traits.nulls:.0%} of the rows before, in {other.nulls:.0%} now"


def places(common: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    """Return the position of each column that isn't in `common`.

    It is the number of columns of `common` before it, plus a tenth for each other column in
    between. `common` are the columns that both schemas have, as written in `columns`.
    """
    there, results, before, inside = set(common), {}, 0, 0
    for name in columns:
        if name in there:
            before, inside = before + 1, 0
        else:
            results[name] = before + inside / 10
            inside += 1
    return results
