"""What was published as an exception: announced while it holds, however far up it is
(`test_wrongness`: once it has lapsed)."""

from __future__ import annotations

from small_facts import SmallFacts, at, consumer, declare, evaluate_status, node, reads

from headrace.model import Grain
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus
from headrace.slo.facts import AcceptedPartition, Unusual

DAY = Grain.DAY
CHAIN = [
    node("src", DAY, source=True, expect_by="05:00"),
    node("a", DAY, "src"),
    node("b", DAY, "a"),
    node("other", DAY, "src"),
]
NOW = "2013-02-03 08:00"


def _judged(
    *accepted: AcceptedPartition, reads: str = "b", now: str = NOW, odd: tuple[Unusual, ...] = ()
) -> ConsumerStatus:
    small = SmallFacts(delivered={"src": "2013-02-01"}, accepted=list(accepted))
    small.odd = list(odd)
    for day, published in (("2013-02-01", "2013-02-02 04:40"), ("2013-02-02", "2013-02-03 04:40")):
        for name in ("src", "a", "b", "other"):
            small.publish(name, day, at(published))
    small.look("src", at(now))
    return evaluate_status(
        declare(CHAIN, consumer("c", reads, due="07:00")), small, at(now)
    ).consumers[0]


def _accepted(name: str, day: str, until: str | None) -> AcceptedPartition:
    return AcceptedPartition(
        name, day, "ann", "known at the vendor's", None if until is None else at(until)
    )


def test_it_is_served_by_exception_and_says_so() -> None:
    """Would catch: an exception that nobody who reads the data hears of."""
    result = _judged(_accepted("src", "2013-02-02", None))
    assert (result.state, result.risk) == (ConsumerState.SERVED, None)
    assert "src@2013-02-02 by exception of ann" in result.reason


def test_what_follows_from_an_exception_is_told_of_as_that() -> None:
    """Would catch: a consumer that is served by exception until its deadline, and at risk from then
    on because what was accepted is unusual; another unusual day told of as an exception's
    consequence."""
    odd = Unusual("a", "2013-02-02", "volume_anomaly: 60 rows, expected 202 rows", 9.0)
    assert _judged(odd=(odd,)).state is ConsumerState.AT_RISK
    result = _judged(_accepted("src", "2013-02-02", None), odd=(odd,))
    assert result.state is ConsumerState.SERVED
    assert "src@2013-02-02 by exception of ann" in result.reason
    assert _judged(_accepted("src", "2013-02-01", None), odd=(odd,)).state is ConsumerState.AT_RISK


def test_before_it_lapses_its_consumers_are_at_risk_from_then_on() -> None:
    """Would catch: an end that surprises, and a prediction that names another time."""
    result = _judged(_accepted("src", "2013-02-02", "2013-02-04 12:00"))
    assert result.state is ConsumerState.AT_RISK
    assert result.risk is not None
    assert (result.risk.predicted_us, result.risk.node) == (at("2013-02-04 12:00"), "src")
    assert "known at the vendor's" in result.reason


def test_others_are_not_touched() -> None:
    """Would catch: a consumer at risk for an exception of something that it doesn't read."""
    accepted = _accepted("a", "2013-02-02", "2013-02-04 12:00")
    assert _judged(accepted, reads="other").state is ConsumerState.SERVED
    assert _judged(accepted, reads="a").state is ConsumerState.AT_RISK


def test_what_was_unusual_before_an_interval_was_told_then() -> None:
    """Would catch: a storm that leaves whoever looks back a week at risk for a week."""
    small = SmallFacts(delivered={"src": "2013-02-01"})
    for day, published in (("2013-02-01", "2013-02-02 04:40"), ("2013-02-02", "2013-02-03 04:40")):
        small.publish("src", day, at(published))
        small.publish("week", day, at(published))
    small.look("src", at(NOW))
    declared = declare(
        [
            node("src", DAY, source=True, expect_by="05:00"),
            node("week", DAY, reads("src", lookback="7d")),
        ],
        consumer("c", "week", due="07:00"),
    )
    small.odd = [Unusual("src", "2013-02-01", "null_spike", 9.0)]
    assert evaluate_status(declared, small, at(NOW)).consumers[0].state is ConsumerState.SERVED
    small.odd.append(Unusual("src", "2013-02-02", "null_spike", 3.0))
    result = evaluate_status(declared, small, at(NOW)).consumers[0]
    assert result.state is ConsumerState.AT_RISK
    assert "src@2013-02-02" in result.reason
    small.odd[-1] = small.odd[-1]._replace(users=frozenset({"other"}))
    assert evaluate_status(declared, small, at(NOW)).consumers[0].state is ConsumerState.SERVED, (
        "it doesn't use that column"
    )
