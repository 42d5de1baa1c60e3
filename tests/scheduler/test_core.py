"""The core's decisions, one rule a test. Which bug each would catch is in its name and
first line.
"""

from __future__ import annotations

import pytest
from driver import DAY, MONTH, WHOLE, Driver, asset, reads, source

from headrace.scheduler import ClockAdvanced, FailureKind, LoadedPartition, PartitionState, Target

DAYS = [f"2013-02-{d:02d}" for d in range(1, 29)]
S = PartitionState


def pipeline(**how: object) -> Driver:
    return Driver(
        source("flights"),
        source("planes", WHOLE),
        asset("clean", "flights", "planes"),
        asset("ranking", "clean"),
        asset("week", reads("ranking", lookback="7d")),
        asset("month", "ranking", partition=MONTH),
        **how,  # type: ignore[arg-type]
    )


def delivered() -> Driver:
    """All of February, published through."""
    d = pipeline()
    d.ask()
    d.arrive("planes", "*")
    d.arrive("flights", *DAYS)
    d.work()
    return d


def test_nothing_runs_before_its_inputs_are_published() -> None:
    d = pipeline()
    d.ask()
    d.arrive("flights", DAYS[0])
    assert d.work() == [("flights", DAYS[0])]  # planes never came: clean waits
    assert [w.node for w in d.core.waiting_for("clean", DAYS[0])] == ["planes"]
    d.arrive("planes", "*")
    assert d.work() == [
        ("planes", "*"),
        ("clean", DAYS[0]),
        ("ranking", DAYS[0]),
        ("week", DAYS[0]),
    ]


def test_a_month_waits_for_all_its_days() -> None:
    d = pipeline()
    d.ask()
    d.arrive("planes", "*")
    d.arrive("flights", *DAYS[:-1])
    assert ("month", "2013-02") not in d.work()
    d.arrive("flights", DAYS[-1])
    assert ("month", "2013-02") in d.work()


def test_restated_day_rebuilds_exactly_what_semantics_says() -> None:
    """SEMANTICS §4: clean 02-11, ranking 02-11, the 8 days 02-11 … 02-18 with `lookback: 7d`, month
    02; nothing else.
    """
    d = delivered()
    for name, key in [("clean", DAYS[10]), ("ranking", DAYS[10])]:
        d.content[name, key] = "changed"
    d.arrive("flights", DAYS[10], content="restated")
    rebuilt = d.work()
    assert rebuilt[:3] == [("flights", DAYS[10]), ("clean", DAYS[10]), ("ranking", DAYS[10])]
    assert set(rebuilt[3:]) == {("week", key) for key in DAYS[10:18]} | {("month", "2013-02")}


def test_planes_delivered_again_make_nothing_stale() -> None:
    """SEMANTICS §4: a newer reference makes nothing stale, unless the asset says so."""
    d = delivered()
    d.arrive("planes", "*", content="newer")
    assert d.work() == [("planes", "*")]


def test_rebuild_on_reference_change() -> None:
    d = Driver(
        source("flights"),
        source("planes", WHOLE),
        asset("clean", "flights", "planes", rebuild_on_reference=True),
    )
    d.ask()
    d.arrive("planes", "*")
    d.arrive("flights", DAYS[0])
    d.work()
    d.arrive("planes", "*", content="newer")
    assert d.work() == [("planes", "*"), ("clean", DAYS[0])]


def test_an_identical_result_stops_the_wave() -> None:
    d = delivered()
    d.arrive("flights", DAYS[10], content="restated")  # clean comes to the same content again
    assert d.work() == [("flights", DAYS[10]), ("clean", DAYS[10])]


def test_a_whole_table_over_days_is_rebuilt_once_not_once_a_day() -> None:
    d = Driver(
        source("flights"),
        asset("clean", "flights"),
        asset("total", "clean", partition=WHOLE),
        slots=1,
    )
    d.arrive("flights", *DAYS)
    d.ask()
    assert [n for n, _ in d.work()].count("total") == 1
    d.arrive("flights", "2013-03-01")
    assert d.work()[-1] == ("total", "*")


def test_a_whole_table_over_a_whole_table_follows_it() -> None:
    """A file that was edited in place must reach what is made of it."""
    d = Driver(source("orders", WHOLE), asset("clean", "orders", partition=WHOLE))
    d.ask()
    d.arrive("orders", "*")
    d.work()
    d.arrive("orders", "*", content="edited")
    assert d.work() == [("orders", "*"), ("clean", "*")]


