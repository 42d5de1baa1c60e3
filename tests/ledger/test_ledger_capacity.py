"""What a ready partition waits for while all workers or the slots of a pool are taken."""

from __future__ import annotations

import pytest
from small_facts import consumer, declare, node, reads
from test_ledger_claims import attempt
from test_ledger_paths import DAY, END, FIRST, SECOND, SOURCE, Several, Written

from headrace.ledger.account import Books
from headrace.ledger.records import CurrentLeader, LedgerDelivery, crowded
from headrace.model import Grain
from headrace.slo.availability import AvailabilityScore, mean, score, share, worst
from headrace.slo.declared_promises import NodeTraits
from headrace.slo.obligations import EvaluationContext
from headrace.slo.timeline import Duty, ServiceHistory, Term, WrongPeriod

TRAITS = {
    "big": NodeTraits(takes=(("api", 2, 4),)),
    "small": NodeTraits(takes=(("api", 1, 4), ("disk", 1, 1))),
    "other": NodeTraits(takes=(("disk", 1, 1),)),
    "huge": NodeTraits(takes=(("api", 5, 4),)),
}


@pytest.mark.parametrize(
    ("name", "slots", "under_way", "expected"),
    [
        ("big", 8, [], None),
        ("big", 8, ["big"], None),
        ("big", 8, ["big", "small"], "waits for pool api: 3 of 4 taken by big, small"),
        ("small", 8, ["big", "big"], "waits for pool api: 4 of 4 taken by big"),
        ("small", 8, ["other"], "waits for pool disk: 1 of 1 taken by other"),
        ("other", 8, ["big", "big"], None),
        ("huge", 8, [], None),
        ("plain", 2, ["big"], None),
        ("plain", 2, ["big", "plain"], "waits for a slot: 2 of 2 taken by big, plain"),
        ("plain", 3, ["a", "b", "c", "a"], "waits for a slot: 4 of 3 taken by a, b, c"),
        ("plain", 4, ["a", "b", "c", "d"], "waits for a slot: 4 of 4 taken by a, b, c and 1 more"),
        ("other", 1, ["other"], "waits for pool disk: 1 of 1 taken by other"),
    ],
)
def test_who_holds_what_a_partition_waits_for(
    name: str, slots: int, under_way: list[str], expected: str | None
) -> None:
    """Catches a pool that blames a node that takes nothing of it, and a slot too many or too few."""
    assert crowded(name, TRAITS, CurrentLeader(0, slots, under_way)) == expected


class Led(Several):
    """Records under a leader whose only slot is taken."""

    leader: CurrentLeader | None = CurrentLeader(END + 120, 1, ("b",))

    def led(self) -> CurrentLeader | None:
        return self.leader


def _open_wait(leader: CurrentLeader | None) -> list[tuple[str, str, int, str]]:
    written = Written()
    records = Led()
    records.leader, records.now_us = leader, END + 500
    written.records = records
    written.deliver(FIRST, END + 50, 1)
    asset = node("a", Grain.DAY, "s", timezone="UTC")
    terms = consumer("report", "a", zone="UTC", due="09:00", per=Grain.DAY)
    context = EvaluationContext(declare([SOURCE, asset], terms), written.facts)
    ledger = Books({}, context, records).of_consumer(terms, FIRST, met_us=None)
    assert ledger is not None
    return [(str(item.kind), item.node, item.us, item.note) for item in ledger.segments]


def test_an_open_wait_names_what_it_queues_for() -> None:
    """Catches a report that waits for a busy worker and is told to wait for its schedule; and one
    that has waited longer than there is a leader to start it."""
    before = [("source", "s", 50), ("run", "s", 10)]
    taken = "waits for a slot: 1 of 1 taken by b"
    waits = _open_wait(Led.leader)
    assert [item[:3] for item in waits] == [*before, ("schedule", "a", 60), ("queue", "a", 380)]
    assert waits[-1][3] == taken
    early = _open_wait(CurrentLeader(END - 1, 1, ("b",)))
    assert [item[:3] for item in early] == [*before, ("queue", "a", 440)]
    for leader in (None, CurrentLeader(END + 120, 2, ("b",))):
        assert [item[:3] for item in _open_wait(leader)] == [*before, ("schedule", "a", 440)]


def test_a_second_delivery_isnt_what_an_attempt_before_it_waited_for() -> None:
    """Catches a run that took two hours, told as a vendor who delivered during it."""
    written = Written()
    written.deliver(FIRST, END + 50, 1)
    written.deliver(FIRST, END + 200, 2)
    made = attempt(3, "published", END + 100, END + 100, END + 300, run_us=200)
    written.publish("a", FIRST, made)
    assert written.records.at("s", FIRST).delivered[0] == LedgerDelivery(1, END + 50, END + 50)
    asset = node("a", Grain.DAY, "s", timezone="UTC")
    assert written.spent(asset, FIRST, END + 300) == [
        ("source", "s", 50), ("run", "s", 10), ("schedule", "a", 40), ("run", "a", 200),
    ]  # fmt: skip


# What availability counts

PROMISE = Term(from_us=0, until_us=10_000)


def _history(*wrong: WrongPeriod, **more: object) -> ServiceHistory:
    return ServiceHistory(
        consumer="report", timezone="UTC", terms=(PROMISE,), counted_us=1_000, wrong=wrong, **more
    )  # type: ignore[arg-type]


