"""Estimates of backfills from a real state: its history, and what a plan has done so far."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from runlab import Lab

from headrace.plan import Compiled
from headrace.plan.backfills import Backfill, BackfillSpan, BackfillStep, Chosen, Mode, Publishes
from headrace.responses.backfills import EstimateRow
from headrace.runtime import estimates
from headrace.scheduler.estimates import Estimate
from headrace.store import Store, Transaction
from headrace.store.queries import attempts, backfill_plans
from headrace.store.queries.backfill_plans import OverlayRow, PlanRecord

BY_DAY = "partition: {by: day, column: day}"
CLEAN = (
    "select order_id, customer, cast(amount as decimal(18,2)) as amount, cast(day as date) as day"
    " from orders"
)
TOTAL = "select day, sum(amount) as total from clean group by day"
FIRST = date(2025, 1, 1)
SECOND = 1_000_000
BEGAN = 1_000 * SECOND
NUMBERS = itertools.count(1)
"""Of attempts that are made up, all of one leader."""


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def backfill(days: int, steps: int = 1) -> Backfill:
    """Of both assets, all days in steps of the same length."""
    each = days // steps
    spans = [(BackfillSpan(day(step * each), day((step + 1) * each - 1)),) for step in range(steps)]
    whole = (BackfillSpan(day(0), day(days - 1)),)
    return Backfill(
        mode=Mode.ALL,
        chosen=tuple(Chosen(name, whole, days, "asked for") for name in ("clean", "total")),
        skipped=(),
        steps=tuple(BackfillStep({"clean": span, "total": span}) for span in spans),
        publishes=Publishes.IN_STEPS if steps > 1 else Publishes.ATOMICALLY,
    )


class Plan:
    """A plan in a state that is made up: 40 days of two assets whose attempts take a second, on two
    workers.
    """

    def __init__(self, store: Store, compiled: Compiled, *, days: int = 40, steps: int = 1) -> None:
        self._store, self._compiled = store, compiled
        with store.write(None) as tx:
            content = msgspec.msgpack.encode(backfill(days, steps))
            self.id = backfill_plans.add(
                tx,
                state="running",
                actor="ann",
                reason="test",
                request="{}",
                version=1,
                content=content,
                estimate=None,
                needs=None,
                now=BEGAN,
            )
            tx.execute(
                "insert into run (kind, request, actor, state, started_at, plan_id) values"
                " ('backfill', '{}', 'ann', 'running', ?, ?)",
                (BEGAN, self.id),
            )
            (self._run,) = tx.execute("select max(id) from run").fetchone() or (0,)

    def attempt(
        self,
        node: str,
        keys: Sequence[str],
        began_s: float,
        seconds: float | None,
        state: str = "staged",
    ) -> None:
        """One that began so many seconds after the plan; `seconds` None: it is under way."""
        number = next(NUMBERS)
        ended = None if seconds is None else BEGAN + int((began_s + seconds) * SECOND)
        with self._store.write(None) as tx:
            tx.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
                " started_at, finished_at) values (9, ?, ?, ?, 'produce', ?, ?, 0, ?, ?)",
                (
                    number,
                    self._run,
                    node,
                    msgspec.json.encode(keys).decode(),
                    "running" if seconds is None else state,
                    BEGAN + int(began_s * SECOND),
                    ended,
                ),
            )
            if seconds is not None:
                backfill_plans.stage(
                    tx, [OverlayRow(self.id, node, key, 9, number, "staged") for key in keys]
                )

    def remaining(self, after_s: float, steps_done: int = 0) -> Estimate:
        with self._store.read() as tx:
            row = backfill_plans.get(tx, self.id)
            assert isinstance(row, PlanRecord)
            row = msgspec.structs.replace(row, steps_done=steps_done)
            result = estimates.remaining(tx, self._compiled, row, BEGAN + int(after_s * SECOND))
        assert result is not None
        return result


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Compiled]:
    """Ten days that were run, one by one."""
    lab = Lab(Path(tmp_path_factory.mktemp("estimates")) / "p")
    lab.sql("clean", CLEAN, f"{BY_DAY}\nbatch: off")
    lab.sql("total", TOTAL, f"{BY_DAY}\nbatch: off")
    lab.sql("shown", "select * from total", "materialize: view")
    for number in range(8):
        lab.orders(day(number))
    assert lab.tick().state == "succeeded"
    session = lab.session()
    assert session.compiled is not None and session.store is not None
    return session.store, session.compiled


def history(tx: Transaction, node: str, seconds: float, count: int = 60) -> None:
    """The newest attempts at a node took so long."""
    ends = [(next(NUMBERS), node, BEGAN + int(seconds * SECOND)) for _ in range(count)]
    tx.executemany(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
        " started_at, finished_at) values (9, ?, 1, ?, 'produce', '[\"x\"]', 'published', 0,"
        f" {BEGAN}, ?)",
        ends,
    )


def test_a_backfill_is_estimated_from_history(project: tuple[Store, Compiled]) -> None:
    """An estimate that history has nothing to do with; views, of which nothing is made, and names
    that are no more; bytes of nothing.
    """
    store, compiled = project
    with store.write(None) as tx:
        history(tx, "clean", 0.05)
        history(tx, "total", 0.03)
    with store.read() as tx:
        result = estimates.estimate_backfill(tx, compiled, backfill(40), 2)
        twice = estimates.estimate_backfill(tx, compiled, backfill(80), 2)
        in_steps = estimates.estimate_backfill(tx, compiled, backfill(40, steps=4), 2)
        known = estimates.paces(tx, compiled, ["clean", "total", "shown", "gone"])
        size, double = (estimates.bytes_of(tx, backfill(days)) for days in (40, 80))
        unknown = msgspec.structs.replace(
            backfill(40), chosen=(Chosen("gone", (BackfillSpan(day(0), day(3)),), 4, ""),)
        )
        assert estimates.bytes_of(tx, unknown) == 0
    assert result is not None and twice is not None and in_steps is not None
    assert set(known) == {"clean", "total"}
    assert result.seconds == pytest.approx(
        40 * sum(pace.of(1) for pace in known.values()) / 2, rel=0.5
    )
    assert 1.7 < twice.seconds / result.seconds < 2.3
    assert result.seconds <= in_steps.seconds * 1.02
    assert result.low < result.seconds < result.high
    assert 0 < size == pytest.approx(double / 2, abs=1)


def test_a_plan_that_runs_says_when_it_ends(project: tuple[Store, Compiled]) -> None:
    """What is made that is still counted; a plan whose workers are kept half as busy as expected
    and which is said to be in time; a night in which it was paused taken for slowness; attempts
    under way that begin again with each look."""
    store, compiled = project
    with store.write(None) as tx:
        for node in ("clean", "total"):
            history(tx, node, 1.0)
    plan = Plan(store, compiled)
    assert plan.remaining(0).seconds == pytest.approx(40, rel=0.05)
    for number in range(10):  # on two workers, always busy
        plan.attempt("clean", [day(number)], number, 1.0)
        plan.attempt("total", [day(number)], number, 1.0)
    assert plan.remaining(10).seconds == pytest.approx(30, rel=0.06)
    paused = plan.remaining(30_000)
    assert paused.seconds == pytest.approx(30, rel=0.06), paused
    slow = Plan(store, compiled)
    for number in range(10):  # one after the other
        slow.attempt("clean", [day(number)], 2 * number, 1.0)
        slow.attempt("total", [day(number)], 2 * number + 1, 1.0)
    result = slow.remaining(20)
    assert result.seconds == pytest.approx(60, rel=0.12), result
    assert "by how busy its workers were kept" in result.basis
    slow.attempt("clean", [day(10)], 20, None)
    assert result.seconds - 2.5 < slow.remaining(20.9).seconds < result.seconds - 0.4


def test_a_guess_that_has_run_out_is_not_said(project: tuple[Store, Compiled]) -> None:
    """Would catch: "about 0 s to go" while the only attempt goes on, for as long as it takes."""
    store, compiled = project
    with store.write(None) as tx:
        for node in ("clean", "total"):
            history(tx, node, 1.0)
    plan = Plan(store, compiled, days=1)
    plan.attempt("clean", [day(0)], 0, None)
    plan.attempt("total", [day(0)], 0, None)
    with store.read() as tx:
        row = backfill_plans.get(tx, plan.id)
        assert row is not None
        assert estimates.remaining(tx, compiled, row, BEGAN + 5 * SECOND) is None


def test_what_a_plan_took_itself_counts_more_than_the_year_before(
    project: tuple[Store, Compiled],
) -> None:
    """Paces of a code that was three times as fast, and steps that were published and are counted
    again.
    """
    store, compiled = project
    with store.write(None) as tx:
        for node in ("clean", "total"):
            history(tx, node, 1.0, count=60)
    changed = Plan(store, compiled)
    for number in range(5):
        changed.attempt("clean", [day(number)], 3 * number, 3.0)
        changed.attempt("total", [day(number)], 3 * number, 3.0)
    assert changed.remaining(15).seconds == pytest.approx(105, rel=0.1)
    plan = Plan(store, compiled, days=200, steps=4)
    for number in range(50):
        plan.attempt("clean", [day(number)], 3 * number, 3.0)
        plan.attempt("total", [day(number)], 3 * number, 3.0)
    assert plan.remaining(150).seconds == pytest.approx(450, rel=0.05)
    with store.write(None) as tx:
        backfill_plans.clear(tx, plan.id)
    assert plan.remaining(150, steps_done=1).seconds == pytest.approx(450, rel=0.05)
    assert plan.remaining(150, steps_done=4).seconds == 0.0


def test_a_plans_attempts_are_found_by_an_index(project: tuple[Store, Compiled]) -> None:
    """A progress line that reads all attempts there ever were, every second."""
    store, _ = project
    with store.read() as tx:
        steps = str(
            tx.execute(
                f"explain query plan {attempts.PLAN_SQL}", {"plan": 1, "limit": 5}
            ).fetchall()
        )
    assert "attempt_run" in steps and "run_plan" in steps and "TEMP B-TREE" not in steps, steps


def test_what_has_ended_here_corrects_the_next_estimate(project: tuple[Store, Compiled]) -> None:
    """Would catch: a plan that takes 8.9 s each time, and is said to take 1.04 s each time."""
    store, compiled = project
    with store.read() as tx:
        before = estimates.estimate_backfill(tx, compiled, backfill(40), 2)
    assert before is not None and before.simulated is None
    with store.write(None) as tx:
        for number in range(6):
            kept = msgspec.json.encode(
                EstimateRow(seconds=99.0, low=1.0, high=999.0, basis="", simulated=before.seconds)
            ).decode()
            plan = backfill_plans.add(
                tx, state="planned", actor="ann", reason="test", request="{}", version=1,
                content=msgspec.msgpack.encode(backfill(40)), estimate=kept, needs=None, now=BEGAN,
            )  # fmt: skip
            backfill_plans.move(tx, plan, "running", BEGAN)
            took = before.seconds * 3 * (1 + number / 100)
            backfill_plans.move(
                tx, plan, "succeeded" if number else "failed", BEGAN + int(took * SECOND)
            )
        result = estimates.estimate_backfill(tx, compiled, backfill(40), 2)
        tx.execute(
            "update plan set state = 'cancelled' where estimate is not null"
        )  # other tests read this state
    assert result is not None and result.simulated == before.seconds
    assert 2 < result.seconds / before.seconds < 3.2
    assert result.basis.endswith("by 5 that have ended here")


def test_a_guess_corrects_nothing(project: tuple[Store, Compiled]) -> None:
    """Would catch: what was guessed of a first backfill taken for what was simulated, so that the
    next estimate is as wrong as the guess was."""
    store, compiled = project
    with store.write(None) as tx:
        before = estimates.estimate_backfill(tx, compiled, backfill(40), 2)
        kept = msgspec.json.encode(
            EstimateRow(seconds=1.0, low=0.1, high=10.0, basis="a guess", known=False)
        ).decode()
        for _ in range(6):
            plan = backfill_plans.add(
                tx, state="planned", actor="ann", reason="test", request="{}", version=1,
                content=msgspec.msgpack.encode(backfill(40)), estimate=kept, needs=None, now=BEGAN,
            )  # fmt: skip
            backfill_plans.move(tx, plan, "running", BEGAN)
            backfill_plans.move(tx, plan, "succeeded", BEGAN + 60 * SECOND)
        assert estimates.estimate_backfill(tx, compiled, backfill(40), 2) == before
        tx.execute(
            "update plan set state = 'cancelled' where estimate is not null"
        )  # other tests read this state


def test_an_estimate_has_the_seconds_until_it_begins(project: tuple[Store, Compiled]) -> None:
    """Would catch: 1.1 s said for a repair that takes 4.2, of which workers start for 1.5; a start
    counted where a server's workers are there."""
    store, compiled = project
    with store.write(None) as tx:
        for node in ("clean", "total"):
            history(tx, node, 0.01)
        before = estimates.estimate_backfill(tx, compiled, backfill(2), 2)
        assert before is not None
        known = attempts.start_delays(tx, 20)
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (7001, 'run',"
            " '{}', 'ann', 'succeeded', ?)",
            (BEGAN,),
        )
        for epoch in range(101, 111):  # ten commands whose workers took 4 s to start
            tx.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
                " started_at, finished_at) values (?, 1, 7001, 'gone', 'produce', '[]',"
                " 'published', 0, ?, ?)",
                (epoch, BEGAN + 4 * SECOND, BEGAN + 4 * SECOND),
            )
        assert attempts.start_delays(tx, 10) == [4.0] * 10
        assert estimates.start_seconds(tx) == 4.0
        after = estimates.estimate_backfill(tx, compiled, backfill(2), 2)
        assert after is not None and after.seconds > 4.0 > before.seconds
        assert after.low < 4.0 < after.high
        tx.execute("delete from attempt where node = 'gone'")
        tx.execute("delete from run where id = 7001")
        assert attempts.start_delays(tx, 20) == known


