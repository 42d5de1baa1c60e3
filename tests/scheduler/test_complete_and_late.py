"""Completeness, optional inputs, late restatements and calendars (SEMANTICS §1, §3, §4). Each test
says which bug it would catch.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from driver import DAY, MONTH, WHOLE, ZONE, Driver, asset, reads, source

from headrace.model import Grain, PartitionSpec
from headrace.model.intervals import to_us
from headrace.model.times import DaysOff
from headrace.scheduler import ClockAdvanced, GraphNode, PartitionState, Target

S = PartitionState
D = [f"2013-02-{d:02}" for d in range(1, 29)]
HOUR = PartitionSpec(grain=Grain.HOUR)


def said(node: GraphNode, **how: object) -> GraphNode:
    """A node that says more of itself."""
    return msgspec.structs.replace(node, **how)


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)))


class Watch(Driver):
    """A driver whose clock can be set."""

    def moment(self, text: str) -> None:
        self.now = at(text)
        self.give(ClockAdvanced())


# Complete


def test_a_watermark_completes_an_interval_when_a_later_one_is_delivered() -> None:
    """Catches the newest interval being computed before it is complete, and never being computed
    after.
    """
    d = Watch(said(source("flights"), watermark=True), asset("clean", "flights"))
    d.moment("2013-02-05 12:00")
    d.ask()
    d.arrive("flights", D[0])
    assert d.work() == [("flights", D[0])]
    [waiting] = d.core.waiting_for("clean", D[0])
    assert (waiting.state, waiting.reason) == (
        S.PUBLISHED,
        "complete once a later interval was delivered",
    )
    d.arrive("flights", D[1])
    assert d.work() == [("clean", D[0]), ("flights", D[1])]
    d.arrive("flights", D[3])
    assert d.work() == [("clean", D[1]), ("flights", D[3])]
    d.arrive("flights", D[2])  # late: a later one is there already
    assert d.work() == [("flights", D[2]), ("clean", D[2])]


def test_a_delivery_far_ahead_completes_nothing() -> None:
    """Catches one file dated 2099 that makes each unfinished interval count as complete, for ever."""
    d = Watch(said(source("flights"), watermark=True), asset("clean", "flights"))
    d.moment("2013-02-01 12:00")
    d.ask()
    d.arrive("flights", D[0])
    d.arrive("flights", "2099-01-01")
    assert sorted(d.work()) == [("flights", D[0]), ("flights", "2099-01-01")]
    [waiting] = d.core.waiting_for("clean", D[0])
    assert waiting.until == at("2098-12-31 00:00")
    d.moment("2013-02-02 12:00")
    d.arrive("flights", D[1])
    assert d.work() == [("clean", D[0]), ("flights", D[1])]
    d.arrive("flights", D[4])
    assert d.work() == [("flights", D[4])]
    d.moment("2013-02-03 23:59")
    assert not d.running
    d.moment("2013-02-04 00:00")  # a day before the start of what was delivered early
    assert d.work() == [("clean", D[1])]


def test_a_delivery_of_the_next_day_in_another_zone_completes_an_interval() -> None:
    d = Watch(said(source("flights"), watermark=True), asset("clean", "flights"))
    d.moment("2013-02-01 23:00")
    d.ask()
    d.arrive("flights", D[0])
    d.arrive("flights", D[1])
    assert sorted(d.work()) == [("clean", D[0]), ("flights", D[0]), ("flights", D[1])]


def test_a_delay_completes_an_interval_when_its_time_has_come() -> None:
    """Catches completeness that only another event brings."""
    d = Watch(said(source("flights"), complete_after="+5h"), asset("clean", "flights"))
    d.now = at("2013-02-02 01:00")
    d.ask()
    d.arrive("flights", D[0])
    assert d.work() == [("flights", D[0])]
    [waiting] = d.core.waiting_for("clean", D[0])
    assert waiting.until == at("2013-02-02 05:00")
    d.moment("2013-02-02 04:59")
    assert not d.running
    d.moment("2013-02-02 05:00")
    assert d.work() == [("clean", D[0])]


def test_a_pass_looks_again_at_what_time_completes() -> None:
    d = Watch(said(source("flights"), complete_after="+5h"), asset("clean", "flights"))
    d.now = at("2013-02-02 01:00")
    d.arrive("flights", D[0])
    d.ask()
    d.work()
    d.now = at("2013-02-02 06:00")
    d.ask()
    assert d.work() == [("clean", D[0])]


# Optional


def optional(**how: object) -> Watch:
    weather = said(source("weather"), expect_by="09:00", start=D[0], **how)
    return Watch(
        source("flights"), weather, asset("clean", "flights", reads("weather", optional=True))
    )


def test_an_optional_input_is_waited_for_until_it_was_promised() -> None:
    d = optional()
    d.now = at("2013-02-02 05:00")
    d.ask()
    d.arrive("flights", D[0])
    assert d.work() == [("flights", D[0])]
    d.moment("2013-02-02 09:00")
    [dispatch] = d.running.values()
    assert (dispatch.node, dispatch.without) == ("clean", (("weather", D[0]),))
    d.work()
    d.arrive("weather", D[0])
    assert [x.without for x in d.running.values()] == [()]
    assert d.work() == [
        ("weather", D[0]),
        ("clean", D[0]),
    ], "it counts as required from its arrival on"


def test_an_optional_input_that_came_is_no_longer_missing() -> None:
    d = optional()
    d.now = at("2013-02-02 05:00")
    d.ask()
    d.arrive("flights", D[0])
    d.arrive("weather", D[0])
    d.publish(d.attempt("flights", D[0]))
    d.publish(d.attempt("weather", D[0]))
    assert [x.without for x in d.running.values()] == [()]


def test_an_optional_input_that_is_being_taken_in_is_waited_for_whatever_the_time() -> None:
    """Catches a partition that is computed without what is there a second later."""
    d = optional()
    d.now = at("2013-02-02 10:00")
    d.arrive("weather", D[0])
    d.arrive("flights", D[0])
    d.ask()
    d.publish(d.attempt("flights", D[0]))
    assert [x.node for x in d.running.values()] == ["weather"]


def test_the_first_publication_of_an_optional_input_is_waited_for_by_what_does_without_it() -> None:
    """Catches a partition before the input's start that runs while nobody knows yet which columns
    the input has.
    """
    d = optional()
    d.now = at("2013-02-02 10:00")
    d.arrive("weather", D[1])
    d.arrive("flights", "2013-01-31")
    d.ask()
    d.publish(d.attempt("flights", "2013-01-31"))
    assert [x.node for x in d.running.values()] == ["weather"]
    assert d.work() == [("weather", D[1]), ("clean", "2013-01-31")]


def test_an_optional_input_that_nobody_promised_is_not_waited_for() -> None:
    d = Driver(
        source("flights"), source("notes"), asset("clean", "flights", reads("notes", optional=True))
    )
    d.ask()
    d.arrive("flights", D[0])
    assert d.work() == [("flights", D[0]), ("clean", D[0])]


def test_an_optional_reference_is_read_if_it_is_there() -> None:
    d = Driver(
        source("flights"),
        source("planes", WHOLE),
        asset("clean", "flights", reads("planes", optional=True)),
    )
    d.ask()
    d.arrive("flights", D[0])
    d.publish(d.attempt("flights", D[0]))
    assert [x.without for x in d.running.values()] == [(("planes", "*"),)]


def test_an_optional_asset_is_waited_for_until_the_latest_of_its_sources_was_promised() -> None:
    d = Watch(
        source("flights"),
        said(source("a"), expect_by="06:00"),
        said(source("b"), expect_by="08:00", start=D[0]),
        asset("extra", "a", "b"),
        asset("clean", "flights", reads("extra", optional=True)),
    )
    d.now = at("2013-02-02 05:00")
    d.ask()
    d.arrive("flights", D[0])
    d.arrive("a", D[0])
    d.arrive("b", D[1])
    d.work()
    d.moment("2013-02-02 07:59")
    assert not d.running
    d.moment("2013-02-02 08:00")
    assert d.work() == [("clean", D[0])]


# Restated


def restated(now: str, **how: object) -> Watch:
    """Three days of two layers, then a restatement of the first."""
    d = Watch(
        said(source("flights"), restate_within="7d"),
        asset("clean", "flights"),
        asset("ranking", "clean", **how),
    )
    d.now = at("2013-02-04 05:00")
    d.ask()
    d.arrive("flights", *D[:3])
    d.work()
    d.content["clean", D[0]] = d.content["ranking", D[0]] = "changed"
    d.marks.clear()
    d.now = at(now)
    d.arrive("flights", D[0], content="restated")
    return d


def test_inside_restate_within_it_is_rebuilt_without_asking() -> None:
    assert restated("2013-02-08 23:59").work() == [
        ("flights", D[0]),
        ("clean", D[0]),
        ("ranking", D[0]),
    ]


def test_later_it_is_proposed_and_a_person_runs_it() -> None:
    """Catches rebuilds of last year's figures without asking, and staleness that nobody
    is told of.
    """
    d = restated("2013-02-09 00:01")
    assert d.work() == [("flights", D[0])]
    [mark] = [m for m in d.marks if m.node == "clean"]
    assert (mark.state, mark.stale, mark.proposed) == (S.PUBLISHED, True, True)
    assert d.core.proposed() == [("clean", D[0])]
    d.ask()
    assert not d.running, "a pass doesn't run what is proposed"
    d.ask(Target("clean"), retry=frozenset({"clean"}))
    assert d.work() == [("clean", D[0])]
    assert d.core.proposed() == [("ranking", D[0])], "what comes of it is as late"
    d.ask(Target("ranking"), retry=frozenset({"ranking"}))
    assert d.work() == [("ranking", D[0])]
    assert d.core.proposed() == []


def test_who_names_all_of_it_gets_all_of_it() -> None:
    d = restated("2013-02-20 00:00")
    d.work()
    d.ask(retry=frozenset({"clean", "ranking"}))
    assert d.work() == [("clean", D[0]), ("ranking", D[0])]


def test_an_identical_restatement_proposes_nothing() -> None:
    d = Watch(said(source("flights"), restate_within="7d"), asset("clean", "flights"))
    d.ask()
    d.arrive("flights", D[0])
    d.work()
    d.now = at("2014-01-01 00:00")
    d.arrive("flights", D[0])
    assert d.work() == [("flights", D[0])]
    assert d.core.proposed() == []


def test_what_comes_for_the_first_time_is_no_restatement_however_late() -> None:
    """Catches a year of history that is ingested and then left out of a total."""
    d = Watch(
        said(source("flights"), restate_within="7d"), asset("total", "flights", partition=WHOLE)
    )
    d.now = at("2014-01-01 00:00")
    d.ask()
    d.arrive("flights", D[0])
    d.work()
    d.arrive("flights", D[1])
    assert d.work() == [("flights", D[1]), ("total", "*")]


def test_a_restart_remembers_what_is_proposed() -> None:
    d = restated("2013-02-20 00:00")
    d.work()
    from headrace.scheduler import LoadedPartition

    tracked_partitions = tuple(
        LoadedPartition(
            node=name,
            key=key,
            state=S.PUBLISHED,
            stale=(late := (name, key) == ("clean", D[0])),
            published=True,
            proposed=late,
        )
        for name in ("flights", "clean", "ranking")
        for key in D[:3]
    )
    again = Watch(*d.nodes, tracked_partitions=tracked_partitions)
    again.ask()
    assert not again.running
    assert again.core.proposed() == [("clean", D[0])]


def test_what_only_tells_is_proposed_whenever_it_is_stale() -> None:
    d = restated("2013-02-05 00:00", tells=True)
    assert d.work() == [("flights", D[0]), ("clean", D[0])]
    assert d.core.proposed() == [("ranking", D[0])]


# Calendars

WEEKEND = DaysOff(named="NYSE")
"""02-18 (Washington's Birthday) is a Monday off; 02-16 and 02-17 are a weekend."""


def test_what_is_not_due_and_was_not_delivered_counts_as_present_and_empty() -> None:
    d = Driver(
        said(source("trades"), days_off=WEEKEND),
        source("flights"),
        asset("both", "trades", "flights"),
    )
    d.ask()
    d.arrive("trades", D[14])
    d.arrive("flights", D[14], D[15])
    assert d.work() == [
        ("trades", D[14]),
        ("flights", D[14]),
        ("both", D[14]),
        ("flights", D[15]),
        ("both", D[15]),
    ]


def test_a_month_needs_its_working_days() -> None:
    d = Driver(
        said(source("trades", DAY), days_off=WEEKEND), asset("month", "trades", partition=MONTH)
    )
    d.ask()
    working = [key for key in D if key not in WEEKEND]
    d.arrive("trades", *working[:-1])
    assert ("month", "2013-02") not in d.work()
    d.arrive("trades", working[-1])
    assert d.work()[-1] == ("month", "2013-02")


def test_a_day_of_which_nothing_was_due_is_not_expected() -> None:
    """Catches a Saturday that waits for ever because somebody asked for the week."""
    d = Driver(said(source("trades"), days_off=WEEKEND, start=D[0]), asset("clean", "trades"))
    d.ask(Target("trades"), Target("clean", D[14], D[18]))
    d.arrive("trades", D[14], D[18])
    d.work()
    d.now = at("2013-03-01 00:00")
    assert list(d.core.waiting(d.now)) == []


def test_what_was_delivered_on_a_day_off_is_computed_all_the_same() -> None:
    d = Driver(said(source("trades"), days_off=WEEKEND), asset("clean", "trades"))
    d.ask()
    d.arrive("trades", D[14], D[15])
    assert d.work()[-2:] == [("trades", D[15]), ("clean", D[15])] or ("clean", D[15]) in d.done


def test_a_chain_passes_over_days_off() -> None:
    """Catches a Tuesday that waits for a holiday's state."""
    d = Driver(said(source("trades"), days_off=WEEKEND), asset("state", "trades", chained=True))
    d.ask()
    d.arrive("trades", D[14], D[18])
    assert d.work()[-1] == ("state", D[18]), "the Tuesday after a long weekend follows the Friday"
    d.content["state", D[14]] = "changed"
    d.arrive("trades", D[14], content="restated")
    assert d.work() == [("trades", D[14]), ("state", D[14]), ("state", D[18])]


def test_business_days_of_completeness_are_those_of_the_calendar() -> None:
    d = Watch(
        said(source("trades"), days_off=WEEKEND, complete_after="+1bd 09:00"),
        asset("clean", "trades"),
    )
    d.now = at("2013-02-16 00:00")
    d.ask()
    d.arrive("trades", D[14])
    d.work()
    assert d.core.waiting_for("clean", D[14])[0].until == at("2013-02-19 09:00")


# Hours


def test_hours_of_a_doubled_hour_run_in_the_order_of_time() -> None:
    """Catches order by text: east of Greenwich `…T02:00+01:00` comes before `…T02:00+02:00` as
    text, and after it in time.
    """
    d = Driver(
        GraphNode("h", True, HOUR, "Europe/Berlin"),
        GraphNode("state", False, HOUR, "Europe/Berlin", (reads("h"),), chained=True),
        slots=1,
    )
    first, second = "2013-10-27T02:00+02:00", "2013-10-27T02:00+01:00"
    d.arrive("h", second, first)
    d.ask()
    assert d.work() == [("h", first), ("state", first), ("h", second), ("state", second)]
    d.ask(Target("state", second, second), again=frozenset({"state"}))
    assert d.work() == [("state", second)]


def test_a_range_of_hours_over_a_doubled_hour() -> None:
    d = Driver(GraphNode("h", True, HOUR, "Europe/Berlin"))
    hours = [
        "2013-10-27T01:00+02:00",
        "2013-10-27T02:00+02:00",
        "2013-10-27T02:00+01:00",
        "2013-10-27T03:00+01:00",
    ]
    d.ask(Target("h", hours[1], hours[2]))
    d.arrive("h", *hours)
    assert d.work() == [("h", hours[1]), ("h", hours[2])]
