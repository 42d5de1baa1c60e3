"""What `status` says of single consumers: blocked nodes, data without a rhythm, empty data, hostile
names.
"""

from __future__ import annotations

import shlex

import msgspec
import pytest
from small_facts import SmallFacts, at, consumer, declare, evaluate_status, node, reads

from headrace.model import Grain, InputMode
from headrace.model.errors import LAKE_FILE
from headrace.model.times import DaysOff
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus
from headrace.slo.declared_promises import NoData, Node, Terms
from headrace.slo.facts import Damage
from headrace.slo.freshness import AssetStateCounts, keys_count

DAY = Grain.DAY
NOW = "2013-02-03 08:00"
CHAIN = [
    node("src", DAY, source=True, expect_by="05:00"),
    node("a", DAY, "src"),
    node("b", DAY, "a"),
]


def facts(**looked: str) -> SmallFacts:
    """The first day went well through `CHAIN`; somebody has just looked."""
    small = SmallFacts(delivered={"src": "2013-02-01"})
    for name in ("src", "a", "b"):
        small.publish(name, "2013-02-01", at("2013-02-02 04:40"))
    small.look("src", at(NOW))
    return small


def judged(
    small: SmallFacts, nodes: list[Node] = CHAIN, terms: Terms | None = None, now: str = NOW
) -> ConsumerStatus:
    return evaluate_status(
        declare(nodes, terms or consumer("c", "b", due="07:00")), small, at(now)
    ).consumers[0]


# Why
# --------------------------------------------------------------------------------------------------

WHY = [
    # (node, state, reason), what is said, what to type
    (
        [("src", "held", "2 columns renamed")],
        "src: 2 columns renamed, held since 04:40",
        "headrace quarantine src@2013-02-02",
    ),
    (
        [("src", "published", ""), ("a", "rejected", "flight_id: 3 rows twice")],
        "a: flight_id: 3 rows twice, rejected since 04:40",
        "headrace quarantine a@2013-02-02",
    ),
    (
        [("src", "published", ""), ("a", "failed", "division by zero")],
        "a: division by zero, failed since 04:40",
        "headrace logs a@2013-02-02",
    ),
    (
        [("src", "published", ""), ("a", "published", ""), ("b", "running", "")],
        "b@2013-02-02: is being computed",
        "headrace tick",
    ),
    (
        [("src", "published", ""), ("a", "waiting", "")],
        "a@2013-02-02: isn't computed yet",
        "headrace tick",
    ),
    ([("src", "waiting", "")], "src@2013-02-02: isn't ingested yet", "headrace tick"),
    (
        [("src", "waiting", f"{LAKE_FILE}main/src/x.parquet is gone")],
        "src@2013-02-01 can't be read: the file is gone",
        "headrace incident INC-1",
    ),
    (
        [("src", "waiting", f"{LAKE_FILE}main/src/repaired.parquet is gone")],
        "src@2013-02-02: isn't ingested yet",
        "headrace tick",
    ),
    ([], "src@2013-02-02: nothing was delivered, promised by 05:00", "headrace deliveries src"),
    (
        [("src", "held", "drift"), ("a", "waiting", ""), ("b", "waiting", "")],
        "src: drift, held since 04:40",
        "headrace quarantine src@2013-02-02",
    ),
]


@pytest.mark.parametrize(("standings", "reason", "command"), WHY)
def test_the_most_upstream_node_is_named(
    standings: list[tuple[str, str, str]], reason: str, command: str
) -> None:
    """Would catch: "isn't ingested yet, next: headrace tick" of what no pass brings before a
    damaged file of the lake is repaired, or that file once it is repaired."""
    small = facts()
    small.cut_short["src", "2013-02-01"] = Damage(
        "main/src/x.parquet", "the file is gone", at("2013-02-03 04:00"), "INC-1"
    )
    for name, state, said in standings:
        if state == "published":
            small.publish(name, "2013-02-02", at("2013-02-03 04:40"))
        else:
            small.stand(name, "2013-02-02", state, at("2013-02-03 04:40"), said)
    result = judged(small)
    assert (result.state, result.reason, result.next) == (ConsumerState.LATE, reason, command)


def test_what_is_in_quarantine_is_named_before_what_only_has_not_come() -> None:
    """Of two reasons, the one that a person can do something about."""
    nodes = [*CHAIN[:2], node("zoo", DAY, source=True), node("b", DAY, "a", "zoo")]
    small = facts()
    small.delivered["zoo"] = "2013-02-01"
    small.publish("zoo", "2013-02-01", at("2013-02-02 04:40"))
    small.look("zoo", at(NOW))
    small.stand("zoo", "2013-02-02", "held", at("2013-02-03 05:00"), "drift")
    assert judged(small, nodes).reason == "zoo: drift, held since 05:00"


