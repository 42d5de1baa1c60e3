"""Service of consumers over a window, and observations that are missing from it."""

from __future__ import annotations

from collections.abc import Sequence

from state_kinds import ONLY_SQLITE
from stored_rows import attempt, insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import availability
from headrace.store.queries.availability import (
    Due,
    PastObservation,
    RunCounts,
    Started,
    Waited,
    Weakening,
    Withdrawal,
)
from headrace.store.queries.obligations import Promise, StoredObligation


def _look(tx: Transaction, source: str, *times: int, error: str | None = None) -> None:
    for at in times:
        insert(tx, "look", source=source, at=at, error=error)


# Gaps in observations


def test_a_gap_begins_after_what_is_known(store: Store) -> None:
    """A gap of no length between two observations; one that begins when the source was observed."""
    seen: list[Sequence[int]] = []

    with store.write(None) as tx:
        _look(tx, "other", 90)
        for until in (97, 98, 99, 100):
            _look(tx, f"src {until}", *range(1, 54))

            def known_until(times: Sequence[int], until: int = until) -> int:
                seen.append(times)
                return until

            availability.note_gap(tx, f"src {until}", 100, known_until)
            availability.note_gap(tx, f"src {until}", 100, known_until)
            availability.note_gap(tx, "never", 100, known_until)
        assert seen == [list(range(53, 3, -1))] * 8
        assert availability.observation_gaps(tx, 0) == {
            "src 97": [(98, 100)],
            "src 98": [(99, 100)],
        }


def test_gaps_are_found_by_their_ends(store: Store) -> None:
    with store.write(None) as tx:
        for source, began, ended in (("a", 1, 10), ("a", 20, 30), ("b", 5, 11), ("a", 40, 50)):
            insert(tx, "look_gap", source=source, from_at=began, until_at=ended)
        gaps = availability.observation_gaps(tx, 10)
        assert {source: sorted(item) for source, item in gaps.items()} == {
            "a": [(20, 30), (40, 50)],
            "b": [(5, 11)],
        }
        assert availability.long_observation_gaps(tx, "a", 50) == [(20, 30), (1, 10)]
        assert availability.long_observation_gaps(tx, "a", 51) == [(40, 50), (20, 30), (1, 10)]


def test_observations_and_deliveries_around_a_gap(store: Store) -> None:
    """A delivery that seems to have waited because it was observed when it arrived."""
    with store.write(None) as tx:
        _look(tx, "src", 10, 30)
        _look(tx, "src", 20, error="refused")
        _look(tx, "other", 15)
        assert availability.observations_before(tx, "src", 30) == [
            PastObservation(20, True),
            PastObservation(10, False),
        ]
        for number, (source, arrived, observed) in enumerate(
            [("src", 5, 20), ("src", 25, 25), ("src", 7, 30), ("src", 6, 21), ("b", 1, 40)], start=1
        ):
            insert(
                tx,
                "delivery",
                source=source,
                partition=f"day {number}",
                arrived_at=arrived,
                observed_at=observed,
            )
        assert availability.waited_deliveries(tx, "src", 20) == [
            Waited("day 4", 6, 21),
            Waited("day 3", 7, 30),
        ]


@ONLY_SQLITE
def test_lists_around_a_gap_are_limited(store: Store) -> None:
    """A year's deliveries of every minute in one sentence."""
    with store.write(None) as tx:
        insert(tx, "promise", id=1, consumer="report", terms="{}", from_at=1)
        for number in range(1, 1003):
            times = {"arrived_at": 0, "observed_at": number}
            insert(tx, "delivery", source="src", partition=f"{number}", **times)
            _oblige(tx, f"{number}", number)
        waited = availability.waited_deliveries(tx, "src", 0)
        assert [item.observed_at for item in waited] == list(range(1, 1001))
        due = availability.missed_deadlines(tx, "report", 0, 2000)
        assert [item.due_at for item in due] == list(range(1, 1001))


