"""Trials beside attempts: rounds begin while a slot is idle, and waiting is part of the budget."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from clilab import Project

from headrace.model import StoreError
from headrace.model.nodes import Settings
from headrace.plan.backfills import first_attempt_of
from headrace.plan.trials import Trial
from headrace.store import Store
from headrace.store.lease import Lease
from headrace_advisor.analysis import idle_slots, trial_runs
from headrace_advisor.analysis.idle_slots import WAITING, IdleSlots, has_idle_slot
from headrace_advisor.services import proofs, trial_records, trials

SETTINGS = Settings(name="shop")
AB = ("ab", "revenue", "--setting", "threads=1", "--partitions", "1", "--budget")
TWICE = (
    "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
    "select distinct day, count(*) as orders from orders_clean group by day\n"
)


class _Leader:
    """A leader in a thread of its own, with attempts that run from `start` to `end`."""

    def __init__(
        self, project: Project, attempts: int = 1, slots: int | None = None, plan: int = 0
    ) -> None:
        self.ended_at = 0.0
        self._project, self._attempts, self._slots = project, attempts, slots
        self._first = first_attempt_of(plan) + 1000
        self._start, self._ready, self._end = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._lead)
        self._thread.start()

    def start(self) -> None:
        self._start.set()
        assert self._ready.wait(10)

    def end(self) -> None:
        self._end.set()
        self._start.set()
        self._thread.join()

    def _lead(self) -> None:
        self._start.wait()
        with Store.open(self._project.root, SETTINGS) as store:
            lease = Lease.take(store, "the leader")
            assert lease is not None
            with store.write(lease.epoch) as tx:
                for n in range(self._attempts):
                    tx.execute(
                        "insert into attempt (epoch, n, run_id, node, kind, partitions, state,"
                        " version, queued_at, started_at) select :epoch, :n, max(id), 'page',"
                        " 'produce', '[\"2025-03-01\"]', 'running', 1, 1, 1 from run",
                        {"epoch": lease.epoch, "n": self._first + n},
                    )
                if self._slots is not None:
                    tx.execute(
                        "insert into journal (epoch, slots, at, events, decisions)"
                        " values (:epoch, :slots, 1, x'00', x'00')",
                        {"epoch": lease.epoch, "slots": self._slots},
                    )
            self._ready.set()
            while not self._end.wait(2):
                lease.renew()
            with store.write(lease.epoch) as tx:
                for table in ("attempt", "journal"):
                    tx.execute(f"delete from {table} where epoch = :epoch", {"epoch": lease.epoch})
            self.ended_at = time.monotonic()
            lease.release()


@contextmanager
def _leads(
    project: Project, *, attempts: int = 1, slots: int | None = None, plan: int = 0
) -> Iterator[_Leader]:
    leader = _Leader(project, attempts, slots, plan)
    try:
        leader.start()
        yield leader
    finally:
        leader.end()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each run of a trial began, by the monotonic clock."""
    results: list[float] = []
    compute = trial_runs._Pair._compute

    def recorded(*arguments: Any) -> Any:
        results.append(time.monotonic())
        return compute(*arguments)

    monkeypatch.setattr(trial_runs._Pair, "_compute", recorded)
    return results