def test_a_reference_that_was_never_delivered_is_named() -> None:
    nodes = [
        *CHAIN[:1],
        node("planes", None, source=True),
        node("b", DAY, "src", reads("planes", mode=InputMode.ALL)),
    ]
    small = SmallFacts(delivered={"src": "2013-02-01"})
    small.publish("src", "2013-02-01", at("2013-02-02 04:40"))
    for name in ("src", "planes"):
        small.look(name, at(NOW))
    result = judged(small, nodes)
    assert result.states == (ConsumerState.NEVER, ConsumerState.LATE)
    assert result.reason == "planes: nothing was delivered"


def test_names_and_keys_are_quoted_in_the_command_that_is_printed() -> None:
    """Keys are data: pasted into a shell they would run."""
    key = "$(touch pwned); 'x"
    nodes = [
        node("src", None, source=True),
        Node(
            "a",
            False,
            CHAIN[0].partition.__class__(key="region", values=(key,)),
            "UTC",
            (reads("src"),),
        ),
    ]
    small = SmallFacts(delivered={"src": "*"})
    small.publish("src", "*", at("2013-02-01 00:00"))
    small.look("src", at(NOW))
    small.stand("a", key, "rejected", at("2013-02-03 04:40"), "bad")
    small.promised["c"] = at("2013-02-01 00:00")
    result = judged(small, nodes, consumer("c", "a", due="07:00"))
    assert result.next is not None
    assert shlex.split(result.next) == ["headrace", "quarantine", f"a@{key}"]


# States
# --------------------------------------------------------------------------------------------------


def test_before_anything_was_published_it_is_never() -> None:
    small = SmallFacts(delivered={"src": "2013-02-01"})
    small.look("src", at(NOW))
    result = judged(small)
    assert (result.state, result.data_through, result.next) == (
        ConsumerState.NEVER,
        None,
        "headrace deliveries src",
    )
    assert result.reason == "src@2013-02-01: nothing was delivered, promised by Sat 02-02 05:00"


def test_with_nothing_due_yet_it_is_served_from_the_first_publication() -> None:
    result = judged(facts(), now="2013-02-02 05:00")
    assert (result.state, result.since_us, result.due_interval) == (
        ConsumerState.SERVED,
        at("2013-02-02 04:40"),
        None,
    )


def test_nobody_ever_looked_is_unknown() -> None:
    small = facts()
    small.looked = {}
    result = judged(small)
    assert (result.state, result.since_us, result.reason) == (
        ConsumerState.UNKNOWN,
        None,
        "src hasn't been observed yet",
    )


@pytest.mark.parametrize(
    ("observations", "minutes", "unknown"),
    [
        # few observations in few days say nothing of the cadence: a day and two hours
        ([0], 26 * 60 - 1, False),
        ([0], 26 * 60 + 1, True),
        ([0, 1, 2, 3, 4, 5], 5 + 26 * 60 - 1, False),  # as on the first day of a project
        ([315, 525, 1755, 1965, 3195, 3405], 3405 + 14 * 60, False),  # two passes, third evening
        (list(range(50)), 49 + 9, False),  # twice a minute is less than ten
        (list(range(50)), 49 + 11, True),
        ([60 * n for n in range(50)], 49 * 60 + 119, False),
        ([60 * n for n in range(50)], 49 * 60 + 121, True),
        ([0, *(1 + 60 * n for n in range(50))], 1 + 49 * 60 + 119, False),  # not the mean
        # two passes each morning: the night between them is usual, and a tenth more
        ([m + 1440 * d for d in range(5) for m in (0, 60)], 5820 + 1380 + 137, False),
        ([m + 1440 * d for d in range(5) for m in (0, 60)], 5820 + 1380 + 139, True),
        # each hour from eight to six: so is the night
        ([1440 * d + 60 * h for d in range(5) for h in range(8, 19)], 6840 + 923, False),
        ([1440 * d + 60 * h for d in range(5) for h in range(8, 19)], 6840 + 925, True),
        # one night that nobody looked isn't
        ([*(60 * n for n in range(48)), 4200, 4260, 4320], 4320 + 119, False),
        ([*(60 * n for n in range(48)), 4200, 4260, 4320], 4320 + 121, True),
    ],
)
def test_how_long_a_look_is_good_for(observations: list[int], minutes: int, unknown: bool) -> None:
    small = facts()
    start = at("2013-02-02 06:00")
    small.looked = {"src": [start + minute * 60_000_000 for minute in observations]}
    result = evaluate_status(
        declare(CHAIN, consumer("c", "b", due="07:00")), small, start + minutes * 60_000_000
    ).consumers[0]
    assert (ConsumerState.UNKNOWN in result.states) is unknown


