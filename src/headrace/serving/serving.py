"""`serve` and `dev`: a leader until it is told to stop, with maintenance in the background."""

from __future__ import annotations

import contextlib
import enum
import gc
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Protocol

import msgspec

from headrace.acts.access_recording import record_access_events
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import RequestHandler, answer, led, sender
from headrace.lake import catalog
from headrace.model import HeadraceError, LeaseLost, Problem, Refused, StoreError
from headrace.model.errors import StoreUnreachable
from headrace.model.settings import PRODUCTION
from headrace.plan import changes
from headrace.plan.node_graph import NodeGraph
from headrace.project.caches import leave_out_of_collections
from headrace.project.session import InvalidProject, Progress, ProjectSession
from headrace.runtime import backups, small_merges
from headrace.runtime import maintenance as runtime_maintenance
from headrace.runtime.clock_jumps import ClockJumped
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.leader import TURN_SECONDS_MAX, Leader
from headrace.runtime.leadership import Busy, Leadership
from headrace.runtime.maintenance import SERVER_EVERY_SECONDS
from headrace.runtime.observation_rounds import Rounds
from headrace.runtime.runs import STANDING, LeaderCounters, News, RunRequest, RunResult
from headrace.runtime.source_watch import FolderWatcher, declaration_folders
from headrace.security.audit import Actor, ActorType
from headrace.security.state import open_state
from headrace.serving.rebuildable_cleanup import CleanupJob
from headrace.store import ClockKind
from headrace.store.lease import Holder, holder
from headrace.store.requests import wake_leader

# Daily maintenance of the lake in a thread with its own connection, so that nothing waits for it.
# Backups run in a separate process.

MAINTENANCE_RETRY_SECONDS = 60.0
"""Minimum seconds between checks whether maintenance or a backup is due, and between retries."""


