"""Becoming the leader: open the state, take the lease, recover what the last leader left, start workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.connect.exports import fence
from headrace.faults import FaultPoint, reached
from headrace.govern import identity
from headrace.govern.audit import Action, Actor, AuditEvent, Object, append
from headrace.govern.state import open_state
from headrace.lake import catalog
from headrace.model import HeadraceError, LakeError, StoreError
from headrace.model import Settings as ProjectSettings
from headrace.model.zones import from_us
from headrace.run import event_log
from headrace.run.applying import AppliedVersion
from headrace.run.borrowing import Production
from headrace.run.executors import Executor
from headrace.run.executors.choosing import executor_of
from headrace.run.executors.nobody import NullExecutor
from headrace.run.folders import Folders
from headrace.run.traces.emitter import tracer_of
from headrace.store import Clock, Lease, Store, Transaction
from headrace.store.clock import last_written
from headrace.store.queries import attending, leading
from headrace.store.wake import WakeListener

if TYPE_CHECKING:
    from headrace.run.judging import RepairOf
    from headrace.run.leader import Leader

LOOK_SECONDS = 1.0
"""How often a leader looks for requests by itself: who asks wakes it, and a wake-up may be lost."""


class Busy(HeadraceError):
    """Another leader runs: ask it."""


class Leadership:
    """The lease, and all that comes with it."""

    def __init__(
        self, store: Store, lease: Lease, clock: Clock, folders: Folders, stack: contextlib.ExitStack, production: Production | None
    ) -> None:
        self.store, self.lease, self.clock, self.folders = store, lease, clock, folders
        self.production = production
        """Whether what consumers asked for is written to where they want it; an environment writes nothing outside."""
        self.closed: LakeError | None = None
        """Why nothing can be published: a folder of the lake can't be written."""
        self._stack = stack
        self._executor: Executor | None = None
        self._listener: WakeListener | None = None
        self._looked = 0.0

    def asked(self) -> bool:
        """Whether requests of other processes should be looked for: somebody rang, or nobody has looked for a while."""
        now, rung = time.monotonic(), self._listener is not None and self._listener.woken
        if not rung and now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        if self._listener is not None:
            self._listener.woken = False
        return True

    def warm(self, settings: ProjectSettings) -> Executor:
        """Start what works, if it hasn't been: it comes up while the leader reads the project."""
        if self._executor is None:
            self._executor = self._stack.enter_context(executor_of(settings, self.folders))
            self._listener = WakeListener(self.store.folder)
            self._stack.callback(self._listener.close)
            self._executor.watch(self._listener)
        return self._executor

    def leader(self, applied: AppliedVersion, repair: RepairOf) -> Leader:
        """The leader over an applied version. `repair` says what repairs an incident, for messages to people."""
        executor = self.warm(applied.compiled.project.settings) if self.closed is None else NullExecutor()
        from headrace.run.leader import (
            Leader,  # a third of what a command loads: beside the workers' start, and not at all by who only asks
        )

        leader = Leader(
            store=self.store, lease=self.lease, clock=self.clock, folders=self.folders, executor=executor, applied=applied,
            repair=repair, production=self.production,
        )  # fmt: skip
        cache = self.folders.data_path / "cache"
        settings = leader.applied.compiled.project.settings
        if settings.openlineage:
            from headrace.run.openlineage.emitter import emitter_of  # with HTTP and TLS, which hardly anybody needs

            emitter = emitter_of(settings, self.folders.project, self.store, self.lease.epoch, leader, cache)
            if emitter is not None:
                self._stack.callback(emitter.close)
        traced = tracer_of(settings, self.folders.project, self.store, self.lease.epoch)
        if traced is not None:
            self._stack.callback(traced.close)
        self._stack.callback(leader.leave)
        return leader


