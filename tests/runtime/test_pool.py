"""Warm workers: the contract of executors, and what is theirs alone."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from executor_contract import BODIES, PATIENCE, ExecutorBench, InProcesses

from headrace.runtime.disk_priority import IDLE, disk_priority
from headrace.runtime.executors import WorkersBroken, workers
from headrace.runtime.executors import pool as pool_module
from headrace.runtime.executors.pool import Pool

pytestmark = pytest.mark.usefixtures("cold_fork_servers")


class PoolBench(ExecutorBench):
    executor: Pool


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PoolBench]:
    made = PoolBench(tmp_path)
    with Pool(made.settings, 2) as made.executor:
        yield made


class TestPool(InProcesses):
    pass


def pid_of(bench: ExecutorBench, attempt: object) -> int:
    return int((bench.folder / f"pid-{attempt}").read_text())


def test_a_worker_does_many_tasks(bench: PoolBench) -> None:
    """Would catch: a process a task, which is what warm workers are there to avoid."""
    attempts = [bench.submit("pids") for _ in range(30)]
    bench.told(*attempts)
    assert len({pid_of(bench, attempt) for attempt in attempts}) <= 2


def test_what_lies_behind_a_task_that_takes_long_is_done_by_others(bench: PoolBench) -> None:
    """Would catch: short tasks that wait in the pipe of a worker at a long one, while the other
    worker has nothing to do.
    """
    bench.told(*(bench.submit("quick") for _ in range(20)))
    long, behind = bench.submit("begins"), [bench.submit("quick") for _ in range(10)]
    bench.told(*behind)
    assert long not in bench.states()
    (bench.folder / "go").touch()
    bench.told(long)


def test_a_worker_that_says_what_it_was_not_asked_is_replaced(bench: PoolBench) -> None:
    """Would catch: bytes of a body in the answers' pipe that are taken for an answer, or that stop
    the leader.
    """
    attempt = bench.submit("babbles")
    bench.told(attempt)
    assert bench.lost()[0].running == attempt and "no answer" in bench.lost()[0].reason
    bench.told(bench.submit("quick"))


def test_a_worker_that_reads_no_more_does_not_stop_the_leader(bench: PoolBench) -> None:
    """Would catch: a leader that is stuck in writing more than a pipe holds."""
    stopped = [bench.submit("stops") for _ in range(2)]
    assert bench.executor.wait(0.5) == []
    attempts = [bench.submit("quick", pad=3_000_000) for _ in range(4)]
    assert bench.executor.wait(0) == []
    for item in stopped:
        bench.executor.kill(item, "was ended: it reads no more")
    bench.told(*stopped)
    bench.told(*attempts)


def test_a_worker_is_given_more_while_its_pipe_is_full(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the leader ends with KeyError 'already registered', and all attempts
    are lost."""
    monkeypatch.setattr(pool_module, "LOOKOUTS_MAX", 1)
    bench.told(bench.observe(bench.folder / "first.csv"))
    observer = bench.executor._lookouts[0].pid
    os.kill(observer, signal.SIGSTOP)
    try:
        files = [
            bench.observe(bench.folder / f"{'n' * 200}{number}.csv") for number in range(1_000)
        ]
        assert bench.executor.wait(0) == []  # that is more than the pipe holds
        files.append(bench.observe(bench.folder / "another.csv"))
        assert bench.executor.wait(0) == []
    finally:
        os.kill(observer, signal.SIGCONT)
    bench.told(*files)


def test_a_look_that_hangs_delays_neither_attempts_nor_looks(bench: PoolBench) -> None:
    """Would catch: attempts in a queue behind a source that doesn't answer."""
    silent = socket.create_server(("127.0.0.1", 0))  # it takes connections and never says anything
    hanging = bench.ask(f"http://127.0.0.1:{silent.getsockname()[1]}/")
    attempts = [bench.submit("quick") for _ in range(6)]
    look = bench.observe(bench.folder / "nothing-there.csv")
    bench.told(*attempts, look)
    bench.executor.kill(hanging, "was ended: it took too long")
    bench.told(hanging)
    silent.close()  # not before: the look would be answered by that
    assert [lost.running for lost in bench.lost()] == [hanging]