def test_what_other_code_took_says_little_of_the_rest(tmp_path: Path) -> None:
    """Would catch: "18 of 44 after 5 s, about 517 ms to go" of a plan whose changed asset takes 2 s
    each time, because sixty attempts with the code before it took 30 ms; an interval as narrow as
    if that code had run."""
    lab = Lab(tmp_path / "p")
    lab.sql("clean", CLEAN, f"{BY_DAY}\nbatch: off")
    lab.sql("total", TOTAL, f"{BY_DAY}\nbatch: off")
    lab.orders(day(0))
    lab.tick()
    lab.sql("total", TOTAL.replace("sum", "max"), f"{BY_DAY}\nbatch: off")
    lab.headrace("apply", "--yes")
    session = lab.session()
    store, compiled = session.store, session.compiled
    assert store is not None and compiled is not None
    with store.write(None) as tx:
        for node in ("clean", "total"):
            history(tx, node, 0.03)
        tx.execute("update attempt set version = 1")
        result = estimates.estimate_backfill(tx, compiled, backfill(20), 2)
        known = estimates.paces(tx, compiled, ["clean", "total"])
        tx.execute(
            "update attempt set version = 77"
        )  # what isn't kept any more may have had this code
        assert "never ran with this code" not in str(
            estimates.estimate_backfill(tx, compiled, backfill(20), 2)
        )
        tx.execute("update attempt set version = 1")
    assert result is not None and result.basis.endswith(
        "; total never ran with this code and is taken to be as before"
    )
    assert result.high / result.low > 3
    assert (known["clean"].count, known["total"].count) == (50, 0)
    plan = Plan(store, compiled, days=20)
    for number in range(20):
        plan.attempt("clean", [day(number)], 0, 0.03)
    plan.attempt("total", [day(0)], 0, None)
    assert plan.remaining(2).seconds > 10, "those that follow take as long as this one has already"
    plan.attempt("total", [day(1)], 0, 2.0)
    assert plan.remaining(2).seconds == pytest.approx(19, rel=0.3)
    with store.write(None) as tx:
        tx.execute("update attempt set version = 2 where node = 'total' and state = 'staged'")
        assert estimates.paces(tx, compiled, ["total"])["total"].of(1) == pytest.approx(2.0)