class Maintenance:
    """Maintains the lake daily, in a thread that ends with the process.

    Each step is a transaction.
    """

    def __init__(
        self, session: ProjectSession, leader: Leader, print_line: Callable[[str], None]
    ) -> None:
        self._session, self._leader, self._print = session, leader, print_line
        self._thread: threading.Thread | None = None
        self._backup: subprocess.Popen[str] | None = None
        self._cleanup: subprocess.Popen[str] | None = None
        self._cleanup_due = False
        """Whether the daily maintenance has ended, and `retain_rebuildable` comes after it."""
        self._tried = self._asked = self._merge_failed = -math.inf
        self._counted_at = -small_merges.FILES_BETWEEN
        """The id of the next file when the files of all tables were last counted and merged."""
        self._left_out: set[str] = set()
        """Tables whose small files couldn't be merged since the last maintenance."""

    def go(self) -> None:
        """Start maintenance and backup if due; replays have neither, since they can be repeated."""
        leader = self._leader
        if leader.clock.kind is not ClockKind.LIVE:
            return
        self._back_up()
        self._remove_rebuildable()
        if self._thread is not None and self._thread.is_alive():
            return
        if not self._maintain_if_due():
            self._merge_if_many()

    def _maintain_if_due(self) -> bool:
        """Start the daily maintenance, or the cleanup of a full disk; return whether it runs."""
        leader = self._leader
        if time.monotonic() - self._asked < MAINTENANCE_RETRY_SECONDS:
            return False
        self._asked = time.monotonic()
        with leader.store.write(leader.lease.epoch) as tx:
            now = leader.clock.mark(tx)
            pressed = runtime_maintenance.reclaim_due(tx, now)
            if not pressed and not runtime_maintenance.due(tx, now):
                return False
        keep = RetentionPolicy.declared(leader.applied.compiled.project)
        self._begin(self._maintain, leader.lease.epoch, keep, now, pressed)
        return True

    def _merge_if_many(self) -> None:
        """Let small files be merged where new ones may have become too many.

        The leader reads one row for this; the files are counted in the thread.
        """
        if time.monotonic() - self._merge_failed < MAINTENANCE_RETRY_SECONDS:
            return
        with self._leader.store.read() as tx:
            newest = catalog.next_file_id(tx)
        if newest - self._counted_at >= small_merges.FILES_BETWEEN:
            self._merge_failed = time.monotonic()  # until the round has succeeded
            self._begin(self._merge, self._leader.lease.epoch, newest)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(
            target=work, args=arguments, name="headrace-maintenance", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            self._print(f"the lake couldn't be maintained: {error}; trying again")
        else:
            self._thread = thread

    def _back_up(self) -> None:
        """Start the backup that is due, or report the failure of the last."""
        if self._backup is not None:
            if self._backup.poll() is None:
                return
            text = self._backup.communicate()[1].strip()
            if self._backup.returncode:
                self._print(f"no backup was made: {text or f'exit {self._backup.returncode}'}")
            self._backup = None
        session = self._session
        if time.monotonic() - self._tried < MAINTENANCE_RETRY_SECONDS or not backups.due(
            session.root, session.settings
        ):
            return
        self._tried = time.monotonic()
        job = backups.BackupJob(str(session.root), session.settings)
        self._backup = _process("headrace.runtime.backups", job)

    def close(self) -> None:
        """End the process that computes partitions again: the next maintenance starts it anew."""
        if self._cleanup is not None and self._cleanup.poll() is None:
            self._cleanup.terminate()

    def _remove_rebuildable(self) -> None:
        """Start the process that computes old partitions again, or report the failure of the last.

        Only for assets of production that declare `retain_rebuildable`.
        """
        if self._cleanup is not None:
            if self._cleanup.poll() is None:
                return
            text = self._cleanup.communicate()[1].strip()
            if self._cleanup.returncode:
                self._print(f"no rebuildable partition was removed: {text or 'it was ended'}")
            self._cleanup = None
        if not self._cleanup_due:
            return
        self._cleanup_due = False
        session, assets = self._session, self._leader.applied.compiled.project.assets.values()
        if session.env == PRODUCTION and any(asset.retain_rebuildable for asset in assets):
            job = CleanupJob(str(session.root), session.env)
            self._cleanup = _process("headrace.serving.rebuildable_cleanup", job)

    def _maintain(self, epoch: int, keep: RetentionPolicy, now: int, pressed: bool) -> None:
        try:
            with open_state(self._session.root, self._session.settings) as store:
                attend = runtime_maintenance.reclaim if pressed else runtime_maintenance.maintain
                attend(store, epoch, self._session.folders, keep, now)
        except HeadraceError as error:
            self._print(f"the lake couldn't be maintained: {error}")
        else:
            self._left_out.clear()
            self._cleanup_due = not pressed

    def _merge(self, epoch: int, newest: int) -> None:
        """Merge small files for one round; the next check continues if files are left.

        `newest` is the id of the next file. In between, maintenance begins if it is due.
        """
        session, clock = self._session, self._leader.clock
        try:
            with open_state(session.root, session.settings) as store:
                merges = small_merges.SmallMerges(store, epoch, session.folders, clock)
                merged = merges.merge(
                    files_max=small_merges.CURRENT_FILES_MAX,
                    slices_max=small_merges.SLICES_PER_ROUND,
                    left_out=self._left_out,
                )
        except HeadraceError as error:
            self._print(str(error))
            return
        except OSError as error:
            self._print(f"small files can't be merged: {error}")
            return
        self._merge_failed = -math.inf
        if sum(merged.slices.values()) < small_merges.SLICES_PER_ROUND:
            self._counted_at = newest


def _process(module: str, job: msgspec.Struct) -> subprocess.Popen[str]:
    """Start a module as a process of its own, with a job on its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(job).decode())
    process.stdin.close()
    process.stdin = None
    return process


# How a server is stopped: the first signal lets running work finish, the second ends it at once.

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A request to stop, made by signals; waiting for it uses no CPU."""

    def __init__(self) -> None:
        self.asked = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self.ring: Callable[[], object] = lambda: None
        """Wakes the process if it also waits for something else."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM within the block.

        The second signal raises KeyboardInterrupt.
        """
        before = {number: signal.signal(number, self._caught) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    def wait(self, seconds: float) -> bool:
        """Wait for a request to stop, at most `seconds`; return whether there is one."""
        if not self.asked:
            with selectors.DefaultSelector() as selector:
                selector.register(self._read, selectors.EVENT_READ)
                selector.select(seconds)
        return self.asked

    def _caught(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")
        self.ring()


# `serve`: polls sources, runs what is due, answers other processes, and stands by while another
# process leads.

MAINTENANCE_SECONDS = 5.0
"""Seconds between checks of maintenance, backups and noted refusals.

They don't depend on how often sources are polled.
"""
GRACE_SECONDS = 60.0
"""Seconds that running attempts have after a request to stop; then the next leader repeats them."""
STANDBY_SECONDS = 0.5
"""Seconds between a standby server's checks whether the lease is free."""
RETRY_SECONDS = 2.0
"""Seconds before a server retries an unreachable state."""
PATIENCE_SECONDS = 300.0
"""Seconds that a starting server retries an unreachable state before it fails.

A server that has started retries forever.
"""
COLLECTED_OBJECTS = 50_000
"""New objects after which a leading server looks for unreachable ones, for some milliseconds."""
SERVER = Actor(ActorType.SERVICE, "serve")


class Role(enum.StrEnum):
    """The current role of a server."""

    STARTING = "starting"
    LEADER = "leader"
    STANDBY = "standby"
    CUT_OFF = "cut_off"
    """The state is unreachable, or the machine's clock has jumped."""
    STOPPING = "stopping"


class ServerTask(Protocol):
    """Additional work of a server in the leader's thread."""

    def after_iteration(self, context: CommandContext, leader: Leader) -> None:
        """Run after each loop iteration."""


class _Every:
    """Runs a function at most once per `seconds`."""

    def __init__(self, seconds: float, do: Callable[[], object]) -> None:
        self._seconds, self._do, self._next = seconds, do, 0.0

    def go(self) -> None:
        """Run the function if it is due."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self._do()


class Serving:
    """One server; other threads may read `role` and `figures`."""

    def __init__(
        self,
        session: ProjectSession,
        stop: Stop,
        print_line: Callable[[str], None],
        progress: Progress,
        beside: ServerTask | None = None,
    ) -> None:
        self._session, self._stop, self._print, self._progress, self._beside = (
            session,
            stop,
            print_line,
            progress,
            beside,
        )
        self.role = Role.STARTING
        self.figures: LeaderCounters | None = None
        """The leader's counters, while it leads."""
        self._led = False
        self._began = time.monotonic()

    def run(self, ready: Callable[[Role], None]) -> None:
        """Serve until told to stop; call `ready` each time this server starts to lead or stand by.

        Raise InvalidProject or StoreError if it can't begin; later errors are reported, and
        retried.
        """
        while not self._stop.asked:
            try:
                with led(self._session) as held:
                    self._lead(held, ready)
            except Busy:
                self._stand_by(ready)
            except LeaseLost:
                self._print(
                    "another process has taken the lead over; nothing of what was under way here"
                    " was committed"
                )
            except (StoreError, ClockJumped) as error:
                if not self._led and not self._waits_for(error):
                    raise
                self._cut_off(error)
        self.role = Role.STOPPING

    # Leading

    def _lead(self, held: Leadership, ready: Callable[[Role], None]) -> None:
        held.clock.rest()  # a replay moves only by work, and the server has none yet
        context = CommandContext(self._session.again(self._session.actor), held, self._progress)
        if held.closed is not None:
            context.note_closed()
            raise held.closed
        leader = context.leader()
        leave_out_of_collections()  # modules, the compiled project, partition states
        gc.set_threshold(COLLECTED_OBJECTS)
        with self._leading(leader), ExitStack() as stack:
            self._stop.ring = lambda: wake_leader(held.store.folder)
            self._led = True
            ready(self.role)
            if held.clock.kind is ClockKind.LIVE:
                self._work(context, leader, stack)
            else:
                self._loop(context, leader, lambda: TURN_SECONDS_MAX, lambda: None)
            if self._stop.asked:
                self._finish(leader)

    @contextmanager
    def _leading(self, leader: Leader) -> Iterator[None]:
        self.role, self.figures = Role.LEADER, leader.figures
        try:
            yield
        finally:
            self.role, self.figures, self._stop.ring = Role.STARTING, None, lambda: None

    def _work(self, context: CommandContext, leader: Leader, stack: ExitStack) -> None:
        """Observe, run, evaluate and answer requests until told to stop."""
        store = context.store
        leader.begin(
            RunRequest(kind="serve", targets=leader.everything, actor=SERVER, continuous=True),
            self._report,
        )
        rounds = Rounds(leader, context.held.folders, lambda: wake_leader(store.folder))
        stack.callback(rounds.close)
        background = Maintenance(self._session, leader, self._print)
        stack.callback(background.close)
        maintenance = _Every(MAINTENANCE_SECONDS, background.go)
        looks_at_files = _Every(SERVER_EVERY_SECONDS, leader.look_at_files)

        def round_() -> None:
            looks_at_files.go()
            maintenance.go()
            if rounds.go():
                leader.settle()
                leader.borrow()

        self._loop(context, leader, rounds.patience, round_)

    def _loop(
        self,
        context: CommandContext,
        leader: Leader,
        patience: Callable[[], float],
        each: Callable[[], None],
    ) -> None:
        """Run loop iterations until told to stop.

        A replay's time passes only by explicit requests and their work.
        """
        handler, messages, clock = (
            RequestHandler(context, answer),
            sender(self._session, context.held),
            context.clock,
        )
        access_events = _Every(
            MAINTENANCE_SECONDS, lambda: record_access_events(context, ended_minutes=True)
        )
        while not self._stop.asked:
            leader.step(min(TURN_SECONDS_MAX, patience()))
            self._report_propagation(leader)
            if handler.has_requests():
                handler.poll()
            if leader.busy or leader.plans_busy or not handler.empty:
                clock.go_on()
            else:
                clock.rest()
            if messages is not None:
                messages.go()
            each()
            access_events.go()
            if self._beside is not None:
                self._beside.after_iteration(context, leader)

    def _finish(self, leader: Leader) -> None:
        """Let running attempts end, and start nothing more."""
        self.role = Role.STOPPING
        leader.pause("the server is about to stop")
        if leader.busy:
            self._print(
                "stopping when what runs has ended; a second signal ends it now, and the next"
                " leader does it again"
            )
        until = time.monotonic() + GRACE_SECONDS
        while leader.busy and time.monotonic() < until:
            leader.step()
        self._report_propagation(leader)

    def _report(self, news: News) -> None:
        """Report a partition that a person should know about."""
        if news.state == "published" and not news.reason:
            return
        named = news.node if news.partition == "*" else f"{news.node}@{news.partition}"
        self._print(
            f"{named} {news.verdict if news.state == 'published' else news.state}: {news.reason}"
        )

    def _report_propagation(self, leader: Leader) -> None:
        """Report the result of a run triggered by a propagation."""
        if (ended := leader.result(STANDING)) is not None and ended.partitions:
            count = f"{ended.partitions} partition{'' if ended.partitions == 1 else 's'}"
            waits = " that wait" if ended.partitions > 1 else " that waits"
            came_to = (
                f": {count}{waits}" if ended.state == "nothing_due" else f" {ended.state}: {count}"
            )
            self._print(f"run {ended.run_id}{came_to}")

    # Not leading

    def _stand_by(self, ready: Callable[[Role], None]) -> None:
        """Wait until the lease is free."""
        with open_state(self._session.root, self._session.settings) as store:
            with store.read() as tx:
                leads = holder(tx)
            if leads is None:
                return
            self.role = Role.STANDBY
            self._led = True
            if (
                leads.process.pid != os.getpid()
            ):  # our own lease may still be there, if it couldn't be released
                self._print(f"{_named(leads)} leads this project; standing by to take over")
            ready(self.role)
            while not self._stop.wait(STANDBY_SECONDS):
                with store.read() as tx:
                    if holder(tx) is None:
                        return

    def _waits_for(self, error: StoreError | ClockJumped) -> bool:
        """Whether a server that hasn't begun retries: at boot, PostgreSQL may start after it."""
        return (
            isinstance(error, StoreUnreachable)
            and time.monotonic() - self._began < PATIENCE_SECONDS
        )

    def _cut_off(self, error: StoreError | ClockJumped) -> None:
        if self.role is not Role.CUT_OFF:
            self._print(f"{error}; trying again")
            if error.hint:
                self._print(error.hint)
        self.role = Role.CUT_OFF
        self._stop.wait(RETRY_SECONDS)


def _named(leads: Holder) -> str:
    return f"{leads.name} on {leads.process.machine.split(' ')[0] or 'another machine'}"


# `dev`: a server in its own environment that applies each saved change and builds what it affects.

PROBLEMS_SHOWN_MAX = 20
ENVIRONMENT = "dev"


def refuse_production(session: ProjectSession) -> None:
    """Raise Refused in production, where saving a file would change what readers see."""
    if session.env == PRODUCTION:
        raise Refused(
            "`dev` applies what you save, and production isn't for that",
            hint="headrace dev, or headrace serve",
        )


class Saves:
    """Watches the project's files while a server runs; the last valid version stays in force."""

    def __init__(self, session: ProjectSession, print_line: Callable[[str], None]) -> None:
        self._session, self._print = session, print_line
        self._watch: FolderWatcher | None = None
        self._runs: dict[int, str] = {}

    def after_iteration(self, context: CommandContext, leader: Leader) -> None:
        """Apply the files saved since the last loop iteration, and report the outcome."""
        if self._watch is None:
            folder = context.store.folder
            self._watch = FolderWatcher(lambda: wake_leader(folder))
            self._apply(context)
        elif self._watch.changed():
            self._apply(context)
        self._watch.watch(declaration_folders(self._session.root))
        for run in list(self._runs):
            if (ended := leader.result(run)) is not None:
                what = self._runs.pop(run)
                if ended.partitions:
                    self._print(_result_text(what, ended))

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()

    def _apply(self, context: CommandContext) -> None:
        command_context = context.asked_by(self._session.actor, None)
        before = context.applied()
        try:
            _, compilation = command_context.session.declared_exactly()
            if compilation.compiled is None:
                raise InvalidProject(compilation.problems)
            node_changes = changes(before.compiled if before else None, compilation.compiled)
            if not node_changes:
                return
            applied = command_context.apply()
        except HeadraceError as error:
            self._refused(error)
            return
        touched = {change.node for change in node_changes}
        self._print(
            f"applied version {applied.id}:"
            f" {', '.join(sorted(touched)[:5])}{' …' if len(touched) > 5 else ''}"
        )
        self._build(command_context, touched)

    def _build(self, context: CommandContext, touched: set[str]) -> None:
        """Run the changed nodes and everything downstream."""
        leader = context.leader()
        compiled = leader.applied.compiled
        downstream_nodes = NodeGraph(compiled, data_only=True).downstream(touched)
        targets = tuple(
            target
            for target in leader.everything
            if target.node in downstream_nodes and target.node in compiled.nodes
        )
        if targets:
            names = frozenset(target.node for target in targets)
            order = RunRequest(
                kind="run",
                targets=targets,
                actor=context.actor,
                request={"dev": sorted(touched)},
                retry=names,
            )
            self._runs[leader.begin(order, self._report)] = ", ".join(sorted(touched)[:5])

    def _report(self, news: News) -> None:
        if news.state != "published":
            self._print(f"{news.node}@{news.partition} {news.state}: {news.reason}")

    def _refused(self, error: HeadraceError) -> None:
        self._print(f"not applied: {error}; the version before goes on")
        problems: tuple[Problem, ...] = tuple(getattr(error, "problems", ()))
        for problem in problems[:PROBLEMS_SHOWN_MAX]:
            self._print(f"  {problem.place.file}:{problem.place.line}  {problem.message}")


def _result_text(what: str, ended: RunResult) -> str:
    return (
        f"{what}: {ended.state}, {ended.partitions} partition{'' if ended.partitions == 1 else 's'}"
    )
