"""EXPERIENCE.md's story, as the facts stand on Thursday 2013-02-14 at 07:20 and at moments before
and after.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from small_facts import SmallFacts, at, consumer, declare, evaluate_status, node

from headrace.model import Grain
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus, Status
from headrace.slo.freshness import AssetStateCounts

DAY = Grain.DAY
PROJECT = declare(
    [
        node("flights", DAY, source=True, expect_by="05:00"),
        node("planes", None, source=True),
        node("flights_clean", DAY, "flights"),
        node("fleet", None, "planes"),
        node("carrier_delays", DAY, "flights_clean", "planes"),
        node("airport_ranking", DAY, "flights_clean"),
        node("season", None, "carrier_delays"),
    ],
    consumer("morning-report", "carrier_delays", "airport_ranking", due="07:00"),
    consumer("ops-dashboard", "flights_clean", max_age="30h"),
    consumer("regulator-extract", "carrier_delays", due="09:00"),
    consumer("season-page", "season", due="07:00"),
)
DAILY = ("flights", "flights_clean", "carrier_delays", "airport_ranking")
HELD = "2 columns renamed"


def days(first: str, last: str) -> list[date]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(n) for n in range((end - start).days + 1)]


def arrival(day: date) -> int:
    return at(f"{day + timedelta(1)} 04:40")


def publish(facts: SmallFacts, day: date, at_us: int) -> None:
    for second, name in enumerate(DAILY):
        facts.publish(name, str(day), at_us + second * 1_000_000)
    facts.publish("season", "*", at_us + 10_000_000)


@pytest.fixture
def facts() -> SmallFacts:
    """Until 02-10 all went well; from then on the deliveries are held, each morning at 04:40."""
    result = SmallFacts(delivered={"flights": "2013-01-01", "planes": "*"})
    for name in ("planes", "fleet"):
        result.publish(name, "*", at("2013-01-02 04:40"))
    for day in days("2013-01-01", "2013-02-10"):
        publish(result, day, arrival(day))
    for day in days("2013-02-11", "2013-02-13"):
        result.stand("flights", str(day), "held", arrival(day), HELD)
        result.stand("flights_clean", str(day), "waiting", arrival(day))
    for day in days("2013-02-10", "2013-02-14"):
        for source in ("flights", "planes"):
            result.look(
                source,
                *(
                    at(f"{day} {hour:02}:40")
                    for hour in range(24)
                    if (str(day), hour) < ("2013-02-14", 7)
                ),
            )
    return result


def before(facts: SmallFacts, now: int) -> SmallFacts:
    """The same world as it was at that time."""
    facts.publications = [
        publication for publication in facts.publications if publication.at_us <= now
    ]
    facts.partition_states = {
        key: item for key, item in facts.partition_states.items() if item.since_us <= now
    }
    facts.looked = {
        name: [observation for observation in observations if observation <= now]
        for name, observations in facts.looked.items()
    }
    return facts


def named(status: Status, name: str) -> ConsumerStatus:
    return next(item for item in status.consumers if item.name == name)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("morning-report", "2013-02-12 07:00"),
        ("regulator-extract", "2013-02-12 09:00"),
        ("ops-dashboard", "2013-02-12 06:00"),
        ("season-page", "2013-02-12 07:00"),
    ],
)
def test_thursday_at_07_20(facts: SmallFacts, name: str, since: str) -> None:
    result = named(evaluate_status(PROJECT, facts, at("2013-02-14 07:20")), name)
    assert (result.state, result.states) == (ConsumerState.LATE, (ConsumerState.LATE,))
    assert result.since_us == at(since)
    assert result.data_through == "2013-02-10"
    assert result.reason == "flights: 2 columns renamed, held since Tue 02-12 04:40"
    assert result.next == "headrace quarantine flights@2013-02-11"


def test_the_backlog_is_what_is_older_than_the_newest_due(facts: SmallFacts) -> None:
    status = evaluate_status(PROJECT, facts, at("2013-02-14 07:20"))
    report, extract = named(status, "morning-report"), named(status, "regulator-extract")
    assert (report.due_interval, report.backlog) == ("2013-02-13", ("2013-02-11", "2013-02-12"))
    assert report.missing_besides == 2, "one of the three is the reason"
    assert (extract.due_interval, extract.backlog) == (
        "2013-02-12",
        ("2013-02-11",),
    )  # 02-13 is due at 09:00


def test_every_asset_is_in_one_state_and_sources_are_not_counted(facts: SmallFacts) -> None:
    status = evaluate_status(PROJECT, facts, at("2013-02-14 07:20"))
    assert status.assets == AssetStateCounts(fresh=1, behind=4)
    assert status.observed_at_us == at("2013-02-14 06:40")
    reads = {
        read.asset: (read.state, read.data_through) for read in named(status, "season-page").reads
    }
    assert reads == {"season": ("behind", "2013-02-10")}


@pytest.mark.parametrize(
    ("now", "report", "dashboard"),
    [
        ("2013-02-11 07:10", "served", "served"),
        ("2013-02-12 00:10", "served", "served"),  # the day has ended, nothing is overdue yet
        ("2013-02-12 05:30", "at_risk", "at_risk"),  # held since 04:40
        ("2013-02-12 06:00", "at_risk", "late"),
        ("2013-02-12 07:00", "late", "late"),
    ],
)
def test_how_the_morning_of_the_12th_went(
    facts: SmallFacts, now: str, report: str, dashboard: str
) -> None:
    status = evaluate_status(PROJECT, before(facts, at(now)), at(now))
    assert (named(status, "morning-report").state, named(status, "ops-dashboard").state) == (
        report,
        dashboard,
    )


def test_what_is_at_risk_says_when_and_why(facts: SmallFacts) -> None:
    now = at("2013-02-12 05:30")
    result = named(evaluate_status(PROJECT, before(facts, now), now), "morning-report")
    assert result.states == (ConsumerState.AT_RISK, ConsumerState.SERVED)
    assert result.reason == "late at 07:00: flights: 2 columns renamed, held since 04:40"
    assert result.next == "headrace quarantine flights@2013-02-11"


def test_an_overdue_delivery_is_a_risk_before_the_deadline(facts: SmallFacts) -> None:
    facts.partition_states = {
        key: item for key, item in facts.partition_states.items() if key[1] < "2013-02-11"
    }
    for clock, said in (
        ("05:45", "nothing was delivered"),
        ("05:30", "not observed since 04:40"),
    ):
        now = at(f"2013-02-12 {clock}")
        result = named(evaluate_status(PROJECT, before(facts, now), now), "morning-report")
        assert result.state is ConsumerState.AT_RISK
        assert result.reason == f"late at 07:00: flights@2013-02-11: {said}, promised by 05:00"


def test_after_the_repair_everybody_is_served_since_then(facts: SmallFacts) -> None:
    repaired = at("2013-02-14 07:20")
    for day in days("2013-02-11", "2013-02-13"):
        publish(facts, day, repaired)
    facts.publish("season", "*", repaired + 1)
    now = repaired + 60_000_000
    for result in evaluate_status(PROJECT, facts, now).consumers:
        assert (result.state, result.backlog, result.data_through, result.next) == (
            ConsumerState.SERVED,
            (),
            "2013-02-13",
            None,
        )
        assert repaired <= (result.since_us or 0) < now, result.name


def test_one_missing_day_keeps_every_reader_of_it_late(facts: SmallFacts) -> None:
    """Under `max_age` the age counts from before the hole."""
    publish(facts, date(2013, 2, 12), at("2013-02-14 07:10"))
    publish(facts, date(2013, 2, 13), at("2013-02-14 07:10"))
    status = evaluate_status(PROJECT, facts, at("2013-02-14 07:20"))
    report, dashboard = named(status, "morning-report"), named(status, "ops-dashboard")
    assert (report.state, report.backlog, report.data_through) == (
        ConsumerState.LATE,
        ("2013-02-11",),
        "2013-02-13",
    )
    assert report.since_us == at("2013-02-12 07:00")
    assert report.next == "headrace quarantine flights@2013-02-11"
    assert (dashboard.state, dashboard.since_us, dashboard.data_through) == (
        ConsumerState.LATE,
        at("2013-02-12 06:00"),
        "2013-02-10",
    )
    assert (report.missing_besides, dashboard.missing_besides) == (0, 0), "the reason names it"


def test_nobody_looked_for_too_long_is_unknown_not_late(facts: SmallFacts) -> None:
    """They looked every hour, so after two hours without a look nothing is known."""
    now = at("2013-02-14 08:41")
    result = named(evaluate_status(PROJECT, facts, now), "morning-report")
    assert result.states == (ConsumerState.UNKNOWN, ConsumerState.LATE)
    assert result.reason == "flights hasn't been observed since 06:40"
    assert result.next == "headrace tick"
    assert result.since_us == at("2013-02-14 08:40")