def test_the_last_activity_is_an_observation_or_an_end(store: Store) -> None:
    """A night without Headrace that counts as observed because a lost attempt ended in it."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        assert availability.last_activity(tx, ["a", "b"], 100) == 0
        _look(tx, "a", 10, 200)
        _look(tx, "b", 20, 100)
        _look(tx, "c", 90)
        assert availability.last_activity(tx, ["a", "b"], 100) == 20
        assert availability.last_activity(tx, ["a"], 100) == 10
        assert availability.last_activity(tx, [], 100) == 0
        attempt(tx, 1, dispatched_at=1, finished_at=40)
        attempt(tx, 2, dispatched_at=1, finished_at=50, state="failed")
        attempt(tx, 3, dispatched_at=1, finished_at=60, state="lost")
        attempt(tx, 4, dispatched_at=100, finished_at=130)
        assert availability.last_activity(tx, ["a", "b"], 100) == 50
        assert availability.last_activity(tx, ["a", "b"], 30) == 30
        attempt(tx, 5, dispatched_at=99, finished_at=100)
        assert availability.last_activity(tx, ["a", "b"], 100) == 100


def test_a_running_attempt_is_activity(store: Store) -> None:
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        attempt(tx, 1, dispatched_at=70, state="running")
        assert availability.last_activity(tx, [], 71) == 71
        assert availability.last_activity(tx, [], 70) == 0


# Promises and obligations


def _oblige(
    tx: Transaction,
    interval: str,
    due: int,
    met: int | None = None,
    waived: int | None = None,
    consumer: str = "report",
) -> StoredObligation:
    insert(
        tx,
        "obligation",
        consumer=consumer,
        interval=interval,
        due_at=due,
        promise_id=1,
        met_at=met,
        waived_at=waived,
    )
    return StoredObligation(consumer, interval, due, 1, met, waived)


def test_promises_are_listed_by_consumer(store: Store) -> None:
    """A promise with the times of its neighbour; one of a removed consumer left out."""
    with store.write(None) as tx:
        for number, consumer, began, ended in (
            (1, "report", 30, None),
            (2, "report", 10, 30),
            (3, "removed", 20, 25),
            (4, "report", 10, 15),
        ):
            insert(
                tx,
                "promise",
                id=number,
                consumer=consumer,
                terms=f'{{"n":{number}}}',
                from_at=began,
                until_at=ended,
                begins_at=began + 1,
            )
        assert availability.all_promises(tx) == {
            "report": [
                Promise(2, "report", {"n": 2}, 10, 30, 11),
                Promise(4, "report", {"n": 4}, 10, 15, 11),
                Promise(1, "report", {"n": 1}, 30, None, 31),
            ],
            "removed": [Promise(3, "removed", {"n": 3}, 20, 25, 21)],
        }


def test_obligations_of_a_window_include_those_that_changed_in_it(store: Store) -> None:
    """An obligation of last month that was met in the window, or is still open, left out of it."""
    with store.write(None) as tx:
        insert(tx, "promise", id=1, consumer="report", terms="{}", from_at=1)
        rows = [
            _oblige(tx, "01 long ago", 10, met=11),
            _oblige(tx, "02 met late", 20, met=100),
            _oblige(tx, "03 waived late", 30, waived=100),
            _oblige(tx, "04 open", 40),
            _oblige(tx, "05 met before", 50, met=99),
            _oblige(tx, "06 newest before", 60, met=61),
            _oblige(tx, "08 due", 100, met=99),
            _oblige(tx, "07 due at once", 100, met=98),
            _oblige(tx, "09 due later", 500),
        ]
        _oblige(tx, "04 open", 40, consumer="other")
        by_deadline = [*rows[:6], rows[7], rows[6], rows[8]]
        for before, expected in (
            (1, [*by_deadline[1:4], *by_deadline[5:]]),
            (2, by_deadline[1:]),
            (99, by_deadline),
        ):
            known = availability.obligations_over(tx, ["report", "other"], 100, before)
            assert (known["report"], len(known["other"])) == (expected, 1)
        for since, first in ((50, 50), (51, 60), (501, None)):
            due = availability.first_due(tx, {"report": since, "other": 1})
            assert due == {"report": first, "other": 40}


def test_missed_deadlines_are_those_of_the_period(store: Store) -> None:
    """A deadline that was met in time, or waived, explained by a gap."""
    with store.write(None) as tx:
        insert(tx, "promise", id=1, consumer="report", terms="{}", from_at=1)
        _oblige(tx, "at the start", 10)
        _oblige(tx, "b", 30, met=50)
        _oblige(tx, "a", 20)
        _oblige(tx, "c", 50, met=60)
        _oblige(tx, "met", 30, met=49)
        _oblige(tx, "waived", 30, waived=100)
        _oblige(tx, "later", 51)
        _oblige(tx, "other", 30, consumer="other")
        assert availability.missed_deadlines(tx, "report", 10, 50) == [
            Due("a", 20),
            Due("b", 30),
            Due("c", 50),
        ]


# Publications


def test_withdrawals_last_until_the_next_publication(store: Store) -> None:
    """A withdrawal that ends with an earlier publication, or that was over before the window."""
    with store.write(None) as tx:
        for number, (node, key, at) in enumerate(
            [("a", "x", 5), ("a", "x", 30), ("a", "x", 40), ("b", "y", 20), ("a", "z", 15)], start=1
        ):
            publication(tx, number, key, node=node, published_at=at, ended_snapshot=9)
        for node, key, at in (("a", "x", 10), ("b", "y", 21), ("a", "z", 15), ("c", "x", 12)):
            insert(tx, "withdrawal", node=node, partition=key, at=at)
        a, b, z = (
            Withdrawal("a", "x", 10, 30),
            Withdrawal("b", "y", 21, None),
            Withdrawal("a", "z", 15, 15),
        )
        assert availability.withdrawals_of(tx, ["a", "b"], 14) == [a, z, b]
        assert availability.withdrawals_of(tx, ["a", "b"], 15) == [a, b]
        assert availability.withdrawals_of(tx, ["a", "b"], 30) == [b]
        assert availability.withdrawals_of(tx, ["a"], 29) == [a]
        assert availability.withdrawals_of(tx, [], 0) == []


def test_times_of_publications(store: Store) -> None:
    """A node that seems to have lost all of its data while a partition is visible; a window that
    begins without what was visible in it."""
    with store.write(None) as tx:
        for number, at, ended in ((1, 20, 35), (2, 10, 45), (3, 30, 40), (4, 30, None)):
            key = f"2025-01-0{number}"
            snapshot = None if ended is None else ended
            publication(tx, number, key, published_at=at, ended_snapshot=snapshot, ended_at=ended)
        publication(tx, 5, "x", node="ended", published_at=7, ended_snapshot=8, ended_at=80)
        publication(tx, 6, "y", node="ended", published_at=8, ended_snapshot=9, ended_at=70)
        first = availability.first_publication(tx, ["orders", "never"])
        assert first == {"orders": 20, "never": None}
        assert availability.last_end(tx, "orders") is None
        assert availability.last_end(tx, "ended") == 80
        assert availability.last_end(tx, "never") is None
        assert availability.publication_times(tx, "orders", 0) == [(10, 10), (20, 20), (30, 30)]
        assert availability.publication_times(tx, "orders", 20) == [(10, 10), (20, 20), (30, 30)]
        assert availability.publication_times(tx, "orders", 21) == [(20, 20), (30, 30)]
        assert availability.publication_times(tx, "orders", 31) == [(30, 30)]
        assert availability.publication_times(tx, "never", 0) == []


def test_empty_partitions_are_visible_and_without_rows(store: Store) -> None:
    with store.write(None) as tx:
        for number, (key, rows, ended) in enumerate(
            [("1", 0, None), ("2", 0, None), ("3", 1, None), ("4", 0, 9), ("5", 0, None)], start=1
        ):
            publication(tx, number, key, rows=rows, ended_snapshot=ended)
        publication(tx, 6, "6", rows=0)
        publication(tx, 7, "3", rows=0, node="other")
        assert availability.empty_keys(tx, "orders", "2", "5") == {"2", "5"}


# Runs


DAY_US = 86_400_000_000


def test_runs_count_as_other_orchestrators_would_count_them(store: Store) -> None:
    """A cancelled run counted as a success; an incomplete run without a failure as a failure; a
    `tick` that found nothing due as a run."""
    with store.write(None) as tx:
        for number, (state, started, cancelled) in enumerate(
            [
                ("succeeded", 11, None),
                ("succeeded", 20, None),
                ("succeeded", 15, 16),
                ("partial", 15, None),
                ("partial", 16, None),
                ("failed", 15, None),
                ("lost", 15, None),
                ("nothing_due", 15, None),
                ("running", 15, None),
                ("succeeded", 10, None),
                ("succeeded", 21, None),
            ],
            start=1,
        ):
            insert(tx, "run", id=number, state=state, started_at=started, cancelled_at=cancelled)
        insert(tx, "run", id=20, kind="tick", state="failed", started_at=15)
        attempt(tx, 1, run_id=4, state="held")
        for n, (run, state) in enumerate(((5, "rejected"), (6, "lost"), (20, "skipped")), start=2):
            attempt(tx, n, run_id=run, state=state)
        expected = [
            RunCounts("run", "cancelled", 1, 0),
            RunCounts("run", "failed", 1, 0),
            RunCounts("run", "lost", 1, 0),
            RunCounts("run", "partial", 2, 1),
            RunCounts("run", "succeeded", 2, 2),
            RunCounts("tick", "failed", 1, 1),
        ]
        assert availability.runs_by_state(tx, 10, 20) == expected
        assert availability.runs_started(tx, 10, 20) == Started(8, 4)
        assert availability.runs_started(tx, 100, 200) == Started(0, 0)


def test_deleted_runs_still_count(store: Store) -> None:
    """An uptime that improves because failed attempts and runs were deleted; a run counted in the
    days around its own."""
    day = 20_000 * DAY_US  # 2024-10-04
    with store.write(None) as tx:
        insert(tx, "run", id=1, state="partial", started_at=day)
        insert(tx, "run", id=2, state="partial", started_at=day + DAY_US - 1)
        insert(tx, "run", id=3, state="running", started_at=day + 5)
        insert(tx, "run", id=4, kind="tick", state="succeeded", started_at=day, cancelled_at=day)
        insert(tx, "run", id=5, state="partial", started_at=day + DAY_US)
        insert(tx, "run", id=6, state="nothing_due", started_at=day)
        for n, (run, state) in enumerate(((1, "failed"), (2, "held"), (3, "failed")), start=1):
            attempt(tx, n, run_id=run, state=state)
        for n in (1, 2, 3, 9):
            availability.keep_run_outcome(tx, 1, n)
        tx.execute("delete from attempt")
        goods = tx.execute("select good from run order by id").fetchall()
        assert [good for (good,) in goods] == [0, 1, None, None, None, None]
        before = availability.runs_by_state(tx, day - 1, day + DAY_US - 1)
        for number in (1, 2, 4, 6, 99):
            availability.summarise_run(tx, number)
            tx.execute("delete from run where id = ?", (number,))
        tx.execute("delete from run where id = 3")
        assert before == [RunCounts("run", "partial", 2, 1), RunCounts("tick", "cancelled", 1, 0)]
        assert availability.runs_by_state(tx, day + 7, day + 8) == before
        assert availability.runs_by_state(tx, day - DAY_US, day - 1) == []
        days = tx.execute("select day, state, runs, succeeded from run_day order by day, state")
        assert [tuple(row) for row in days] == [
            ("2024-10-04", "cancelled", 1, 0),
            ("2024-10-04", "nothing_due", 1, 0),
            ("2024-10-04", "partial", 2, 1),
        ]


# Weakened promises


def test_weakened_promises_of_a_window(store: Store) -> None:
    with store.write(None) as tx:
        for number in (1, 2, 3):
            insert(tx, "version", id=number, applied_at=10 * number)
        availability.record_weakenings(tx, 1, [("a", "due", "07:00", "08:00")], "ann", 10)
        rows = [("b", "due", "1", "2"), ("a", "max_age", "3", "4"), ("a", "check", "5", "6")]
        availability.record_weakenings(tx, 2, rows, "bob", 20)
        availability.record_weakenings(tx, 3, [("a", "due", "08:00", "09:00")], "cem", 30)
        second = [
            Weakening(2, "a", "check", "5", "6", "bob", 20),
            Weakening(2, "a", "max_age", "3", "4", "bob", 20),
            Weakening(2, "b", "due", "1", "2", "bob", 20),
        ]
        third = Weakening(3, "a", "due", "08:00", "09:00", "cem", 30)
        assert availability.weakenings_between(tx, 10, 30) == [*second, third]
        assert availability.weakenings_between(tx, 10, 29) == second
        assert availability.count_weakenings(tx, 10, 30) == 4
        assert availability.count_weakenings(tx, 9, 19) == 1
        assert availability.count_weakenings(tx, 30, 99) == 0
