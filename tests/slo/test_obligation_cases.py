"""SEMANTICS §1, §2 and §7 by example: when intervals are due, what meets them, from when on they
are expected.
"""

from __future__ import annotations

import msgspec
import pytest
from small_facts import ZONE, SmallFacts, at, consumer, declare, node, reads

from headrace.model import Grain, InputMode
from headrace.model.intervals import from_us
from headrace.model.times import DaysOff
from headrace.slo.declared_promises import Node, Terms
from headrace.slo.obligations import (
    EvaluationContext,
    Obligation,
    due_us,
    late_run,
    obligations,
    served_since,
    unserved,
)

# grain    interval             promise            due (local time)
DUE = """
day        2013-02-11           due 05:00          2013-02-12 05:00
day        2013-02-11           due +2d 06:00      2013-02-13 06:00
day        2013-02-11           due +20m           2013-02-12 00:20
day        2013-02-08           due +3bd 09:00     2013-02-13 09:00
month      2013-02              due 05:00          2013-03-01 05:00
day        2013-02-11           max_age 30h        2013-02-12 06:00
day        2013-02-11           max_age 1d         2013-02-12 00:00
day        2013-03-10           max_age 30h        2013-03-11 07:00
day        2013-03-10           max_age 1d6h       2013-03-11 06:00
day        2013-03-10           due 02:30          2013-03-11 02:30
day        2013-03-09           due 02:30          2013-03-10 03:00
hour       2013-02-11T13:00-05:00  due +20m        2013-02-11 14:20
hour       2013-02-11T13:00-05:00  max_age 2h      2013-02-11 15:00
week       2013-W07             due 07:00          2013-02-18 07:00
"""


def cases(text: str) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in text.strip().splitlines()]


@pytest.mark.parametrize(("grain", "interval", "rest"), cases(DUE))
def test_when_an_interval_is_due(grain: str, interval: str, rest: str) -> None:
    kind, promise, due = (
        part.strip() for part in (rest[: rest.index(" ")], rest[rest.index(" ") : -16], rest[-16:])
    )
    terms = consumer("c", "a", per=Grain(grain), **{kind: promise})
    assert f"{from_us(due_us(terms, interval), ZONE):%Y-%m-%d %H:%M}" == due


def test_business_days_pass_over_the_calendar() -> None:
    terms = consumer("c", "a", due="+1bd 09:00", no_data=DaysOff(dates=frozenset({"2013-02-18"})))
    assert due_us(terms, "2013-02-15") == at("2013-02-19 09:00")


def found(nodes: list[Node], terms: Terms, facts: SmallFacts, now: str) -> dict[str, int | None]:
    """Interval → when it was met."""
    return {
        obligation.interval: obligation.met_at_us
        for obligation in obligations(
            terms, EvaluationContext(declare(nodes, terms), facts), at(now)
        )
    }


SOURCE = node("src", Grain.DAY, source=True)


def facts(*published: tuple[str, str, str]) -> SmallFacts:
    """(node, key, when); the source has delivered since 2013-02-01."""
    small = SmallFacts(delivered={"src": "2013-02-01"})
    for name, key, when in published:
        small.publish(name, key, at(when))
    return small


def test_an_interval_is_met_with_the_last_of_its_reads() -> None:
    nodes = [SOURCE, node("a", Grain.DAY, "src"), node("b", Grain.DAY, "src")]
    small = facts(
        ("a", "2013-02-01", "2013-02-02 04:00"),
        ("b", "2013-02-01", "2013-02-02 05:00"),
        ("a", "2013-02-02", "2013-02-03 04:00"),
    )
    met = found(nodes, consumer("c", "a", "b", due="07:00"), small, "2013-02-03 08:00")
    assert met == {"2013-02-01": at("2013-02-02 05:00"), "2013-02-02": None, "2013-02-03": None}


def test_a_restated_partition_was_met_when_it_first_could_be_read() -> None:
    """A correction would make an obligation that was kept late afterwards."""
    nodes = [SOURCE, node("a", Grain.DAY, "src")]
    small = facts(("a", "2013-02-01", "2013-02-02 04:00"), ("a", "2013-02-01", "2013-02-09 04:00"))
    assert found(nodes, consumer("c", "a", due="07:00"), small, "2013-02-02 08:00")[
        "2013-02-01"
    ] == at("2013-02-02 04:00")


