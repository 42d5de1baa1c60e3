"""The store's clock: live or replay, fixed once, never backwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from headrace.model import Refused, UsageError
from headrace.store import Clock, ClockKind, Store, clock

T = datetime(2013, 2, 14, 12, 20, tzinfo=UTC)
T_US = 1_360_844_400_000_000
SECOND = 1_000_000


class Hands:
    """Real time as a test sets it."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000 * SECOND
        self.elapsed = 0

    def wall_us(self) -> int:
        return self.wall

    def elapsed_us(self) -> int:
        return self.elapsed


def writing(store: Store, now: datetime | None, hands: Hands) -> Clock:
    with store.write(None) as tx:
        return Clock.for_writing(tx, now, real=hands)


def reading(store: Store, now: datetime | None, hands: Hands) -> Clock:
    with store.read() as tx:
        return Clock.for_reading(tx, now, real=hands)


def mark(store: Store, clock: Clock) -> int:
    with store.write(None) as tx:
        return clock.mark(tx)


def test_a_live_clock_is_the_wall_clock_and_never_goes_back(store: Store) -> None:
    hands = Hands()
    clock = writing(store, None, hands)
    assert (clock.kind, clock.now_us()) == (ClockKind.LIVE, hands.wall)
    written = mark(store, clock)
    hands.wall -= 3600 * SECOND  # set back
    assert clock.now_us() == written
    assert writing(store, None, hands).now_us() == written  # another process
    assert reading(store, None, hands).now_us() == written


def test_the_first_writing_command_decides_and_a_live_store_refuses_now(store: Store) -> None:
    hands = Hands()
    writing(store, None, hands)
    with pytest.raises(Refused) as caught:
        writing(store, T, hands)
    assert caught.value.exit_code == 3
    assert reading(store, T, hands).now_us() == T_US  # only looking is harmless


def test_a_replay_moves_by_now_and_by_work(store: Store) -> None:
    hands = Hands()
    clock = writing(store, T, hands)
    assert (clock.kind, clock.now_us(), clock.now()) == (ClockKind.REPLAY, T_US, T)
    hands.wall += 999 * SECOND  # the wall clock means nothing
    hands.elapsed += 2 * SECOND
    assert mark(store, clock) == T_US + 2 * SECOND
    later = writing(store, None, hands)
    assert (later.kind, later.now_us()) == (ClockKind.REPLAY, T_US + 2 * SECOND)


def test_a_replay_that_rests_counts_only_the_seconds_of_work(store: Store) -> None:
    """Would catch: a clock that moves by the time that somebody waited, or that jumps when it goes
    on."""
    hands = Hands()
    clock = writing(store, T, hands)
    hands.elapsed += 2 * SECOND
    for _ in range(2):
        clock.rest()
    hands.elapsed += 3600 * SECOND
    assert mark(store, clock) == T_US + 2 * SECOND
    for _ in range(2):
        clock.go_on()
    hands.elapsed += 3 * SECOND
    assert mark(store, clock) == T_US + 5 * SECOND


def test_an_advanced_clock_that_rests_goes_on_from_there(store: Store) -> None:
    """Would catch: a `--now` that a server is asked for and that its rest forgets."""
    hands = Hands()
    clock = writing(store, T, hands)
    clock.rest()
    with store.write(None) as tx:
        clock.advance(tx, T + timedelta(hours=1))
    hands.elapsed += SECOND
    assert clock.now_us() == T_US + 3600 * SECOND
    clock.go_on()
    hands.elapsed += SECOND
    assert clock.now_us() == T_US + 3601 * SECOND


def test_a_live_clock_does_not_rest(store: Store) -> None:
    """Would catch: a server that writes when it began to wait instead of when something
    happened.
    """
    hands = Hands()
    clock = writing(store, None, hands)
    clock.rest()
    hands.wall += 10 * SECOND
    assert clock.now_us() == hands.wall