@pytest.mark.parametrize(
    ("hours", "unknown"),
    [(23, False), (24, False), (24 + 40 / 3600, False), (24 + 61 / 3600, True), (25, True)],
)
def test_a_declared_cadence_counts_whatever_was_observed(hours: float, unknown: bool) -> None:
    """Would catch: a project that cron ticks once a day, unknown for 22 of 24 hours after a
    morning's repairs, or each day for the seconds by which cron is late."""
    start = at("2013-02-02 06:00")
    small = facts()
    small.looked = {"src": [start - minute * 60_000_000 for minute in range(10)]}
    declared = declare(CHAIN, consumer("c", "b", due="07:00"))
    daily = msgspec.structs.replace(declared, tick_every_us=24 * 3_600_000_000)
    result = evaluate_status(daily, small, start + int(hours * 3_600_000_000)).consumers[0]
    assert (ConsumerState.UNKNOWN in result.states) is unknown


def test_the_stalest_of_its_sources_counts_and_no_other() -> None:
    nodes = [*CHAIN, node("other", DAY, source=True)]
    small = facts()
    small.looked = {"src": [at(NOW)], "other": [at("2013-02-01 00:00")]}
    assert ConsumerState.UNKNOWN not in judged(small, nodes).states


# Data without a rhythm
# --------------------------------------------------------------------------------------------------

WHOLE = [node("file", None, source=True), node("table", None, "file")]


@pytest.mark.parametrize(
    ("now", "state"),
    [("2013-02-03 04:00", ConsumerState.SERVED), ("2013-02-03 04:40", ConsumerState.LATE)],
)
def test_without_a_rhythm_the_age_is_that_of_the_publication(
    now: str, state: ConsumerState
) -> None:
    small = SmallFacts(delivered={"file": "*"})
    small.publish("file", "*", at("2013-02-02 04:30"))
    small.publish("table", "*", at("2013-02-02 04:40"))
    small.look("file", at(now))
    result = judged(small, WHOLE, consumer("c", "table", max_age="24h"), now)
    assert result.state is state
    assert (result.due_interval, result.data_through, result.backlog) == (None, None, ())
    if state is ConsumerState.LATE:
        assert result.since_us == at("2013-02-03 04:40")
        assert result.reason == "what can be read was published more than 24h ago"


def test_without_a_rhythm_a_daily_promise_is_met_by_any_publication() -> None:
    small = SmallFacts(delivered={"file": "*"}, promised={"c": at("2013-02-01 12:00")})
    small.publish("table", "*", at("2013-02-02 04:40"))
    small.look("file", at(NOW))
    result = judged(small, WHOLE, consumer("c", "table", due="07:00"))
    assert (result.state, result.due_interval) == (ConsumerState.SERVED, "2013-02-02")


def test_reference_data_makes_nothing_older() -> None:
    """planes, delivered once a year, would make a dashboard with `max_age` late for ever."""
    nodes = [*CHAIN, node("planes", None, source=True)]
    small = facts()
    small.publish("planes", "*", at("2012-01-01 00:00"))
    small.look("planes", at("2013-02-02 05:00"))
    small.look("src", at("2013-02-02 05:00"))
    result = judged(small, nodes, consumer("c", "b", "planes", max_age="30h"), "2013-02-02 05:00")
    assert (result.state, result.data_through) == (ConsumerState.SERVED, "2013-02-01")


# Empty and missing data
# --------------------------------------------------------------------------------------------------


def test_under_max_age_an_interval_without_rows_does_not_make_it_fresher() -> None:
    small = facts()
    for name in ("src", "a", "b"):
        small.publish(name, "2013-02-02", at("2013-02-03 04:40"), rows=0)
    terms = consumer("c", "b", max_age="30h")
    result = judged(small, CHAIN, terms)
    assert (result.state, result.data_through, result.since_us) == (
        ConsumerState.LATE,
        "2013-02-01",
        at("2013-02-03 06:00"),
    )
    assert result.reason == "what can be read ends with 2013-02-01, older than 30h"
    assert judged(small).state is ConsumerState.SERVED  # by `due` it was published in time


