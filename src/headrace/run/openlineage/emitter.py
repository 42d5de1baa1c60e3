"""The thread that tells of attempts. What it has told of is kept in the store, so that what couldn't be told is told later, by whoever
leads then: each event comes at least once, and one that comes again has the same run id and type."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from headrace.govern.state import open_state
from headrace.model import HeadraceError, Settings
from headrace.model.environments import PRODUCTION
from headrace.observe.openlineage.described import OpenLineageNodes
from headrace.observe.openlineage.events import end, start
from headrace.plan import compile_lineage
from headrace.run.applying import AppliedVersion
from headrace.run.openlineage.sinks import NotSent, Sink, sink_of
from headrace.store import Store
from headrace.store.queries import openlineage
from headrace.store.queries.openlineage import LineageAttempt, LineageCursor

ROUND_SECONDS = 1.0
"""How often the store is looked at."""
RETRY_SECONDS_MAX = 60.0
AT_ONCE = 100
"""So many attempts are read and told before that is written down."""
RUNNING_MAX = 1_000
LAST_SECONDS = 3.0
"""How long a leader that ends lets the rest be told; what is left then is told by the next."""


class Leads(Protocol):
    """Who leads, as far as it concerns this."""

    applied: AppliedVersion


def emitter_of(settings: Settings, root: Path, store: Store, epoch: int, leads: Leads, cache: Path) -> Emitter | None:
    """What tells of attempts from now on; None where nobody is to be told. An environment is nobody's."""
    if not settings.openlineage or settings.environment != PRODUCTION:
        return None
    with store.write(epoch) as tx:
        openlineage.begin(tx)
    return Emitter(settings, root, epoch, leads, cache)


class Emitter:
    """Made by `emitter_of`; `close` it while the lease is still held."""

    def __init__(self, settings: Settings, root: Path, epoch: int, leads: Leads, cache: Path) -> None:
        self._settings, self._root, self._epoch, self._leads, self._cache = settings, root, epoch, leads, cache
        self._last = threading.Event()
        self._until = float("inf")
        self._described: OpenLineageNodes | None = None
        self._thread = threading.Thread(target=self._run, name="headrace openlineage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell what there is, as long as that doesn't take long."""
        self._until = time.monotonic() + LAST_SECONDS
        self._last.set()
        self._thread.join(LAST_SECONDS + 1)

    def _run(self) -> None:
        try:
            with open_state(self._root, self._settings) as store:
                if (sink := self._sink(store)) is not None:
                    self._rounds(store, sink)
                    sink.close()
        except (HeadraceError, OSError):
            return  # the lease is gone, or the state out of reach: whoever leads next goes on

    def _sink(self, store: Store) -> Sink | None:
        """Where events go; None where that can't be, and then that is written down, for the next leader to try again."""
        try:
            return sink_of(self._settings, self._root)
        except HeadraceError as error:
            with store.read() as tx:
                before = openlineage.cursor(tx) or LineageCursor(0)
            self._keep(store, before, before, str(error))
            return None

    def _rounds(self, store: Store, sink: Sink) -> None:
        failures = 0
        while not (ending := self._last.is_set()) or time.monotonic() < self._until:
            told, error = self._round(store, sink)
            if told and not error:
                failures = 0
                continue
            if ending:
                return
            failures = failures + 1 if error else 0
            self._last.wait(min(RETRY_SECONDS_MAX, ROUND_SECONDS * 2**failures))

    def _round(self, store: Store, sink: Sink) -> tuple[int, str]:
        """How many events were told, and what kept the rest from it."""
        with store.read() as tx:
            before = openlineage.cursor(tx) or LineageCursor(0)
            ended = openlineage.ended(tx, before, AT_ONCE)
            running = openlineage.under_way(tx, RUNNING_MAX) if len(ended) < AT_ONCE else []
            summaries = {attempt.id: openlineage.made(tx, attempt) for attempt in ended}
        now, sending = before, _Sending(sink, lambda: time.monotonic() < self._until)
        described = self._describe() if ended or any(attempt.id not in before.begun for attempt in running) else None
        try:
            for attempt in ended:
                assert described is not None
                events = [] if attempt.id in now.begun else [start(described, attempt)]
                sending.all([*events, *end(described, attempt, summaries[attempt.id])])
                now = _ended(now, attempt)
            for lineage_attempt in running:
                if lineage_attempt.id not in now.begun:
                    assert described is not None
                    sending.all([start(described, lineage_attempt)])
                    now = msgspec.structs.replace(now, begun=now.begun | {lineage_attempt.id})
        except Enough:
            pass  # the next leader tells it
        except NotSent as failed:
            sending.error = str(failed)
        now = msgspec.structs.replace(now, sent=now.sent + sending.sent, refused=now.refused + sending.refused)
        self._keep(store, before, now, sending.error)
        return sending.sent + sending.refused, sending.error

    def _describe(self) -> OpenLineageNodes:
        applied = self._leads.applied
        if self._described is None or self._described.version != applied.id:
            self._described = OpenLineageNodes(applied.id, applied.compiled, compile_lineage(applied.compiled, self._cache).of)
        return self._described

    def _keep(self, store: Store, before: LineageCursor, now: LineageCursor, error: str) -> None:
        since = (before.failing_since or time.time_ns() // 1000) if error else None
        now = msgspec.structs.replace(now, error=error, failing_since=since)
        if now != before:
            with store.write(self._epoch) as tx:
                openlineage.keep(tx, now)


class Enough(HeadraceError):
    """The leader is about to end."""


class _Sending:
    """Events on their way, and how many have arrived."""

    def __init__(self, sink: Sink, going_on: Callable[[], bool]) -> None:
        self._sink, self._going_on = sink, going_on
        self.sent = self.refused = 0
        self.error = ""

    def all(self, events: list[bytes]) -> None:
        """Send them one after the other. Raises NotSent, and Enough where there is no time for more."""
        for event in events:
            if not self._going_on():
                raise Enough("there was no time for more")
            if self._sink.send(event):
                self.sent += 1
            else:
                self.refused += 1


def _ended(now: LineageCursor, attempt: LineageAttempt) -> LineageCursor:
    assert attempt.finished_at is not None
    return msgspec.structs.replace(now, at=attempt.finished_at, epoch=attempt.epoch, n=attempt.n, begun=now.begun - {attempt.id})
