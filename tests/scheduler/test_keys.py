"""Partitions by key, by delivery, and chains: which run, and what waits for what. Each test says
which bug it would catch.
"""

from __future__ import annotations

import pytest
from driver import DAY, MONTH, WHOLE, Driver, asset, source

from headrace.model import Grain, PartitionSpec
from headrace.scheduler import AttemptPublished, LoadedPartition, PartitionState, Target

S = PartitionState
KEY = PartitionSpec(key="region")
DAY_KEY = PartitionSpec(grain=Grain.DAY, key="region")
MONTH_KEY = PartitionSpec(grain=Grain.MONTH, key="region")
LISTED = PartitionSpec(grain=Grain.DAY, key="region", values=("APAC", "EMEA"))
APPEND = PartitionSpec(by_delivery=True)
D1, D2, D3 = "2013-02-01", "2013-02-02", "2013-02-03"


def test_growing_keys_go_through_one_by_one() -> None:
    d = Driver(source("orders", DAY_KEY), asset("clean", "orders", partition=DAY_KEY))
    d.ask()
    d.arrive("orders", f"{D1}/EMEA")
    assert d.work() == [("orders", f"{D1}/EMEA"), ("clean", f"{D1}/EMEA")]
    d.arrive("orders", f"{D1}/APAC")
    assert d.work() == [("orders", f"{D1}/APAC"), ("clean", f"{D1}/APAC")]


def test_a_day_needs_every_key_that_was_heard_of_and_is_rebuilt_when_another_comes() -> None:
    """Catches a total that is published while a region of the day still waits, and one that never
    hears of a new region.
    """
    d = Driver(source("orders", DAY_KEY), asset("total", "orders"))
    d.ask()
    d.arrive("orders", f"{D1}/APAC", f"{D1}/EMEA")
    d.publish(d.attempt("orders", f"{D1}/APAC"))
    assert [(w.node, w.key) for w in d.core.waiting_for("total", D1)] == [("orders", f"{D1}/EMEA")]
    d.end(d.attempt("orders", f"{D1}/EMEA"), S.HELD)
    assert not d.running, "what is held isn't there"
    d.arrive("orders", f"{D1}/EMEA")
    assert d.work() == [("orders", f"{D1}/EMEA"), ("total", D1)]
    d.arrive("orders", f"{D1}/LATAM")
    assert d.work() == [("orders", f"{D1}/LATAM"), ("total", D1)]


def test_a_day_waits_for_keys_that_are_still_on_their_way() -> None:
    """Catches a total of the first region that came through, which is then computed again with the
    second.
    """
    d = Driver(
        source("orders", DAY_KEY),
        asset("clean", "orders", partition=DAY_KEY),
        asset("total", "clean"),
        slots=1,
    )
    d.arrive("orders", f"{D1}/APAC", f"{D1}/EMEA")
    d.ask()
    assert [name for name, _ in d.work()].count("total") == 1


def test_a_day_needs_all_listed_keys() -> None:
    d = Driver(source("orders", LISTED), asset("total", "orders"))
    d.ask()
    d.arrive("orders", f"{D1}/EMEA")
    assert d.work() == [("orders", f"{D1}/EMEA")]
    d.arrive("orders", f"{D1}/APAC")
    assert d.work() == [("orders", f"{D1}/APAC"), ("total", D1)]


def test_listed_keys_over_a_day_are_all_computed() -> None:
    d = Driver(
        source("orders"),
        asset("by_region", "orders", partition=LISTED),
        asset("again", "by_region"),
    )
    d.ask()
    d.arrive("orders", D1)
    assert d.work() == [
        ("orders", D1),
        ("by_region", f"{D1}/APAC"),
        ("by_region", f"{D1}/EMEA"),
        ("again", D1),
    ]


def test_a_month_of_a_key_needs_the_days_that_the_key_has() -> None:
    """Catches a region that began in the middle of the month and is waited for from its first."""
    days = [f"2013-02-{d:02}" for d in range(1, 29)]
    d = Driver(source("orders", DAY_KEY), asset("monthly", "orders", partition=MONTH_KEY))
    d.ask()
    d.arrive("orders", *(f"{day}/EMEA" for day in days), f"{days[20]}/APAC")
    done = d.work()
    assert {key for name, key in done if name == "monthly"} == {"2013-02/APAC", "2013-02/EMEA"}