def test_a_day_needs_all_its_hours() -> None:
    nodes = [node("src", Grain.HOUR, source=True), node("a", Grain.HOUR, "src")]
    small = SmallFacts(delivered={"src": "2013-03-10T00:00-05:00"})
    hours = [f"{hour:02}:00-05:00" for hour in range(2)] + [
        f"{hour:02}:00-04:00" for hour in range(3, 24)
    ]
    assert len(hours) == 23
    for hour in hours[:-1]:
        small.publish("a", f"2013-03-10T{hour}", at("2013-03-11 00:10"))
    terms = consumer("c", "a", due="07:00")
    assert found(nodes, terms, small, "2013-03-11 08:00")["2013-03-10"] is None
    small.publish("a", f"2013-03-10T{hours[-1]}", at("2013-03-11 00:30"))
    assert found(nodes, terms, small, "2013-03-11 08:00")["2013-03-10"] == at("2013-03-11 00:30")


def test_a_coarser_read_is_the_one_that_has_ended_and_none_before_the_start() -> None:
    nodes = [SOURCE, node("m", Grain.MONTH, "src")]
    small = facts(("m", "2013-02", "2013-03-01 04:00"))
    met = found(nodes, consumer("c", "m", due="07:00"), small, "2013-03-31 23:00")
    assert min(met) == "2013-02-28", "days before need January, which is before the start"
    assert met["2013-02-28"] == at("2013-03-01 04:00")
    assert met["2013-03-30"] == at("2013-03-01 04:00")
    assert met["2013-03-31"] is None


def test_a_whole_asset_meets_what_its_inputs_held_when_it_read_them() -> None:
    """Its newest publication would meet every interval, also those that it never saw."""
    nodes = [
        SOURCE,
        node("a", Grain.DAY, "src"),
        node("season", None, "a"),
        node("page", None, "season"),
    ]
    small = SmallFacts(delivered={"src": "2013-02-01"})
    small.publish("a", "2013-02-01", at("2013-02-02 04:00"), snapshot=1)
    small.publish("season", "*", at("2013-02-02 05:00"), read=1, snapshot=2)
    small.publish("page", "*", at("2013-02-02 06:00"), read=2, snapshot=3)
    small.publish("a", "2013-02-02", at("2013-02-03 04:00"), snapshot=4)
    small.publish(
        "season", "*", at("2013-02-03 04:30"), read=3, snapshot=5
    )  # it had read before a's publication
    small.publish("page", "*", at("2013-02-03 05:00"), read=5, snapshot=6)
    terms = consumer("c", "page", due="07:00")
    met = found(nodes, terms, small, "2013-02-03 08:00")
    assert met == {"2013-02-01": at("2013-02-02 06:00"), "2013-02-02": None, "2013-02-03": None}
    small.publish("season", "*", at("2013-02-03 06:00"), read=6, snapshot=7)
    assert found(nodes, terms, small, "2013-02-03 08:00")["2013-02-02"] is None
    small.publish("page", "*", at("2013-02-03 06:30"), read=7, snapshot=8)
    assert found(nodes, terms, small, "2013-02-03 08:00")["2013-02-02"] == at("2013-02-03 06:30")


def test_reference_data_meets_every_interval_once_it_was_published() -> None:
    nodes = [
        SOURCE,
        node("planes", None, source=True),
        node("fleet", None, "planes"),
        node("a", Grain.DAY, "src"),
    ]
    small = facts(
        ("a", "2013-02-01", "2013-02-02 04:00"),
        ("a", "2013-02-02", "2013-02-03 04:00"),
        ("fleet", "*", "2013-02-02 12:00"),
    )
    met = found(nodes, consumer("c", "a", "fleet", due="07:00"), small, "2013-02-03 08:00")
    assert met == {
        "2013-02-01": at("2013-02-02 12:00"),
        "2013-02-02": at("2013-02-03 04:00"),
        "2013-02-03": None,
    }


def test_a_read_that_is_not_applied_is_never_met() -> None:
    """It would count as nothing to wait for."""
    nodes = [SOURCE, node("a", Grain.DAY, "src")]
    met = found(
        nodes,
        consumer("c", "a", "gone", due="07:00"),
        facts(("a", "2013-02-01", "2013-02-02 04:00")),
        "2013-02-02 08:00",
    )
    assert set(met.values()) == {None}


