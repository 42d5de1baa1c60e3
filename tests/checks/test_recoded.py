"""Categories that have another name, and rows that are there twice under keys of their own."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta

import pytest

from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.metrics import (
    ColumnMetrics,
    Metrics,
    StoredMetrics,
    decoded,
    encoded,
    measured,
)
from headrace.checks.profiles import describe
from headrace.checks.values import ValueKind, Values
from headrace.model import Grain
from headrace.model.texts import hidden, plain

MONDAY = date(2024, 1, 8)
MIX = {"AA": 0.3, "DL": 0.25, "UA": 0.2, "WN": 0.15, "HA": 0.1}
SEED = 15


def key(number: int) -> str:
    return (MONDAY + timedelta(number)).isoformat()


def day(number: int, mix: dict[str, float] | None = None, rows: int = 800) -> Metrics:
    """A day whose categories are drawn: as far apart from day to day as chance moves them."""
    chance, wanted = random.Random(f"{SEED} {number}"), mix or MIX
    drawn = chance.choices(list(wanted), list(wanted.values()), k=rows)
    shares = {value: drawn.count(value) / rows for value in wanted if value in drawn}
    return Metrics(
        rows,
        {
            "carrier": ColumnMetrics(
                nulls=0.0, distinct=math.log(len(shares)), length=math.log(3), shares=shares
            )
        },
    )


def told(today: Metrics, past: list[Metrics]) -> list[tuple[str, str, str]]:
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(item)) for n, item in enumerate(past)], Grain.DAY
    )
    facts = evaluate_partition(EvaluatedPartition(key=key(len(past)), metrics=today), history)
    _shows_no_category(
        [text for fact in facts for text in (fact.expected, fact.observed, fact.detail)],
        [today, *past],
    )
    return [(fact.kind, fact.severity.value, plain(fact.detail)) for fact in facts]


def _shows_no_category(texts: list[str], days: list[Metrics]) -> None:
    """For somebody who may see that a check failed, but read no rows."""
    names = {
        repr(name) for day in days for column in day.columns.values() for name in column.shares
    }
    assert not any(name in hidden(text) for name in names for text in texts)


def named(**names: str) -> dict[str, float]:
    return {names.get(value, value): share for value, share in MIX.items()}


RENAMED = {
    "one": (named(UA="United"), "category mix: 'UA' is 'United'"),
    "two that changed places": (
        {**MIX, "AA": MIX["HA"], "HA": MIX["AA"]},
        "category mix: 'AA' is 'HA', 'HA' is 'AA'",
    ),
    "all": (
        {f"{value}1": share for value, share in MIX.items()},
        "category mix: 'AA' is 'AA1', 'DL' is 'DL1', 'UA' is 'UA1' and 2 more",
    ),
}


@pytest.mark.parametrize("past", [7, 10, 14, 28, 40])
@pytest.mark.parametrize("how", RENAMED)
def test_a_category_with_another_name_is_held_after_a_week(how: str, past: int) -> None:
    """Would catch: carriers under other codes published for four weeks, because no forecast speaks
    yet; one of
    them told of as missing and another as new."""
    mix, detail = RENAMED[how]
    assert told(day(past, mix, rows=3000), [day(n, rows=3000) for n in range(past)]) == [
        ("distribution_shift", "hold", detail)
    ]


def without(mix: dict[str, float], gone: str) -> dict[str, float]:
    return {value: share / (1 - mix[gone]) for value, share in mix.items() if value != gone}


@pytest.mark.parametrize(
    ("renamed", "names"),
    [
        ({"UA": "United"}, "category mix: 'UA' is 'United'"),
        (
            {value: f"{value}1" for value in MIX},
            "category mix: 'AA' is 'AA1', 'UA' is 'UA1', 'WN' is 'WN1' and 1 more",
        ),
    ],
)
@pytest.mark.parametrize("past", [7, 40])
def test_a_category_is_gone_while_others_have_other_names(
    renamed: dict[str, str], names: str, past: int
) -> None:
    """Would catch: a quarter of the rows that is missing, told of only after the names are
    accepted.
    """
    left = {renamed.get(value, value): share for value, share in without(MIX, "DL").items()}
    result = told(day(past, left, rows=2250), [day(n, rows=3000) for n in range(past)])
    assert result[:2] == [
        ("distribution_shift", "hold", names),
        ("volume_anomaly", "hold", "group missing: 'DL'"),
    ]
    assert {kind for kind, _, _ in result[2:]} <= {"volume_anomaly"}


def test_which_of_several_categories_is_gone_is_said_where_it_can_be_told() -> None:
    """Would catch: one of two categories of the same size told as missing, and the other as
    renamed, where nothing says which is which."""
    mix = {"AA": 0.5, "DL": 0.25, "UA": 0.25}
    left = {"one": 2 / 3, "two": 1 / 3}
    result = told(day(10, left, rows=2250), [day(n, mix, rows=3000) for n in range(10)])
    held = [detail for _, severity, detail in result if severity == "hold"]
    assert held[0] == "category mix: 'AA' is 'one'"
    assert sorted(held[1].removeprefix("group missing: ").split(" or ")) == ["'DL'", "'UA'"]


@pytest.mark.parametrize("past", [3, 6])
def test_a_few_days_are_a_warning(past: int) -> None:
    """Would catch: a new name that nobody hears of in the first week, or that is held on three
    days' word."""
    assert told(day(past, named(UA="United")), [day(n) for n in range(past)]) == [
        ("distribution_shift", "warn", "category mix: 'UA' is 'United'")
    ]


