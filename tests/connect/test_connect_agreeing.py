"""Types that are learnt from several deliveries at once, one of them bad."""

from __future__ import annotations

import pytest
from connect_workbench import Outcome, Taken, Workbench

from headrace.connect.deliveries import TypeDrift

GOOD = b"id,day,amount\n1,2025-01-01,1.5\n2,2025-01-02,2.5\n"
BAD = b"id,day,amount\n3,2025-01-03,3.5\n4,2025-13-01,4.5\n5,2025-01-05,4..5\n"
TYPES = {"id": "BIGINT", "day": "DATE", "amount": "DOUBLE"}


def together(bench: Workbench, data: bytes, *others: bytes) -> Outcome:
    """A first delivery, while others wait."""
    samples = []
    for number, other in enumerate(others):
        (bench.raw / f"other{number}").write_bytes(other)
        samples.append((bench.raw / f"other{number}", f"y{number}.csv"))
    return bench.take(data, "x.csv", samples=samples)


@pytest.mark.parametrize("others", [(GOOD, BAD), (BAD, GOOD)])
def test_a_bad_day_among_good_ones_does_not_make_text(bench: Workbench, others: tuple[bytes, ...]) -> None:
    """Would catch: dates and amounts that are text for ever, because one of the first files was broken."""
    taken = together(bench, GOOD, *others)
    assert isinstance(taken, Taken), taken
    assert taken.types() == TYPES
    drift = together(bench, BAD, GOOD, GOOD)
    assert isinstance(drift, TypeDrift), drift
    assert [(one.column, one.line, one.value) for one in drift.columns] == [
        ("day", 3, "2025-13-01"), ("amount", 4, "4..5"),
    ]  # fmt: skip


def test_what_most_deliveries_have_as_text_is_text(bench: Workbench) -> None:
    """Would catch: codes that happen to be numbers on one day, so that the other days are held; a tie decided for the narrower
    type; a column that is a number here and a date there."""
    numbers, words, dates = b"id,code\n1,12\n", b"id,code\n1,A12\n", b"id,code\n1,2025-01-01\n"
    for others in ((words, words), (words,), (dates, words), (dates,)):
        taken = together(bench, numbers, *others)
        assert isinstance(taken, Taken), taken
        assert taken.types() == {"id": "BIGINT", "code": "VARCHAR"}


def test_dates_that_are_written_in_two_ways_stay_text(bench: Workbench) -> None:
    """Would catch: a date format of one delivery by which another one's good dates are bad."""
    american = b"id,day\n1,01/23/2025\n"
    taken = together(bench, american, b"id,day\n1,2025-01-02\n", b"id,day\n1,soon\n")
    assert isinstance(taken, Taken), taken
    assert taken.types() == {"id": "BIGINT", "day": "VARCHAR"}


def test_whole_numbers_and_fractions_agree(bench: Workbench) -> None:
    """Would catch: days of whole numbers counted against days of fractions."""
    taken = together(bench, b"id,n\n1,1\n", b"id,n\n1,1.5\n", b"id,n\n1,none\n", b"id,n\n1,2\n")
    assert isinstance(taken, Taken), taken
    assert taken.types() == {"id": "BIGINT", "n": "DOUBLE"}
