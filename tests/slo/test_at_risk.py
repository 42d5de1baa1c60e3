"""What will be late is known before it is, with the node that will cause it; pauses and what was
taken back are named.
"""

from __future__ import annotations

import pytest
from small_facts import SmallFacts, at, consumer, declare, evaluate_status, node

from headrace.model import Grain
from headrace.scheduler.graph import NodeTrigger
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus
from headrace.slo.declared_promises import Node, Terms
from headrace.slo.facts import Pausing, UnreadableSource

DAY = Grain.DAY
CHAIN = [
    node("src", DAY, source=True, expect_by="05:00"),
    node("a", DAY, "src"),
    node("b", DAY, "a"),
]
TERMS = consumer("c", "b", due="07:00")
DAY2 = "2013-02-02"


def facts(now: str, **p95: float) -> SmallFacts:
    small = SmallFacts(delivered={"src": "2013-02-01"}, p95=p95)
    for name in ("src", "a", "b"):
        small.publish(name, "2013-02-01", at("2013-02-02 04:40"))
    small.look("src", at(now))
    return small


def judged(
    small: SmallFacts, now: str, nodes: list[Node] = CHAIN, terms: Terms = TERMS
) -> ConsumerStatus:
    return evaluate_status(declare(nodes, terms), small, at(now)).consumers[0]


def test_what_has_not_begun_in_time_is_at_risk() -> None:
    """A deadline that can't be kept any more, of which nobody hears before it has passed."""
    now = "2013-02-03 06:50"
    small = facts(now, a=240, b=480)
    small.publish("src", DAY2, at("2013-02-03 06:45"))
    result = judged(small, now)
    assert (result.state, result.next) == (ConsumerState.AT_RISK, "headrace why c")
    assert result.reason == "a hasn't begun, needs 12 min, most of it b, due 07:00"
    assert result.since_us == at("2013-02-03 06:48"), "the latest safe start"
    assert result.risk is not None
    assert (result.risk.node, result.risk.partition, result.risk.interval) == ("a", DAY2, DAY2)
    assert result.risk.predicted_us == at("2013-02-03 07:02")


@pytest.mark.parametrize(
    ("now", "state"),
    [("2013-02-03 06:47", ConsumerState.SERVED), ("2013-02-03 06:49", ConsumerState.AT_RISK)],
)
def test_it_is_said_from_the_latest_safe_start_on(now: str, state: ConsumerState) -> None:
    """An alarm hours too early, or only when it is late."""
    small = facts(now, a=240, b=480)
    small.publish("src", DAY2, at("2013-02-03 05:00"))
    assert judged(small, now).state is state


@pytest.mark.parametrize(
    ("led", "minutes", "state"),
    [
        (False, 24 * 60, ConsumerState.AT_RISK),
        (False, 10, ConsumerState.SERVED),
        (True, 24 * 60, ConsumerState.SERVED),
    ],
)
def test_what_could_be_computed_and_nothing_runs_is_at_risk(
    led: bool, minutes: int, state: ConsumerState
) -> None:
    """Would catch: "served" after a person accepted what a daily pass had held, until the deadline
    is missed; an alarm where a server runs, or where the next pass comes in time."""
    now = "2013-02-03 06:00"
    small = SmallFacts(delivered={"src": "2013-02-01"}, led=led)
    for name in ("src", "a", "b"):
        small.publish(name, "2013-02-01", at("2013-02-02 04:40"))
    small.publish("src", DAY2, at("2013-02-03 05:50"))
    small.look(
        "src", *(at("2013-02-03 05:40") - times * minutes * 60_000_000 for times in range(7))
    )
    result = judged(small, now)
    assert result.state is state
    if state is ConsumerState.AT_RISK:
        assert (result.reason, result.next) == (
            f"late at 07:00: a@{DAY2}: isn't computed yet, and nothing runs it",
            "headrace tick",
        )


def test_what_runs_longer_than_is_left_is_at_risk() -> None:
    """An attempt that has only just begun looks like one that is nearly done."""
    now = "2013-02-03 06:58"
    small = facts(now, a=240, b=300)
    small.publish("src", DAY2, at("2013-02-03 05:00"))
    small.publish("a", DAY2, at("2013-02-03 06:50"))
    small.stand("b", DAY2, "running", at("2013-02-03 06:57"))
    assert judged(small, now).reason == "b runs for 1 min, what is left needs 4 min, due 07:00"
    small.stand("b", DAY2, "running", at("2013-02-03 06:54"))
    assert judged(small, now).state is ConsumerState.SERVED


def test_a_promise_that_leaves_no_time_is_known_before_it_is_broken() -> None:
    """A source that keeps its promise, and makes its consumer late all the same."""
    now = "2013-02-03 00:10"
    nodes = [node("src", DAY, source=True, expect_by="06:55"), *CHAIN[1:]]
    result = judged(facts(now, a=240, b=480), now, nodes)
    assert (result.state, result.since_us) == (
        ConsumerState.AT_RISK,
        at("2013-02-03 00:00"),
    ), "the interval's end"
    assert result.reason == "src is expected by 06:55, what follows needs 12 min, due 07:00"
    assert judged(facts(now, a=60, b=60), now, nodes).state is ConsumerState.SERVED


def test_a_trigger_that_fires_too_late_is_known_before() -> None:
    """A cron five minutes before the deadline, for an asset that takes ten."""
    now = "2013-02-03 05:30"
    nodes = [
        CHAIN[0],
        node("a", DAY, "src", trigger=NodeTrigger(cron="55 6 * * *", timezone="America/New_York")),
        CHAIN[2],
    ]
    small = facts(now, a=240, b=480)
    small.publish("src", DAY2, at("2013-02-03 05:00"))
    assert (
        judged(small, now, nodes).reason
        == "a waits for its trigger until 06:55, what follows needs 12 min, due 07:00"
    )


