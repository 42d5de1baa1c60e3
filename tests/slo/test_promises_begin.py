"""Promises begin when they are applied, or with their `since:`: what was due before was never
promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from small_facts import ZONE, SmallFacts, at, consumer, declare, evaluate_status, node
from stored_facts import write_facts

from headrace.model import Grain, Settings
from headrace.model.times import local_instant_us
from headrace.slo.availability import AvailabilityScore, score
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus
from headrace.slo.declared_promises import DeclaredPromises, Terms
from headrace.slo.obligation_records import apply_promises, settle_obligations
from headrace.slo.obligations import EvaluationContext, obligations
from headrace.slo.service_history import Gathering
from headrace.slo.status import evaluate_in_context
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.timeline import timeline
from headrace.slo.unsound import all_of_all
from headrace.slo.wrong_periods import Wrongness
from headrace.store import Store
from headrace.store.queries import obligations as stored

NODES = [node("src", Grain.DAY, source=True), node("a", Grain.DAY, "src")]
APPLIED = "2013-02-12 08:00"


def promised(**terms: object) -> DeclaredPromises:
    return declare(NODES, consumer("c", "a", **(terms or {"due": "07:00"})))


SEVEN, FIVE, NINE = promised(), promised(due="05:00"), promised(due="09:00")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, Settings(name="t"), create=True) as opened:
        yield opened


def history(last: int = 11, loaded: str = APPLIED) -> SmallFacts:
    """Ten days and more, all published in the hour in which the project was set up; somebody looks
    each hour.
    """
    small = SmallFacts(delivered={"src": "2013-02-01"})
    for day in range(1, last + 1):
        for name in ("src", "a"):
            small.publish(name, f"2013-02-{day:02d}", at(loaded))
    small.look("src", *range(at("2013-02-12 00:00"), at("2013-03-05 09:00"), 3_600_000_000))
    return small


def apply(
    store: Store,
    old: DeclaredPromises | None,
    new: DeclaredPromises,
    when: str,
    small: SmallFacts | None = None,
) -> None:
    with store.write(None) as tx:
        if small is not None:
            write_facts(tx, small)
        apply_promises(tx, old, new, at(when))


def settled(
    store: Store, declared: DeclaredPromises, now: str, small: SmallFacts | None = None
) -> dict[str, tuple[int, int | None]]:
    """Interval → when it was due and met, of all that is written down."""
    with store.write(None) as tx:
        if small is not None:
            write_facts(tx, small)
        settle_obligations(tx, EvaluationContext(declared, StoredFacts(tx)), at(now))
        return {item.interval: (item.due_at, item.met_at) for item in stored.newest(tx, "c")}


def status(store: Store, declared: DeclaredPromises, now: str) -> ConsumerStatus:
    with store.read() as tx:
        return evaluate_status(declared, StoredFacts(tx), at(now)).consumers[0]


def scored(
    store: Store, declared: DeclaredPromises, now: str, window: str = "2013-01-15 00:00"
) -> tuple[AvailabilityScore, dict[ConsumerState, int]]:
    """The figures of a window that ends now, and how many minutes of it each state held."""
    with store.read() as tx:
        context, span = EvaluationContext(declared, StoredFacts(tx)), (at(window), at(now))
        wrongness = Wrongness(tx, context, all_of_all, *span)
        [result] = evaluate_in_context(context, at(now), wrongness.now()).consumers
        past = Gathering(tx, context, wrongness, lambda *_: True, *span).past(
            declared.consumers[0], result.obligations
        )
        minutes: dict[ConsumerState, int] = {}
        for item in timeline(past, *span):
            minutes[item.state] = (
                minutes.get(item.state, 0) + (item.until_us - item.from_us) // 60_000_000
            )
        return score(past, *span), minutes


# The first hour


def test_history_that_is_loaded_owes_nobody_anything(store: Store) -> None:
    """Each of the loaded days would be met late, by weeks."""
    apply(store, None, SEVEN, APPLIED, history())
    assert settled(store, SEVEN, "2013-02-12 09:00") == {}
    result = status(store, SEVEN, "2013-02-12 09:00")
    assert (result.state, result.due_interval, result.backlog, result.data_through) == (
        ConsumerState.SERVED,
        None,
        (),
        "2013-02-11",
    )
    assert result.since_us == at(APPLIED)
    assert [(item.asset, item.data_through) for item in result.reads] == [("a", "2013-02-11")]


def test_the_first_obligation_is_the_first_that_falls_due(store: Store) -> None:
    apply(store, None, SEVEN, APPLIED, history())
    later = history()
    later.publish("src", "2013-02-12", at("2013-02-13 06:00"))
    later.publish("a", "2013-02-12", at("2013-02-13 06:00"))
    assert settled(store, SEVEN, "2013-02-13 07:00", later) == {
        "2013-02-12": (at("2013-02-13 07:00"), at("2013-02-13 06:00")),
    }


def test_no_availability_before_something_is_due_and_a_perfect_first_day_is_perfect(
    store: Store,
) -> None:
    later = history()
    later.publish("a", "2013-02-12", at("2013-02-13 06:00"))
    later.look("src", at("2013-02-13 08:00"))
    apply(store, None, SEVEN, APPLIED, later)
    assert scored(store, SEVEN, "2013-02-13 06:59")[0].counted_us == 0
    settled(store, SEVEN, "2013-02-13 08:00")
    result, minutes = scored(store, SEVEN, "2013-02-13 08:00")
    assert (result.honest, result.promised, result.met, minutes) == (
        1,
        1,
        1,
        {ConsumerState.SERVED: 60},
    )


def test_data_that_was_too_old_before_anybody_promised_is_late_from_then_on(store: Store) -> None:
    """Late since three weeks before the project was there."""
    aged = promised(max_age="30h")
    apply(store, None, aged, "2013-03-05 08:00", history(loaded="2013-03-05 08:00"))
    result = status(store, aged, "2013-03-05 08:10")
    assert (result.state, result.since_us, result.data_through) == (
        ConsumerState.LATE,
        at("2013-03-05 08:00"),
        "2013-02-11",
    )
    assert (result.backlog, result.due_interval) == ((), None)


def test_what_has_no_rhythm_can_be_too_old_only_once_its_age_has_passed(store: Store) -> None:
    """The minutes that the first run takes count as not served: 68.8 % of a perfect first hour."""
    aged = declare([node("planes", None, source=True)], consumer("c", "planes", max_age="30h"))
    small = SmallFacts()
    small.publish("planes", "*", at("2013-02-12 08:20"))
    small.look("planes", at("2013-02-12 08:20"), at("2013-02-13 14:00"))
    apply(store, None, aged, APPLIED, small)
    assert scored(store, aged, "2013-02-12 09:00")[0].counted_us == 0
    result, minutes = scored(store, aged, "2013-02-13 14:20")
    assert (result.counted_us, minutes) == (20 * 60_000_000, {ConsumerState.SERVED: 20})


def test_a_hole_of_before_is_no_backlog(store: Store) -> None:
    small = history()
    small.publications = [
        publication for publication in small.publications if publication.partition != "2013-02-05"
    ]
    del small.partition_states["a", "2013-02-05"], small.partition_states["src", "2013-02-05"]
    apply(store, None, SEVEN, APPLIED, small)
    result = status(store, SEVEN, "2013-02-12 09:00")
    assert (result.states, result.backlog) == ((ConsumerState.SERVED,), ())


# A promise that changes


def test_a_stricter_deadline_holds_from_the_next_that_can_be_kept(store: Store) -> None:
    """At six somebody promises it for five: that would be late as soon as it is said."""
    apply(store, None, SEVEN, "2013-02-10 08:00", history(10, "2013-02-11 04:00"))
    apply(store, SEVEN, FIVE, "2013-02-12 06:00")
    assert status(store, FIVE, "2013-02-12 06:30").state is ConsumerState.SERVED
    result = settled(store, FIVE, "2013-02-13 08:00")
    assert {interval: due for interval, (due, _) in result.items()} == {
        "2013-02-10": at("2013-02-11 07:00"),
        "2013-02-11": at("2013-02-12 07:00"),
        "2013-02-12": at("2013-02-13 05:00"),
    }


def test_a_deadline_is_never_moved_once_it_has_passed(store: Store) -> None:
    apply(store, None, SEVEN, "2013-02-11 00:00", history(10, "2013-02-11 04:00"))
    apply(store, SEVEN, NINE, "2013-02-12 08:00")
    result = status(store, NINE, "2013-02-12 08:30")
    assert (result.state, result.since_us) == (ConsumerState.LATE, at("2013-02-12 07:00"))


def test_late_goes_on_through_a_change_of_the_promise(store: Store) -> None:
    """Whoever edits a promise would have been late since then only."""
    apply(store, None, SEVEN, "2013-02-11 00:00", history(9, "2013-02-10 04:00"))
    apply(store, SEVEN, FIVE, "2013-02-12 12:00")
    apply(store, FIVE, NINE, "2013-02-13 12:00")
    assert status(store, NINE, "2013-02-13 13:00").since_us == at("2013-02-11 07:00")


def test_another_grain_owes_nothing_of_before(store: Store) -> None:
    """A day's promise that becomes one of hours would owe every hour of the last weeks."""
    apply(store, None, SEVEN, "2013-02-10 08:00", history())
    hourly = promised(per=Grain.HOUR, due="+20m")
    apply(store, SEVEN, hourly, "2013-02-12 08:30")
    result = settled(store, hourly, "2013-02-12 10:30")
    assert sorted(interval for interval in result if "T" in interval) == [
        "2013-02-12T08:00-05:00",
        "2013-02-12T09:00-05:00",
    ]