@pytest.fixture
def when_measured(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Calls before a trial is stored, which needs the lease."""
    calls: list[Callable[[], None]] = []

    def recorded(*arguments: Any) -> Any:
        for call in calls:
            call()
        return trial_records.record(*arguments)

    for module in (trials, proofs):
        monkeypatch.setattr(module, "record", recorded)
    return calls


def test_rounds_begin_when_an_attempt_has_ended(
    shop: Project, begun: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a trial that takes the processors from a production attempt."""
    wait, timers = IdleSlots.wait, list[threading.Timer]()

    with _leads(shop) as leader:

        def wait_for_its_end(slots: IdleSlots, until: float) -> bool:
            if not timers:
                timers.append(threading.Timer(0.5, leader.end))
                timers[0].start()
            return wait(slots, until)

        monkeypatch.setattr(IdleSlots, "wait", wait_for_its_end)
        row = shop.json(*AB, "20s")
        timers[0].join()
    assert min(begun) >= leader.ended_at
    assert row["waited_seconds"] >= 0.3
    assert (row["equal"], row["unreached"]) == (True, [])


def test_an_attempt_that_begins_stops_the_next_round(
    shop: Project, begun: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a slot that is asked for once, so that an hour of rounds follows."""
    timed, leader = trial_runs._Pair._timed, _Leader(shop)  # the trial's thread reaches no state
    timers: list[threading.Timer] = []

    def with_an_attempt(pair: Any, side: Any) -> Any:
        run = timed(pair, side)
        if not timers:
            leader.start()
            time.sleep(3 * idle_slots.POLL_S)
            timers.append(threading.Timer(0.5, leader.end))
            timers[0].start()
        return run

    monkeypatch.setattr(trial_runs._Pair, "_timed", with_an_attempt)
    try:
        row = shop.json(*AB, "20s")
    finally:
        leader.end()
    timers[0].join()
    assert len(begun) > 6
    assert all(at >= leader.ended_at for at in begun[6:])  # 2 runs that warm, and 1 round
    assert row["waited_seconds"] >= 0.2


def test_a_budget_that_passes_without_a_slot(
    shop: Project, begun: list[float], when_measured: list[Callable[[], None]]
) -> None:
    """Would catch: `no effect` of a change that nobody ran, or rounds after the budget."""
    with _leads(shop) as leader:
        when_measured.append(leader.end)
        row = shop.json(*AB, "1s")
    assert begun == []
    assert (row["verdict"], row["equal"], row["rows"]) == ("inconclusive", None, 0)
    assert (row["partitions"], row["unreached"]) == ([], ["2025-03-03"])
    assert 0 < row["waited_seconds"] < 1.5, "setting up takes a part of the budget"
    (listed,) = shop.json("ab")
    assert (listed["verdict"], listed["waited_seconds"]) == ("inconclusive", row["waited_seconds"])


def test_the_page_says_how_long_it_waited(
    shop: Project, when_measured: list[Callable[[], None]]
) -> None:
    """Would catch: an inconclusive trial for which the query is blamed, and not the busy machine."""
    with _leads(shop) as leader:
        when_measured.append(leader.end)
        text = shop.text(*AB, "1s")
    assert re.search(r"waited [\d.]+ m?s of the budget for an idle slot", text)
    assert "not reached within the budget: 2025-03-03" in text
    assert "waited" not in shop.text(*AB, "1s")


@pytest.mark.long
def test_a_proof_says_how_long_it_waited(shop: Project, begun: list[float]) -> None:
    """Would catch: a finding measured beside attempts, or one that says nothing of its wait."""
    (shop.root / "assets/daily.sql").write_text(TWICE)
    shop.json("apply", "--yes")
    shop.text("run", "daily", "--from", "2025-03-01", "--to", "2025-03-03")
    prove = ("optimize", "daily", "--prove", "--partitions", "1", "--budget", "4s")
    with _leads(shop):
        rows = shop.json(*prove)
        text = shop.text(*prove)
    (row,) = [row for row in rows if row["rule"] == "distinct_redundant"]
    assert begun == []
    assert row["unmeasured"] == "its part of the budget has ended: --budget allows more"
    assert (row["measured"], row["equality"], row["command"]) == (None, None, None)
    assert 0.5 < row["waited_seconds"] <= 4
    assert re.search(r"waited [\d.]+ m?s for an idle slot", text)
    assert shop.json("ab") == []


def test_a_slot_is_idle_while_fewer_attempts_run_than_the_leader_has_slots(shop: Project) -> None:
    """Would catch: a trial that waits although a slot is idle, or for attempts of a dead leader."""
    with Store.open(shop.root, SETTINGS) as store:
        for attempts, slots, expected in ((1, 2, True), (2, 2, False), (3, 2, False), (0, 1, True)):
            with _leads(shop, attempts=attempts, slots=slots), store.read() as tx:
                assert has_idle_slot(tx, 1) is expected
        with _leads(shop, attempts=3), store.read() as tx:
            assert (has_idle_slot(tx, 3), has_idle_slot(tx, 4)) == (False, True)
        with store.read() as tx:
            assert has_idle_slot(tx, 1)


def test_attempts_of_isolated_backfills_take_no_slot(shop: Project) -> None:
    """Would catch: a trial that waits for slots which a backfill with workers of its own never
    takes, and says that none was idle."""
    with (
        Store.open(shop.root, SETTINGS) as store,
        _leads(shop, attempts=2, slots=2, plan=1),
        store.read() as tx,
    ):
        assert has_idle_slot(tx, 2)


def test_waits_are_displayed_and_can_be_stopped(shop: Project) -> None:
    """Would catch: a terminal on which nothing moves for an hour, or a wait that nobody can end."""
    reports: list[str] = []

    def report(text: str) -> None:
        reports.append(text)
        if len(reports) == 3:
            raise StoreError("stopped")

    with (
        _leads(shop),
        IdleSlots(lambda: Store.open(shop.root, SETTINGS), 1, report) as slots,
    ):
        assert not slots.wait(time.monotonic() + 0.1)
        assert reports == [WAITING, ""]
        with pytest.raises(StoreError):
            slots.wait(time.monotonic() + 60)
        assert 0.1 <= slots.waited_s < 30


def test_nothing_waits_without_a_state() -> None:
    """Would catch: a trial that waits for ever for what can't be known."""

    def missing() -> Store:
        raise StoreError("there is no state")

    with IdleSlots(missing, 1, lambda _: None) as slots:
        assert slots.wait(time.monotonic() + 60)
        assert slots.waited_s == 0


def test_earlier_trials_are_read() -> None:
    """Would catch: stored trials without the new field that can't be listed any more."""
    import msgspec

    assert msgspec.json.decode('{"compared": [], "runs": []}', type=Trial).waited_s == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background processes ignore SIGINT, and so does Python then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("busy", [True, False])
def test_an_interrupted_trial_ends(shop: Project, *, busy: bool) -> None:
    """Would catch: Ctrl-C that is answered when the budget has ended, by a wait or by a query."""
    (shop.root / "new.sql").write_text(
        "select o.day, sum(o.amount) as revenue, count(a.range + b.range) as orders\n"
        "from orders_clean as o cross join range(10_000_000) as a cross join range(10_000_000) as b\n"
        "group by o.day\n"
    )
    main_thread = threading.main_thread().ident
    timer = threading.Timer(2.0, signal.pthread_kill, [main_thread, signal.SIGINT])
    with _leads(shop) if busy else nullcontext():
        timer.start()
        began = time.monotonic()
        code, _, error = shop.call(
            shop.root, "ab", "revenue", "--change", "new.sql", "--budget", "60s"
        )
        took = time.monotonic() - began
        timer.join()
    assert (code, "interrupted" in error) == (4, True)
    assert took < 20
