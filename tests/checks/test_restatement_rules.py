"""What a new delivery says of the publication that it replaces."""

from __future__ import annotations

import re

import pytest

from headrace.checks.facts import FactSeverity
from headrace.checks.restatement import (
    MISSING_ROWS_MIN,
    SAME,
    TWIN_BYTES_MIN,
    ColumnValueChange,
    PreviousPublication,
    RestatementCounts,
    categories_renamed,
    copies_removed,
    cut_off,
    duplicate_delivery,
    restatement_facts,
)
from headrace.model.texts import hidden, plain

WAS = PreviousPublication(1_000, "hash", "bytes", "1/7")
DIFFERENCE = RestatementCounts(
    1, 0, 1_200, (ColumnValueChange("v", 1, "one for one"), ColumnValueChange("w", 2))
)
TOLD = "1 row added, 1,200 rows changed; v: 1 row, one for one; w: 2 rows"


@pytest.mark.parametrize(
    ("before", "now", "sha256", "details"),
    [
        ({"k": WAS}, {"k": (1_001, "other")}, "new", {"k": TOLD}),
        ({"k": WAS}, {"k": (1_001, None)}, "new", {"k": TOLD}),
        ({"k": WAS}, {"k": (1_000, "hash")}, "new", {"k": SAME}),
        ({"k": WAS}, {"k": (1_000, "other")}, "bytes", {}),
        ({"k": PreviousPublication(1, "hash", None)}, {"k": (1_000, "other")}, "new", {}),
        ({}, {"k": (1_000, "hash")}, "new", {}),
        (
            {"k": WAS, "l": WAS},
            {"k": (1_000, "hash"), "l": (3, "other")},
            "new",
            {"l": "other rows"},
        ),
    ],
)
def test_a_partition_is_restated_if_its_rows_differ(
    before: dict[str, PreviousPublication],
    now: dict[str, tuple[int, str | None]],
    sha256: str,
    details: dict[str, str],
) -> None:
    """Catches a file read again that counts as a correction, and a corrected day among many that
    isn't told."""
    facts = restatement_facts(before, now, sha256, {"k": DIFFERENCE})
    assert {fact.partition: fact.detail for fact in facts} == details
    for fact in facts:
        assert (fact.kind, fact.severity, fact.expected) == (
            "restatement",
            FactSeverity.WARN,
            "1,000 rows",
        )
        assert fact.observed == f"{now[fact.partition or ''][0]:,} rows"


def test_a_difference_without_numbers_is_the_same_rows() -> None:
    facts = restatement_facts(
        {"k": WAS}, {"k": (1, "other")}, "new", {"k": RestatementCounts(0, 0, 0)}
    )
    assert [(fact.observed, fact.detail) for fact in facts] == [("1 row", SAME)]


@pytest.mark.parametrize(
    ("published", "rows", "usual", "told"),
    [
        (1_000, 900, [1_000, 990], True),
        (1_000, 1_000 - MISSING_ROWS_MIN, [1_000], True),
        (1_000, 1_001 - MISSING_ROWS_MIN, [1_000], False),
        (10_000, 9_900, [10_000], True),
        (10_000, 9_901, [10_000], False),
        (1_150, 1_000, [1_000, 10], True),
        (1_151, 1_000, [1_000, 10], False),
        (1_000, 900, [], False),
        (1_000, 0, [1_000], False),
    ],
)
def test_a_file_that_ends_early_is_held(
    published: int, rows: int, usual: list[int], told: bool
) -> None:
    """Catches a transfer that broke off and replaces a whole day, and rows that were deleted on purpose."""
    fact = cut_off("k", PreviousPublication(published, None, None), rows, usual)
    assert (fact is not None) is told
    if fact is not None:
        assert (fact.kind, fact.severity, fact.partition) == (
            "volume_anomaly",
            FactSeverity.HOLD,
            "k",
        )
        assert f"the first {rows:,} rows" in fact.observed


