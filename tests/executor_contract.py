"""What every executor keeps to, whatever it works with. A test file of one gives the fixture
`bench` and inherits the classes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.connect import DetectedDelivery
from headrace.engine import AttemptScope
from headrace.engine.logs import read
from headrace.model import Place, PythonBody, Source
from headrace.runtime.executors import Executor, LostWorker, News, ObservationFinished, TaskFinished
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask, FailedOutcome, ObserveTask
from headrace.runtime.worker_protocol import WorkerSettings
from headrace.scheduler import AttemptId
from headrace.store.requests import WakeListener, wake_leader

PATIENCE = 100.0
"""Seconds within which anything must have happened, on a machine that others use."""
BODIES = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path

def quick(): pass
def begins(ctx):
    begun = Path(ctx.parameters["folder"], f"begun-{ctx.attempt}")
    half = begun.with_name(f"{begun.name}.half")
    half.write_text(str(os.getpid()))
    half.rename(begun)
    while not Path(ctx.parameters["folder"], "go").exists(): time.sleep(0.01)
def exits(): print("last words", flush=True); os._exit(9)
def crashes(): print("last words", flush=True); ctypes.string_at(0)
def raises(): raise ValueError("x" * 5_000_000)
def chatters():
    for _ in range(1_500): os.write(1, b"y" * 9_000 + b"\\n")
def forks_and_exits():
    if os.fork() == 0: time.sleep(600)
    print("last words", flush=True); os._exit(9)
def spawns_and_exits():
    subprocess.Popen(["sleep", "600"], close_fds=False); os._exit(9)
def stops(): os.kill(os.getpid(), signal.SIGSTOP)
def babbles(ctx):
    for fd in range(3, 64):
        try: os.write(fd, b"\\xff" * 64)
        except OSError: pass
    time.sleep(600)
def eats():
    held = []
    while True: held.append(bytearray(b"x") * 10_000_000); time.sleep(0.005)
def child_eats():
    subprocess.run([sys.executable, "-c", "import time\\nheld=bytearray(b'x')*500_000_000\\ntime.sleep(600)"])
def niceness(ctx): Path(ctx.parameters["folder"], f"nice-{ctx.attempt}").write_text(str(os.nice(0)))
def loaded(ctx):
    names = [name for name in ("pandas", "pyarrow.compute") if name in sys.modules]
    Path(ctx.parameters["folder"], f"loaded-{ctx.attempt}").write_text(" ".join(names))
def pids(ctx): Path(ctx.parameters["folder"], f"pid-{ctx.attempt}").write_text(str(os.getpid()))
"""