def test_a_key_over_days_gathers_all_its_days_once() -> None:
    d = Driver(source("orders", DAY_KEY), asset("ever", "orders", partition=KEY), slots=1)
    d.arrive("orders", f"{D1}/EMEA", f"{D2}/EMEA", f"{D1}/APAC")
    d.ask()
    assert [key for name, key in d.work() if name == "ever"] == ["APAC", "EMEA"]
    d.arrive("orders", f"{D3}/EMEA")
    assert d.work() == [("orders", f"{D3}/EMEA"), ("ever", "EMEA")]


def test_a_reference_by_key_must_be_there_and_makes_nothing_stale() -> None:
    d = Driver(
        source("orders", DAY_KEY),
        source("rates", KEY),
        asset("clean", "orders", "rates", partition=DAY_KEY),
    )
    d.ask()
    d.arrive("orders", f"{D1}/EMEA")
    d.arrive("rates", "APAC")
    assert ("clean", f"{D1}/EMEA") not in d.work()
    d.arrive("rates", "EMEA")
    assert d.work() == [("rates", "EMEA"), ("clean", f"{D1}/EMEA")]
    d.arrive("rates", "EMEA", content="newer")
    assert d.work() == [("rates", "EMEA")]


def test_a_time_alone_asks_for_all_its_keys() -> None:
    d = Driver(source("orders", DAY_KEY))
    d.ask(Target("orders", D1, D1), Target("orders", f"{D2}/EMEA", f"{D2}/EMEA"))
    d.arrive("orders", f"{D1}/APAC", f"{D1}/EMEA", f"{D2}/APAC", f"{D2}/EMEA")
    assert d.work() == [
        ("orders", f"{D1}/APAC"),
        ("orders", f"{D1}/EMEA"),
        ("orders", f"{D2}/EMEA"),
    ]


@pytest.mark.parametrize("key", ["", "a/b", "2013-02-02/EMEA", "'; drop table x", "é" * 1_000])
def test_keys_are_data(key: str) -> None:
    """Catches keys that are taken apart once too often."""
    d = Driver(
        source("orders", DAY_KEY),
        asset("clean", "orders", partition=DAY_KEY),
        asset("total", "clean"),
    )
    d.ask()
    d.arrive("orders", f"{D1}/{key}")
    assert d.work() == [("orders", f"{D1}/{key}"), ("clean", f"{D1}/{key}"), ("total", D1)]


# By delivery


def test_each_delivery_is_appended_once() -> None:
    first, second = "000000000001", "000000000002"
    d = Driver(
        source("events", APPEND),
        asset("log", "events", partition=APPEND),
        asset("total", "log", partition=WHOLE),
    )
    d.ask()
    d.arrive("events", first)
    assert d.work() == [("events", first), ("log", first), ("total", "*")]
    d.arrive("events", second)
    assert d.work() == [("events", second), ("log", second), ("total", "*")]


class Publishing(Driver):
    """Numbers publications as the runtime does."""

    last = 0

    def publish(self, attempt):  # type: ignore[no-untyped-def]
        dispatch = self.running.pop(attempt)
        self.last += 1
        place = (dispatch.node, dispatch.keys[0])
        content = self.content.get(place, "same")
        changed, self.shown[place] = self.shown.get(place) != content, content
        self.done += [(dispatch.node, key) for key in dispatch.keys]
        self.give(AttemptPublished(attempt, ((dispatch.keys[0], changed),), None, (self.last,)))


