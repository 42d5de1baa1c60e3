"""Processes of restricted attempts at Python assets: forked ahead, ended, and nothing left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.engine import landlock, sandbox
from headrace.engine.attempts import AttemptScope, CodeSandbox
from headrace.engine.logs import OutputPipes
from headrace.model import PythonBody
from headrace.runtime import attempt_process
from headrace.runtime.attempt_forks import AttemptForks
from headrace.runtime.folders import Folders
from headrace.runtime.fork_messages import own_folder
from headrace.runtime.messages import ComputeTask, FailedOutcome, StagedOutcome, TaskOutcome
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

ALONE = "HEADRACE_TESTS_ALONE"
pytestmark = [
    pytest.mark.skipif(not sandbox.available(), reason="no Landlock"),
    pytest.mark.skipif(ALONE not in os.environ, reason="test_attempts_in_own_process runs them"),
]

SECONDS_MAX = 20.0


class AttemptWorker:
    """A worker without a leader, whose attempts are at functions of one file."""

    def __init__(self, root: Path) -> None:
        self.root, self.folders = root, Folders(str(root), str(root / ".headrace"))
        self.code = self.folders.code / "v1"
        self.code.mkdir(parents=True)
        self.forks = AttemptForks.start((), self.folders)
        self.context = WorkerContext(WorkerSettings(self.folders, 2, 1, None), OutputPipes.open())
        self.context.forks = self.forks
        self._attempts = 0

    def attempt(self, code: str) -> TaskOutcome:
        """Perform one attempt at this text of the function `code`."""
        self._attempts += 1
        name = f"code{self._attempts}"
        (self.code / f"{name}.py").write_text(code)
        task = ComputeTask(
            scope=AttemptScope("code", ("*",), None, None, None, "UTC", f"1.{self._attempts}"),
            body=PythonBody(file=f"{name}.py", line=1, function="code", takes_context=False),
            sql=None,
            code="v1",
            inputs=(),
            materialize="table",
            partition_column=None,
            table=None,
            evolve=False,
            checks=(),
            on_fail="reject",
            sandbox=CodeSandbox(on=True, python=True),
        )
        return perform(task, self.context)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[AttemptWorker]:
    worker = AttemptWorker(tmp_path)
    yield worker
    worker.context.close()


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether the condition holds within some seconds: processes end by themselves."""
    until = time.monotonic() + SECONDS_MAX
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def staged(outcome: TaskOutcome) -> StagedOutcome:
    assert isinstance(outcome, StagedOutcome), outcome
    return outcome


LEAVES_A_PROCESS = """
import os, time
def code():
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    return [{"pid": int(os.read(read, 20))}]
"""


def left_process(worker: AttemptWorker, outcome: StagedOutcome) -> int:
    assert outcome.staged is not None
    path = worker.folders.lake / outcome.staged.path
    (row,) = (
        worker.context.session("UTC")
        .connection.execute("SELECT pid FROM read_parquet(?)", [str(path)])
        .fetchall()
    )
    return int(row[0])


def test_a_process_that_left_its_session_ends_with_the_attempt(worker: AttemptWorker) -> None:
    """Would catch: a daemon that writes to published rows after they were audited."""
    pid = left_process(worker, staged(worker.attempt(LEAVES_A_PROCESS)))
    assert eventually(lambda: not is_running(pid))
    staged(worker.attempt("def code():\n    return [{'n': 1}]"))


def test_variables_of_an_attempt_are_gone_in_the_next(worker: AttemptWorker) -> None:
    """Would catch: attempts that share a process, or its modules."""
    code = "import json, os\ndef code():\n    was = hasattr(json, 'mark')\n    json.mark = 1\n"
    code += "    return [{'pid': 1 if was else 0}]"
    for _ in range(2):
        assert left_process(worker, staged(worker.attempt(code))) == 0


@pytest.mark.parametrize(
    "answer", ["b'\\xff' * 64", "struct.pack('<Q', 3) + b'abc'", "struct.pack('<Q', 1 << 40)"]
)
def test_a_forged_answer_fails_the_attempt_alone(worker: AttemptWorker, answer: str) -> None:
    """Would catch: a worker that waits for the rest of an answer, or that ends with it."""
    code = f"""
import os, socket, stat, struct, time
def code():
    for number in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, {answer})
        except OSError:
            pass
    time.sleep(600)
"""
    outcome = worker.attempt(code)
    assert isinstance(outcome, FailedOutcome), outcome
    assert "can't be its own" in outcome.error.message
    staged(worker.attempt("def code():\n    return [{'n': 1}]"))


