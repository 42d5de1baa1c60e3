"""Bodies on a real Dask cluster of several processes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from dask_cluster import Cluster
from executor_contract import ExecutorBench, InProcesses
from modellab import Parse, told
from runlab import DAYS, Lab, published

from headrace.extension import LostWorker
from headrace_cloud.dask import Dask, DaskError

# A cluster's threads and sockets are closed by threads of its own, some time after the client was.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("dask")) as made:
        yield made


class DaskBench(ExecutorBench):
    executor: Dask

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "headrace.toml").touch()


@pytest.fixture
def bench(tmp_path: Path, cluster: Cluster) -> Iterator[DaskBench]:
    made = DaskBench(tmp_path)
    with Dask(cluster.address, made.settings, made.settings, 2) as made.executor:
        yield made


@pytest.mark.slow
class TestDask(InProcesses):
    pass


@pytest.mark.long
def test_a_project_runs_on_a_cluster(lab: Lab, cluster: Cluster) -> None:
    """Would catch: bodies that run here although the settings say where; columns, logs or secrets
    that don't make the way.
    """
    on(lab, cluster)
    lab.sql("clean", "select order_id, amount, cast(day as date) as day from orders")
    lab.python(
        "parents",
        "def parents(clean):\n    import os\n    print('hello')\n    yield {'parent':"
        " os.getppid()}",
        inputs=["clean"],
        partition="day",
    )
    for day in DAYS[:3]:
        lab.orders(day)
    response = lab.tick()
    assert len(published(response)) == 9, response
    logs = "".join(path.read_text() for path in (lab.root / ".headrace/logs").rglob("*.jsonl"))
    assert logs.count("hello") == 3
    assert not list((lab.root / ".headrace/tmp/dask").iterdir()), (
        "what says which attempt may begin is left behind"
    )


@pytest.mark.slow
def test_a_dask_worker_killed_in_the_middle_costs_an_attempt_and_the_next_one_succeeds(
    lab: Lab, tmp_path: Path
) -> None:
    """Would catch: a body that Dask silently does twice, or an attempt that is never heard of
    again."""
    with Cluster(tmp_path / "dask") as cluster:
        on(lab, cluster)
        lab.sql("clean", "select order_id, amount, cast(day as date) as day from orders")
        body = (
            "def slow(clean, ctx):\n    import os, pathlib, time\n    mark ="
            " pathlib.Path(ctx.parameters['marks'], 'began')\n    first = not mark.exists()\n   "
            " with mark.open('a') as file: file.write(f'{os.getpid()}\\n')\n    if first:"
            " time.sleep(600)\n    yield {'a': 1}"
        )
        lab.python(
            "slow",
            body.replace("(clean, ctx)", "(ctx: Context, clean)"),
            inputs=["clean"],
            partition="day",
            parameters={"marks": str(tmp_path)},
        )
        lab.orders(DAYS[0])
        killer = threading.Thread(target=_kill_who_began, args=(tmp_path / "began", cluster))
        killer.start()
        response = lab.tick()
        killer.join()
    attempts = [attempt for attempt in response.attempts if attempt.asset == "slow"]
    assert [attempt.state for attempt in attempts] == ["lost", "published"], attempts
    assert "ended in the middle" in (attempts[0].reason or "")
    assert len((tmp_path / "began").read_text().split()) == 2, (
        "a body that was begun was done again by Dask"
    )


def _kill_who_began(began: Path, cluster: Cluster) -> None:
    """Kill the Dask worker whose child a body runs in."""
    deadline = time.monotonic() + 60
    while not began.exists() or not began.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    body = int(began.read_text().split()[0])
    for worker in cluster.workers:
        if body in _descendants(worker.pid):
            worker.kill()


def _descendants(pid: int) -> set[int]:
    """By sessions and parents: a Dask worker starts the process that forks workers, which starts
    the worker."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
    result = {pid}
    while more := {child for child, parent in parents.items() if parent in result} - result:
        result |= more
    return result


@pytest.mark.slow
def test_a_scheduler_that_goes_and_comes_back_costs_only_what_was_under_way(tmp_path: Path) -> None:
    """Would catch: a leader that waits for ever for answers that nobody has, or that gives up."""
    with Cluster(tmp_path / "dask") as cluster:
        made = DaskBench(tmp_path / "p")
        with Dask(cluster.address, made.settings, made.settings, 2) as made.executor:
            attempt = made.submit("begins")
            made.begun(attempt)
            cluster.scheduler.kill()
            cluster.scheduler.wait()
            made.until(lambda: bool(made.lost()))
            assert made.lost() == [
                LostWorker(
                    None,
                    (attempt,),
                    f"was lost with the Dask scheduler at {cluster.address}, which is gone",
                )
            ]
            later = made.submit("quick")
            assert made.executor.wait(0.5) == []
            cluster.start_scheduler()
            for worker in cluster.workers:
                worker.kill()
            cluster.start_worker()
            made.told(later)
            assert made.states() == {later: "staged"}


def test_an_executor_without_an_address_is_refused(parse: Parse) -> None:
    """Would catch: a leader that starts, and fails with an assertion."""
    declared = parse("headrace.toml", "[project]\nname = 'a'\n[run]\nexecutor = 'dask'\n")
    assert told(declared.problems) == ["missing_field headrace.toml:4"]


def test_a_scheduler_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a trace of somebody else's library, or waiting for ever."""
    monkeypatch.setattr("headrace_cloud.dask.CONNECT_SECONDS", 0.5)
    bench = DaskBench(tmp_path)
    with (
        pytest.raises(DaskError, match="no Dask scheduler answers at tcp:"),
        Dask("tcp://127.0.0.1:9", bench.settings, bench.settings, 2),
    ):
        pass


def test_a_library_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: "headrace failed: ModuleNotFoundError", where only the extra is missing."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    bench = DaskBench(tmp_path)
    with (
        pytest.raises(DaskError, match="needs the package distributed") as told_,
        Dask("tcp://127.0.0.1:9", bench.settings, bench.settings, 2),
    ):
        pass
    assert told_.value.hint == "pip install 'headrace-cloud[dask]'"


def test_folders_that_workers_do_not_see_are_told(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: attempts that fail one by one because the lake isn't shared."""
    bench = DaskBench(tmp_path)
    (tmp_path / "headrace.toml").unlink()
    with (
        pytest.raises(DaskError, match=f"doesn't see {tmp_path}"),
        Dask(cluster.address, bench.settings, bench.settings, 2),
    ):
        pass
    elsewhere = msgspec.structs.replace(
        bench.settings, folders=msgspec.structs.replace(bench.folders, data="/proc/1/nowhere")
    )
    executor = Dask(cluster.address, bench.settings, bench.settings, 2)
    executor._packed = msgspec.msgpack.encode(elsewhere)
    with pytest.raises(DaskError, match="see"), executor:
        pass


def on(lab: Lab, cluster: Cluster) -> None:
    """Have the project's bodies run there."""
    settings = (lab.root / "headrace.toml").read_text()
    lab.write(
        "headrace.toml",
        settings.replace(
            "workers = 2", f'workers = 2\nexecutor = "dask"\ndask = "{cluster.address}"'
        ),
    )