class ExecutorBench:
    """An executor, the folder that its bodies see, and tasks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folders = Folders(str(folder), str(folder / "data"))
        self.code("v1", BODIES)
        self.folders.lake.mkdir(parents=True)
        self.executor: Executor
        self.news: list[News] = []
        self._last = 0

    @property
    def settings(self) -> WorkerSettings:
        return WorkerSettings(self.folders, threads=2, share=1, memory_max_bytes=2**31)

    def code(self, version: str, text: str, file: str = "bodies.py") -> None:
        path = self.folders.code / version / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def submit(
        self,
        function: str,
        *,
        version: str = "v1",
        memory_max_bytes: int | None = None,
        pad: int = 0,
        background: bool = False,
    ) -> AttemptId:
        self._last += 1
        attempt = AttemptId(1, self._last)
        scope = AttemptScope(
            "asset",
            ("*",),
            None,
            None,
            None,
            "UTC",
            str(attempt),
            {"folder": str(self.folder), "pad": "x" * pad},
        )
        takes = f"def {function}(ctx)" in (self.folders.code / version / "bodies.py").read_text()
        body = PythonBody(file="bodies.py", function=function, takes_context=takes)
        task = ComputeTask(
            scope,
            body,
            None,
            version,
            (),
            "none",
            None,
            None,
            False,
            (),
            "reject",
            memory_max_bytes=memory_max_bytes,
        )
        self.executor.submit(attempt, task, background=background)
        return attempt

    def observe(self, path: Path) -> AttemptId:
        """Ask to look into a local file, as is done where rows belong to several intervals."""
        self._last += 1
        attempt = AttemptId(0, self._last)
        source = Source(name="src", owner="o", files=f"{path.name}", place=Place(file="s.yaml"))
        result = DetectedDelivery("src", "*", path.name, 1, 0)
        self.executor.submit(attempt, ObserveTask(str(attempt), source, {}, files=(result,)))
        return attempt

    def ask(self, url: str) -> AttemptId:
        """Ask to look at a server."""
        self._last += 1
        attempt = AttemptId(0, self._last)
        http = {"url": url, "timeout": "250s", "retries": 0}
        source = Source(name="src", owner="o", connector={"http": http}, place=Place(file="s.yaml"))
        self.executor.submit(attempt, ObserveTask(str(attempt), source, {}, wanted=("*",)))
        return attempt

    def until(self, met: Callable[[], bool]) -> list[News]:
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < deadline, f"nothing but {self.news}"
            self.news += self.executor.wait(0.2)
        return self.news

    def told(self, *attempts: AttemptId) -> list[News]:
        """Wait until something was said of each of these; all that was said so far."""
        return self.until(
            lambda: (
                set(attempts)
                <= set(map(self.of, self.news))
                | {q for n in self.news if isinstance(n, LostWorker) for q in n.queued}
            )
        )

    @staticmethod
    def of(news: News) -> AttemptId | None:
        return news.running if isinstance(news, LostWorker) else news.attempt

    def begun(self, attempt: AttemptId) -> None:
        self.until((self.folder / f"begun-{attempt}").exists)

    def states(self) -> dict[AttemptId, str]:
        return {n.attempt: n.outcome.state for n in self.news if isinstance(n, TaskFinished)}

    def lost(self) -> list[LostWorker]:
        return [n for n in self.news if isinstance(n, LostWorker)]

    def printed(self, attempt: AttemptId) -> list[str]:
        return [line.text for line in read(self.folders.log(*attempt))]


class AnyExecutor:
    def test_every_task_is_answered_once(self, bench: ExecutorBench) -> None:
        """Would catch: an answer that is lost among others, told twice, or told of
        another attempt.
        """
        attempts = [bench.submit("quick") for _ in range(20)]
        bench.told(*attempts)
        assert sorted(map(bench.of, bench.news)) == attempts
        assert set(bench.states().values()) == {"staged"}

    def test_a_body_that_raises_is_an_answer(self, bench: ExecutorBench) -> None:
        """Would catch: a huge message that no pipe ingests one piece, or an error that costs a
        worker.
        """
        bench.told(bench.submit("raises"), bench.submit("quick"))
        assert sorted(bench.states().values()) == ["failed", "staged"]

    def test_a_look_is_answered(self, bench: ExecutorBench) -> None:
        """Would catch: looks that are taken for attempts."""
        observation = bench.observe(bench.folder / "nothing-there.csv")
        bench.told(observation)
        assert isinstance(bench.news[0], ObservationFinished)

    def test_what_was_killed_in_the_queue_is_lost_and_nothing_else(
        self, bench: ExecutorBench
    ) -> None:
        """Would catch: a kill that takes the neighbour, or one that nobody is told of."""
        attempts = [bench.submit("quick") for _ in range(6)]
        bench.executor.kill(attempts[5], "was ended: the test wanted it")
        bench.told(*attempts)
        assert all(bench.states()[attempt] == "staged" for attempt in attempts[:5])
        for lost in bench.lost():  # it may have been quicker than the kill
            assert (lost.running or lost.queued[0]) == attempts[
                5
            ] and lost.reason == "was ended: the test wanted it"

    def test_attempts_of_the_background_are_answered_beside_others(
        self, bench: ExecutorBench
    ) -> None:
        """Would catch: answers of the background that nobody waits for; a kill that doesn't find
        what waits there.
        """
        assert bench.executor.background_slots >= 1
        attempts = [bench.submit("quick", background=number % 2 == 0) for number in range(20)]
        bench.executor.kill(attempts[18], "was ended: the test wanted it")
        bench.told(*attempts)
        assert sorted(lost.running or lost.queued[0] for lost in bench.lost()) in (
            [attempts[18]],
            [],
        )
        assert all(state == "staged" for state in bench.states().values())
        assert {*map(bench.of, bench.news), *(q for lost in bench.lost() for q in lost.queued)} - {
            None
        } == set(attempts)

    def test_waiting_ends_when_somebody_wakes_the_leader(self, bench: ExecutorBench) -> None:
        """Would catch: a request that waits until a worker has something to say."""
        listener = WakeListener(bench.folder)
        bench.executor.watch(listener)
        bench.told(bench.submit("quick"))
        assert wake_leader(bench.folder)
        began = time.monotonic()
        assert bench.executor.wait(PATIENCE) == []
        assert time.monotonic() - began < PATIENCE / 2 and listener.woken
        bench.executor.stop()
        listener.close()


class InProcesses(AnyExecutor):
    """Executors whose bodies are in processes of their own; two attempts at once."""

    @pytest.mark.parametrize("deed", ["exits", "crashes", "forks_and_exits", "spawns_and_exits"])
    def test_the_end_of_a_worker_costs_the_attempt_that_it_was_at(
        self, bench: ExecutorBench, deed: str
    ) -> None:
        """Would catch: an end that is never noticed (a child holds the pipes), one that costs what
        was queued, silent last words."""
        bad, *good = bench.submit(deed), *(bench.submit("quick") for _ in range(4))
        bench.told(bad, *good)
        again = {q for lost in bench.lost() for q in lost.queued}
        assert [lost.running for lost in bench.lost()] == [bad]
        assert {item for item, state in bench.states().items() if state == "staged"} == set(
            good
        ) - again
        bench.told(bench.submit("quick"))

    def test_the_reason_of_a_loss_says_how_the_process_ended(self, bench: ExecutorBench) -> None:
        """Would catch: a signal or an exit code that gets lost between the processes."""
        first, second = bench.submit("exits"), bench.submit("crashes")
        bench.told(first, second)
        said = {lost.running: lost.reason for lost in bench.lost()}
        assert "code 9" in said[first] and "SIGSEGV" in said[second]
        assert "last words" in bench.printed(first)

    def test_a_running_attempt_is_killed(self, bench: ExecutorBench) -> None:
        """Would catch: a kill that only cancels what is queued; one that leaves the neighbour
        without a worker."""
        first, second = bench.submit("begins"), bench.submit("begins")
        bench.begun(first)
        bench.begun(second)
        bench.executor.kill(first, "was ended because it ran past its timeout")
        bench.told(first)
        assert bench.lost() == [LostWorker(first, (), "was ended because it ran past its timeout")]
        (bench.folder / "go").touch()
        bench.told(second)
        assert bench.states() == {second: "staged"}

    def test_a_body_that_stops_its_process_is_killed(self, bench: ExecutorBench) -> None:
        """Would catch: a leader that waits for a worker that reads no more."""
        bad = bench.submit("stops")
        others = [bench.submit("quick") for _ in range(10)]
        bench.news += bench.executor.wait(0.3)
        bench.executor.kill(bad, "was ended because it ran past its timeout")
        bench.told(bad, *others)
        assert [lost.running for lost in bench.lost()] == [bad]

    def test_endless_output_costs_the_attempt_nothing_but_lines(self, bench: ExecutorBench) -> None:
        """Would catch: output that fills a pipe and blocks the body, or the disk."""
        attempt = bench.submit("chatters")
        bench.told(attempt)
        assert bench.states() == {attempt: "staged"}
        assert any("dropped" in line for line in bench.printed(attempt))
        assert bench.folders.log(*attempt).stat().st_size < 20_000_000

    def test_stopping_ends_what_is_under_way(self, bench: ExecutorBench) -> None:
        """Would catch: bodies that go on when their leader has gone."""
        attempt = bench.submit("begins")
        bench.begun(attempt)
        pid = int((bench.folder / f"begun-{attempt}").read_text())
        began = time.monotonic()
        bench.executor.stop()
        assert time.monotonic() - began < PATIENCE / 2
        while _alive(pid):
            assert time.monotonic() - began < PATIENCE

    def test_an_attempt_that_uses_more_memory_than_it_may_is_ended_and_says_so(
        self, bench: ExecutorBench
    ) -> None:
        """Would catch: a limit that is only DuckDB's; one that counts as a lost worker, which is
        poison after three; an attempt that took no time and no memory, by its record."""
        attempt, good = bench.submit("eats", memory_max_bytes=300 * 2**20), bench.submit("quick")
        bench.told(attempt, good)
        (outcome,) = [
            n.outcome for n in bench.news if isinstance(n, TaskFinished) and n.attempt == attempt
        ]
        assert (
            isinstance(outcome, FailedOutcome)
            and outcome.error.kind == "resources"
            and outcome.error.code == "out_of_memory"
        )
        assert "may use 300 MiB" in outcome.error.message
        assert outcome.measures.peak_memory_bytes > 300 * 2**20
        assert outcome.measures.seconds > 0
        bench.told(bench.submit("quick"))

    def test_memory_of_child_processes_counts(self, bench: ExecutorBench) -> None:
        """Would catch: a limit that a subprocess gets around."""
        attempt = bench.submit("child_eats", memory_max_bytes=200 * 2**20)
        bench.told(attempt)
        assert bench.states() == {attempt: "failed"}

    def test_another_applied_version_never_meets_old_modules(self, bench: ExecutorBench) -> None:
        """Would catch: a helper module, or what it patched elsewhere, that stays loaded when a new
        version is applied."""
        deed = (
            "Path(ctx.parameters['folder'], ctx.attempt).write_text(helper.WORD +"
            " str(json.patched))"
        )
        bodies = f"import os, helper, json\nfrom pathlib import Path\ndef says(ctx): {deed}\n"
        attempts = []
        for version in ("v2", "v3"):
            bench.code(version, bodies)
            bench.code(
                version,
                f"import json\nWORD = '{version}'\njson.patched = getattr(json, 'patched', 0)"
                " + 1\n",
                "helper.py",
            )
            attempts.append([bench.submit("says", version=version) for _ in range(4)])
            bench.told(*attempts[-1])
        for version, of_it in zip(("v2", "v3"), attempts, strict=True):
            assert {(bench.folder / str(item)).read_text() for item in of_it} == {f"{version}1"}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