def test_without_history_nothing_is_predicted() -> None:
    """A node that never ran makes everything at risk."""
    now = "2013-02-03 06:59"
    small = facts(now)
    small.publish("src", DAY2, at("2013-02-03 05:00"))
    assert judged(small, now).state is ConsumerState.SERVED


def test_the_whole_table_of_a_consumer_is_predicted_too() -> None:
    """An asset that isn't cut: its old publication looks as if the new interval were there."""
    now = "2013-02-03 06:50"
    nodes = [CHAIN[0], node("a", None, "src")]
    small = SmallFacts(delivered={"src": "2013-02-01"}, p95={"a": 900})
    small.publish("src", "2013-02-01", at("2013-02-02 04:40"))
    small.publish("a", "*", at("2013-02-02 04:50"))
    small.publish("src", DAY2, at("2013-02-03 06:45"))
    small.look("src", at(now))
    assert (
        judged(small, now, nodes, consumer("c", "a", due="07:00")).reason
        == "a hasn't begun, needs 15 min, due 07:00"
    )


# Paused, withdrawn
# --------------------------------------------------------------------------------------------------


def test_what_is_paused_without_end_is_at_risk_and_later_late() -> None:
    """A pause that somebody forgot."""
    now = "2013-02-03 05:30"
    small = facts(now)
    small.publish("src", DAY2, at("2013-02-03 05:00"))
    small.paused["a"] = Pausing("moving house", "ann", None)
    result = judged(small, now)
    assert (result.state, result.reason) == (
        ConsumerState.AT_RISK,
        "a is paused: moving house (by ann), due 07:00",
    )
    assert result.next == "headrace resume a"
    now = "2013-02-03 08:00"
    small.look("src", at(now))
    result = judged(small, now)
    assert (result.state, result.reason, result.next) == (
        ConsumerState.LATE,
        "a: paused: moving house (by ann)",
        "headrace resume a",
    )


@pytest.mark.parametrize(
    ("until", "state"), [("05:45", ConsumerState.SERVED), ("06:55", ConsumerState.AT_RISK)]
)
def test_a_pause_with_an_end_is_reckoned_with(until: str, state: ConsumerState) -> None:
    """A pause over a weekend that is an alarm, and one into the deadline that isn't."""
    now = "2013-02-03 05:30"
    small = facts(now, a=240, b=480)
    small.publish("src", DAY2, at("2013-02-03 05:00"))
    small.paused["a"] = Pausing("move", "ann", at(f"2013-02-03 {until}"))
    result = judged(small, now)
    assert result.state is state
    if state is ConsumerState.AT_RISK:
        assert (
            result.reason
            == "a is paused: move (by ann, until 06:55), what follows needs 12 min, due 07:00"
        )


def test_a_pause_that_is_over_is_not_spoken_of() -> None:
    """A row that nobody has deleted yet."""
    now = "2013-02-03 08:00"
    small = facts(now)
    small.paused["src"] = small.paused["c"] = Pausing("move", "ann", at("2013-02-03 07:59"))
    result = judged(small, now)
    assert result.reason == "src@2013-02-02: nothing was delivered, promised by 05:00"
    assert result.paused is None


def test_a_paused_consumer_says_so_whatever_its_state() -> None:
    """A consumer that is left out on purpose looks like one that is forgotten."""
    now = "2013-02-02 08:00"
    small = facts(now)
    small.paused["c"] = Pausing("closed", "ann", None)
    result = judged(small, now)
    assert (result.state, result.reason) == (
        ConsumerState.SERVED,
        "paused: closed (by ann); all that is due can be read",
    )
    assert result.next == "headrace resume c"


def test_what_was_met_is_not_any_more_once_it_is_taken_back() -> None:
    """A consumer that is called served although its newest day was withdrawn."""
    now = "2013-02-02 08:00"
    small = facts(now)
    assert judged(small, now).state is ConsumerState.SERVED
    small.taken_back.add(("b", "2013-02-01"))
    small.stand("b", "2013-02-01", "withdrawn", at("2013-02-02 07:30"), "wrong rates")
    small.partition_states["b", "2013-02-01"] = small.partition_states["b", "2013-02-01"]._replace(
        published=False
    )
    result = judged(small, now)
    assert (result.state, result.reason) == (
        ConsumerState.LATE,
        "b: wrong rates, withdrawn since 07:30",
    )
    assert result.next == "headrace why b@2013-02-01"


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("bank.db: unable to open database file", ConsumerState.AT_RISK),
        ("the lake can't be written", ConsumerState.SERVED),
        ("", ConsumerState.SERVED),
    ],
)
def test_a_delivery_that_is_tried_again_needs_its_source(reason: str, state: ConsumerState) -> None:
    """Would catch: "served, all that is due can be read", of a delivery that can't be ingested
    because its database is away; and "can't be observed" of one that waits for something else."""
    now = "2013-02-03 05:10"
    small = facts(now)
    small.stand("src", DAY2, "waiting", at("2013-02-03 05:00"), reason)
    small.unread["src"] = UnreadableSource(
        at("2013-02-03 05:05"), "bank.db: unable to open database file", "INC-1"
    )
    result = judged(small, now)
    assert result.state is state
    if result.risk is not None:
        assert (
            result.reason
            == "late at 07:00: src@2013-02-02: can't be observed since 05:05: bank.db: unable to"
            " open database file"
        )
        assert result.next == "headrace incident INC-1"
