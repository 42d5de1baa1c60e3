"""What is said of a cause in one clause: readable, and without values of cells."""

from __future__ import annotations

import msgspec
import pytest

from headrace.incidents.diagnosis.attribution import diagnose
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.graph import CauseGraph, CauseNode
from headrace.incidents.diagnosis.wording import without_quotes
from headrace.model import Grain, PartitionSpec


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "a.csv can't be written: exports isn't there",
            "a.csv can't be written: exports isn't there",
        ),
        ("'O'Brien' can't be cast", "… can't be cast"),
        ("column 'age' holds \"forty\"", "column … holds …"),
    ],
)
def test_only_what_is_quoted_is_left_out(said: str, told: str) -> None:
    """Would catch: apostrophes taken for quotes, so that half of a sentence is missing; a cell's
    value that goes out in a message."""
    assert without_quotes(said) == told


@pytest.mark.parametrize(
    ("column", "observed", "why", "told"),
    [
        (
            "at",
            "%m/%d/%y %H:%M",
            "first value that isn't TIMESTAMP: '1/23/20 17:00' at line 2",
            "at written otherwise: %m/%d/%y %H:%M",
        ),
        (
            "at",
            "format",
            "first value that isn't TIMESTAMP: '1/23/20 17:00' at line 2",
            "at written otherwise",
        ),
        (
            "",
            "",
            "the encoding is UTF-16-LE instead of UTF-8 (line 1: a nul byte)",
            "the encoding is UTF-16-LE instead of UTF-8",
        ),
    ],
)
def test_another_format_says_which(column: str, observed: str, why: str, told: str) -> None:
    """Would catch: an incident that is summed up as `format`, and says neither of what nor how; a
    cell's value that goes out with it.
    """
    item = Evidence(
        id="drift:1",
        node="daily",
        partition="2020-01-23",
        family=Family.FORMAT,
        kind="format_change",
        column=column,
        observed=observed,
        strength=12.0,
        held=False,
        at_us=0,
        detail=f"format; {why}",
    )
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([item], CauseGraph([node], {}.get), 0)
    assert cause.summary == told


@pytest.mark.parametrize(("type_", "form"), [("DATE", " (%d/%m/%Y)"), ("DOUBLE", "")])
def test_a_single_value_of_another_type_is_told_by_its_line(type_: str, form: str) -> None:
    """Would catch: "1 value of amount isn't DOUBLENone, at line 5", of a type without a format."""
    item = Evidence(
        id="drift:1",
        node="daily",
        partition="2020-01-23",
        family=Family.TYPE,
        kind="type_change",
        column="amount",
        expected=type_,
        observed="VARCHAR",
        strength=12.0,
        held=False,
        at_us=0,
        detail=f"type; first value that isn't {type_}{form}: 'n/a' at line 5, 1 row",
    )
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([item], CauseGraph([node], {}.get), 0)
    assert cause.summary == f"1 value of amount isn't {type_}{form}, at line 5"


def test_a_column_that_was_renamed_and_then_went_is_both() -> None:
    """Would catch: "1 column gone, amount: values × 100", of one renamed with other values, and
    gone the next day.
    """
    renamed = Evidence(
        id="fact:1",
        node="daily",
        partition="2020-01-03",
        family=Family.SCHEMA,
        kind="schema_change",
        column="amount",
        expected="amount",
        observed="amount_cents",
        strength=12.0,
        at_us=0,
        detail="renamed; values × 100, by 22 sound partitions",
    )
    gone = msgspec.structs.replace(
        renamed,
        id="fact:2",
        partition="2020-01-04",
        observed="not there",
        at_us=1,
        detail="dropped",
    )
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([renamed, gone], CauseGraph([node], {}.get), 2)
    assert cause.summary == "1 column renamed, 1 column gone, amount: values × 100"


def test_a_clause_names_the_partitions_that_its_evidence_covers() -> None:
    """Would catch: what is wrong with one day's file, said of an incident of three days, or another
    day's file in the place of the first once more evidence is there."""

    def summary(**broken: str) -> str:
        result = [
            Evidence(
                id=f"attempt:1.{n}@{day}",
                node="daily",
                partition=day,
                family=Family.ERROR,
                observed=said,
                strength=12.0,
                at_us=n,
                error_kind="deterministic",
            )
            for n, (day, said) in enumerate(
                (f"2020-01-{day[1:]}", said) for day, said in broken.items()
            )
        ]
        node = CauseNode("daily", (), False, PartitionSpec(grain=Grain.DAY), "UTC", "")
        (cause,) = diagnose(result, CauseGraph([node], {}.get), 0)
        return cause.summary

    assert summary(d04="line 4 has 2 columns") == "line 4 has 2 columns"
    assert summary(d04="line 4 has 2 columns", d05="line 4 has 2 columns") == "line 4 has 2 columns"
    covers = "3 partitions, 2020-01-03 to 2020-01-05, first: line 7 has 2 columns"
    result = {
        "d04": "line 4 has 2 columns",
        "d03": "line 7 has 2 columns",
        "d05": "line 9 has 2 columns",
    }
    assert summary(**result) == covers


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (
            "category mix: 'toys' is 'TOYS'",
            "location: × 0.862",
            "category: categories under other names",
        ),
        ("sign", "location: × 0.862", "sign of category"),
        (
            "category mix: 'toys' is 'TOYS'",
            "category mix: 'a' is 'A'",
            "category, customer: categories under other names",
        ),
    ],
)
def test_a_clause_names_the_columns_of_which_it_is_true(first: str, second: str, told: str) -> None:
    """Would catch: "category, customer: categories under other names" where the customers' sizes
    are a little unusual.
    """
    result = [
        Evidence(
            id=f"drift:{column}",
            node="daily",
            partition="2020-01-23",
            family=Family.DISTRIBUTION,
            kind="distribution_shift",
            column=column,
            observed="other",
            strength=strength,
            held=strength > 10,
            at_us=0,
            detail=detail,
        )
        for column, detail, strength in (("category", first, 30.0), ("customer", second, 7.1))
    ]
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose(result, CauseGraph([node], {}.get), 0)
    assert cause.summary == told
