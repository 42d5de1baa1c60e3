"""What is taken from the past, what is left out, and how durations follow from it."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from advisor_lab import DAY, FIRST, Past, coming, fan, node, report, spread
from runlab import Lab

from headrace.model.intervals import DAY_US, bounds_us, to_us
from headrace.scheduler import Graph
from headrace.store.queries import deliveries
from headrace_advisor.analysis.backtest import backtest
from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.durations import duration_model
from headrace_advisor.analysis.history import (
    BACKFILL,
    CATCHING_UP,
    HELD,
    INITIAL,
    FailedTry,
    PastComputation,
    past_of,
)
from headrace_advisor.analysis.simulation import Simulation, Variant
from headrace_advisor.queries import past_work
from headrace_advisor.queries.past_work import PastAttempt, PastDelivery

SECOND_US = 1_000_000
assert DAY.grain is not None
GRAIN = DAY.grain
NOW_US = bounds_us("2026-03-08", GRAIN, "UTC")[1] + 7_200 * SECOND_US


def end_of(key: str) -> int:
    return bounds_us(key, GRAIN, "UTC")[1]


def attempt(
    key: str, state: str = "published", *, seconds: float = 10.0, after: int = 0, **more: object
) -> PastAttempt:
    began = end_of(key) + after * SECOND_US
    fields = {"rows_out": 1, "failure": "", "backfill": False, **more}
    return PastAttempt(
        (key,),
        state,
        began,
        began + int(seconds * SECOND_US),
        seconds,
        **fields,  # type: ignore[arg-type]
    )


def came(key: str, *, after: int = 0, observed: int | None = None, began: int = 0) -> PastDelivery:
    """A delivery, with seconds after the end of its interval."""
    arrived = end_of(key) + after * SECOND_US
    seen = arrived if observed is None else end_of(key) + observed * SECOND_US
    return PastDelivery(key, 10, seen, began, arrived)


def test_only_ordinary_work_counts() -> None:
    """Would catch: durations of backfills, of corrections and of work that waited for a person."""
    attempts = [
        attempt("2026-03-02", seconds=10),
        attempt("2026-03-02", seconds=99, after=500),
        attempt("2026-03-03", "failed", seconds=2, failure="transient"),
        attempt("2026-03-03", seconds=11, after=60),
        attempt("2026-03-04", "held"),
        attempt("2026-03-04", seconds=98, after=5000),
        attempt("2026-03-05", seconds=97, backfill=True),
        attempt("2026-02-01", seconds=96, after=30 * 86_400),
        attempt("2026-03-06", "failed", failure="deterministic"),
        attempt("2026-03-06", seconds=95, after=9000),
    ]
    past = past_of(node("a", "source"), attempts, [], "UTC", now_us=NOW_US)
    assert [(item.key, item.seconds) for item in past.computations] == [
        ("2026-03-02", 10),
        ("2026-03-03", 11),
    ]
    assert past.computations[1].failed == (FailedTry(2, "transient"),)
    assert past.left_out == {BACKFILL: 1, HELD: 2, CATCHING_UP: 1}


def test_first_observation_and_corrections_are_no_arrivals() -> None:
    """Would catch: files that lay there before Headrace came, taken for the vendor's habit."""
    first = end_of("2026-03-05")
    delivered = [
        PastDelivery("2026-03-01", 10, first, first, first),
        PastDelivery("2026-03-02", 10, first, first, first),
        came("2026-03-06", after=7),
        came("2026-03-06", after=999),
    ]
    past = past_of(node("source"), [], delivered, "UTC", first, now_us=NOW_US)
    assert [(item.key, item.offset_us) for item in past.arrivals] == [("2026-03-06", 7 * SECOND_US)]
    assert past.left_out == {INITIAL: 2}


