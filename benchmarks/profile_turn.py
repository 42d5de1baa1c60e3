"""Where the time of a task that does nothing goes: 1,000 Python no-ops, by layer and by SQL
statement.

Processor time of each layer without what it calls of another layer, so that the shares add up.
Measuring
costs about two microseconds a call, which inflates layers of many small calls. What a worker does
is measured apart, in this process and one task after the other, with the tasks that the leader sent
before. `--c` adds cProfile's list by function.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import noops
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import COMMANDS
from headrace.engine.logs import OutputPipes
from headrace.project.session import ProjectSession, Silent
from headrace.runtime import worker_protocol
from headrace.runtime.folders import Folders
from headrace.runtime.leadership import hold, worker_settings
from headrace.runtime.messages import ComputeTask
from headrace.security.audit import Actor, ActorType
from headrace.services.run import RunArguments

TASKS = 1000
WARM_SECONDS = 1.0
"""In which workers come up."""
LAYERS = {
    "waiting for workers": ("headrace.runtime.executors.pool:Pool.wait",),
    "core.handle": (
        "headrace.scheduler:Core.handle_all",
        "headrace.scheduler:Core.handle",
        "headrace.scheduler:Core.next_event",
        "headrace.scheduler:Core.ahead",
    ),
    "prepare": ("headrace.runtime.tasks:TaskBuilder.prepare",),
    "take answers in": ("headrace.runtime.publishing:Batch.add",),
    "write what ended": ("headrace.runtime.publishing:Batch.write",),
    "write what starts": (
        "headrace.store.queries.leader_writes:start_attempts",
        "headrace.store.queries.leader_writes:mark_partitions",
    ),
    "audit trail": ("headrace.security.audit:_text", "headrace.security.audit:chain_hash"),
    "encode and send": (
        "headrace.runtime.executors.workers:WorkerHandle.give",
        "headrace.runtime.executors.workers:WorkerHandle.flush",
    ),
    "journal": ("headrace.runtime.decisions:Decisions._journal",),
    "sync of files": ("headrace.runtime.leader_loop:make_durable",),
    "decode": ("headrace.runtime.worker_protocol:Inbox.feed",),
    "iteration, besides": ("headrace.runtime.leader_loop:LeaderLoop._run_iteration",),
}
SQL = "SQL "


class Stopwatch:
    """Time by layer: what a layer calls of another is the other's."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._stack: list[str] = []
        self._since = time.thread_time()

    def around(self, layer: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.enter(layer)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return timed

    def clear(self) -> None:
        """Begin anew."""
        self.seconds.clear()
        self.calls.clear()
        self._since = time.thread_time()

    def enter(self, layer: str) -> None:
        """What comes now is this layer's."""
        self._charge()
        self._stack.append(layer)
        self.calls[layer] += 1

    def leave(self) -> None:
        """What comes now is the caller's again."""
        self._charge()
        self._stack.pop()

    def _charge(self) -> None:
        now = time.thread_time()
        self.seconds[self._stack[-1] if self._stack else "elsewhere"] += now - self._since
        self._since = now


def instrument(watch: Stopwatch) -> list[str]:
    """Put the stopwatch around each layer and each SQL statement; the layers that the code doesn't
    have any more.
    """
    missing = []
    for layer, places in LAYERS.items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            holder: Any = import_module(module)
            for owner in owners:
                holder = getattr(holder, owner)
            if not hasattr(holder, name):
                missing.append(place)
                continue
            setattr(holder, name, watch.around(layer, getattr(holder, name)))
    _watch_sql(watch)
    return missing


def _watch_sql(watch: Stopwatch) -> None:
    class DeclaredPromises(sqlite3.Connection):
        def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
            watch.enter(SQL + _short(sql))
            try:
                return super().execute(sql, *more)
            finally:
                watch.leave()

        def executemany(self, sql: str, *more: Any) -> sqlite3.Cursor:
            watch.enter(SQL + _short(sql))
            try:
                return super().executemany(sql, *more)
            finally:
                watch.leave()

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(
        *args, **{"factory": DeclaredPromises, **kwargs}
    )


def _short(sql: str) -> str:
    return " ".join(sql.split())[:70]


def lead(
    folder: Path, select: list[str], ready: Callable[[], None] = lambda: None
) -> tuple[float, Any]:
    """Run the project in this process, whose workers are others; seconds from the request to its
    document. `ready` is called when the leader is, with its workers."""
    session = ProjectSession.open(folder, "prod", None, "benchmark")
    with hold(
        session.root, session.settings, actor=Actor(ActorType.SERVICE, "benchmark"), now=None
    ) as held:
        context = CommandContext(session, held)
        work: Any = COMMANDS["run"].do(
            context, RunArguments(select, [], [], None, None, again=False, reason=None), Silent()
        )
        time.sleep(WARM_SECONDS)
        ready()
        began = time.thread_time()
        run = work.leader.begin(work.order)
        while (result := work.leader.result(run)) is None:
            work.leader.step()
        return time.thread_time() - began, result


def serve(folder: Path, sent: list[bytes]) -> tuple[float, float]:
    """What a worker does with the tasks that were sent: seconds, and the bytes of the answers."""
    from headrace.runtime.steps.perform import perform
    from headrace.runtime.steps.worker_context import WorkerContext

    session = ProjectSession.open(folder, "prod", None, "benchmark")
    folders = Folders.of(session.root, session.settings)
    context = WorkerContext(worker_settings(folders, 2), OutputPipes.open())
    decode: Any = worker_protocol.tasks_decoder().decode
    perform(decode(sent[0][4:]), context)  # modules are loaded by the first
    began, answered = time.thread_time(), 0
    for message in sent:
        answered += len(worker_protocol.encode_frame(perform(decode(message[4:]), context)))
    return time.thread_time() - began, answered


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--publishing", action="store_true", help="tasks that publish one row each")
    parser.add_argument(
        "--days", action="store_true", help="as many days of one asset instead, of one row each"
    )
    parser.add_argument(
        "--c",
        action="store_true",
        help="cProfile by function, of leader and worker, instead of layers",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name, "noops")
        body = noops.ONE_ROW if given.publishing else noops.NOTHING
        first = datetime.now(tz=UTC).date() - timedelta(days=given.tasks)
        noops.write(
            folder,
            noops.one_row_a_day(str(first)) if given.days else noops.independent(given.tasks, body),
        )
        (_functions if given.c else _layers)(folder, given.tasks)


def _layers(folder: Path, tasks: int) -> None:
    sent = _messages()
    watch = Stopwatch()
    missing = instrument(watch)
    taken, result = lead(folder, [], watch.clear)
    if result.state != "succeeded":
        raise SystemExit(f"the run {result}")
    watch.seconds.pop("elsewhere", None)
    print(
        f"{tasks} tasks in {taken:.3f} s: {1e6 * taken / tasks:.0f} us a task in the leader,"
        " measured"
    )
    layers = {
        layer: seconds for layer, seconds in watch.seconds.items() if not layer.startswith(SQL)
    }
    for title, rows in (
        ("layer", layers),
        ("statement", {k: v for k, v in watch.seconds.items() if k.startswith(SQL)}),
    ):
        print(f"\n{'us a task':>9} {'calls a task':>12}  {title}")
        for layer, seconds in sorted(rows.items(), key=lambda row: -row[1])[:40]:
            print(
                f"{1e6 * seconds / tasks:9.1f} {watch.calls[layer] / tasks:12.2f} "
                f" {layer.removeprefix(SQL)}"
            )
    print(
        f"\n{1e6 * sum(s for k, s in watch.seconds.items() if k.startswith(SQL)) / tasks:9.1f} us a"
        " task in SQL altogether"
    )
    worked, answered = serve(folder, sent)
    print(f"{1e6 * worked / len(sent):9.1f} us a task in a worker: decode, perform, encode")
    print(
        f"{sum(map(len, sent)) / len(sent):9.0f} bytes a task, {answered / len(sent):.0f} bytes an"
        " answer"
    )
    if missing:
        print("not in the code any more: " + ", ".join(missing))


def _functions(folder: Path, tasks: int) -> None:
    sent, profile = _messages(), cProfile.Profile()
    profile.enable()
    lead(folder, [])
    profile.disable()
    print(f"leader, {tasks} tasks")
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(40)
    profile = cProfile.Profile()
    profile.enable()
    serve(folder, sent)
    profile.disable()
    print(f"worker, {len(sent)} tasks")
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(40)


def _messages() -> list[bytes]:
    """What the leader will send to its workers, kept."""
    sent: list[bytes] = []
    encode = worker_protocol.encode_frame

    def kept(message: Any) -> bytes:
        data: bytes = encode(message)
        if isinstance(message, ComputeTask):
            sent.append(data)
        return data

    for module in list(sys.modules.values()):
        if getattr(module, "encode_frame", None) is encode and module is not worker_protocol:
            module.encode_frame = kept  # type: ignore[attr-defined]
    return sent


if __name__ == "__main__":
    main()