STARTS = [
    # what is declared, first interval
    ([SOURCE, node("a", Grain.DAY, "src")], "2013-02-01"),
    (
        [node("src", Grain.DAY, source=True, start="2013-01-20"), node("a", Grain.DAY, "src")],
        "2013-01-20",
    ),
    (
        [
            SOURCE,
            node("late", Grain.DAY, source=True, start="2013-02-05"),
            node("a", Grain.DAY, "src", "late"),
        ],
        "2013-02-05",
    ),
    (
        [
            SOURCE,
            node("late", Grain.DAY, source=True, start="2013-02-05"),
            node("a", Grain.DAY, "src", reads("late", optional=True)),
        ],
        "2013-02-01",
    ),
    (
        [
            SOURCE,
            node("late", Grain.DAY, source=True, start="2013-02-05"),
            node("a", Grain.DAY, "src", reads("late", mode=InputMode.ALL)),
        ],
        "2013-02-01",
    ),
    (
        [SOURCE, node("planes", None, source=True), node("a", Grain.DAY, "src", "planes")],
        "2013-02-01",
    ),
    ([SOURCE, node("a", Grain.DAY, "src", start="2013-02-03")], "2013-02-03"),
    ([SOURCE, node("d", Grain.DAY, "src"), node("a", None, "d")], "2013-02-01"),
    ([SOURCE, node("a", Grain.MONTH, "src")], "2013-02-28"),
]


@pytest.mark.parametrize(("nodes", "first"), STARTS)
def test_obligations_begin_where_all_reads_are_expected(nodes: list[Node], first: str) -> None:
    assert min(found(nodes, consumer("c", "a", due="07:00"), facts(), "2013-03-01 12:00")) == first


@pytest.mark.parametrize("oldest", [None, "2013-W05", "not a key"])
def test_a_source_that_never_delivered_an_interval_of_its_grain_owes_nothing_yet(
    oldest: str | None,
) -> None:
    """Keys of another grain stay behind when a declaration changes."""
    small = SmallFacts(delivered={} if oldest is None else {"src": oldest})
    assert (
        found(
            [SOURCE, node("a", Grain.DAY, "src")],
            consumer("c", "a", due="07:00"),
            small,
            "2013-02-08 12:00",
        )
        == {}
    )


def test_days_of_the_calendar_are_not_due() -> None:
    nodes = [SOURCE, node("a", Grain.DAY, "src")]
    terms = consumer("c", "a", due="07:00", no_data=DaysOff(dates=frozenset({"2013-02-02"})))
    assert set(found(nodes, terms, facts(), "2013-02-03 12:00")) == {"2013-02-01", "2013-02-03"}


def test_a_promise_over_very_old_data_is_judged_from_a_limit_on() -> None:
    """A start in the year 1000 would be counted interval by interval."""
    nodes = [
        node("src", Grain.HOUR, source=True, start="1000-01-01T00:00-04:56:02"),
        node("a", Grain.HOUR, "src"),
    ]
    intervals = found(
        nodes, consumer("c", "a", per=Grain.HOUR, due="+20m"), SmallFacts(), "2013-02-03 12:00"
    )
    assert len(intervals) == 10_001


def test_what_was_waived_was_open_until_then() -> None:
    """Would catch: "served since Saturday" beside 181 minutes that were lost on Sunday, until
    somebody let the interval go."""
    met = Obligation("2025-01-03", due_at_us=100, met_at_us=90)
    waived = Obligation("2025-01-04", due_at_us=200, met_at_us=None, waived_at_us=260)
    assert [waived.open_at(at) for at in (250, 260, 300)] == [True, False, False]
    assert served_since([met, waived], []) == 260
    following = Obligation("2025-01-05", due_at_us=300, met_at_us=290)
    assert served_since([met, waived, following], []) == 260
    still = Obligation("2025-01-06", due_at_us=400, met_at_us=None)
    assert late_run([met, waived, following, still], 500)[0] is still
    until = Obligation("2025-01-04", due_at_us=200, met_at_us=None, waived_at_us=310)
    late = Obligation("2025-01-05", due_at_us=300, met_at_us=None)
    assert late_run([met, until, late], 500)[0] is until, (
        "late without a break: the next fell due before it was waived"
    )


def test_what_made_it_late_is_told_before_newer_holes() -> None:
    """Catches `status` naming the incident of one interval, and `why` or the next command that of
    another."""
    old, met, first, newer = (
        Obligation("old", 100, None),
        Obligation("met", 200, 150),
        Obligation("first", 300, None),
        Obligation("newer", 400, None),
    )
    ahead = Obligation("ahead", 900, None)
    said = [item.interval for item in unserved([old, met, first, newer, ahead], 500)]
    assert said == ["old", "first", "newer"]
    recovered = [
        old,
        msgspec.structs.replace(first, met_at_us=350),
        msgspec.structs.replace(newer, met_at_us=380),
    ]
    assert [item.interval for item in unserved(recovered, 500)] == ["old"], (
        "a hole in what is served"
    )
