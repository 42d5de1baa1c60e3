"""The distribution of a column over time, from stored profiles."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import msgspec
import pytest
from clilab import Project

from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics
from headrace.model import Grain, UsageError
from headrace.project.session import ProjectSession
from headrace_ui.responses.distributions import DistributionResponse
from headrace_ui.services.column_distribution import (
    VALUES_MAX,
    DistributionQuery,
    column_distribution,
)
from headrace_ui.views.usual_distributions import UsualDistribution
from headrace_ui.views.usual_values import MeasuredPartition


def distribution(shop: Project, node: str, column: str, **query: str) -> DistributionResponse:
    session = ProjectSession(shop.root, "prod", None, "t")
    return column_distribution(session, node, DistributionQuery(column=column, **query))


def change_profile(shop: Project, node: str, partition: str, columns: dict[str, object]) -> None:
    with closing(sqlite3.connect(shop.root / ".headrace/state.db")) as state, state:
        state.execute(
            "update profile set columns = ? where node = ? and partition = ?",
            (json.dumps(columns), node, partition),
        )


def test_numbers_have_percentiles_in_each_partition(shop: Project) -> None:
    """Would catch: another partition's figures; a held partition passed off as published."""
    result = distribution(shop, "orders_clean", "amount")
    assert (result.kind, result.classified, result.values) == ("numbers", False, [])
    by_day = {point.partition: point for point in result.points}
    assert list(by_day) == sorted(by_day)
    good = by_day["2025-03-01"]
    assert (good.published, good.rows, good.nulls) == (True, 3, 0)
    assert (good.least, good.greatest) == (5.0, 19.9)
    assert good.percentiles == [5.0, 5.0, 7.1, 7.1, 7.1]
    assert not by_day["2025-03-04"].published  # a check rejected it
    assert good.median_between is None  # nothing is expected of so few partitions
    until = distribution(shop, "orders_clean", "amount", until="2025-03-02")
    assert [point.partition for point in until.points] == ["2025-03-01", "2025-03-02"]


def test_dates_have_percentiles_and_older_profiles_have_none(shop: Project) -> None:
    """Would catch: a date drawn in another zone; percentiles invented for older partitions."""
    change_profile(
        shop,
        "orders_clean",
        "2025-03-01",
        {"day": {"rows": 3, "nulls": 0, "minimum": "2025-03-01", "maximum": "2025-03-01"}},
    )
    result = distribution(shop, "orders_clean", "day")
    assert result.kind == "times"
    older, newer = result.points[:2]
    assert (older.least, older.percentiles) == ("2025-03-01T00:00", None)
    assert newer.percentiles == ["2025-03-02T00:00"] * 5
    assert result.timezone is None  # dates have none


def test_times_are_local(shop: Project) -> None:
    """Would catch: UTC bounds beside local percentiles."""
    times = {"rows": 3, "nulls": 0, "between": [28999980, 28999980]}
    bounds = {"minimum": "2025-02-10 05:00:00+00", "maximum": "infinity"}
    change_profile(shop, "orders_clean", "2025-03-01", {"day": times | bounds})
    result = distribution(shop, "orders_clean", "day", until="2025-03-01")
    assert (result.kind, result.timezone) == ("times", "Europe/Berlin")
    assert (result.points[0].least, result.points[0].greatest) == ("2025-02-10T06:00", None)


def test_a_partition_without_a_profile_says_so(shop: Project) -> None:
    change_profile(shop, "orders_clean", "2025-03-01", {})
    first = distribution(shop, "orders_clean", "amount").points[0]
    assert (first.partition, first.recorded, first.rows) == ("2025-03-01", False, None)


def test_earlier_partitions_dont_have_a_newer_column(shop: Project) -> None:
    """Would catch: a refusal of a known column, where only earlier partitions lack it."""
    change_profile(shop, "orders_clean", "2025-03-01", {"day": {"rows": 3, "nulls": 0}})
    earlier = distribution(shop, "orders_clean", "amount", until="2025-03-01")
    assert (earlier.kind, [point.recorded for point in earlier.points]) == ("none", [False])


def test_texts_have_shares_of_their_most_frequent_values(shop: Project) -> None:
    """Would catch: shares that don't add up; a value missing from a list of all values unknown."""
    top = [[f"v{at}", 20 - at] for at in range(VALUES_MAX + 2)]
    total = sum(count for _, count in top)
    rest = {"lengths": [1, 1, 1], "categorical": True}
    all_values = {"rows": total + 5, "nulls": 5, "top": top, **rest}
    change_profile(shop, "orders_clean", "2025-03-01", {"customer": all_values})
    few = {"rows": 4, "nulls": 1, "top": [["v0", 3]], **rest}
    change_profile(shop, "orders_clean", "2025-03-02", {"customer": few})
    change_profile(shop, "orders_clean", "2025-03-04", {})
    result = distribution(shop, "orders_clean", "customer")
    assert (result.kind, result.values_left_out) == ("values", 2)
    assert result.values == [f"v{at}" for at in range(VALUES_MAX)]
    first, second = result.points[:2]
    assert first.shares is not None
    assert first.others == pytest.approx((12 + 11) / (total + 5))
    assert sum(first.shares) + first.others == pytest.approx(total / (total + 5))  # type: ignore[arg-type]
    assert second.shares == [0.75, *[0.0] * (VALUES_MAX - 1)]


