"""How consumers were served over random histories, against a recomputation hour by hour that shares
no code with `headrace.slo`.

All that happens, happens on the full hour, so that a state holds for an hour at least; only what is
known of a source that was looked at once ends ten minutes later. The moments asked are the full
hour, five minutes and half an hour after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_facts import SmallFacts, consumer, declare, node
from stored_facts import write_facts

from headrace.model import Grain, Settings
from headrace.slo.availability import score
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.freshness import known_until
from headrace.slo.obligation_records import apply_promises, settle_obligations
from headrace.slo.obligations import EvaluationContext
from headrace.slo.service_history import Gathering
from headrace.slo.status import evaluate_in_context
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.timeline import ServiceHistory, timeline
from headrace.slo.unsound import all_of_all
from headrace.slo.wrong_periods import Wrongness
from headrace.store import Store, Transaction
from headrace.store.queries import availability as stored

FIRST = date(2013, 1, 1)
WINDOW_HOURS = 8 * 24
ASSETS = ("one", "two")
NODES = [
    node("src", Grain.DAY, source=True, timezone="UTC"),
    *(node(name, Grain.DAY, "src", timezone="UTC") for name in ASSETS),
]
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def us(hours: float) -> int:
    return int(
        (datetime.combine(FIRST, time(), UTC) + timedelta(hours=hours)).timestamp() * 1_000_000
    )


@dataclass
class History:
    """All times are hours after the first day's start. `published`: (asset, day) → when and with
    how many rows; `taken_back`: (asset, day) → from when until when; `waived`: day → when; `wrong`:
    (asset, day) → since when that is known, and when it was replaced."""

    published: dict[tuple[str, int], tuple[int, int]]
    taken_back: dict[tuple[str, int], tuple[int, int | None]]
    waived: dict[int, int]
    wrong: dict[tuple[str, int], tuple[int, int | None]]
    observations: list[int]
    settled_at: list[int]
    now: int
    due_hours: int
    by_age: bool

    def due(self, day: int) -> int:
        return day * 24 + self.due_hours if self.by_age else (day + 1) * 24 + self.due_hours

    def readable(self, asset: str, day: int, at: float) -> bool:
        if (asset, day) not in self.published or self.published[asset, day][0] > at:
            return False
        began, ended = self.taken_back.get((asset, day), (10**9, None))
        return not (began <= at and (ended is None or at < ended))

    def met(self, day: int, at: float) -> bool:
        return (
            all(self.readable(asset, day, at) for asset in ASSETS)
            or self.waived.get(day, 10**9) <= at
        )

    def late(self, at: float) -> bool:
        due = [day for day in range(60) if self.due(day) <= at]
        missing = any(not self.met(day, at) for day in due)
        return missing or (self.by_age and self.too_old(at))

    def too_old(self, at: float) -> bool:
        """The newest day with rows before any hole, and its age."""
        newest = -1
        for day in range(60):
            if not self.met(day, at):
                break
            if all(self.published.get((asset, day), (0, 0))[1] for asset in ASSETS):
                newest = day
        return at >= (newest + 1) * 24 + self.due_hours

    def blind(self, at: float) -> bool:
        known = [look for look in self.observations if look <= at]
        if not known:
            return at >= self.now
        gaps = sorted(later - earlier for earlier, later in itertools.pairwise(known))
        newest = sorted(later - earlier for earlier, later in itertools.pairwise(known[-21:]))
        if len(gaps) < 5 or known[-1] - known[0] < 96:
            return at > known[-1] + 26
        middle = len(newest) // 2
        median = newest[middle] if len(newest) % 2 else (newest[middle - 1] + newest[middle]) / 2
        return at > known[-1] + max(2 * median, 1.1 * gaps[-3], 1 / 6)

    def never(self, at: float) -> bool:
        """Before the first publication of one of its reads; and since all of one was taken back
        that still is."""
        return any(
            not any(place[0] == asset and hour <= at for place, (hour, _) in self.published.items())
            or self.gone(asset, at)
            for asset in ASSETS
        )

    def gone(self, asset: str, at: float) -> bool:
        if any(self.readable(asset, day, self.now) for day in range(60)):
            return False
        return all(hour <= at for place, (hour, _) in self.taken_back.items() if place[0] == asset)

    def unsound(self, at: float, *, then: bool) -> bool:
        return any(
            (max(self.published[place][0], known) if then else self.published[place][0])
            <= at
            < (10**9 if fixed is None else fixed)
            for place, (known, fixed) in self.wrong.items()
        )

    def state(self, at: float, *, then: bool = False) -> str:
        if self.blind(at):
            return "unknown"
        if self.never(at):
            return "never"
        if self.unsound(at, then=then):
            return "wrong"
        return "late" if self.late(at) else "served"

    def counts_from(self) -> int | None:
        """The first deadline since the promise was made, at the very start."""
        return next((self.due(day) for day in range(60) if 0 <= self.due(day) <= self.now), None)


@st.composite
def histories(draw: st.DrawFn) -> History:
    days = draw(st.integers(1, 9))
    published, taken_back = {}, {}
    for day in range(days):
        for asset in ASSETS:
            lag = draw(st.none() | st.integers(0, 60))
            if lag is not None:
                published[asset, day] = (
                    (day + 1) * 24 + lag,
                    draw(st.sampled_from([0, 10, 10, 10])),
                )
    now = draw(st.integers(30, days * 24 + 120))
    due_hours, by_age = draw(st.integers(1, 60)), draw(st.booleans())
    for place in (
        draw(st.lists(st.sampled_from(sorted(published)), max_size=2, unique=True))
        if published
        else []
    ):
        began = published[place][0] + draw(st.integers(1, 40))
        ended = draw(st.none() | st.integers(1, 40))
        if began <= now:
            taken_back[place] = (
                began,
                began + ended if ended is not None and began + ended <= now else None,
            )
    observations = sorted(draw(st.lists(st.integers(0, now), max_size=30, unique=True)))
    wrong = {}
    for place in (
        draw(st.lists(st.sampled_from(sorted(published)), max_size=2, unique=True))
        if published
        else []
    ):
        known = published[place][0] + draw(st.integers(0, 60))
        fixed = draw(st.none() | st.integers(1, 60))
        if known <= now and place not in taken_back:
            wrong[place] = (
                known,
                known + fixed if fixed is not None and known + fixed <= now else None,
            )
    history = History(published, taken_back, {}, wrong, observations, [], now, due_hours, by_age)
    for day in draw(st.lists(st.integers(0, days), max_size=2, unique=True)):
        at = history.due(day) + draw(st.integers(0, 50))
        if at <= now and not all((asset, day) in published for asset in ASSETS):
            history.waived[day] = at
    steps = set(draw(st.lists(st.integers(1, now), max_size=6)))
    ended = (
        {at for at, _ in published.values() if at <= now} if taken_back else set()
    )  # each run settles what it published
    history.settled_at = sorted(steps | ended | set(history.waived.values()))
    return history


def write_history(tx: Transaction, history: History, hours: int, *, before: bool = False) -> None:
    """What was known at that time; or `before` what is taken back then was."""
    facts = SmallFacts(delivered={"src": FIRST.isoformat()})
    for (asset, day), (at, rows) in sorted(history.published.items(), key=lambda item: item[1]):
        if at <= hours:
            facts.publish(asset, str(FIRST + timedelta(day)), us(at), rows=rows)
            for replaced in (history.taken_back, history.wrong):
                _, again = replaced.get((asset, day), (None, None))
                if again is not None and again <= hours:
                    facts.publish(asset, str(FIRST + timedelta(day)), us(again), rows=rows)
    write_facts(tx, facts)
    tx.execute("delete from withdrawal")
    for (asset, day), (at, again) in history.taken_back.items():
        if at < hours or (at == hours and not before):
            take_back(
                tx, asset, str(FIRST + timedelta(day)), us(at), still=again is None or again > hours
            )
    tx.execute("delete from unsound")
    tx.execute("delete from incident")
    for number, ((asset, day), (known, _)) in enumerate(history.wrong.items(), start=1):
        if known <= hours:
            name(tx, number, asset, str(FIRST + timedelta(day)), us(known))
    tx.execute("delete from look_gap")
    for look in history.observations:
        if look <= hours:
            stored.note_gap(tx, "src", us(look), known_until)
            tx.execute(
                "insert into look (source, at, found) values ('src', ?, 0) on conflict do nothing",
                (us(look),),
            )


def name(tx: Transaction, number: int, asset: str, key: str, known: int) -> None:
    """An incident names the first publication of a partition as wrong."""
    tx.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, updated_at) values (?, 'open', 'reported', ?,"
        " '', '', 'wrong', '1', '[]', '{}', ?, ?, ?)",
        (number, asset, known, known, known),
    )
    tx.execute(
        "insert into unsound (incident_id, publication_id, columns, known_at)"
        " select ?, min(id), '[]', ? from publication where node = ? and partition = ?",
        (number, known, asset, key),
    )


def take_back(tx: Transaction, asset: str, key: str, at: int, *, still: bool) -> None:
    tx.execute("insert into withdrawal (node, partition, at) values (?, ?, ?)", (asset, key, at))
    if still:
        where = "where node = ? and partition = ?"
        tx.execute(
            f"update publication set ended_snapshot = 1000, ended_at = ? {where} and ended_snapshot"
            " is null",
            (at, asset, key),
        )
        tx.execute(
            f"update partition set state = 'withdrawn', publication_id = null, since = ? {where}",
            (at, asset, key),
        )


def told(store: Store, history: History) -> tuple[ServiceHistory, ConsumerStatus]:
    """What the store says at the end, after it was settled on the way."""
    terms = (
        {"max_age": f"{history.due_hours}h"}
        if history.by_age
        else {"due": f"+{history.due_hours}h"}
    )
    declared = declare(NODES, consumer("c", *ASSETS, zone="UTC", **terms))
    with store.write(None) as tx:
        for table in ("obligation", "promise"):
            tx.execute(f"delete from {table}")
        apply_promises(tx, None, declared, us(0))
    for hours in sorted(
        {*history.settled_at, *(at for at, _ in history.taken_back.values()), history.now}
    ):
        with store.write(None) as tx:
            write_history(tx, history, hours, before=True)
            settle_obligations(
                tx, EvaluationContext(declared, StoredFacts(tx)), us(hours)
            )  # as `withdraw` does before it takes anything back
        with store.write(None) as tx:
            write_history(tx, history, hours)
            settle_obligations(tx, EvaluationContext(declared, StoredFacts(tx)), us(hours))
            for day, at in history.waived.items():
                if at == hours:
                    tx.execute(
                        "update obligation set waived_at = ? where interval = ?",
                        (us(at), str(FIRST + timedelta(day))),
                    )
    with store.read() as tx:
        context, window = (
            EvaluationContext(declared, StoredFacts(tx)),
            (us(history.now - WINDOW_HOURS), us(history.now)),
        )
        wrongness = Wrongness(tx, context, all_of_all, *window)
        [status] = evaluate_in_context(context, us(history.now), wrongness.now()).consumers
        gathering = Gathering(tx, context, wrongness, lambda owner, actor: owner == actor, *window)
        return gathering.past(declared.consumers[0], status.obligations), status


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("state"), Settings(name="t"), create=True) as result:
        yield result


@pytest.mark.long
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories())
def test_every_moment_is_as_a_recomputation_says(history: History, store: Store) -> None:
    """Would catch a state that lasts too long or too short, a moment that is counted twice or not
    at all, a timeline whose last state isn't what `status` says, and minutes that are lost on the
    way from states to figures."""
    past, status = told(store, history)
    began, now = us(history.now - WINDOW_HOURS), us(history.now)
    spans = timeline(past, began, now + 1)
    first = history.counts_from()
    assert (not spans) is (first is None)
    assert all(item.until_us == two.from_us for item, two in itertools.pairwise(spans))
    if first is None:
        assert score(past, began, now).counted_us == 0
        return
    assert (spans[0].from_us, spans[-1].until_us) == (max(began, us(first)), now + 1)
    asked = [
        hour + part
        for hour in range(max(first, history.now - WINDOW_HOURS), history.now)
        for part in (0.0, 1 / 12, 0.5)
    ]
    for at in asked:
        result = next(span.state for span in spans if span.from_us <= us(at) < span.until_us)
        assert (at, result.value) == (at, history.state(at))
    assert spans[-1].state.value == ("served" if status.state == "at_risk" else status.state)
    figures_agree(history, past, first)


def served_minutes(history: History, hours: range, *, then: bool) -> int:
    states = [
        (history.state(at + 0.5, then=then), history.state(at + 1 / 12, then=then)) for at in hours
    ]
    return sum(60 if half == "served" else 10 if five == "served" else 0 for half, five in states)


def figures_agree(history: History, past: ServiceHistory, first: int) -> None:
    """Hour by hour: one that begins known and isn't any more after ten minutes holds
    ten minutes.
    """
    began = history.now - WINDOW_HOURS
    result = score(past, us(began), us(history.now))
    hours = range(max(began, first), history.now)
    assert result.counted_us == len(hours) * HOUR_US
    served, claimed = (served_minutes(history, hours, then=then) for then in (False, True))
    assert abs(result.served_us - served * MINUTE_US) <= len(
        history.observations
    )  # what is known is known for a microsecond longer
    assert abs(result.claimed_us - claimed * MINUTE_US) <= len(history.observations)
    assert abs(result.corrected_us - (claimed - served) * MINUTE_US) <= len(history.observations)
    due = [
        day
        for day in range(60)
        if began < history.due(day) <= history.now and history.due(day) >= 0
    ]
    both = [day for day in due if all((asset, day) in history.published for asset in ASSETS)]
    kept = [
        day
        for day in both
        if max(sound_from(history, asset, day) for asset in ASSETS) <= history.due(day)
    ]
    assert result.promised == len(due)
    if not history.taken_back:  # of what is taken back before it was due nothing is written down
        assert result.met == len(kept)


def sound_from(history: History, asset: str, day: int) -> int:
    """When there first was something sound to be read; never, where it is wrong still."""
    _, fixed = history.wrong.get((asset, day), (0, history.published[asset, day][0]))
    return 10**9 if fixed is None else fixed
