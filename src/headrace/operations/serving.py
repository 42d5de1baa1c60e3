"""`serve`: a leader until it is told to stop. It looks at the sources all the time, runs what is due, answers other processes, and
stands by where another process leads."""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from headrace.govern.audit import Actor, ActorType
from headrace.govern.state import open_state
from headrace.model import LeaseLost, StoreError
from headrace.model.errors import StoreUnreachable
from headrace.operations.maintenance import Maintenance
from headrace.operations.performing import CommandContext, answer, led
from headrace.operations.progress import Progress
from headrace.operations.request_handler import RequestHandler
from headrace.operations.sending import sender
from headrace.operations.session import ProjectSession
from headrace.operations.stopping import Stop
from headrace.run.figures import LeaderCounters
from headrace.run.lake_files import SERVER_EVERY_SECONDS
from headrace.run.leader import TURN_SECONDS_MAX, Leader
from headrace.run.leading import Busy, Leadership
from headrace.run.news import News
from headrace.run.orders import STANDING, RunRequest
from headrace.run.rounds import Rounds
from headrace.store import ClockKind
from headrace.store.lease import Holder, holder
from headrace.store.wake import wake

MAINTENANCE_SECONDS = 5.0
"""So often it is looked whether maintenance or a backup is due, and what became of it: however seldom sources are polled."""
GRACE_SECONDS = 60.0
"""How long attempts that run when a server is told to stop may take; then they are put back, and done again by the next leader."""
STANDBY_SECONDS = 0.5
"""How often a server that stands by looks whether the lease is free."""
RETRY_SECONDS = 2.0
"""How long a server waits before it tries a state again that is out of reach."""
PATIENCE_SECONDS = 300.0
"""How long a server that starts waits for a state that is out of reach, before it ends with the error. One that runs waits for ever."""
SERVER = Actor(ActorType.SERVICE, "serve")


class Role(enum.StrEnum):
    """What a server is at."""

    STARTING = "starting"
    LEADER = "leader"
    STANDBY = "standby"
    CUT_OFF = "cut_off"
    """The state is out of reach."""
    STOPPING = "stopping"


class ServerTask(Protocol):
    """What a server does besides, in the leader's thread."""

    def turn(self, context: CommandContext, leader: Leader) -> None:
        """Called after each turn of the loop."""