def test_while_a_consumer_was_removed_it_was_owed_nothing(store: Store) -> None:
    """Added again a week later, it would have missed a week."""
    nobody = declare(NODES)
    apply(store, None, SEVEN, "2013-02-10 08:00", history(10, "2013-02-11 04:00"))
    apply(store, SEVEN, nobody, "2013-02-11 12:00")
    apply(store, nobody, SEVEN, "2013-02-15 12:00")
    result = settled(store, SEVEN, "2013-02-16 08:00")
    assert sorted(result) == ["2013-02-10", "2013-02-15"]
    assert status(store, SEVEN, "2013-02-16 08:00").since_us == at("2013-02-16 07:00")
    assert scored(store, SEVEN, "2013-02-16 08:00")[0].promised == 2


@pytest.mark.parametrize("terms", [{"due": "07:00"}, {"max_age": "31h"}])
def test_a_read_that_is_added_says_nothing_of_the_time_before(
    store: Store, terms: dict[str, str]
) -> None:
    """Two days that were served would be days without data, and nobody would have looked."""
    nodes = [*NODES, node("new", Grain.DAY, source=True), node("b", Grain.DAY, "new")]
    old = declare(nodes, consumer("c", "a", **terms))
    new = declare(nodes, consumer("c", "a", "b", **terms))
    small = history(11, "2013-02-11 04:00")
    small.publish("a", "2013-02-11", at("2013-02-12 05:00"))
    apply(store, None, old, "2013-02-10 08:00", small)
    settled(store, old, "2013-02-12 09:00")
    small.delivered["new"] = "2013-02-01"
    small.look("new", at("2013-02-12 11:00"), at("2013-02-12 12:00"))
    for day in range(1, 12):
        small.publish("new", f"2013-02-{day:02d}", at("2013-02-12 11:00"))
        small.publish("b", f"2013-02-{day:02d}", at("2013-02-12 11:00"))
    apply(store, old, new, "2013-02-12 10:00", small)
    settled(store, new, "2013-02-12 12:00")
    _, minutes = scored(store, new, "2013-02-12 12:00")
    assert set(minutes) == {
        ConsumerState.SERVED
    }  # the first deadline of what was added is still to come
    assert minutes[ConsumerState.SERVED] >= 24 * 60