@pytest.mark.parametrize(
    ("apart", "observed", "detail"),
    [
        ([], "each of 500 rows 2 times", "500 rows"),
        (["id"], "each of 500 rows 2 times, the same but for id", "each row 2 times, under other id"),
        (["a", "b", "c"], "each of 500 rows 2 times, the same but for a, b, c", "each row 2 times, under other a, b, c"),
        (list("abcde"), "each of 500 rows 2 times, the same but for a, b, c and 2 more",
         "each row 2 times, under other a, b, c and 2 more"),
    ],
)  # fmt: skip
def test_copies_that_a_new_delivery_takes_out(apart: list[str], observed: str, detail: str) -> None:
    fact = copies_removed("k", WAS, 500, 2, apart)
    assert (fact.observed, fact.detail, fact.of) == (observed, detail, "1/7")


HISTORY = [{"AA": 0.6, "UA": 0.3, "DL": 0.1}, {"AA": 0.62, "UA": 0.28, "DL": 0.1}]


@pytest.mark.parametrize(
    ("before", "now", "history", "detail"),
    [
        ({"XX": 60, "UA": 30, "DL": 10}, {"AA": 60, "UA": 30, "DL": 10}, HISTORY, "category mix: 'AA' is 'XX'"),
        ({"XX": 60, "YY": 30, "DL": 10}, {"AA": 60, "UA": 30, "DL": 10}, HISTORY,
         "category mix: 'AA' is 'XX', 'UA' is 'YY'"),
        ({"UA": 60, "AA": 30, "DL": 10}, {"AA": 60, "UA": 30, "DL": 10}, HISTORY,
         "category mix: 'AA' is 'UA', 'UA' is 'AA'"),
        ({"AA": 60, "UA": 30, "DL": 10}, {"UA": 60, "AA": 30, "DL": 10}, HISTORY, None),
        ({"AA": 60, "UA": 30, "DL": 10}, {"XX": 60, "UA": 30, "DL": 10}, HISTORY, None),
        ({"XX": 61, "UA": 30, "DL": 10}, {"AA": 60, "UA": 30, "DL": 10}, HISTORY, None),
        ({"AA": 60, "UA": 30, "DL": 10}, {"AA": 60, "UA": 30, "DL": 10}, HISTORY, None),
        ({"XX": 60, "UA": 30}, {"AA": 60, "UA": 30}, [], None),
    ],
)  # fmt: skip
def test_which_names_of_categories_were_wrong(
    before: dict[str, int], now: dict[str, int], history: list[dict[str, float]], detail: str | None
) -> None:
    """Catches a wrong version that passes for the correction, and other counts told as other names."""
    fact = categories_renamed("k", WAS, "carrier", before, now, history)
    assert (None if fact is None else plain(fact.detail)) == detail
    if fact is not None:
        assert (fact.column, fact.of, fact.partition) == ("carrier", "1/7", "k")
        assert plain(fact.expected).startswith("'AA'")
        texts = map(hidden, (fact.expected, fact.observed, fact.detail))
        assert not re.search("[A-Z]{2}", " ".join(texts))


def test_more_names_than_are_told_are_counted() -> None:
    before = {f"X{n}": 50 - n for n in range(5)}
    now = {f"A{n}": 50 - n for n in range(5)}
    history = [{f"A{n}": 0.2 for n in range(5)}]
    fact = categories_renamed("k", WAS, "c", before, now, history)
    assert fact is not None
    assert plain(fact.detail) == "category mix: 'A0' is 'X0', 'A1' is 'X1', 'A2' is 'X2' and 2 more"


@pytest.mark.parametrize(
    ("size", "withheld", "told"),
    [
        (TWIN_BYTES_MIN, [("2024-01-01", "other"), ("2024-01-02", "same")], True),
        (TWIN_BYTES_MIN - 1, [("2024-01-02", "same")], False),
        (TWIN_BYTES_MIN, [("2024-01-02", "other")], False),
        (TWIN_BYTES_MIN, [], False),
    ],
)
def test_one_file_for_two_intervals(size: int, withheld: list[tuple[str, str]], told: bool) -> None:
    """Catches the same file accepted for two days, and tiny files that are equal by chance."""
    facts = duplicate_delivery("2024-01-03", size, "same", withheld)
    assert [(fact.expected, fact.observed) for fact in facts] == (
        [("a file of 2024-01-03", "the very file that was delivered for 2024-01-02")]
        if told
        else []
    )
