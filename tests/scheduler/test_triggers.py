"""Triggers: when they fire, over changes of clocks and days off, and what a firing releases."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from driver import DAY, WHOLE, ZONE, Driver, asset, reads, source

from headrace.model import Grain, PartitionSpec
from headrace.model.errors import UsageError
from headrace.model.intervals import from_us, to_us
from headrace.model.times import DaysOff, check_cron, times_after, times_until
from headrace.scheduler import Fired, GraphNode, NodeTrigger, PartitionState, Target
from headrace.scheduler.gates import last_firing, next_firing

S = PartitionState
D = [f"2013-02-{day:02d}" for day in range(1, 29)]
SIX = NodeTrigger(cron="0 6 * * *", timezone=ZONE)
HOUR = PartitionSpec(grain=Grain.HOUR)


def firings(cron: str, start: str, count: int, timezone: str = ZONE) -> list[str]:
    times = times_after(cron, timezone, to_us(datetime.fromisoformat(start).replace(tzinfo=UTC)))
    return [
        from_us(at, timezone).isoformat(timespec="minutes")
        for at, _ in zip(times, range(count), strict=False)
    ]


# When time fires


def test_a_time_in_the_gap_fires_at_the_first_instant_after_it() -> None:
    """2013-03-10: New York's clocks go from 02:00 to 03:00. Catches a nightly run that is skipped
    once a year.
    """
    assert firings("30 2 * * *", "2013-03-09T12:00", 2) == [
        "2013-03-10T03:00-04:00",
        "2013-03-11T02:30-04:00",
    ]


def test_a_doubled_time_fires_once() -> None:
    """2013-11-03: the hour from 01:00 comes twice. Catches a run that is done twice once a year."""
    assert firings("30 1 * * *", "2013-11-02T12:00", 2) == [
        "2013-11-03T01:30-04:00",
        "2013-11-04T01:30-05:00",
    ]
    assert firings("0 * * * *", "2013-11-03T04:30", 2) == [
        "2013-11-03T01:00-04:00",
        "2013-11-03T02:00-05:00",
    ]


def test_several_times_in_the_gap_are_one() -> None:
    assert firings("*/20 * * * *", "2013-03-10T06:30", 3) == [
        "2013-03-10T01:40-05:00",
        "2013-03-10T03:00-04:00",
        "2013-03-10T03:20-04:00",
    ]


@pytest.mark.parametrize(
    "timezone",
    ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "UTC"],
)
@pytest.mark.parametrize("cron", ["30 1 * * *", "15 2,23 * * *", "0 0 * * *"])
def test_looking_back_finds_what_looking_ahead_told(cron: str, timezone: str) -> None:
    """Catches a leader that starts just after a change of clocks and takes another time for the
    newest than the one that fired.
    """
    start, before = to_us(datetime(2011, 1, 1, tzinfo=UTC)), None
    for at, _ in zip(times_after(cron, timezone, start), range(500), strict=False):
        assert next(times_until(cron, timezone, at)) == at
        assert before is None or next(times_until(cron, timezone, at - 1)) == before, from_us(
            at, timezone
        )
        before = at


def test_days_off_dont_fire() -> None:
    trigger = NodeTrigger(
        cron="0 6 * * *",
        timezone=ZONE,
        days_off=DaysOff(dates=frozenset(["2013-02-12", "2013-02-13"])),
    )
    at = to_us(datetime(2013, 2, 11, 12, tzinfo=UTC))
    fires = next_firing(trigger, at)
    assert fires is not None
    assert from_us(fires, ZONE).isoformat() == "2013-02-14T06:00:00-05:00"
    assert last_firing(trigger, fires - 1) == last_firing(trigger, at)


def test_each_minute_over_a_long_weekend() -> None:
    """Catches a trigger that is given up because thousands of its times in a row fall
    on days off.
    """
    off = DaysOff(dates=frozenset(f"2013-02-{day}" for day in range(12, 22)))
    trigger = NodeTrigger(cron="* * * * *", timezone=ZONE, days_off=off)
    fires = next_firing(trigger, to_us(datetime(2013, 2, 12, 4, 59, tzinfo=UTC)))
    assert fires is not None
    assert from_us(fires, ZONE).isoformat() == "2013-02-22T00:00:00-05:00"
    assert (
        from_us(last_firing(trigger, fires - 1) or 0, ZONE).isoformat()
        == "2013-02-11T23:59:00-05:00"
    )


def test_what_never_fires_ends() -> None:
    """Catches a search without an end."""
    every_day = DaysOff(named="NYSE")
    assert next_firing(NodeTrigger(cron="0 6 * * 6", timezone=ZONE, days_off=every_day), 0) is None


@pytest.mark.parametrize(
    "cron",
    ["* * *", "61 * * * *", "0 0 31 2 *", "* * * * * *", "@daily", "", "x" * 500, "0 0 * * 8"],
)
def test_what_isnt_a_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(UsageError):
        check_cron(cron)


# What a firing releases


def daily(trigger: NodeTrigger = SIX, partition: PartitionSpec = DAY) -> GraphNode:
    return asset("clean", "flights", partition=partition, trigger=trigger)


def started(*nodes: GraphNode, at: str = "2013-02-12 05:00") -> Driver:
    d = Driver(*nodes)
    d.at(at)
    d.start()
    d.ask()
    return d


def test_an_interval_runs_at_the_first_firing_after_its_end() -> None:
    d = started(source("flights"), daily())
    d.arrive("flights", D[10])  # 02-11, which ended at midnight
    assert d.work() == [("flights", D[10])]
    assert d.state("clean", D[10]) is S.WAITING
    d.at("2013-02-12 05:59")
    assert d.work() == []
    assert from_us(d.core.next_event() or 0, ZONE).isoformat() == "2013-02-12T06:00:00-05:00"
    d.at("2013-02-12 06:00")
    assert d.work() == [("clean", D[10])]


def test_what_comes_after_the_firing_that_released_it_runs_at_once() -> None:
    """Catches a delivery that is an hour late and costs a day."""
    d = started(source("flights"), daily(), at="2013-02-12 07:00")
    d.arrive("flights", D[10])
    assert d.work() == [("flights", D[10]), ("clean", D[10])]


def test_what_becomes_stale_waits_for_the_next_firing() -> None:
    d = started(source("flights"), daily(), at="2013-02-12 07:00")
    d.arrive("flights", D[10])
    d.work()
    d.arrive("flights", D[10], content="corrected")
    assert d.work() == [("flights", D[10])]
    d.at("2013-02-13 06:00")
    assert d.work() == [("clean", D[10])]


def test_a_person_who_names_it_runs_it_anyway() -> None:
    d = started(source("flights"), daily())
    d.arrive("flights", D[10])
    d.work()
    d.ask(Target("clean"), retry=frozenset(["clean"]))
    assert d.work() == [("clean", D[10])]


def test_hours_that_ended_after_the_firing_wait_for_the_next() -> None:
    d = started(source("flights", HOUR), daily(partition=HOUR), at="2013-02-12 06:30")
    d.arrive("flights", "2013-02-12T05:00-05:00", "2013-02-12T06:00-05:00")
    assert ("clean", "2013-02-12T05:00-05:00") in d.work()
    d.at("2013-02-12 07:00")
    assert d.state("clean", "2013-02-12T06:00-05:00") is S.WAITING
    d.at("2013-02-13 06:00")
    assert d.work() == [("clean", "2013-02-12T06:00-05:00")]


def test_what_reads_nothing_runs_again_at_each_firing() -> None:
    d = started(asset("ping", partition=WHOLE, trigger=SIX))
    assert d.work() == [], "it ran before its trigger fired"
    d.at("2013-02-12 06:00")
    assert d.work() == [("ping", "*")]
    d.at("2013-02-12 12:00")
    assert d.work() == []
    d.at("2013-02-13 06:00")
    assert d.work() == [("ping", "*")]


def test_what_a_firing_released_is_released_after_a_restart() -> None:
    """Catches a leader that dies between the firing and the attempt: the run of that day would be
    lost."""
    d = started(asset("ping", partition=WHOLE, trigger=SIX))
    d.at("2013-02-12 06:00")
    (dispatch,) = d.running.values()
    mark = next(mark for mark in reversed(d.marks) if mark.node == "ping")
    assert mark.state is S.WAITING
    d.running.clear()
    d.start((d.stored(mark),))
    d.ask()
    assert d.work() == [(dispatch.node, "*")]


def test_a_firing_that_was_missed_fires_once_when_a_leader_is_back() -> None:
    d = started(asset("ping", partition=WHOLE, trigger=SIX))
    d.at("2013-02-12 06:00")
    d.work()
    d.now += 3 * 86_400_000_000
    d.start((d.published("ping", "*"),))
    d.ask()
    assert d.work() == [("ping", "*")]
    assert d.work() == []


def test_an_interval_is_counted_in_utc() -> None:
    d = started(asset("ping", partition=WHOLE, trigger=NodeTrigger(every_us=6 * 3_600_000_000)))
    d.at("2013-02-12 07:00")  # 12:00 in UTC
    assert d.work() == [("ping", "*")]
    d.at("2013-02-12 12:59")
    assert d.work() == []
    d.at("2013-02-12 13:00")
    assert d.work() == [("ping", "*")]


def test_a_webhook_fires_what_waits() -> None:
    d = started(
        source("flights"),
        daily(NodeTrigger(outside=True)),
        asset("ping", partition=WHOLE, trigger=NodeTrigger(outside=True)),
    )
    d.arrive("flights", D[10])
    assert d.work() == [("flights", D[10])]
    d.give(Fired("clean"))
    assert d.work() == [("clean", D[10])]
    for _ in range(2):
        d.give(Fired("ping"))
        assert d.work() == [("ping", "*")]
    d.give(Fired("flights"))
    d.give(Fired("nobody"))
    assert d.work() == []


def test_arrivals_of_a_source_fire() -> None:
    trigger = NodeTrigger(arrival="flights")
    d = started(
        source("flights"), source("weather"), asset("clean", "flights", "weather", trigger=trigger)
    )
    d.arrive("weather", D[10])
    d.arrive("flights", D[10])
    assert d.work()[-1] == ("clean", D[10])
    d.arrive("weather", D[10], content="corrected")
    assert d.work() == [("weather", D[10])], "what isn't the trigger released it"
    d.arrive("flights", D[11])
    assert ("clean", D[10]) in d.work()


def test_publications_upstream_fire() -> None:
    d = started(
        source("flights"),
        daily(NodeTrigger(upstream="")),
        asset("note", partition=WHOLE, trigger=NodeTrigger(upstream="clean")),
    )
    d.arrive("flights", D[9])
    assert d.work() == [("flights", D[9]), ("clean", D[9]), ("note", "*")]


# Catching up


def down_for_days(trigger: NodeTrigger) -> Driver:
    """A leader that comes back after three days without one, and finds what was delivered since."""
    d = started(source("flights"), daily(trigger), at="2013-02-10 07:00")
    d.arrive("flights", D[8])
    d.work()
    d.fired["clean"] = d.core._all.gates.firings.last("clean") or 0
    d.at("2013-02-13 09:00")
    d.arrive("flights", *D[9:12])
    return d


def test_catch_up_all_runs_each_interval() -> None:
    d = down_for_days(SIX)
    assert [key for node, key in d.work() if node == "clean"] == D[9:12]


def test_catch_up_latest_runs_the_newest_and_waives_the_others_visibly() -> None:
    """Catches the oldest being run because nobody has ingested the newest yet."""
    d = down_for_days(NodeTrigger(cron="0 6 * * *", timezone=ZONE, latest=True))
    assert [key for node, key in d.work() if node == "clean"] == [D[11]]
    assert [d.state("clean", key) for key in D[9:12]] == [S.WAIVED, S.WAIVED, S.PUBLISHED]
    reasons = {mark.key: mark.reason for mark in d.marks if mark.state is S.WAIVED}
    assert reasons[D[9]].startswith("passed over for 2013-02-1")


def test_what_was_passed_over_runs_if_it_is_named_itself() -> None:
    d = down_for_days(NodeTrigger(cron="0 6 * * *", timezone=ZONE, latest=True))
    d.work()
    d.ask(Target("clean"), retry=frozenset(["clean"]))
    assert d.work() == []
    d.ask(Target("clean", D[9], D[9]), retry=frozenset(["clean"]))
    assert d.work() == [("clean", D[9])]


def test_what_was_passed_over_is_in_nobodys_way() -> None:
    """Catches what reads seven days and waits for ever for one that nobody wants any more."""
    trigger = NodeTrigger(cron="0 6 * * *", timezone=ZONE, latest=True)
    d = started(
        source("flights"),
        daily(trigger),
        asset("week", reads("clean", lookback="7d")),
        at="2013-02-10 07:00",
    )
    d.arrive("flights", D[8])
    d.work()
    d.at("2013-02-13 09:00")
    d.arrive("flights", *D[9:12])
    assert ("week", D[11]) in d.work()


def test_an_interval_for_which_nothing_came_yet_waives_nothing() -> None:
    """Catches a late delivery of yesterday that makes the day before, which is there, unwanted."""
    d = started(
        source("flights"),
        daily(NodeTrigger(cron="0 6 * * *", timezone=ZONE, latest=True)),
        at="2013-02-13 05:00",
    )
    d.arrive("flights", D[10])
    assert d.work() == [("flights", D[10]), ("clean", D[10])]


# What time alone brings


def test_a_server_makes_each_day_of_what_reads_nothing_when_it_has_ended() -> None:
    """Catches a calendar table that ends on the day on which the server was started."""
    d = Driver(msgspec.structs.replace(asset("days"), start=D[8]))
    d.at("2013-02-11 12:00")
    d.start()
    d.ask()
    assert [key for _, key in d.work()] == [D[8], D[9]]
    assert from_us(d.core.next_event() or 0, ZONE).isoformat() == "2013-02-12T00:00:00-05:00"
    d.at("2013-02-12 00:00")
    assert [key for _, key in d.work()] == [D[10]]
    d.at("2013-02-15 00:30")
    assert [key for _, key in d.work()] == D[11:14]


def test_many_ways_up_cost_no_more_than_the_nodes_on_them() -> None:
    """Catches a question that is asked again on each of a million ways to the same source."""
    nodes = [source("n0a"), source("n0b")]
    for i in range(1, 25):
        nodes += [asset(f"n{i}{side}", f"n{i - 1}a", f"n{i - 1}b") for side in "ab"]
    trigger = NodeTrigger(cron="0 6 * * *", timezone=ZONE, latest=True)
    d = started(*nodes, asset("last", "n24a", "n24b", trigger=trigger), at="2013-02-13 09:00")
    d.arrive("n0a", D[10], D[11])
    d.arrive("n0b", D[10], D[11])
    assert d.work()[-1] == ("last", D[11])


def test_a_long_way_up_costs_no_stack() -> None:
    """Catches a core that ends in RecursionError at the end of a thousand assets in a row."""
    nodes = [source("n0"), *(asset(f"n{i}", f"n{i - 1}") for i in range(1, 1_500))]
    latest = asset(
        "last", "n1499", trigger=NodeTrigger(cron="0 6 * * *", timezone=ZONE, latest=True)
    )
    d = started(
        *nodes,
        latest,
        asset("note", "n1499", trigger=NodeTrigger(arrival="")),
        at="2013-02-13 09:00",
    )
    d.arrive("n0", D[11])
    assert d.work()[-2:] == [("last", D[11]), ("note", D[11])]