def test_data_that_never_had_rows_is_too_old_from_the_first_deadline() -> None:
    small = facts()
    for publication in small.publications:
        publication.rows = 0
    result = judged(small, CHAIN, consumer("c", "b", max_age="30h"), "2013-02-02 08:00")
    assert (result.state, result.since_us, result.data_through) == (
        ConsumerState.LATE,
        at("2013-02-02 06:00"),
        None,
    )


def test_a_hole_of_long_ago_is_late_until_it_is_filled_or_waived() -> None:
    """Would catch: "✓ served" for days, and all of them counted as available, while readers of the
    table miss a day of it.
    """
    small = facts()
    for day in range(3, 9):
        for name in ("src", "a", "b"):
            small.publish(name, f"2013-02-{day:02}", at(f"2013-02-{day + 1:02} 04:40"))
    small.look("src", at("2013-02-09 08:00"))
    result = judged(small, now="2013-02-09 08:00")
    assert (result.state, result.backlog, result.data_through) == (
        ConsumerState.LATE,
        ("2013-02-02",),
        "2013-02-08",
    )
    assert (result.since_us, result.missing_besides) == (at("2013-02-03 07:00"), 0)
    assert "2013-02-02" in result.reason


# Assets
# --------------------------------------------------------------------------------------------------


def test_assets_are_counted_once_each_and_again_where_they_are_in_quarantine_or_unchecked() -> None:
    nodes = [
        *CHAIN,
        node("planes", None, source=True),
        node("fleet", None, "planes"),
        node("never", DAY, "src"),
        node("sum", None, "b"),
    ]
    small = facts()
    small.publish("fleet", "*", at("2013-01-01 00:00"), verdict="unchecked")
    small.publish("sum", "*", at("2013-02-02 04:50"))
    small.stand("a", "2013-02-02", "rejected", at("2013-02-03 04:40"), "bad")
    for name in ("src", "planes"):
        small.look(name, at(NOW))
    counts = evaluate_status(declare(nodes), small, at(NOW)).assets
    assert counts == AssetStateCounts(fresh=1, behind=3, never=1, quarantined=1, unchecked=1)


def test_a_stale_asset_is_not_fresh_and_a_behind_one_is_behind_first() -> None:
    small = facts()
    small.stale = {"a", "b"}
    small.publish("a", "2013-02-02", at("2013-02-03 04:40"))
    assert evaluate_status(
        declare(CHAIN), small, at("2013-02-02 08:00")
    ).assets == AssetStateCounts(stale=2)
    assert evaluate_status(declare(CHAIN), small, at(NOW)).assets == AssetStateCounts(
        stale=1, behind=1
    )


@pytest.mark.parametrize(
    ("grain", "first", "last", "count"),
    [
        (DAY, "2013-02-27", "2013-03-02", 4),
        (Grain.HOUR, "2013-03-10T00:00-05:00", "2013-03-10T23:00-04:00", 23),
        (Grain.HOUR, "2013-11-03T00:00-04:00", "2013-11-03T23:00-05:00", 25),
        (Grain.WEEK, "2012-W52", "2013-W01", 2),
        (Grain.WEEK, "2013-W09", "2013-W11", 3),  # the clocks change in W10
        (Grain.MONTH, "2012-12", "2013-02", 3),
        (Grain.QUARTER, "2012-Q4", "2013-Q2", 3),
        (Grain.YEAR, "2010", "2013", 4),
        (DAY, "2013-02-01", "2013-02-01", 1),
    ],
)
def test_expected_partitions_are_counted_without_listing_them(
    grain: Grain, first: str, last: str, count: int
) -> None:
    assert keys_count(first, last, grain, "America/New_York") == count


def test_data_of_a_day_off_is_through_once_the_day_is_over() -> None:
    """Would catch: "data through Sat" at one o'clock on Saturday, of which there is no data."""
    closed = NoData(DaysOff(dates=frozenset({"2013-02-02", "2013-02-03"})), Grain.DAY, "UTC")
    nodes = [
        node("src", DAY, source=True, expect_by="05:00", no_data=closed),
        node("b", DAY, "src", no_data=closed),
    ]
    small = SmallFacts(delivered={"src": "2013-02-01"})
    for name in ("src", "b"):
        small.publish(name, "2013-02-01", at("2013-02-02 00:40"))
    through = []
    for now in ("2013-02-02 01:00", "2013-02-02 23:00", "2013-02-03 01:00"):
        small.look("src", at(now))
        through.append(judged(small, nodes, now=now).data_through)
    assert through == ["2013-02-01", "2013-02-01", "2013-02-02"]