@pytest.mark.parametrize(("published", "never"), [("06:00", 0), ("09:00", 120)])
def test_a_read_that_is_added_counts_since_the_next_deadline(
    store: Store, published: str, never: int
) -> None:
    """Would catch: an hour called lost before 07:00, by which the data that was added at 04:00 had
    come."""
    nodes = [*NODES, node("b", Grain.DAY, "src")]
    old, new = (
        declare(nodes, consumer("c", "a", due="07:00")),
        declare(nodes, consumer("c", "a", "b", due="07:00")),
    )
    small = history(12, "2013-02-11 04:00")
    apply(store, None, old, "2013-02-10 08:00", small)
    settled(store, old, "2013-02-13 03:00")
    apply(store, old, new, "2013-02-13 04:00")
    small.publish("b", "2013-02-12", at(f"2013-02-13 {published}"))
    settled(store, new, "2013-02-13 10:00", small)
    assert scored(store, new, "2013-02-13 10:00")[1].get(ConsumerState.NEVER, 0) == never


# since


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2013-02-09", "2013-02-09 00:00"),
        ("2013-02-09T07:30", "2013-02-09 07:30"),
        ("2013-02-09T07:30-05:00", "2013-02-09 07:30"),
        ("2013-02-09T12:30Z", "2013-02-09 07:30"),
        ("2013-03-10T02:30", "2013-03-10 03:00"),
    ],
)
def test_since_is_a_date_or_a_time_of_the_consumers_zone(text: str, when: str) -> None:
    assert local_instant_us(text, ZONE) == at(when)