def test_a_rare_value_isnt_counted_as_absent(shop: Project) -> None:
    """Would catch: 0 % for a value that a profile doesn't list; shares of a sample of all rows."""
    sampled = {"rows": 1000, "nulls": 100, "sampled": 100, "top": [["a", 40], ["b", 10]]}
    change_profile(shop, "orders_clean", "2025-03-01", {"customer": sampled})
    result = distribution(shop, "orders_clean", "customer")
    assert result.values == ["Linus", "a", "b"]
    assert result.points[0].shares == [None, 0.4, 0.1]
    assert result.points[0].others == pytest.approx(0.4)


def test_a_classified_column_has_no_distribution(shop: Project) -> None:
    """Would catch: values that were profiled before the column was classified."""
    assert distribution(shop, "orders", "customer").points
    place = shop.root / "sources/orders.yaml"
    place.write_text(place.read_text() + "columns: {customer: {classification: personal}}\n")
    shop.json("apply", "--yes")
    result = distribution(shop, "orders_clean", "customer")
    assert (result.classified, result.values, result.points) == (True, [], [])
    assert distribution(shop, "orders_clean", "amount").points


def test_an_unknown_column_is_refused(shop: Project) -> None:
    with pytest.raises(
        UsageError, match="orders_clean has no column 'amuont' with a recorded"
    ) as refused:
        distribution(shop, "orders_clean", "amuont")
    assert "amount" in (refused.value.hint or "")


def test_a_node_without_audits_has_no_columns(shop: Project) -> None:
    with pytest.raises(
        UsageError, match="page has no column 'amount' with a recorded distribution"
    ):
        distribution(shop, "page", "amount")


DAYS = [f"2025-03-{day:02}" for day in range(1, 29)]


def usual(nulls: float = 0.0, **medians: float) -> UsualDistribution:
    """Four weeks of equal days, but for the given medians."""
    shares = {DAYS[-1]: {"a": 0.2, "b": 0.8}}
    days = {
        day: Metrics(
            1000, {"n": ColumnMetrics(nulls=nulls, shares=shares.get(day, {"a": 0.7, "b": 0.3}))}
        )
        for day in DAYS
    }
    return UsualDistribution(
        column="n",
        grain=Grain.DAY,
        sources=3,
        measured=days,
        visible=[MeasuredPartition(day, days[day].values(), excepted=False) for day in DAYS],
        reported=(),
        medians=dict.fromkeys(DAYS, 10.0) | {f"2025-03-{day[1:]}": m for day, m in medians.items()},
    )


def test_a_median_is_expected_near_those_of_earlier_partitions() -> None:
    """Would catch: a range from too few partitions, or one that a value beyond it has widened."""
    ranges = usual(d28=30.0).median_ranges()
    assert list(ranges) == DAYS[14:]
    low, high = ranges[DAYS[-1]]
    assert 7 < low < 10 < high < 14


def test_a_held_median_isnt_among_those_of_earlier_partitions() -> None:
    """Would catch: a held redelivery of an earlier day that widens what is expected later."""
    ranges = usual(d20=900.0).median_ranges()
    without = msgspec.structs.replace(usual(d20=900.0), held=[DAYS[19]]).median_ranges()
    assert without[DAYS[-1]].high < ranges[DAYS[-1]].high
    assert without[DAYS[-1]] == pytest.approx(usual().median_ranges()[DAYS[-1]], rel=0.1)


def test_no_median_is_expected_where_one_isnt_positive() -> None:
    """Would catch: a range from the positive part of a history, and a logarithm of zero."""
    assert list(usual(d20=0.0).median_ranges()) == DAYS[14:19]
    assert list(usual(d28=-1.0).median_ranges()) == DAYS[14:27]


def test_a_share_is_expected_in_all_rows() -> None:
    """Would catch: a range in the rows without null beside a share of all rows."""
    half = usual(nulls=0.5).shares("a")
    low, high = half[DAYS[-1]]
    assert 0.25 < low < 0.35 < high < 0.45
    assert list(half) == DAYS[14:]
    assert usual().shares("a")[DAYS[-1]].low == pytest.approx(2 * low, rel=0.05)
    assert MetricId("share", "n", "a") in usual().visible[0].values