def test_an_attempt_has_no_descriptor_of_its_worker(worker: AttemptWorker) -> None:
    """Would catch: pidfds, control sockets and databases that a fork inherits."""
    code = """
import os
def code():
    names = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
             if os.path.islink(f"/proc/self/fd/{n}")]
    known = ("pipe:", "/dev/", "/proc/", "socket:", os.getcwd())
    others = sorted(n for n in names if not n.startswith(known) and not n.endswith("(deleted)"))
    sockets = sum(n.startswith("socket:") for n in names)
    return [{"others": " ".join(others), "sockets": sockets}]
"""
    outcome = staged(worker.attempt(code))
    assert outcome.staged is not None
    path = worker.folders.lake / outcome.staged.path
    ((others, sockets),) = (
        worker.context.session("UTC")
        .connection.execute("SELECT others, sockets FROM read_parquet(?)", [str(path)])
        .fetchall()
    )
    assert (others, sockets) == ("", 1)


def test_a_rehearsal_stages_a_row_and_starts_no_thread(tmp_path: Path) -> None:
    """Would catch: a rehearsal that fails unseen; a thread that can't be restricted any more."""
    code = f"""
import sys
from pathlib import Path
import duckdb; duckdb.default_connection().close()
import os
if os.fork() == 0:
    import pyarrow.parquet, pyarrow.compute
    from headrace.engine.isolation import LogListener
    from headrace.engine.logs import OutputPipes
    from headrace.runtime import attempt_process as process
    from headrace.runtime.folders import Folders
    folders = Folders({str(tmp_path)!r}, {str(tmp_path / "data")!r})
    process.prepare(folders)
    if os.fork() == 0:
        own = process.own_folder(folders, "a" * 32)
        own.create()
        session = process._session(own)
        pipes = OutputPipes.open()
        listener = LogListener(pipes)
        process._compute_in(own.temporary / "r", session, pipes, listener)
        listener.close()
        rows = list((own.temporary / "r").rglob("main/rows/*.parquet"))
        os._exit(0 if len(rows) == 1 and process.is_alone() else 3)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_second_thread_prevents_the_attempt(tmp_path: Path) -> None:
    """Would catch: rules for one thread while another, unrestricted, runs asset code."""
    folders = Folders(str(tmp_path), str(tmp_path / ".headrace"))
    job = attempt_process._rehearsal_job(own_folder(folders, "b" * 32))
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    rules = landlock.ruleset(sandbox.everywhere())
    try:
        with pytest.raises(OSError, match="another thread"):
            attempt_process._restrict(rules, job)
    finally:
        os.close(rules)
        stop.set()
        thread.join()


KILLED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_attempt_processes import AttemptWorker
worker = AttemptWorker(Path(sys.argv[1]))
worker.attempt("def code():\\n    return [{{'n': 1}}]")
print("ready", flush=True)
worker.attempt("import time\\ndef code():\\n    time.sleep(600)")
"""


def test_a_process_ahead_has_given_up_privileges(worker: AttemptWorker) -> None:
    """Would catch: an attempt that waits for this, when it could have been done before it came."""

    def gave_up(pid: int) -> bool:
        try:
            return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    assert eventually(lambda: any(map(gave_up, descendants(os.getpid()))))


def test_nothing_is_left_of_a_killed_worker(tmp_path: Path) -> None:
    """Would catch: forking processes, attempts and folders that outlive `kill -9`."""
    script = KILLED.format(path=[str(Path(__file__).parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
    assert eventually(lambda: len(descendants(process.pid)) >= 3)  # forking, ahead, attempt
    running = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert eventually(lambda: not any(map(is_running, running)))
    assert eventually(lambda: not list((tmp_path / ".headrace/tmp").iterdir()))


def test_an_attempt_ends_with_the_process_that_forked_it(tmp_path: Path) -> None:
    """Would catch: asset code that runs on when the process that forks is killed."""
    script = KILLED.format(path=[str(Path(__file__).parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
    assert eventually(lambda: len(descendants(process.pid)) >= 3)
    running = descendants(process.pid)
    os.kill(running[0], signal.SIGKILL)
    assert process.wait(timeout=SECONDS_MAX) == 1  # the leader starts another worker
    assert eventually(lambda: not any(map(is_running, running)))


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs, parents first."""
    pids = [pid]
    for each in pids:
        with contextlib.suppress(OSError):
            pids += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    return pids[1:]


def test_an_attempt_waits_for_a_thread_that_is_ending() -> None:
    """Would catch: an attempt that fails because a joined thread hasn't ended in the kernel yet."""
    code = """
import os, sys, threading, time
from headrace.runtime import attempt_process as process
if os.fork():  # libraries have threads, which a forked process doesn't
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
threading.Thread(target=time.sleep, args=(0.3,)).start()
seen = process.is_alone(0), process.is_alone()
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
os._exit(0 if (*seen, process.is_alone(0.1)) == (False, True, False) else 3)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