def test_the_same_now_again_is_not_earlier(store: Store) -> None:
    """After work of two seconds a second `tick --now T` would be refused, or write before what is
    written."""
    hands = Hands()
    clock = writing(store, T, hands)
    hands.elapsed += 2 * SECOND
    written = mark(store, clock)
    assert writing(store, T, hands).now_us() == written
    assert writing(store, T + timedelta(seconds=1), hands).now_us() == written
    assert writing(store, T + timedelta(seconds=60), hands).now_us() == T_US + 60 * SECOND


def test_an_earlier_now_is_wrong_use(store: Store) -> None:
    hands = Hands()
    writing(store, T, hands)
    for attempt in (writing, reading):
        with pytest.raises(UsageError, match="earlier") as caught:
            attempt(store, T - timedelta(microseconds=1), hands)
        assert caught.value.exit_code == 2


def test_a_refused_now_changes_nothing(store: Store) -> None:
    hands = Hands()
    writing(store, T, hands)
    with pytest.raises(UsageError):
        writing(store, T - timedelta(days=1), hands)
    assert writing(store, None, hands).now_us() == T_US


def test_reading_a_replay_stands_still_and_writes_nothing(store: Store) -> None:
    hands = Hands()
    writing(store, T, hands)
    clock = reading(store, None, hands)
    hands.elapsed += 100 * SECOND
    assert clock.now_us() == T_US
    ahead = reading(store, T + timedelta(days=1), hands)
    assert ahead.now_us() == T_US + 86_400 * SECOND
    assert reading(store, None, hands).now_us() == T_US


def test_advancing_within_a_command_is_like_another_now(store: Store) -> None:
    hands = Hands()
    clock = writing(store, T, hands)
    hands.elapsed += 5 * SECOND
    with store.write(None) as tx:
        clock.advance(tx, T + timedelta(hours=1))
    assert clock.now_us() == T_US + 3600 * SECOND
    with store.write(None) as tx, pytest.raises(UsageError):
        clock.advance(tx, T)
    with pytest.raises(UsageError):
        writing(store, T + timedelta(minutes=30), hands)


def test_advancing_never_goes_back_behind_the_work(store: Store) -> None:
    hands = Hands()
    clock = writing(store, T, hands)
    hands.elapsed += 10 * SECOND
    told = clock.now_us()
    with store.write(None) as tx:
        clock.advance(tx, T + timedelta(seconds=3))
    assert clock.now_us() == told


def test_a_live_clock_can_not_be_moved(store: Store) -> None:
    clock = writing(store, None, Hands())
    with store.write(None) as tx, pytest.raises(Refused):
        clock.advance(tx, T)


@pytest.mark.parametrize("use", [writing, reading])
def test_a_naive_now_is_a_defect(
    store: Store, use: Callable[[Store, datetime, Hands], Clock]
) -> None:
    with pytest.raises(TypeError):
        use(store, datetime(2013, 2, 14), Hands())  # noqa: DTZ001


def test_the_machines_time_is_in_microseconds() -> None:
    """Would catch: a replay whose clock runs a thousand times too fast, or too slowly."""
    machine = clock.Machine()
    for measured, of_system in (
        (machine.wall_us, time.time_ns),
        (machine.elapsed_us, time.monotonic_ns),
    ):
        before = of_system() // 1000
        result = measured()
        assert before <= result <= of_system() // 1000


def test_a_clock_without_another_one_follows_the_machine(store: Store) -> None:
    """Would catch: a replay that stands still while work is done; times of a live state that
    aren't real."""
    before = time.time_ns() // 1000
    with store.write(None) as tx:
        live = Clock.for_writing(tx, None)
        assert clock.last_written(tx) >= before
    assert before <= live.now_us() <= time.time_ns() // 1000
    with store.write(None) as tx:
        tx.execute("delete from meta")
        assert clock.last_written(tx) == 0
        began = time.monotonic_ns() // 1000
        replay = Clock.for_writing(tx, T)
        took = replay.now_us() - T_US
        assert 0 <= took <= time.monotonic_ns() // 1000 - began
        replay.rest()
        assert replay.now() == clock.instant(replay.now_us()) >= T
