"""What is written down: promises in force, obligations when they fall due, `met_at` from
publications alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from small_facts import SmallFacts, at, consumer, declare, evaluate_status, node
from stored_facts import write_facts

from headrace.model import Grain, Settings
from headrace.slo.declared_promises import DeclaredPromises
from headrace.slo.obligation_records import apply_promises, settle_obligations
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Store
from headrace.store.queries import obligations

NODES = [node("src", Grain.DAY, source=True), node("a", Grain.DAY, "src")]
SEVEN = declare(NODES, consumer("c", "a", due="07:00"))
NINE = declare(NODES, consumer("c", "a", due="09:00"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, Settings(name="t"), create=True) as opened:
        yield opened


def facts(*days: tuple[str, str]) -> SmallFacts:
    small = SmallFacts(delivered={"src": "2013-02-01"})
    for key, when in days:
        small.publish("a", key, at(when))
    return small


def settled(
    store: Store, small: SmallFacts, declared: DeclaredPromises, now: str
) -> list[tuple[str, int, int | None]]:
    """What is written down of a consumer that was promised something before the first day ended,
    unless it was already.
    """
    with store.write(None) as tx:
        if obligations.promise_in_force(tx, "c") is None:
            apply_promises(tx, None, declared, at("2013-02-01 12:00"))
        write_facts(tx, small)
        settle_obligations(tx, EvaluationContext(declared, StoredFacts(tx)), at(now))
    with store.read() as tx:
        return [
            (item.interval, item.due_at, item.met_at)
            for item in reversed(obligations.newest(tx, "c"))
        ]


def test_an_obligation_is_written_when_it_is_due_and_not_before(store: Store) -> None:
    assert settled(store, facts(), SEVEN, "2013-02-02 06:59") == []
    assert settled(store, facts(), SEVEN, "2013-02-02 07:00") == [
        ("2013-02-01", at("2013-02-02 07:00"), None)
    ]


def test_met_at_is_when_it_was_published_however_late_somebody_looks(store: Store) -> None:
    """Taken from 'now', a look a week later would make a kept promise late by a week."""
    small = facts(("2013-02-01", "2013-02-02 04:40"))
    assert settled(store, small, SEVEN, "2013-02-02 23:00")[0][2] == at("2013-02-02 04:40")
    late = facts(("2013-02-01", "2013-02-02 04:40"), ("2013-02-02", "2013-02-03 11:00"))
    assert settled(store, facts(), SEVEN, "2013-02-03 08:00")[1][2] is None
    assert settled(store, late, SEVEN, "2013-02-09 08:00")[1][2] == at("2013-02-03 11:00")


def test_what_was_met_stays_met_and_what_was_due_stays_due(store: Store) -> None:
    before = settled(store, facts(("2013-02-01", "2013-02-02 04:40")), SEVEN, "2013-02-02 08:00")
    assert settled(store, facts(), NINE, "2013-02-02 08:30") == before


def test_a_changed_promise_judges_only_what_is_due_from_then_on(store: Store) -> None:
    """Weakening a promise after the fact would change the past."""
    with store.write(None) as tx:
        write_facts(tx, facts())
        apply_promises(tx, None, SEVEN, at("2013-02-01 00:00"))
        apply_promises(tx, SEVEN, NINE, at("2013-02-03 08:00"))  # nobody had settled since
    with store.read() as tx:
        first = [(item.interval, item.due_at) for item in obligations.newest(tx, "c")]
    assert first == [("2013-02-02", at("2013-02-03 07:00")), ("2013-02-01", at("2013-02-02 07:00"))]
    result = settled(store, facts(), NINE, "2013-02-04 10:00")
    assert result[-1] == ("2013-02-03", at("2013-02-04 09:00"), None)


def test_a_promise_is_in_force_until_it_changes_or_its_consumer_goes(store: Store) -> None:
    with store.write(None) as tx:
        apply_promises(tx, None, SEVEN, 100)
        apply_promises(tx, SEVEN, SEVEN, 200)
        apply_promises(tx, SEVEN, NINE, 300)
        apply_promises(tx, NINE, declare(NODES), 400)
    with store.read() as tx:
        assert obligations.promise_in_force(tx, "c") is None
        rows = list(tx.execute("select terms, from_at, until_at from promise order by from_at"))
    assert [(msgspec.json.decode(terms)["due"], *times) for terms, *times in rows] == [
        ("07:00", 100, 300),
        ("09:00", 300, 400),
    ]


def test_another_grain_starts_anew_and_keeps_what_was_written(store: Store) -> None:
    """Keys of days can't be read as months."""
    settled(store, facts(), SEVEN, "2013-02-05 08:00")
    monthly = declare(NODES, consumer("c", "a", per=Grain.MONTH, due="07:00"))
    result = settled(store, facts(), monthly, "2013-03-05 08:00")
    assert [interval for interval, _, _ in result if len(interval) == 7] == ["2013-02"]
    assert len(result) == 5


def test_a_consumer_that_is_late_for_longer_than_what_is_looked_at_still_knows_since_when(
    store: Store,
) -> None:
    """Only the newest hundred obligations are loaded, with all that are open and the newest that
    was met."""
    small = facts(("2013-02-01", "2013-02-02 04:40"))
    small.look("src", at("2013-07-01 08:00"))
    settled(store, small, SEVEN, "2013-06-30 08:00")
    with store.read() as tx:
        result = evaluate_status(SEVEN, StoredFacts(tx), at("2013-07-01 08:00")).consumers[0]
    assert (result.since_us, result.data_through, len(result.backlog)) == (
        at("2013-02-03 07:00"),
        "2013-02-01",
        148,
    )


def test_promises_are_kept_as_text_that_can_be_read_without_us(store: Store) -> None:
    with store.write(None) as tx:
        apply_promises(tx, None, SEVEN, 100)
        (terms,) = tx.execute("select terms from promise").fetchone()
    assert msgspec.json.decode(terms) == {
        "reads": ["a"],
        "per": "day",
        "timezone": "America/New_York",
        "due": "07:00",
        "max_age": None,
        "no_data": [],
    }