@pytest.mark.parametrize("state", [S.HELD, S.REJECTED])
def test_held_and_rejected_keep_dependents_waiting_until_redelivery(state: PartitionState) -> None:
    d = Driver(source("flights"), asset("clean", "flights"))
    d.ask()
    d.arrive("flights", DAYS[0])
    d.end(d.attempt("flights", DAYS[0]), state)
    assert d.state("flights", DAYS[0]) is state and not d.running
    d.ask()  # the next pass doesn't try the same again
    assert not d.running
    d.arrive("flights", DAYS[0], content="fixed")
    assert d.work() == [("flights", DAYS[0]), ("clean", DAYS[0])]


def test_a_person_may_try_again_what_failed_and_a_pass_may_not() -> None:
    d = Driver(source("flights"), asset("clean", "flights"))
    d.ask()
    d.arrive("flights", DAYS[0])
    d.publish(d.attempt("flights", DAYS[0]))
    d.end(d.attempt("clean", DAYS[0]), S.FAILED, FailureKind.DETERMINISTIC)
    d.ask()
    assert not d.running
    d.ask(Target("clean"), retry=frozenset({"clean"}))
    assert d.work() == [("clean", DAYS[0])]


def test_a_person_who_asks_again_waits_for_no_next_try() -> None:
    """Catches a retry that attempts nothing, because the partition would be tried again by itself a
    little later.
    """
    d = Driver(source("flights"), asset("clean", "flights"))
    d.ask()
    d.arrive("flights", DAYS[0])
    d.publish(d.attempt("flights", DAYS[0]))
    d.end(d.attempt("clean", DAYS[0]), S.FAILED, FailureKind.TRANSIENT)
    assert d.core.next_try() is not None and not d.running
    d.ask()
    assert not d.running, "a pass waits"
    d.ask(Target("clean"), retry=frozenset({"clean"}))
    assert (d.marks[-1].not_before, d.marks[-1].failures) == (
        None,
        1,
    ), "it counts as one of the tries"
    assert d.work() == [("clean", DAYS[0])]


def test_a_failure_is_tried_again_when_its_input_changes() -> None:
    d = Driver(source("flights"), asset("clean", "flights"))
    d.ask()
    d.arrive("flights", DAYS[0])
    d.publish(d.attempt("flights", DAYS[0]))
    d.end(d.attempt("clean", DAYS[0]), S.FAILED, FailureKind.DETERMINISTIC)
    d.arrive("flights", DAYS[0], content="fixed")
    assert d.work() == [("flights", DAYS[0]), ("clean", DAYS[0])]


def test_transient_failures_back_off_and_stop_at_the_limit() -> None:
    d = Driver(source("flights"), asset("clean", "flights", attempts_max=3))
    d.ask()
    d.arrive("flights", DAYS[0])
    d.publish(d.attempt("flights", DAYS[0]))
    for failures in (1, 2):
        d.end(d.attempt("clean", DAYS[0]), S.FAILED, FailureKind.TRANSIENT)
        assert d.marks[-1].failures == failures and d.marks[-1].state is S.WAITING and not d.running
        next_try = d.core.next_try()
        assert next_try is not None and next_try > d.now
        d.now = next_try
        d.give(ClockAdvanced())
    d.end(d.attempt("clean", DAYS[0]), S.FAILED, FailureKind.TRANSIENT)
    assert d.state("clean", DAYS[0]) is S.FAILED and d.core.next_try() is None


def test_resources_are_tried_once_more_only() -> None:
    d = Driver(asset("big", partition=WHOLE))
    d.ask()
    for _ in range(2):
        d.end(d.attempt("big", "*"), S.FAILED, FailureKind.RESOURCES)
    assert d.state("big", "*") is S.FAILED and not d.running


def test_three_lost_workers_are_poison() -> None:
    d = Driver(asset("crasher", partition=WHOLE))
    d.ask()
    for _ in range(3):
        d.lose(d.attempt("crasher", "*"))
    assert d.state("crasher", "*") is S.FAILED and not d.running


def test_what_a_lost_worker_had_not_begun_is_no_failure_of_its_own() -> None:
    d = Driver(asset("a", partition=WHOLE), asset("b", partition=WHOLE))
    d.ask()
    d.lose(d.attempt("a", "*"), d.attempt("b", "*"))
    assert {m.node: m.failures for m in d.marks} == {"a": 1}
    assert sorted(d.work()) == [("a", "*"), ("b", "*")]


def test_a_timeout_kills_once_and_is_tried_once_more() -> None:
    d = Driver(asset("endless", partition=WHOLE, timeout_us=10_000_000))
    d.ask()
    for n in (1, 2):
        attempt = d.attempt("endless", "*")
        d.now += 60_000_000
        d.give(ClockAdvanced())
        d.give(ClockAdvanced())
        assert len(d.kills) == n, "a worker is killed once, however often time is looked at"
        d.lose(attempt)
    assert d.state("endless", "*") is S.FAILED