def test_a_day_that_was_held_came_when_it_was_mended() -> None:
    """Would catch: "in time 98.2 %" of days one in fifteen of which waited for the vendor or for a
    decision; a correction of a published day taken for that; a day that was dropped as mended; one
    that was tried again before it was held, as in time."""
    days = [f"2026-03-0{n}" for n in range(2, 9)]
    attempts = [
        attempt(days[0]),
        attempt(days[1], "held"),
        attempt(days[1], "published", after=5000, backfill=True),
        attempt(days[2], "rejected"),
        attempt(days[3]),
        attempt(days[3], "held", after=7000),
        attempt(days[3], after=9000),
        attempt(days[4], "failed", failure="transient"),
        attempt(days[4], after=60),
        attempt(days[5], "rejected"),
        attempt(days[6], "failed", failure="transient"),
        attempt(days[6], "held", after=60),
    ]
    began = {days[0]: 0, days[1]: 5000, days[3]: 0, days[4]: 60, days[5]: 8000, days[6]: 8000}
    delivered = [
        came(day, began=end_of(day) + began[day] * SECOND_US if day in began else 0) for day in days
    ]
    past = past_of(node("source"), attempts, delivered, "UTC", 0, now_us=NOW_US)
    offsets = {item.key: item.offset_us // SECOND_US for item in past.arrivals}
    mended = {days[1]: 5000, days[5]: 8000, days[6]: 8000}
    assert offsets == {day: mended.get(day, 0) for day in days} | {
        days[2]: (NOW_US - end_of(days[2])) // SECOND_US
    }
    assert not past.left_out


def test_days_that_never_came_or_days_later_count_as_late() -> None:
    """Would catch: "in time 100.0 %" of a vendor whose files come a week late or not at all; days
    on which Headrace didn't look, as the vendor's; a day that was held and dropped, as in time."""
    days = [f"2026-03-{n:02}" for n in range(2, 31)]
    late, unseen, never, dropped = days[5], days[8], days[11], days[14]
    now = end_of(days[-1]) + 3600 * SECOND_US
    delivered = [
        came(days[0]),
        *(came(day) for day in days[1:-2] if day not in (late, unseen, never)),
        came(unseen, observed=6 * 86_400),
        came(late, after=7 * 86_400),
    ]
    attempts = [attempt(dropped, "held"), *(attempt(day) for day in days[1:-2] if day != dropped)]
    past = past_of(node("source"), attempts, delivered, "UTC", end_of(days[0]), now_us=now)
    overdue = {item.key: item.offset_us // SECOND_US for item in past.arrivals if item.overdue}
    assert overdue == {
        late: 7 * 86_400,
        never: (now - end_of(never)) // SECOND_US,
        dropped: (now - end_of(dropped)) // SECOND_US,
    }, "the newest two may still come"
    assert past.left_out == {INITIAL: 1, CATCHING_UP: 1}
    assert {item.key for item in past.arrivals} == {*days[1:-2]} - {unseen}


def test_a_day_that_never_came_is_drawn_without_work() -> None:
    """Would catch: a day of which nothing is known but that nothing came, left out of samples."""
    past = Past(fan(2), lambda *_: 60.0)
    history = past.history()
    kept = {
        name: msgspec.structs.replace(
            item,
            computations=tuple(one for one in item.computations if one.day % 7 != 3),
            arrivals=tuple(
                one._replace(offset_us=50 * DAY_US, overdue=True) if one.day % 7 == 3 else one
                for one in item.arrivals
            ),
        )
        for name, item in history.nodes.items()
    }
    simulation = Simulation(
        msgspec.structs.replace(history, nodes=kept), past.graph, coming(past, 14), 1
    )
    (result,) = simulation.run([Variant(past.graph, 2, [report("last")], Changes())], 5)
    assert result.consumers["report"].kept == pytest.approx(6 / 7)


def test_a_rejected_day_that_was_accepted_came_then(tmp_path: Path) -> None:
    """Would catch: its delivery counted as in time, because its attempt stays rejected."""
    lab = Lab(tmp_path)
    source = lab.root / "sources/orders.yaml"
    source.write_text(source.read_text() + "checks: [{range: {column: amount, max: 50}}]\n")
    lab.write("consumers.yaml", "[]\n")
    for day, amount in (("09", "1.50"), ("10", "99.50"), ("11", "1.50")):
        lab.now = lab.now.replace(day=int(day) + 1, hour=3)
        lab.orders(f"2025-01-{day}", amount=amount)
        lab.tick()
        if amount == "99.50":
            words = ("--reason", "the vendor confirmed it", "--now", "2025-01-11T14:30+00:00")
            lab.headrace("quarantine", "accept", "orders@2025-01-10", *words)
    with closing(lab.session()) as session, session.store.read() as tx:  # type: ignore[union-attr]
        first = deliveries.first_observation(tx, "orders")
        assert first is not None
        past = past_of(
            node("orders"),
            past_work.attempts_since(tx, "orders", 0),
            past_work.deliveries_since(tx, "orders", 0),
            "UTC",
            first[0],
            now_us=to_us(lab.now),
        )
    hours = {item.key: item.offset_us // (3600 * SECOND_US) for item in past.arrivals}
    assert hours == {"2025-01-10": 14, "2025-01-11": 3}
    assert past.left_out == {INITIAL: 1}


def computations(seconds: list[float]) -> list[PastComputation]:
    first = FIRST.toordinal()
    return [
        PastComputation("", first + place, "", value, (), place, place)
        for place, value in enumerate(seconds)
    ]


def test_the_effect_of_the_volume_is_measured() -> None:
    """Would catch: a power that isn't the one by which durations grew."""
    draw = random.Random(5)
    volumes = {FIRST.toordinal() + day: draw.lognormvariate(15, 0.6) for day in range(60)}
    model = duration_model(
        computations([volume**0.7 * draw.lognormvariate(0, 0.1) for volume in volumes.values()]),
        volumes,
    )
    assert model is not None
    assert model.known_power
    assert model.power == pytest.approx(0.7, abs=0.1)


def test_an_unknown_effect_is_said_to_be_unknown() -> None:
    """Would catch: an effect that is read out of volumes that never varied."""
    model = duration_model(computations([10.0] * 30), dict.fromkeys(range(10**6), 5.0))
    assert model is not None
    assert not model.known_power


def test_yesterdays_level_counts() -> None:
    """Would catch: an asset that became slow and is forecast at its former speed."""
    draw = random.Random(5)
    values = [100 * draw.lognormvariate(0, 0.1) for _ in range(50)]
    values += [300 * draw.lognormvariate(0, 0.1) for _ in range(10)]
    model = duration_model(computations(values), {})
    assert model is not None
    day = FIRST.toordinal() + 60
    forecast = sorted(model.seconds(index, day) for index in range(60))
    assert forecast[30] == pytest.approx(300, rel=0.15)


def test_forecasts_of_the_past_are_better_than_last_week() -> None:
    """Would catch: a forecast that doesn't use the volume that is known when data is ready."""

    def volume(day: int) -> float:
        return 1e6 * spread(3, 0.5)("v", day)

    noise = spread(4, 0.1)
    past = Past(
        fan(4),
        lambda name, day: 300 * (volume(day) / 1e6) * noise(name, day),
        days=50,
        volume=volume,
    )
    result = backtest(past.history(), past.graph, [report("last")], past.workers, seed=1)
    assert result is not None
    assert result.naive_error is not None
    assert result.median_error < 0.25
    assert result.median_error < result.naive_error / 2


def test_too_little_past_is_no_test() -> None:
    """Would catch: errors that are computed from a day or two."""
    past = Past(Graph((node("source"), node("last", "source"))), lambda *_: 60.0, days=6)
    assert backtest(past.history(), past.graph, [report("last")], 2, seed=1) is None
