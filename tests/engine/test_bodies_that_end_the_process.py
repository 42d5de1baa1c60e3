"""Bodies that don't come back: each in a process of its own, as a worker is; the parent stands for
the leader.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_bench import NOW_US, Bench

from headrace.engine.logs import OutputPipes, read

WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from engine_bench import Bench
from headrace.engine.isolation import Capture
from headrace.engine.logs import OutputPipes, WorkerClock, LogFile
from headrace.engine.compute import compute

bench = Bench(Path(sys.argv[2]))
bench.lake.mkdir(parents=True, exist_ok=True)
task = bench.python(sys.stdin.read())
log = LogFile(bench.data / "logs" / "1" / "1.jsonl", WorkerClock(0))
with Capture(OutputPipes(*map(int, sys.argv[3:9])), log):
    produced = compute(task, bench.session, bench, log=log)
sys.exit(0 if produced.staged.rows == 1 else 1)
"""
BODY = """
import ctypes, os, signal, sys, threading
from headrace import asset

@asset(owner="o")
def out():
    print("last words")
    {deed}
"""


@pytest.fixture
def channel() -> Iterator[OutputPipes]:
    made = OutputPipes.open()
    yield made
    for fd in made.ends:
        with contextlib.suppress(OSError):
            os.close(fd)


def start(data: Path, channel: OutputPipes, deed: str) -> subprocess.Popen[str]:
    arguments = [str(Path(__file__).parent), str(data), *map(str, channel.ends)]
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        pass_fds=channel.ends,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(BODY.replace("{deed}", deed))
    worker.stdin.close()
    return worker


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("os._exit(3)", 3),
        ("ctypes.string_at(0)", -signal.SIGSEGV),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("yield {'a': 1}; yield from ({'a': i} for i in range(100_000)); os._exit(3)", 3),
    ],
)
def test_the_end_of_the_process_leaves_its_last_words_and_nothing_to_read(
    tmp_path: Path, channel: OutputPipes, deed: str, code: int
) -> None:
    """Would catch: a log that ends before it says why; a staged file that looks whole."""
    worker = start(tmp_path, channel, deed)
    assert worker.wait() == code
    path = tmp_path / "logs" / "1" / "1.jsonl"
    channel.rescue(path, NOW_US)
    assert [line.text for line in read(path) if line.stream == "stdout"] == ["last words"]
    staged = (
        list((tmp_path / "lake" / "main").rglob("*.parquet"))
        if (tmp_path / "lake" / "main").exists()
        else []
    )
    assert all(path.read_bytes()[-4:] != b"PAR1" for path in staged), (
        "half a result must not be a readable file"
    )


def test_a_body_that_never_returns_can_be_ended_from_outside(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: a body that ignores signals and keeps its worker for ever: only a kill is left,
    and it suffices.
    """
    worker = start(
        tmp_path,
        channel,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('waiting', flush=True);"
        " threading.Event().wait()",
    )
    path = tmp_path / "logs" / "1" / "1.jsonl"
    while "waiting" not in [line.text for line in read(path)]:
        assert worker.poll() is None
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    channel.rescue(path, NOW_US)
    assert [line.text for line in read(path)] == ["last words", "waiting"]


@pytest.mark.parametrize(
    "deed",
    [
        "os.close(1); os.close(2); return [{'a': 1}]",
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); return [{'a': 1}]",
        "os.chdir('/'); return [{'a': 1}]",
        "os.environ.clear(); return [{'a': 1}]",
        "sys.setrecursionlimit(60); return [{'a': 1}]",
        (
            "threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start(); return"
            " [{'a': 1}]"
        ),
        (
            "child = os.fork(); (os._exit(0) if not child else os.waitpid(child, 0)); return"
            " [{'a': 1}]"
        ),
        "return [{'a': 1}] if os.fork() else [{'a': 2}, {'a': 3}]",
    ],
)
def test_what_a_body_does_to_its_process_does_not_touch_its_result(
    bench: Bench, tmp_path: Path, channel: OutputPipes, deed: str
) -> None:
    """Would catch: a result lost to what the body did around it."""
    assert start(tmp_path, channel, deed).wait() == 0