class _Every:
    """Does something at most once in so many seconds."""

    def __init__(self, seconds: float, do: Callable[[], object]) -> None:
        self._seconds, self._do, self._next = seconds, do, 0.0

    def go(self) -> None:
        """Do it if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self._do()


class Serving:
    """One server. `role` and `figures` may be read by other threads."""

    def __init__(
        self, session: ProjectSession, stop: Stop, tell: Callable[[str], None], progress: Progress, beside: ServerTask | None = None
    ) -> None:
        self._session, self._stop, self._tell, self._progress, self._beside = session, stop, tell, progress, beside
        self.role = Role.STARTING
        self.figures: LeaderCounters | None = None
        """What it counts while it leads."""
        self._led = False
        self._began = time.monotonic()

    def run(self, ready: Callable[[Role], None]) -> None:
        """Serve until told to stop. `ready` is called whenever this server has begun to lead or to stand by.

        Raises what keeps it from ever beginning: InvalidProject, StoreError; what happens later is told, and tried again.
        """
        while not self._stop.asked:
            try:
                with led(self._session) as held:
                    self._lead(held, ready)
            except Busy:
                self._stand_by(ready)
            except LeaseLost:
                self._tell("another process has taken the lead over; nothing of what was under way here was committed")
            except StoreError as error:
                if not self._led and not self._waits_for(error):
                    raise
                self._cut_off(error)
        self.role = Role.STOPPING

    # Leading

    def _lead(self, held: Leadership, ready: Callable[[Role], None]) -> None:
        held.clock.rest()  # a replay moves by work, and the server hasn't any yet
        context = CommandContext(self._session.again(self._session.actor), held)
        if held.closed is not None:
            context.note_closed()
            raise held.closed
        leader = context.leader(self._progress)
        with self._leading(leader), ExitStack() as stack:
            self._stop.ring = lambda: wake(held.store.folder)
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
        """Look, run, judge and answer, as long as nobody says stop."""
        store = context.store
        leader.begin(RunRequest(kind="serve", targets=leader.everything, actor=SERVER, standing=True), self._report)
        rounds = Rounds(leader, context.held.folders, lambda: wake(store.folder))
        stack.callback(rounds.close)
        maintenance = _Every(MAINTENANCE_SECONDS, Maintenance(self._session, leader, self._tell).go)
        looks_at_files = _Every(SERVER_EVERY_SECONDS, leader.look_at_files)

        def round_() -> None:
            looks_at_files.go()
            maintenance.go()
            if rounds.go():
                leader.settle()
                leader.borrow()

        self._loop(context, leader, rounds.patience, round_)

    def _loop(self, context: CommandContext, leader: Leader, patience: Callable[[], float], each: Callable[[], None]) -> None:
        """One turn after the other. (A replay has nothing more to do: time passes when somebody says so, or by what they ask for.)"""
        handler, messages, clock = RequestHandler(context, answer), sender(self._session, context.held), context.clock
        while not self._stop.asked:
            leader.step(min(TURN_SECONDS_MAX, patience()))
            self._told(leader)
            if handler.asked():
                handler.look()
            if leader.busy or leader.plans_busy or not handler.empty:
                clock.go_on()
            else:
                clock.rest()
            if messages is not None:
                messages.go()
            each()
            if self._beside is not None:
                self._beside.turn(context, leader)

    def _finish(self, leader: Leader) -> None:
        """Let what runs end, and begin nothing more."""
        self.role = Role.STOPPING
        leader.pause("the server is about to stop")
        if leader.busy:
            self._tell("stopping when what runs has ended; a second signal ends it now, and the next leader does it again")
        until = time.monotonic() + GRACE_SECONDS
        while leader.busy and time.monotonic() < until:
            leader.step()
        self._told(leader)

    def _report(self, news: News) -> None:
        """Say what a person should know of a partition."""
        if news.state == "published" and not news.reason:
            return
        named = news.node if news.partition == "*" else f"{news.node}@{news.partition}"
        self._tell(f"{named} {news.verdict if news.state == 'published' else news.state}: {news.reason}")

    def _told(self, leader: Leader) -> None:
        """Say what a wave of work came to."""
        if (ended := leader.result(STANDING)) is not None and ended.partitions:
            count = f"{ended.partitions} partition{'' if ended.partitions == 1 else 's'}"
            waits = " that wait" if ended.partitions > 1 else " that waits"
            came_to = f": {count}{waits}" if ended.state == "nothing_due" else f" {ended.state}: {count}"
            self._tell(f"run {ended.run_id}{came_to}")

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
            if leads.process.pid != os.getpid():  # our own lease lapses, where it couldn't be given back
                self._tell(f"{_named(leads)} leads this project; standing by to take over")
            ready(self.role)
            while not self._stop.wait(STANDBY_SECONDS):
                with store.read() as tx:
                    if holder(tx) is None:
                        return

    def _waits_for(self, error: StoreError) -> bool:
        """Whether a server that hasn't begun goes on trying: a machine that starts may start PostgreSQL after it."""
        return isinstance(error, StoreUnreachable) and time.monotonic() - self._began < PATIENCE_SECONDS

    def _cut_off(self, error: StoreError) -> None:
        if self.role is not Role.CUT_OFF:
            self._tell(f"{error}; trying again")
        self.role = Role.CUT_OFF
        self._stop.wait(RETRY_SECONDS)


def _named(leads: Holder) -> str:
    return f"{leads.name} on {leads.process.machine.split(' ')[0] or 'another machine'}"