def due(result: dict[str, tuple[int, int | None]]) -> list[str]:
    return sorted(result)


def test_a_past_that_is_promised_deliberately_exists(store: Store) -> None:
    past = promised(due="07:00", since="2013-02-10")
    apply(store, None, past, APPLIED, history())
    assert due(settled(store, past, "2013-02-12 09:00")) == [
        "2013-02-09",
        "2013-02-10",
        "2013-02-11",
    ]
    result, minutes = scored(store, past, "2013-02-12 09:00")
    assert (result.promised, result.met) == (3, 0)
    assert minutes == {
        ConsumerState.NEVER: 49 * 60,
        ConsumerState.SERVED: 60,
    }  # from the first deadline on: nothing could be read until then


def test_a_past_that_is_promised_later_is_added_to_what_is_written_down(store: Store) -> None:
    """What is written down is looked at from its newest on: nothing before it would ever be."""
    past = promised(due="07:00", since="2013-02-09")
    apply(store, None, SEVEN, "2013-02-11 06:00", history(10, "2013-02-11 04:00"))
    apply(store, SEVEN, past, "2013-02-12 08:00")
    result = settled(store, past, "2013-02-12 08:00")
    assert {interval: when for interval, (when, _) in result.items()} == {
        "2013-02-08": at("2013-02-09 07:00"),
        "2013-02-09": at("2013-02-10 07:00"),
        "2013-02-10": at("2013-02-11 07:00"),
        "2013-02-11": at("2013-02-12 07:00"),
    }
    changed = promised(due="05:00", since="2013-02-09")
    apply(store, past, changed, "2013-02-12 09:00")
    assert (
        settled(store, changed, "2013-02-12 10:00") == result
    )  # the same `since:` says nothing new


def test_a_promise_that_begins_later_is_due_from_then_on(store: Store) -> None:
    later = promised(due="07:00", since="2013-02-14")
    apply(store, None, later, APPLIED, history())
    assert status(store, later, "2013-02-13 08:00").due_interval is None
    assert due(settled(store, later, "2013-02-15 08:00")) == ["2013-02-13", "2013-02-14"]


def test_a_since_that_is_to_come_doesnt_interrupt_what_is_promised(store: Store) -> None:
    """It would be a way to be owed nothing for a while, that nobody is told of."""
    later = promised(due="07:00", since="2013-02-14")
    apply(store, None, SEVEN, "2013-02-10 12:00", history())
    apply(store, SEVEN, later, "2013-02-12 12:00")
    assert due(settled(store, later, "2013-02-13 08:00")) == [
        "2013-02-10",
        "2013-02-11",
        "2013-02-12",
    ]


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({"due": "05:00", "since": "2013-02-20"}, "2013-02-19"),  # another deadline
        ({"due": "07:00", "since": "2013-02-25"}, "2013-02-24"),  # later still
        ({"due": "07:00", "since": "2013-02-16"}, "2013-02-15"),  # earlier
        ({"due": "07:00", "since": "2013-02-13"}, "2013-02-12"),  # in the past by now
        ({"due": "07:00"}, "2013-02-14"),  # from now on
    ],
)
def test_a_since_to_come_is_kept(store: Store, changed: dict[str, str], first: str) -> None:
    """Any change of what wasn't promised yet made it hold at once."""
    old, new = promised(due="07:00", since="2013-02-20"), promised(**changed)
    apply(store, None, old, APPLIED, history())
    apply(store, old, new, "2013-02-14 12:00")
    assert due(settled(store, new, "2013-02-28 08:00"))[0] == first


def test_what_was_postponed_was_never_promised_for_earlier(store: Store) -> None:
    """Once the first `since:` had passed, it was late since then; its figures began there, too."""
    old, new = (promised(max_age="30h", since=item) for item in ("2013-02-16", "2013-02-20"))
    apply(store, None, old, APPLIED, history())
    apply(store, old, new, "2013-02-14 12:00")
    assert status(store, new, "2013-02-18 08:00").states == (ConsumerState.SERVED,)
    settled(store, new, "2013-02-22 08:00")
    assert status(store, new, "2013-02-22 08:00").since_us == at("2013-02-20 00:00")
    assert scored(store, new, "2013-02-22 08:00")[0].counted_us == 50 * 3_600_000_000