@pytest.mark.parametrize("past", [0, 2, 7, 13, 28])
def test_what_comes_and_goes_is_held_by_nobody(past: int) -> None:
    """Would catch: a carrier without flights on a day, one that begins, one that grows, and days
    that differ by
    chance, taken for other names."""
    days = [day(n) for n in range(past)]
    without = {value: share for value, share in MIX.items() if value != "HA"}
    assert [severity for _, severity, _ in told(day(past, without), days)] in (
        [],
        ["warn"],
        ["hold"],
    )
    assert not any("' is '" in detail for _, _, detail in told(day(past, without), days))
    grown = {**MIX, "AA": 0.38, "DL": 0.17}
    assert not any("' is '" in detail for _, _, detail in told(day(past, grown), days))
    assert not any(
        "' is '" in detail for _, _, detail in told(day(past, {**MIX, "NK": 0.03}), days)
    )
    assert told(day(past), days) == []


def test_sets_that_are_open_are_none_to_go_by() -> None:
    """Would catch: categories of which some go and others come each few days, held on the day on
    which just one
    of each does."""
    names = [f"c{n:02d}" for n in range(40)]
    days = [day(n, dict.fromkeys(names[n // 2 : n // 2 + 8], 0.125)) for n in range(24)]
    for at in range(8, 24):
        assert not [
            item for item in told(days[at], days[:at]) if item[1] == "hold" and "' is '" in item[2]
        ], at


def test_months_in_a_window_go_on() -> None:
    """Would catch: the first of a month, on which a table of the last three months loses one and
    gains one."""
    months = {"2023-11": 0.33, "2023-12": 0.33, "2024-01": 0.34}
    next_months = {"2023-12": 0.33, "2024-01": 0.33, "2024-02": 0.34}
    result = told(day(20, next_months), [day(n, months) for n in range(20)])
    assert not [item for item in result if item[1] == "hold" and "' is '" in item[2]]


def test_shares_of_few_rows_are_no_news() -> None:
    """Would catch: a warning over thirty rows, of which chance made 18 and not 13 one of a kind."""
    mix = {"AA": 0.5, "UA": 0.5}
    for seed in range(40):
        days = [day(100 * seed + n, mix, rows=30) for n in range(9)]
        assert told(days[8], days[:8]) == [], seed


def copied(number: int, copies: int = 2, rows: int = 1600, apart: str = "id") -> Metrics:
    own = day(number, rows=rows)
    ids = ColumnMetrics(
        nulls=0.0,
        distinct=math.log(rows if apart == "id" else rows / 4),
        location=8.0,
        negative=0.0,
    )
    return Metrics(
        rows, {**own.columns, apart: ids}, 0, None, copies, (apart,) if copies > 1 else ()
    )


@pytest.mark.parametrize("past", [0, 1, 3, 10, 30])
def test_rows_twice_under_keys_of_their_own(past: int) -> None:
    """Would catch: each row twice with new ids, which no check on the key sees, published in the
    first weeks; the
    same told of as more rows, or as other ids, too."""
    days = [copied(n, 1, 800) for n in range(past)]
    wanted = [("duplicate_rows", "hold" if past else "warn", "each row 2 times, under other id")]
    assert told(copied(past), days) == wanted


def test_what_is_there_twice_by_its_nature() -> None:
    """Would catch: two legs of a booking, equal but for their number, held on any day; a pair of
    readings that
    differ in what they are readings of."""
    assert told(copied(9), [copied(n) for n in range(9)]) == []
    assert told(copied(9, apart="value"), [copied(n, 1, 1600, "value") for n in range(9)]) == []
    assert [
        item[:2]
        for item in told(copied(9, apart="flight"), [copied(n, 1, 800, "flight") for n in range(9)])
    ] == [("duplicate_rows", "hold")]


def currencies(*names: str) -> Metrics:
    shares = {name: 1 / len(names) for name in names}
    column = ColumnMetrics(
        nulls=0.0, distinct=math.log(len(names)), length=math.log(3), shares=shares
    )
    return Metrics(len(names), {"currency": column})


def test_another_name_in_a_short_list_that_never_changed_is_held() -> None:
    """Would catch: one of six currencies under another name, published without a word."""
    usual = currencies("CHF", "DKK", "GBP", "NOK", "SEK", "USD")
    other = currencies("CHF", "DKK", "GBX", "NOK", "SEK", "USD")
    said = [("distribution_shift", "hold", "category mix: 'GBP' is 'GBX'")]
    assert told(other, [usual] * 10) == said
    assert told(other, [usual] * 5) == []
    assert (
        told(other, [*[usual] * 5, currencies("CHF", "DKK", "GBP", "NOK", "USD"), *[usual] * 5])
        == []
    )


def listed(*names: str, more: str = "") -> Metrics:
    """A list of names, each there once, as a delivery of it is described."""
    values = [*sorted(names), *filter(None, [more])]
    return measured(
        {"currency": describe(Values.listed(values), ValueKind.TEXT, "UTC")}, len(values)
    )


CURRENCIES = ("CHF", "DKK", "GBP", "NOK", "SEK", "USD")
GBX = ("CHF", "DKK", "GBX", "NOK", "SEK", "USD")


@pytest.mark.parametrize(("past", "severity"), [(6, None), (7, "hold"), (40, "hold")])
def test_another_name_in_a_list_in_which_each_is_there_once(
    past: int, severity: str | None
) -> None:
    """Would catch: pounds that come as pence, published without a word because a name that is there
    once a day is no category."""
    wanted = (
        [("distribution_shift", severity, "other names: 'GBX' instead of 'GBP'")]
        if severity
        else []
    )
    assert told(listed(*GBX), [listed(*CURRENCIES)] * past) == wanted
    other = ("AUD", "DKK", "GBX", "NOK", "SEK", "USD")
    said = "other names: 'AUD', 'GBX' instead of 'CHF', 'GBP'"
    assert [detail for *_, detail in told(listed(*other), [listed(*CURRENCIES)] * past)] == (
        [said] if severity else []
    )


def test_lists_that_grow_or_change_say_nothing() -> None:
    """Would catch: a currency more, held; one that comes and goes; a list that was another one a
    week ago; numbers of orders, all of them new each day."""
    usual = [listed(*CURRENCIES)] * 10
    assert told(listed(*CURRENCIES, more="ZAR"), usual) == []
    assert told(listed(*CURRENCIES[1:]), usual) == [("volume_anomaly", "warn", "× 0.833")]
    assert told(listed(*GBX), [*usual[:5], listed(*CURRENCIES, more="ZAR"), *usual[5:]]) == []
    assert told(listed(*GBX), [*[listed(*GBX)] * 3, *usual]) == []
    orders = [listed(*(f"O{number}{at}" for at in range(6))) for number in range(20)]
    assert told(orders[-1], orders[:-1]) == []


def test_names_of_a_list_of_which_nothing_is_kept() -> None:
    """Would catch: names of a classified column, or long texts, written into what is kept of each
    partition."""
    values = Values.listed(list(CURRENCIES))
    assert describe(values, ValueKind.TEXT, "UTC").listed == CURRENCIES
    assert describe(values, ValueKind.TEXT, "UTC", classified=True).listed == ()
    assert describe(Values.listed(["a" * 41, "b"]), ValueKind.TEXT, "UTC").listed == ()
    assert (
        describe(Values.listed([f"{number}" for number in range(51)]), ValueKind.TEXT, "UTC").listed
        == ()
    )


@pytest.mark.parametrize("written", ["{}.0", "{}.00", "{:03}"])
def test_a_text_that_is_the_same_number_written_otherwise(written: str) -> None:
    """Would catch: `1.0` where there was `1`, told as a category that was renamed."""
    mix = {"1": 0.5, "2": 0.3, "3": 0.2}
    again = {written.format(int(value)): share for value, share in mix.items()}
    first = written.format(1)
    ((kind, severity, detail),) = told(day(10, again), [day(n, mix) for n in range(10)])
    assert (kind, severity) == ("format_change", "hold") and detail.startswith(
        f"written otherwise: '1' is '{first}', '2' is"
    )
    ((kind, *_),) = told(
        day(10, {"1": 0.5, "2.5": 0.3, "3": 0.2}), [day(n, mix) for n in range(10)]
    )
    assert kind == "distribution_shift", "another number is another name"


@pytest.mark.parametrize("past", [10, 40])
def test_numbers_that_become_decimals_are_the_same_numbers(past: int) -> None:
    """Would catch: a column of whole numbers that has become one of decimals, whose every value is
    said to be renamed; a number that really is another one, let through with it."""

    def numbers(of: list[float]) -> Metrics:
        return measured(
            {"qty": describe(Values.listed(of * 40), ValueKind.NUMBER, "UTC")}, len(of) * 40
        )

    whole = [numbers([1, 1, 1, 2, 2, 3])] * past
    assert told(numbers([1.0, 1.0, 1.0, 2.0, 2.0, 3.0]), whole) == []
    assert told(numbers([1, 1, 1, 2, 2, 3]), [numbers([1.0, 1.0, 1.0, 2.0, 2.0, 3.0])] * past) == []
    assert {kind for kind, *_ in told(numbers([1.0, 1.0, 1.0, 2.0, 2.0, 3.5]), whole)} == {
        "distribution_shift"
    }


def test_numbers_as_they_were_kept_once_are_written_as_they_are_now() -> None:
    """Would catch: every decimal column held on the day after an upgrade."""
    kept = Metrics(
        9,
        {
            "qty": ColumnMetrics(
                nulls=0.0, negative=0.0, shares={"1.0": 0.5, "2.50": 0.3, "1e+16": 0.2}
            )
        },
    )
    assert list(decoded(encoded(kept)).columns["qty"].shares) == ["1", "2.5", "10000000000000000"]
    text = Metrics(9, {"qty": ColumnMetrics(nulls=0.0, shares={"1.0": 1.0})})
    assert decoded(encoded(text)) == text