def test_workers_for_looks_end_when_nobody_looks(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: processes that stay for ever because a source was once looked at."""
    monkeypatch.setattr(pool_module, "IDLE_SECONDS_MAX", 0.2)
    bench.told(bench.observe(bench.folder / "nothing-there.csv"))
    bench.until(lambda: len(bench.executor._all) == 2)


def test_attempts_of_the_background_wait_for_none_of_the_others_and_give_way_to_them(
    bench: PoolBench,
) -> None:
    """Would catch: a backfill that takes production's slots, or its processor time; the other way
    round, one that waits for ever.
    """
    full = [
        bench.submit("begins", background=True) for _ in range(bench.executor.background_slots + 1)
    ]
    for attempt in full[:-1]:
        bench.begun(attempt)
    bench.told(*(bench.submit("quick") for _ in range(4)))
    assert set(bench.states().values()) == {"staged"}
    pid = int((bench.folder / f"begun-{full[0]}").read_text())
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    if (autogroup := Path(f"/proc/{pid}/autogroup")).exists():
        assert autogroup.read_text().endswith("nice 19\n")
    if disk_priority() is not None:
        assert disk_priority(pid) == IDLE
    (bench.folder / "go").touch()
    front = bench.submit("niceness")
    bench.told(*full, front)
    assert (bench.folder / f"nice-{front}").read_text() == str(os.nice(0))


@pytest.mark.long
def test_attempts_that_are_ended_before_their_worker_is_ready_are_no_sign_of_a_broken_environment(
    bench: PoolBench,
) -> None:
    """Would catch: a server that ends because a backfill gave way to it five times while workers
    were being started.
    """
    early = 0
    for _ in range(20):
        attempt = bench.submit("begins", background=True)
        bench.executor.send()  # now a worker has it that is only being born
        early += any(
            not worker.ready
            for worker in bench.executor._all
            if any(item.attempt == attempt for item in worker.given)
        )
        bench.executor.kill(attempt, "made room for production")
        bench.told(attempt)
    assert early >= 6
    bench.told(bench.submit("quick", background=True))
    assert "staged" in bench.states().values()


def test_a_worker_of_the_background_that_dies_is_replaced_by_another_of_it(
    bench: PoolBench,
) -> None:
    """Would catch: a lost background worker whose tasks, or whose place, go to production's."""
    bad, *good = (
        bench.submit("exits", background=True),
        *(bench.submit("niceness", background=True) for _ in range(4)),
    )
    bench.told(bad, *good)
    assert [lost.running for lost in bench.lost()] == [bad]
    told = [item for item in good if item in bench.states()]
    assert told and {(bench.folder / f"nice-{item}").read_text() for item in told} == {"19"}


@pytest.mark.long
def test_workers_of_the_background_end_when_there_is_nothing_for_them(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a server that keeps twice the processes because it once did a backfill; one that
    can't do a second."""
    monkeypatch.setattr(pool_module, "IDLE_SECONDS_MAX", 0.2)
    bench.told(bench.submit("quick", background=True))
    bench.until(lambda: len(bench.executor._all) == 2)
    bench.told(bench.submit("quick", background=True))


def test_a_worker_that_keeps_memory_is_replaced(bench: PoolBench) -> None:
    """Would catch: a server that grows with what bodies left behind."""
    bench.code(
        "v1", BODIES + "\nkept = []\ndef keeps(): kept.append(bytearray(b'x') * 300_000_000)\n"
    )
    bench.until(lambda: all(worker.ready for worker in bench.executor._all))
    before = {worker.pid for worker in bench.executor._all}
    attempt = bench.submit("keeps")
    bench.told(attempt)
    bench.until(
        lambda: (
            all(w.ready for w in bench.executor._all)
            and {w.pid for w in bench.executor._all} != before
        )
    )
    assert len(before & {w.pid for w in bench.executor._all}) == 1, "only the one that keeps it"
    assert bench.lost() == []


def test_a_worker_that_is_idle_for_long_keeps_little(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a server whose idle workers hold what the libraries of last night's
    bodies took.
    """
    monkeypatch.setattr(workers, "IDLE_SECONDS", 1.0)
    bench.code(
        "v1", BODIES + "\nkept = []\ndef keeps(): kept.append(bytearray(b'x') * 60_000_000)\n"
    )
    attempts = [bench.submit("keeps") for _ in range(2)]
    bench.told(*attempts)
    fat = {worker.pid for worker in bench.executor._all if worker.used() > 60_000_000}
    assert fat
    bench.until(lambda: not fat & {worker.pid for worker in bench.executor._all})
    assert bench.lost() == []


@pytest.mark.slow
def test_a_worker_is_replaced_after_many_bodies(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: threads and descriptors that bodies leave behind, for as long as the server
    lives."""
    monkeypatch.setattr(pool_module, "PYTHON_TASKS_MAX", 5)
    attempts = []
    for _ in range(24):
        attempts.append(bench.submit("pids"))
        bench.told(attempts[-1])
    assert len({pid_of(bench, attempt) for attempt in attempts}) >= 3
    assert bench.lost() == []


@pytest.mark.slow
def test_workers_outlive_the_process_that_forked_them(bench: PoolBench) -> None:
    """Would catch: one process whose end costs everything that is under way, or that nobody
    replaces."""
    attempt = bench.submit("begins")
    bench.begun(attempt)
    assert bench.executor._fork_server is not None
    os.kill(bench.executor._fork_server._process.pid, signal.SIGKILL)
    bench.told(bench.submit("exits"))
    (bench.folder / "go").touch()
    bench.told(attempt, bench.submit("quick"), bench.submit("quick"))
    assert bench.states()[attempt] == "staged"


def test_a_pool_that_ends_leaves_no_worker_that_was_just_starting(tmp_path: Path) -> None:
    """Would catch: a worker whose leader ends before it knows of it, and that goes on to make
    folders where everything is being removed."""
    made = PoolBench(tmp_path)
    with Pool(made.settings, 2) as made.executor:
        fork_server = made.executor._fork_server
        assert fork_server is not None
        server = fork_server._process.pid
        children = Path(f"/proc/{server}/task/{server}/children")
        deadline = time.monotonic() + PATIENCE
        while len(starting := children.read_text().split()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert [worker.pid for worker in made.executor._all] == [0, 0]
    assert [pid for pid in starting if _lives(pid)] == []


def _lives(pid: str) -> bool:
    """Whether a process still runs; one that has ended may not have been waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_an_environment_in_which_no_worker_starts_is_told(tmp_path: Path) -> None:
    """Would catch: workers started for ever, and nobody told why nothing happens."""
    made = PoolBench(tmp_path)
    made.folders.temporary.write_text("a file where workers want a folder")
    with (
        pytest.raises(WorkersBroken, match="before they were ready"),
        Pool(made.settings, 1) as made.executor,
    ):
        made.until(lambda: False)


def test_idle_workers_take_little_memory(bench: PoolBench) -> None:
    """Would catch: libraries that each worker loads for itself. Two workers and what forks them: 67
    MB when this was written."""
    bench.told(bench.observe(bench.folder / "x.csv"))
    bench.until(lambda: all(worker.ready for worker in bench.executor._all))
    assert bench.executor._fork_server is not None
    pids = [
        bench.executor._fork_server._process.pid,
        *(worker.pid for worker in bench.executor._front.workers),
    ]
    assert sum(map(_pss_mebibytes, pids)) < 110


def test_what_rows_of_python_assets_need_is_loaded_once_for_all_workers(tmp_path: Path) -> None:
    """Would catch: pandas, which Arrow imports for its first array of Python values, and Arrow's
    functions, loaded by each worker in the middle of its first attempt."""
    pytest.importorskip("pandas")
    made = PoolBench(tmp_path)
    settings = msgspec.structs.replace(made.settings, python=True, arrow=True)
    with Pool(settings, 1) as made.executor:
        attempt = made.submit("loaded")
        made.told(attempt)
    assert (tmp_path / f"loaded-{attempt}").read_text() == "pandas pyarrow.compute"


def _pss_mebibytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024
