"""Rename proposals: which pairs are made, which aren't, and that all are decided together."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from headrace.checks.assignment import assign
from headrace.checks.column_names import similarity
from headrace.checks.column_similarity import ColumnTraits, traits
from headrace.checks.renames import PROPOSED, places, propose


def column(name: str, kind: str, position: float, values: list[object]) -> ColumnTraits:
    return traits(name, kind, position, [None if value is None else str(value) for value in values])


@pytest.mark.parametrize(
    ("first", "other", "least", "most"),
    [
        ("dep_delay", "departure_delay", 0.85, 0.99),
        ("Country/Region", "Country_Region", 1.0, 1.0),
        ("orderQty", "ORDER_QUANTITY", 0.85, 0.99),
        ("date_of_birth", "dob", 0.6, 0.99),
        ("straße", "Strasse", 0.8, 1.0),
        ("name", "price", 0.0, 0.1),
        ("temperature_1", "temperature_2", 0.3, 0.8),
        ("", "a", 0.0, 0.0),
        ("漢字", "漢字_x", 0.3, 0.9),
        ("\x00\x1b[31m", "💥", 0.0, 0.1),
    ],
)
def test_names(first: str, other: str, least: float, most: float) -> None:
    """Catches: abbreviations, styles and accents that hide the same words; numbers that are taken
    for words; names without any.
    """
    assert least <= similarity(first, other) <= most
    assert similarity(first, other) == pytest.approx(similarity(other, first))


def test_all_renames_are_decided_together() -> None:
    """Catches: a greedy choice, which takes the best pair and leaves the worst one over."""
    gains = {(0, 0): 10.0, (0, 1): 9.0, (1, 0): 9.5, (1, 1): 1.0}
    assert assign(gains) == {0: 1, 1: 0}
    assert assign({}) == assign({(0, 0): 0.0}) == {}
    seed = 71
    dice = random.Random(seed)
    for _ in range(200):
        rows, columns = dice.randint(1, 4), dice.randint(1, 5)
        gains = {
            (i, j): dice.choice((0.0, dice.random(), -1.0))
            for i in range(rows)
            for j in range(columns)
            if dice.random() < 0.8
        }
        result = assign(gains)
        assert len(set(result.values())) == len(result), seed
        padded = [*range(columns), *[-1] * rows]
        best = max(
            sum(max(0.0, gains.get((i, j), 0.0)) for i, j in enumerate(chosen))
            for chosen in permutations(padded, rows)
        )
        assert sum(gains[pair] for pair in result.items()) == pytest.approx(best), (seed, gains)


def test_values_speak_where_names_say_nothing() -> None:
    """Catches: proposals by name alone; twins of which one is proposed as if nothing spoke for the
    other; other types.
    """
    dice = random.Random(5)
    codes = [dice.choice(("UA", "AA", "DL", "B6")) for _ in range(500)]
    delays = [round(dice.gauss(8, 30)) for _ in range(500)]
    gone = [column("carrier", "VARCHAR", 1.0, codes), column("delay", "BIGINT", 4.0, delays)]
    new = [
        column("f_17", "VARCHAR", 1.0, codes[::-1]),
        column("remark", "VARCHAR", 5.0, ["x" * dice.randint(1, 90) for _ in codes]),
    ]
    (result,) = propose(gone, new)
    assert (result.column, result.to) == ("carrier", "f_17")
    assert result.score >= PROPOSED
    assert any("of the values are the same" in clause for clause in result.evidence)
    assert not any(
        code in clause for clause in result.evidence for code in ("UA", "AA", "DL", "B6")
    ), "no values in evidence"

    twins = [column("measure_a", "DOUBLE", 1.0, delays), column("measure_b", "DOUBLE", 1.0, delays)]
    sure = propose([column("measure", "DOUBLE", 1.0, delays)], twins, least=0.0)
    assert all(item.score < 0.55 for item in sure), "nothing says which of the two it is"


def test_nothing_to_compare() -> None:
    """Catches: a first day, an empty file, a column of nulls, that break the comparison instead of
    leaving it to names and types.
    """
    gone = [column("amount", "DOUBLE", 2.0, []), column("note", "VARCHAR", 3.0, [None] * 50)]
    new = [
        column("Amount (EUR)", "DOUBLE", 2.0, [None, None]),
        column("unrelated", "BOOLEAN", 9.0, ["true"]),
    ]
    assert [(item.column, item.to) for item in propose(gone, new)] == [("amount", "Amount (EUR)")]
    assert propose([], new) == propose(gone, []) == ()


def test_hundreds_of_columns_at_once() -> None:
    """Catches: a header that is another one altogether and takes minutes to be compared."""
    gone = [
        column(f"old {i} {'abcdefghij'[i % 10]}", "VARCHAR", float(i), ["a", "b"] * 10)
        for i in range(300)
    ]
    new = [
        column(f"new_{i}_{'abcdefghij'[i % 10]}", "VARCHAR", float(i), ["a", "b"] * 10)
        for i in range(300)
    ]
    result = propose(gone, new)
    assert len({item.to for item in result}) == len(result)


def test_where_columns_stand() -> None:
    assert places(["a", "c"], ["x", "a", "y", "z", "c"]) == {"x": 0.0, "y": 1.0, "z": 1.1}


def test_types_that_differ_are_said_without_a_change() -> None:
    """Would catch: "DECIMAL(9,2) became DOUBLE" of a column that keeps its type."""
    values: list[object] = [1.25, 2.5, 3.75]
    (pair,) = propose(
        [column("total_amount", "DECIMAL(9,2)", 1, values)], [column("amount", "DOUBLE", 1, values)]
    )
    assert "it is read as DOUBLE, the column is DECIMAL(9,2)" in pair.evidence
