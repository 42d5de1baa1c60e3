"""Rename proposals: how many are right and how many are found, on schemas that the weights weren't
fitted on, and on the flights' header.

    python -m benchmarks.renames [--json] [--quick] [--fit]

Each generated schema has 5 to 200 columns of which 1 to 10 are renamed, up to 3 dropped and up to 4
new; one in ten comes with other rows than before as well. `--fit` prints the weights that
quality/renames.py has, from seeds that are not measured on.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Figure, Measured, main
from benchmarks.rename_schemas import Case, case
from headrace.checks.column_similarity import ColumnTraits, traits
from headrace.checks.renames import features, name_similarities, places, propose
from headrace_demo import demo_data
from headrace_demo.demo_data import DemoFault

MEASURED = range(51_560_000, 51_560_200)
"""Drawn by lot after the weights were fixed; nobody had looked at any of these."""
FITTED = range(1, 301)
RIDGE = 1.0
FLIGHTS = {"dep_delay": "departure_delay", "arr_delay": "arrival_delay"}


def sides(item: Case) -> tuple[list[ColumnTraits], list[ColumnTraits]]:
    """What is gone and what is new, described."""
    both = [name for name in item.before if name in item.after]
    before, after = places(both, list(item.before)), places(both, list(item.after))
    gone = [
        traits(name, kind, before[name], values)
        for name, (kind, values) in item.before.items()
        if name not in item.after
    ]
    new = [
        traits(name, kind, after[name], values)
        for name, (kind, values) in item.after.items()
        if name not in item.before
    ]
    return gone, new


def measured(seeds: Sequence[int]) -> tuple[float, float, float]:
    """Precision, recall, and the longest that one schema took to be described and decided, in
    seconds.
    """
    right = proposed = wanted = 0
    longest = 0.0
    for seed in seeds:
        item = case(seed)
        began = time.perf_counter()
        result = {rename.column: rename.to for rename in propose(*sides(item))}
        longest = max(longest, time.perf_counter() - began)
        right += sum(item.renamed.get(column) == name for column, name in result.items())
        proposed += len(result)
        wanted += len(item.renamed)
    return right / proposed, right / wanted, longest


def flights() -> float:
    """The least score of the flights' real renames, 0 where one is missed or anything else is
    proposed.
    """
    with TemporaryDirectory() as folder:
        days = [_flights(Path(folder), day) for day in (date(2013, 2, 10), date(2013, 2, 11))]
    result = propose(*sides(Case(days[0], days[1], FLIGHTS)))
    return (
        min((one.score for one in result), default=0.0)
        if {item.column: item.to for item in result} == FLIGHTS
        else 0.0
    )


def _flights(folder: Path, day: date) -> dict[str, tuple[str, list[str | None]]]:
    demo_data.deliver(folder, day, DemoFault.RENAME)
    header, *rows = (
        (folder / f"flights_{day.isoformat()}.csv").read_text(encoding="utf-8").splitlines()
    )
    columns = list(zip(*(row.split(",") for row in rows), strict=True))
    return {
        name: (_type(values), [value or None for value in values])
        for name, values in zip(header.split(","), columns, strict=True)
    }


def _type(values: Sequence[str]) -> str:
    return (
        "BIGINT" if all(not value or value.lstrip("-").isdigit() for value in values) else "VARCHAR"
    )


def measure(*, quick: bool, fit: bool) -> list[Figure] | Measured:
    """The figures of the issue."""
    if fit:
        return Measured(
            [], {"with values": str(_fitted(values=True)), "without": str(_fitted(values=False))}
        )
    precision, recall, longest = measured(MEASURED[:10] if quick else MEASURED)
    score = flights()
    return [
        Figure(
            name="precision of proposals",
            value=precision,
            unit="",
            goal=0.98,
            compare=">=",
            runs=[precision],
        ),
        Figure(
            name="recall of proposals",
            value=recall,
            unit="",
            goal=0.95,
            compare=">=",
            runs=[recall],
        ),
        Figure(
            name="flights, least score", value=score, unit="", goal=0.3, compare=">=", runs=[score]
        ),
        Figure(name="longest schema", value=longest, unit="s", goal=None, runs=[longest]),
    ]


def _fitted(*, values: bool) -> list[float]:
    """Weights of a logistic model by Newton's method, bias first, with a small penalty."""
    rows = [
        (row if values else row[:5], label) for row, label in _pairs() if not values or len(row) > 5
    ]
    width = len(rows[0][0]) + 1
    weights = [0.0] * width
    for _ in range(25):
        slope = [0.0] * width
        curve = [
            [RIDGE * (i == j and i > 0) + 1e-6 * (i == j) for j in range(width)]
            for i in range(width)
        ]
        for row, label in rows:
            full = (1.0, *row)
            odds = sum(w * x for w, x in zip(weights, full, strict=True))
            share = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
            for i, x in enumerate(full):
                slope[i] += x * (label - share)
                for j, y in enumerate(full):
                    curve[i][j] += share * (1 - share) * x * y
        slope = [
            s - RIDGE * w * (i > 0) for i, (s, w) in enumerate(zip(slope, weights, strict=True))
        ]
        weights = [w + d for w, d in zip(weights, _solved(curve, slope), strict=True)]
    return [round(weight, 2) for weight in weights]


def _pairs() -> Iterator[tuple[tuple[float, ...], float]]:
    for seed in FITTED:
        item = case(seed)
        gone, new = sides(item)
        for (row, column), (name, alone) in name_similarities(gone, new).items():
            label = item.renamed.get(gone[row].name) == new[column].name
            yield features(gone[row], new[column], name, alone=alone), float(label)


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss, with the greatest pivot."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at in range(len(rows)):
        best = max(range(at, len(rows)), key=lambda i: abs(rows[i][at]))
        rows[at], rows[best] = rows[best], rows[at]
        for i in range(len(rows)):
            if i != at:
                factor = rows[i][at] / rows[at][at]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[at], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fit", action="store_true", help="print weights instead")


if __name__ == "__main__":
    main(__doc__, measure, _options)