def test_an_input_that_changes_while_it_runs_makes_it_stale_as_it_ends() -> None:
    d = Driver(source("flights"), asset("clean", "flights"))
    d.ask()
    d.arrive("flights", DAYS[0])
    d.publish(d.attempt("flights", DAYS[0]))
    d.arrive("flights", DAYS[0], content="restated")
    d.publish(d.attempt("flights", DAYS[0]))  # while clean still runs on the first delivery
    d.publish(d.attempt("clean", DAYS[0]))
    assert d.work() == [("clean", DAYS[0])]


def test_only_what_was_asked_for_runs() -> None:
    d = Driver(source("flights"), asset("clean", "flights"), asset("ranking", "clean"))
    d.ask(Target("flights"), Target("clean", DAYS[0], DAYS[0]))
    d.arrive("flights", *DAYS[:3])
    assert sorted(d.work()) == [("clean", DAYS[0]), *(("flights", key) for key in DAYS[:3])]


def test_again_replaces_what_is_published() -> None:
    d = delivered()
    d.ask(Target("ranking", DAYS[3], DAYS[3]), again=frozenset({"ranking"}))
    assert d.work() == [("ranking", DAYS[3])]


def test_partitions_before_the_oldest_delivery_count_as_present_and_empty() -> None:
    d = Driver(source("flights"), asset("week", reads("flights", lookback="7d")))
    d.ask()
    d.arrive("flights", DAYS[0])
    assert d.work() == [("flights", DAYS[0]), ("week", DAYS[0])]


def test_depends_orders_without_data() -> None:
    d = Driver(
        asset("first", partition=WHOLE), asset("second", partition=WHOLE, depends=("first",))
    )
    d.ask()
    assert [x.node for x in d.running.values()] == ["first"]
    assert d.work() == [("first", "*"), ("second", "*")]


def test_a_restart_goes_on_where_the_store_stands() -> None:
    """What was running is put back; what was published isn't computed again; what failed waits for
    a person.
    """
    tracked_partitions = (
        LoadedPartition(node="flights", key=DAYS[0], state=S.PUBLISHED, published=True),
        LoadedPartition(node="flights", key=DAYS[1], state=S.PUBLISHED, published=True),
        LoadedPartition(node="flights", key=DAYS[2], state=S.PUBLISHED, published=True),
        LoadedPartition(node="clean", key=DAYS[0], state=S.PUBLISHED, stale=True, published=True),
        LoadedPartition(node="clean", key=DAYS[1], state=S.FAILED, failures=1),
    )
    d = Driver(source("flights"), asset("clean", "flights"), tracked_partitions=tracked_partitions)
    d.ask()
    assert d.work() == [("clean", DAYS[0]), ("clean", DAYS[2])]


def test_oldest_interval_first_and_slots_are_never_exceeded() -> None:
    d = Driver(source("flights"), asset("clean", "flights"), slots=3)
    d.ask()
    d.arrive("flights", *reversed(DAYS))
    assert len(d.running) == 1
    d.publish(next(iter(d.running)))
    assert len(d.running) == 3
    order = [key for name, key in d.work() if name == "flights"]
    assert order[3:] == sorted(order[3:])


def test_day_partitions_of_an_asset_without_inputs_are_expected_from_its_start() -> None:
    d = Driver(asset("calendar", partition=DAY, start="2013-02-01"))
    d.now = 1_360_000_000_000_000  # 2013-02-04 17:46 UTC
    d.ask()
    assert d.work() == [("calendar", key) for key in DAYS[:3]]


def test_a_source_s_first_delivery_is_taken_in_alone_and_it_is_the_oldest() -> None:
    """Catches a later delivery that sets, by luck, what the first one is then held to."""
    d = Driver(source("flights"), slots=3)
    d.arrive("flights", *DAYS[:5])
    d.ask()
    assert [x.keys for x in d.running.values()] == [(DAYS[0],)]
    d.end(d.attempt("flights", DAYS[0]), S.REJECTED)
    assert [x.keys for x in d.running.values()] == [(DAYS[1],)]
    d.publish(d.attempt("flights", DAYS[1]))
    assert len(d.running) == 3


def test_what_waited_for_a_reference_to_end_reads_the_older_one_where_the_newer_is_held() -> None:
    """Catches partitions that nobody looks at again after the reference that they waited for was
    held.
    """
    d = Driver(source("flights"), source("planes", WHOLE), asset("clean", "flights", "planes"))
    d.ask()
    d.arrive("planes", "*")
    d.work()
    d.arrive("flights", DAYS[0])
    d.arrive("planes", "*", content="newer")
    d.publish(d.attempt("flights", DAYS[0]))
    assert [x.node for x in d.running.values()] == ["planes"]
    d.end(d.attempt("planes", "*"), S.HELD)
    assert d.work() == [("clean", DAYS[0])]
