"""Why a partition isn't running, in words: the texts are what people read."""

from __future__ import annotations

import msgspec
from driver import WHOLE, ZONE, Driver, asset, source

from headrace.scheduler import (
    Cancelled,
    DeliveryArrived,
    FailureKind,
    NodeTrigger,
    PartitionState,
    Paused,
    Requested,
    Take,
    TakenBack,
    Target,
)

S = PartitionState
D = [f"2013-02-{day:02d}" for day in range(1, 29)]
FLIGHTS = msgspec.structs.replace(source("flights"), expect_by="05:00")


def driver(*nodes: object, at: str = "2013-02-12 04:00", **how: object) -> Driver:
    d = Driver(*nodes, **how)  # type: ignore[arg-type]
    d.at(at)
    return d


def texts(d: Driver, node: str, key: str) -> list[str]:
    return [reason.text for reason in d.core.why(node, key)]


def test_an_input_that_hasnt_arrived_is_named_with_when_it_was_promised() -> None:
    d = driver(FLIGHTS, asset("clean", "flights"))
    d.ask()
    d.arrive("flights", D[9])
    d.work()
    d.ask(Target("clean", D[10], D[10]))
    assert texts(d, "clean", D[10]) == [
        "waits for flights 2013-02-11, expected by 2013-02-12 05:00"
    ]
    assert texts(d, "flights", D[10]) == [
        "waits for flights 2013-02-11, expected by 2013-02-12 05:00"
    ]
    d.at("2013-02-12 06:00")
    assert texts(d, "clean", D[10]) == [
        "waits for flights 2013-02-11, overdue since 2013-02-12 05:00"
    ]


def test_a_delivery_from_before_the_declared_start_says_that_it_is_not_taken_in() -> None:
    """Would catch: a delivery that waits for ever, of which nobody is told why: nothing that it
    needs is missing.
    """
    d = driver(msgspec.structs.replace(source("late"), start=D[5]))
    d.ask()
    d.arrive("late", D[4])
    assert texts(d, "late", D[4]) == ["isn't made: it lies before the start of late"]


def test_what_stands_still_says_why() -> None:
    d = driver(FLIGHTS, asset("clean", "flights"), asset("ranking", "clean"))
    d.ask()
    d.arrive("flights", D[10])
    d.publish(d.attempt("flights", D[10]))
    d.end(d.attempt("clean", D[10]), S.REJECTED)
    assert texts(d, "clean", D[10]) == ["was rejected: it was rejected"]
    d.ask(Target("ranking", D[10], D[10]))
    assert texts(d, "ranking", D[10]) == [
        "waits for clean 2013-02-11, which was rejected: it was rejected"
    ]
    d.give(TakenBack("flights", D[10], "wrong"))
    assert texts(d, "flights", D[10]) == ["was withdrawn: wrong"]


def test_a_next_try_is_told() -> None:
    d = driver(FLIGHTS)
    d.ask()
    d.arrive("flights", D[10])
    d.end(d.attempt("flights", D[10]), S.FAILED, FailureKind.TRANSIENT)
    (reason,) = d.core.why("flights", D[10])
    assert (reason.kind, reason.until) == ("backoff", d.core.next_try())
    assert reason.text.startswith("is tried again: it was failed (from 2013-02-12 04:0")


def test_gates_are_told() -> None:
    d = driver(
        FLIGHTS, asset("clean", "flights", trigger=NodeTrigger(cron="0 6 * * *", timezone=ZONE))
    )
    d.start()
    d.ask()
    d.arrive("flights", D[10])
    d.work()
    assert texts(d, "clean", D[10]) == ["waits for its trigger (until 2013-02-12 06:00)"]
    d.give(Paused(("clean",), "an audit"))
    assert texts(d, "clean", D[10]) == ["is paused: an audit"]


def test_a_full_pool_names_who_holds_it() -> None:
    d = driver(
        FLIGHTS,
        asset("clean", "flights", takes=(Take("warehouse", 4),)),
        slots=5,
        pools={"warehouse": 8},
    )
    d.ask()
    d.arrive("flights", *D[:3])
    while any(x.node == "flights" for x in d.running.values()):
        d.publish(next(a for a, x in d.running.items() if x.node == "flights"))
    assert texts(d, "clean", D[2]) == [
        "pool warehouse 8 of 8, held by clean 2013-02-01, clean 2013-02-02"
    ]


def test_a_limit_is_told_as_it_is_declared() -> None:
    d = driver(
        asset("ping", partition=msgspec.structs.replace(WHOLE, key="n", values=("1", "2", "3"))),
        slots=4,
    )
    d.nodes = (msgspec.structs.replace(d.nodes[0], takes=(Take("node:ping"),)),)
    d.start(pools={"node:ping": 1})
    d.ask()
    assert texts(d, "ping", "2") == ["`concurrency` of ping: 1 of 1, held by ping 1"]


def test_workers_that_are_taken_are_told() -> None:
    d = driver(FLIGHTS, slots=2)
    d.ask()
    d.arrive("flights", D[9])
    d.work()
    d.arrive("flights", *D[10:14])
    assert texts(d, "flights", D[13]) == [
        "all 2 workers are taken, by flights 2013-02-11, flights 2013-02-12"
    ]


def test_nobody_wants_it() -> None:
    d = driver(FLIGHTS, asset("clean", "flights"))
    d.give(Requested((Target("flights"),), run=1, standing=True))
    d.arrive("flights", D[10])
    d.work()
    assert texts(d, "clean", D[10]) == ["isn't wanted by any run"]
    d.give(Cancelled(1))
    d.give(DeliveryArrived("flights", D[9]))
    assert texts(d, "flights", D[9]) == ["isn't wanted by any run"]


def test_an_interval_that_goes_on_is_told() -> None:
    d = driver(FLIGHTS, asset("clean", "flights"))
    d.ask(Target("flights"), Target("clean", D[11], D[11]))
    d.arrive("flights", D[10])
    d.ask(Target("flights"), Target("clean", D[11], D[11]))
    assert texts(d, "clean", D[11])[0] == "its interval hasn't ended (until 2013-02-13 00:00)"


def test_a_first_delivery_is_waited_for() -> None:
    d = driver(FLIGHTS)
    d.ask()
    d.arrive("flights", D[9], D[10])
    assert texts(d, "flights", D[10]) == ["waits for its first delivery, which is ingested alone"]


def test_what_runs_or_is_there_has_no_reason() -> None:
    d = driver(FLIGHTS)
    d.ask()
    d.arrive("flights", D[9])
    assert texts(d, "flights", D[9]) == []
    d.work()
    assert texts(d, "flights", D[9]) == []