def test_only_incidents_that_change_a_claim_are_behind_it() -> None:
    """Catches a figure that names incidents which had nothing to do with it."""
    past = _history(
        WrongPeriod(2_000, 3_000, 2_500, incident=7),
        WrongPeriod(4_000, 5_000, 4_000, incident=8),
        WrongPeriod(6_000, 6_400, 6_200),
        WrongPeriod(100, 900, 500, incident=9),
    )
    result = score(past, 0, 8_000)
    assert (result.counted_us, result.began_us) == (7_000, 1_000)
    assert (result.served_us, result.claimed_us) == (7_000 - 2_400, 7_000 - 1_700)
    assert (result.corrected_us, result.incidents) == (700, (7,))


def test_withdrawn_incidents_took_only_the_claim() -> None:
    past = _history(WrongPeriod(2_000, 5_000, 2_500, incident=7, withdrawn_us=3_000))
    result = score(past, 1_000, 8_000)
    assert (result.served_us, result.claimed_us, result.corrected_us) == (7_000, 6_500, 0)


def test_a_score_counts_from_the_first_deadline_to_the_end_of_the_promise() -> None:
    """Catches time before anything was due, and time after the promise ended, counted as served."""
    duties = tuple(
        Duty("k", due - 100, due, ((due + 10, 10**6),)) for due in (500, 1_000, 2_000, 3_000)
    )
    result = score(_history(duties=duties), 2_000, 20_000)
    assert (result.counted_us, result.promised, result.met) == (8_000, 1, 0)
    assert score(_history(duties=duties), 0, 20_000).promised == 3
    assert score(_history(), 0, 900).began_us is None
    blind = score(_history(blind=((1_500, 2_500),), excepted=((3_000, 3_100),)), 0, 10_000)
    assert (blind.unknown_us, blind.excepted_us, blind.served_us) == (1_000, 100, 7_900)


def _score(name: str, counted: int, served: int) -> AvailabilityScore:
    past = ServiceHistory(
        consumer=name, timezone="UTC", terms=(Term(0, counted),), counted_us=0,
        never=((0, counted - served),) if served < counted else (),
    )  # fmt: skip
    return score(past, 0, max(counted, 1))


def test_the_worst_score_is_that_of_the_most_time_lost() -> None:
    """Catches a consumer without data that is the worst of all, or that makes the mean better."""
    none, half, half_longer, full = (
        _score("none", 0, 0),
        _score("half", 100, 50),
        _score("longer", 1_000, 500),
        _score("full", 100, 100),
    )
    assert worst([none, full, half, half_longer]) == half_longer
    assert worst([none]) is None
    assert mean([none, full, half]) == share(3, 4)
    assert mean([none]) is None
    assert share(1, 0) is None


def test_an_unpartitioned_asset_waits_for_what_it_read() -> None:
    """Catches a delivery that came while the total was computed, told as what the total waited for."""
    written = Written()
    written.deliver(FIRST, END + 300, 1)
    written.deliver(SECOND, END + 350, 2)
    written.publish("a", "*", attempt(3, "published", END + 320, END + 320, END + 400, run_us=80))
    assert written.spent(node("a", None, "s", timezone="UTC"), FIRST, END + 400) == [
        ("source", "s", 300), ("run", "s", 10), ("schedule", "a", 10), ("run", "a", 80),
    ]  # fmt: skip


def test_an_optional_input_that_was_given_up_isnt_waited_for() -> None:
    """Catches an input that came too late for a run, told as the run's wait."""
    written = Written()
    written.deliver(FIRST, END + 50, 1)
    late = attempt(2, "published", END + 200, END + 200, END + 210, run_us=10, delivery=2)
    written.publish("o", FIRST, late)
    written.publish(
        "a", FIRST, attempt(3, "published", END + 100, END + 100, END + 300, run_us=200)
    )
    other = node("o", Grain.DAY, source=True, timezone="UTC", start=FIRST)
    asset = node("a", Grain.DAY, "s", reads("o", optional=True), timezone="UTC")
    terms = consumer("report", "a", zone="UTC", due="09:00", per=Grain.DAY)
    context = EvaluationContext(declare([SOURCE, other, asset], terms), written.facts)
    ledger = Books({}, context, written.records).of_consumer(terms, FIRST, met_us=END + 300)
    assert ledger is not None
    assert [(str(item.kind), item.node, item.us) for item in ledger.segments] == [
        ("source", "s", 50), ("run", "s", 10), ("schedule", "a", 40), ("run", "a", 200),
    ]  # fmt: skip


@pytest.mark.parametrize("chained", [True, False])
def test_a_chained_asset_waits_for_its_own_day_before(chained: bool) -> None:
    """Catches a merge that couldn't begin before yesterday's was done, told as a slow schedule."""
    written, end = Written(), END + DAY
    written.deliver(FIRST, END + 50, 1)
    written.deliver(SECOND, end + 50, 2)
    written.publish("a", FIRST, attempt(3, "published", end + 80, end + 80, end + 200, run_us=120))
    written.publish(
        "a", SECOND, attempt(4, "published", end + 210, end + 210, end + 250, run_us=40)
    )
    asset = node("a", Grain.DAY, "s", timezone="UTC")
    terms = consumer("report", "a", zone="UTC", due="09:00", per=Grain.DAY)
    context = EvaluationContext(declare([SOURCE, asset], terms), written.facts)
    books = Books({"a": NodeTraits(chained=chained)}, context, written.records)
    ledger = books.of_consumer(terms, SECOND, met_us=end + 250)
    assert ledger is not None
    last = ("run", SECOND, 40)
    expected = [("source", SECOND, 50), ("run", SECOND, 10), ("schedule", SECOND, 150), last]
    if chained:
        expected = [("schedule", FIRST, 80), ("run", FIRST, 120), ("schedule", SECOND, 10), last]
    assert [(str(item.kind), item.partition, item.us) for item in ledger.segments] == expected
