"""Random histories: what is judged, in small steps and from what was written down, against a slow
recomputation.

The recomputation shares no code with `headrace.slo`: days are dates, deadlines are added by hand,
and since when a state holds is found by asking every moment at which anything happened.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_facts import SmallFacts, consumer, declare, evaluate_status, node
from stored_facts import write_facts

from headrace.model import Grain, Settings
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.obligation_records import apply_promises, settle_obligations
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store import Store

FIRST = date(2013, 1, 1)
HOUR = 3_600_000_000
NODES = [
    node("src", Grain.DAY, source=True, timezone="UTC"),
    node("one", Grain.DAY, "src", timezone="UTC"),
    node("two", Grain.DAY, "src", timezone="UTC"),
]


def us(day: date, hours: float = 0) -> int:
    return int(
        (datetime.combine(day, time(), UTC) + timedelta(hours=hours)).timestamp() * 1_000_000
    )


@dataclass
class History:
    """Hours after the first day's start at which (asset, day number) was first published; never
    where it isn't in there.
    """

    published: dict[tuple[str, int], int]
    now_hours: int
    due_hours: int
    """After the day's end; under max_age the age."""
    by_age: bool
    settled_at: list[int]

    def met(self, day: int) -> int | None:
        both = [self.published.get((asset, day)) for asset in ("one", "two")]
        times = [hours for hours in both if hours is not None and hours <= self.now_hours]
        return max(times) if len(times) == 2 else None

    def due(self, day: int) -> int:
        return day * 24 + self.due_hours if self.by_age else (day + 1) * 24 + self.due_hours

    def late(self, at: int) -> bool:
        due = [day for day in range(400) if self.due(day) <= at and day * 24 <= self.now_hours]
        return any((met := self.met(day)) is None or met > at for day in due)

    def began(self, at: int) -> bool:
        """Whether its first interval was met, or due, by then; while none is due, any
        that was met.
        """
        days = range(400) if self.due(0) > self.now_hours else range(1)
        return self.due(0) <= at or any(
            met <= at for day in days if (met := self.met(day)) is not None
        )

    def never(self) -> bool:
        """Whether one of the assets was never published."""
        return {asset for (asset, _), at in self.published.items() if at <= self.now_hours} != {
            "one",
            "two",
        }

    def since(self) -> int | None:
        """The earliest moment from which the state hasn't changed; None where none was met, and
        none is due.
        """
        if not self.began(self.now_hours):
            return None
        moments = {self.due(day) for day in range(40)} | {
            met for day in range(40) if (met := self.met(day)) is not None
        }
        state = self.late(self.now_hours)
        result = self.now_hours
        for at in sorted((at for at in moments if at <= self.now_hours), reverse=True):
            if self.late(at) != state or not self.began(at):
                break
            result = at
        return result


@st.composite
def histories(draw: st.DrawFn) -> History:
    days = draw(st.integers(1, 8))
    published = {}
    for day in range(days):
        for asset in ("one", "two"):
            lag = draw(st.none() | st.integers(0, 80))
            if lag is not None:
                published[asset, day] = (day + 1) * 24 + lag
    now = draw(st.integers(25, days * 24 + 120))
    return History(
        published,
        now,
        draw(st.integers(1, 60)),
        draw(st.booleans()),
        sorted(draw(st.lists(st.integers(0, now), max_size=4))),
    )


def world_at(history: History, hours: int) -> SmallFacts:
    """What was known at that time."""
    facts = SmallFacts(delivered={"src": FIRST.isoformat()})
    for (asset, day), at in sorted(history.published.items(), key=lambda item: item[1]):
        if at <= hours:
            facts.publish(asset, str(FIRST + timedelta(day)), us(FIRST, at))
    facts.look("src", us(FIRST, hours))
    return facts


def judged(history: History, store: Store) -> tuple[ConsumerStatus, ConsumerStatus]:
    """The consumer judged from the facts alone, and from a store in which its obligations were
    written down on the way.
    """
    terms = (
        {"max_age": f"{history.due_hours}h"}
        if history.by_age
        else {"due": f"+{history.due_hours}h"}
    )
    declared = declare(NODES, consumer("c", "one", "two", zone="UTC", **terms))
    now = us(FIRST, history.now_hours)
    with store.write(None) as tx:
        apply_promises(tx, None, declared, us(FIRST, 0))
    for hours in (*history.settled_at, history.now_hours):
        with store.write(None) as tx:
            write_facts(tx, world_at(history, hours))
            settle_obligations(tx, EvaluationContext(declared, StoredFacts(tx)), us(FIRST, hours))
            assert (
                settle_obligations(
                    tx, EvaluationContext(declared, StoredFacts(tx)), us(FIRST, hours)
                )
                == 0
            )  # writing it twice changes nothing
    with store.read() as tx:
        stored = evaluate_status(declared, StoredFacts(tx), now)
    pure = evaluate_status(declared, world_at(history, history.now_hours), now)
    return pure.consumers[0], stored.consumers[0]


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_all_ways_to_judge_a_history_agree(history: History) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder), Settings(name="t"), create=True) as store,
    ):
        pure, stored = judged(history, store)
    assert pure == stored
    due = [
        day
        for day in range(400)
        if history.due(day) <= history.now_hours and day * 24 <= history.now_hours
    ]
    unmet = [day for day in due if history.met(day) is None]
    late = history.late(history.now_hours)
    assert ("late" in pure.states, "never" in pure.states) == (late, history.never())
    assert ("served" in pure.states) is not (late or history.never())
    assert pure.due_interval == (str(FIRST + timedelta(due[-1])) if due else None)
    assert pure.backlog == tuple(str(FIRST + timedelta(day)) for day in unmet if day != due[-1])
    if pure.state in ("late", "never"):
        assert pure.missing_besides == max(0, len(unmet) - 1), "the reason is about one"
    if pure.state in ("late", "served"):
        since = history.since()
        assert pure.since_us == (None if since is None else us(FIRST, since))