def test_each_new_content_of_a_whole_input_is_appended() -> None:
    """Catches a file that is delivered again as it was and counts twice, and a key that a restart
    makes anew."""
    nodes = (source("stock", WHOLE), asset("history", "stock", partition=APPEND))
    d = Publishing(*nodes)
    d.ask()
    d.arrive("stock", "*", content="a")
    assert d.work() == [("stock", "*"), ("history", "000000000001")]
    d.arrive("stock", "*", content="a")
    assert d.work() == [("stock", "*")]
    d.arrive("stock", "*", content="b")
    assert d.work() == [("stock", "*"), ("history", "000000000004")]
    tracked_partitions = (
        LoadedPartition(node="stock", key="*", state=S.PUBLISHED, published=True, publication=4),
        LoadedPartition(node="history", key="000000000001", state=S.PUBLISHED, published=True),
    )
    again = Publishing(*nodes, tracked_partitions=tracked_partitions)
    again.ask()
    assert again.work() == [("history", "000000000004")]


def test_what_waited_for_an_older_content_is_made_of_it_later() -> None:
    """Catches a delivery that is lost because the next one came before its turn, in this process or
    after a restart."""
    d = Publishing(source("stock", WHOLE), asset("history", "stock", partition=APPEND))
    d.ask(Target("stock"))
    d.arrive("stock", "*", content="a")
    d.work()
    d.arrive("stock", "*", content="b")
    d.work()
    d.ask()
    assert d.work() == [("history", "000000000001"), ("history", "000000000002")]


# Chains


def chain(**how: object) -> Driver:
    return Driver(source("flights"), asset("state", "flights", chained=True), **how)  # type: ignore[arg-type]


def test_a_chain_runs_in_order() -> None:
    """Catches P before P-1, and a first partition that waits for the one before the start."""
    d = chain(slots=3)
    d.ask()
    d.arrive("flights", D1)
    d.work()
    d.arrive("flights", D3)
    assert d.work() == [("flights", D3)]
    assert [(w.node, w.key) for w in d.core.waiting_for("state", D3)] == [("state", D2)]
    d.arrive("flights", D2)
    assert d.work() == [("flights", D2), ("state", D2), ("state", D3)]


def test_restating_a_day_redoes_the_chain_after_it_one_by_one() -> None:
    d = chain(slots=3)
    d.ask()
    d.arrive("flights", D1, D2, D3)
    d.work()
    for key in (D1, D2, D3):
        d.content["state", key] = "changed"
    d.arrive("flights", D1, content="restated")
    d.publish(d.attempt("flights", D1))
    assert [x.keys for x in d.running.values()] == [(D1,)]
    assert d.work() == [("state", D1), ("state", D2), ("state", D3)]


def test_a_chain_stops_where_the_state_comes_out_the_same() -> None:
    d = chain()
    d.ask()
    d.arrive("flights", D1, D2, D3)
    d.work()
    d.arrive("flights", D1, content="restated")
    assert d.work() == [("flights", D1), ("state", D1)]


def test_a_chain_by_key_follows_each_key() -> None:
    d = Driver(
        source("orders", DAY_KEY),
        asset("state", "orders", partition=DAY_KEY, chained=True),
        slots=3,
    )
    d.ask()
    d.arrive("orders", f"{D1}/EMEA")
    d.work()
    d.arrive("orders", f"{D2}/EMEA", f"{D2}/APAC")
    assert d.work() == [
        ("orders", f"{D2}/APAC"),
        ("orders", f"{D2}/EMEA"),
        ("state", f"{D2}/APAC"),
        ("state", f"{D2}/EMEA"),
    ]


def test_a_month_reads_a_chain() -> None:
    d = Driver(
        source("flights"),
        asset("state", "flights", chained=True),
        asset("month", "state", partition=MONTH),
    )
    d.ask()
    days = [f"2013-02-{n:02}" for n in range(1, 29)]
    d.arrive("flights", *reversed(days))
    assert d.work()[-1] == ("month", "2013-02")


def test_a_chain_without_any_start_begins_with_what_was_heard_of_first() -> None:
    """Catches a chain that waits for days without end before its first one."""
    d = Driver(source("stock", WHOLE), asset("state", "stock", partition=DAY, chained=True))
    d.arrive("stock", "*")
    d.ask(Target("stock"), Target("state", D1, D2))
    assert d.work() == [("stock", "*"), ("state", D1), ("state", D2)]