def test_figures_leave_out_a_promise_that_never_began(store: Store) -> None:
    """What has no rhythm counts once its age has passed, not since a `since:` that was moved."""
    item, another = (
        declare(
            [node("planes", None, source=True)],
            consumer("c", "planes", max_age="30h", since=since),
        )
        for since in ("2013-02-16", "2013-02-20")
    )
    small = SmallFacts()
    small.publish("planes", "*", at("2013-02-20 06:00"))
    small.look("planes", at("2013-02-21 07:00"))
    apply(store, None, item, APPLIED, small)
    apply(store, item, another, "2013-02-14 12:00")
    assert scored(store, another, "2013-02-21 07:00")[0].counted_us == 3_600_000_000


@pytest.mark.parametrize("terms", [{"due": "07:00"}, {"max_age": "30h"}], ids=["due", "max_age"])
def test_nothing_is_late_since_a_time_to_come(store: Store, terms: dict[str, str]) -> None:
    """It said `late since` and `served since` a day three weeks ahead."""
    later = promised(**terms, since="2013-03-01")
    apply(store, None, later, APPLIED, history())
    result = status(store, later, "2013-02-18 08:00")
    assert (result.states, result.since_us) == ((ConsumerState.SERVED,), at(APPLIED))
    assert result.late_since_us is None


def test_what_was_missed_before_a_since_to_come_is_still_told(store: Store) -> None:
    """The consumer was removed while it was late: what it missed isn't late again, but missing."""
    nobody, later = declare(NODES), promised(due="07:00", since="2013-03-01")
    apply(store, None, SEVEN, "2013-02-12 00:00", history(10))
    settled(store, SEVEN, "2013-02-12 12:00")
    apply(store, SEVEN, nobody, "2013-02-12 12:00")
    apply(store, nobody, later, "2013-02-15 12:00")
    result = status(store, later, "2013-02-16 08:00")
    assert result.states == (ConsumerState.SERVED,)
    assert result.reason == "nothing is promised now; missed before: 2013-02-11"


def test_served_since_no_earlier_than_it_was_added_again(store: Store) -> None:
    """The days without a promise, of which nothing is known, counted as served."""
    nobody, small = declare(NODES), history(11, "2013-02-12 04:00")
    apply(store, None, SEVEN, "2013-02-11 12:00", small)
    settled(store, SEVEN, "2013-02-13 06:00")
    apply(store, SEVEN, nobody, "2013-02-13 06:00")
    apply(store, nobody, SEVEN, "2013-02-16 12:00")
    result = status(store, SEVEN, "2013-02-16 13:00")
    assert (result.states, result.since_us) == ((ConsumerState.SERVED,), at("2013-02-16 12:00"))


def test_the_promise_is_written_down_with_its_since(store: Store) -> None:
    apply(store, None, promised(due="07:00", since="2013-02-14"), APPLIED)
    with store.read() as tx:
        (terms,) = tx.execute("select terms from promise").fetchone()
    assert msgspec.json.decode(terms)["since"] == "2013-02-14"


# Without a store


def intervals(terms: Terms, begins: str, now: str) -> Sequence[str]:
    small = SmallFacts(delivered={"src": "2013-01-01"}, promised={"c": at(begins)})
    return [
        obligation.interval
        for obligation in obligations(
            terms, EvaluationContext(declare(NODES, terms), small), at(now)
        )
    ]


@pytest.mark.parametrize(
    ("promise_of", "begins", "expected"),
    [
        ({"due": "07:00"}, "2013-02-12 07:00", ["2013-02-11", "2013-02-12", "2013-02-13"]),
        ({"due": "07:00"}, "2013-02-12 07:01", ["2013-02-12", "2013-02-13"]),
        (
            {"due": "+3bd 09:00"},
            "2013-02-12 08:00",
            [
                "2013-02-07",
                "2013-02-08",
                "2013-02-09",
                "2013-02-10",
                "2013-02-11",
                "2013-02-12",
                "2013-02-13",
            ],
        ),
        ({"max_age": "30h"}, "2013-02-12 08:00", ["2013-02-12", "2013-02-13"]),
        (
            {"max_age": "3d"},
            "2013-02-12 08:00",
            ["2013-02-10", "2013-02-11", "2013-02-12", "2013-02-13"],
        ),
        ({"due": "+20m"}, "2013-02-13 00:10", ["2013-02-12", "2013-02-13"]),
    ],
)
def test_the_first_interval_is_the_first_that_is_due_after_the_promise(
    promise_of: dict[str, str], begins: str, expected: list[str]
) -> None:
    assert intervals(consumer("c", "a", **promise_of), begins, "2013-02-13 01:00") == expected