@contextlib.contextmanager
def hold(
    root: Path, settings: ProjectSettings, *, actor: Actor, now: datetime | None, production: ProjectSettings | None = None
) -> Iterator[Leadership]:
    """Take the lease for as long as the block lasts. `production` are the settings outside of any environment, where `settings`
    are an environment's. Raises Busy where a leader runs, and what the store refuses."""
    with contextlib.ExitStack() as stack:
        borrows = Production.open(root, production) if production is not None else None
        if borrows is not None:
            stack.callback(borrows.close)
        store = stack.enter_context(open_state(root, settings, create=True))
        folders = Folders.of(root, settings)
        closed = _closed(folders)
        if closed is not None and _is_new(store):
            raise closed
        if borrows is not None:
            folders = msgspec.structs.replace(folders, borrows=str(borrows.lake))
        clocks: list[Clock] = []
        identities: list[str] = []

        def recover(tx: Transaction, epoch: int) -> None:
            at = _not_behind(tx, now, borrows) if borrows is not None else now
            identities.append(identity.settle(tx, folders.lake))
            clocks.append(_recover(tx, epoch, folders, settings, actor, at))

        lease = Lease.take(store, f"{actor.id} (process {os.getpid()})", then=recover)
        if lease is None:
            raise Busy("another headrace process leads this project now")
        stack.callback(_give_back, store, lease, clocks[0])
        reached(FaultPoint.LEASE_TAKEN)
        identity.mark(folders.lake, identities[0], settings.name)
        event_log.begin(store, lease.epoch, folders, actor, clocks[0].now_us())
        _sweep(folders)
        fence.close_to_others(folders.fence, lease.epoch)
        held = Leadership(store, lease, clocks[0], folders, stack, borrows)
        held.closed = closed
        if closed is None:
            _opened(store, lease.epoch)
        yield held


def _is_new(store: Store) -> bool:
    """Whether the state has no lake yet: then there is nothing that anybody could be told of."""
    with store.read() as tx:
        return catalog.missing(tx)


def _opened(store: Store, epoch: int) -> None:
    """Forget that the lake couldn't be written."""
    with store.read() as tx:
        known = attending.closed(tx)
    if known is not None:
        with store.write(epoch) as tx:
            attending.lake_open(tx)


def _closed(folders: Folders) -> LakeError | None:
    """Why one of the folders can't be written that every attempt writes to; None where all can be."""
    for folder in (folders.lake, folders.raw, folders.quarantine):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{os.getpid()}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            hint = "check that its file system isn't mounted read-only, and that this user may write there"
            return LakeError(f"{folder} can't be written: {error.strerror}", hint=hint)
    return None


def _not_behind(tx: Transaction, now: datetime | None, production: Production) -> datetime | None:
    """An environment of a replay is one as well, and never behind it."""
    replayed = production.at_us()
    if now is not None or replayed is None or last_written(tx) >= replayed:
        return now
    return from_us(replayed, "UTC")


def _give_back(store: Store, lease: Lease, clock: Clock) -> None:
    """What an interruption left open is lost now, and not only when the next leader looks: nobody works at it any more."""
    with contextlib.suppress(StoreError), store.write(lease.epoch) as tx:
        leading.lose_open_work(tx, lease.epoch + 1, clock.mark(tx))
    reached(FaultPoint.LEASE_RELEASING)
    lease.release()


def _sweep(folders: Folders) -> None:
    """Remove what attempts that ended in the middle left: no worker of ours runs yet, and another leader's are fenced."""
    shutil.rmtree(folders.temporary, ignore_errors=True)
    for half in folders.raw.glob("*.tmp"):
        half.unlink(missing_ok=True)


def _recover(tx: Transaction, epoch: int, folders: Folders, settings: ProjectSettings, actor: Actor, now: datetime | None) -> Clock:
    """In the transaction that takes the lease: what an earlier leader left open is lost, and may be done again."""
    clock = Clock.for_writing(tx, now)
    at = clock.now_us()
    if catalog.missing(tx):
        folders.lake.mkdir(parents=True, exist_ok=True)
        catalog.create(tx, f"{folders.lake}/")
        append(tx, at, AuditEvent(action=Action.STORE_CREATED, actor=actor, object=Object("project", settings.name)))
    else:
        catalog.check_version(tx)
        _correct_data_path(tx, at, folders, actor)
    leading.lose_open_work(tx, epoch, at)
    append(tx, at, AuditEvent(action=Action.LEASE_TAKEN, actor=actor, object=Object("lease", str(epoch))))
    return clock


def _correct_data_path(tx: Transaction, at: int, folders: Folders, actor: Actor) -> None:
    """A project that was moved or copied: DuckLake's readers would go on reading where the catalog says that its files are."""
    before = catalog.data_path(tx)
    if catalog.names(before, folders.lake):
        return
    after = f"{folders.lake}/"
    catalog.move(tx, after)
    append(tx, at, AuditEvent(action=Action.LAKE_MOVED, actor=actor, object=Object("lake", after), before=before, after=after))
