"""Become the leader: open the state, take the lease, recover open attempts, start workers."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.compiler.cache import make_private
from headrace.connect.exports import fence
from headrace.faults import FaultPoint, reached
from headrace.lake import catalog
from headrace.model import HeadraceError, LakeError, StoreError
from headrace.model import Settings as ProjectSettings
from headrace.model.fields import memory_in_bytes
from headrace.model.intervals import from_us
from headrace.model.nodes import ExecutorKind, SandboxMode
from headrace.model.plugins import EXECUTORS, function_named
from headrace.runtime import event_log
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.clock_jumps import ClockJumped, refuse_jump
from headrace.runtime.executors import Executor, NullExecutor
from headrace.runtime.executors.pool import Pool
from headrace.runtime.folders import Folders
from headrace.runtime.worker_protocol import WorkerSettings
from headrace.security import state
from headrace.security.audit import Action, Actor, AuditEvent, Object, append
from headrace.security.state import open_state
from headrace.store import Clock, ClockKind, Lease, Store, Transaction
from headrace.store.clock import last_written, real_us
from headrace.store.queries import lake_maintenance, leader_writes
from headrace.store.requests import WakeListener

if TYPE_CHECKING:
    from headrace.runtime.evaluation import RepairOf, WeeklyOf
    from headrace.runtime.leader import Leader


# The executor that the project's settings ask for.

MEMORY_SHARE = 0.7
"""Share of the machine's memory that all workers may use by default, divided among them.

Most of it is DuckDB's, which spills to disk above this limit.
"""
BACKGROUND_MEMORY_SHARE = 0.2
"""Share of the machine's memory for all background workers, on top of MEMORY_SHARE.

Divided among them; they run concurrently with the other workers.
"""

_WITHOUT_ROWS = re.compile(r"""materialize\s*=\s*["'](?:none|files)["']""")


def executor_of(settings: ProjectSettings, folders: Folders) -> AbstractContextManager[Executor]:
    """Return the executor that the settings name; it starts when its context is entered.

    Entering it raises if the executor can't work at all.
    """
    if settings.executor != ExecutorKind.LOCAL:
        executor: AbstractContextManager[Executor] = function_named(EXECUTORS, settings.executor)(
            settings, folders
        )
        return executor
    return Pool(worker_settings(folders, settings.workers, settings.memory_max), settings.workers)


def worker_settings(
    folders: Folders, workers: int, memory_max: str | None = None
) -> WorkerSettings:
    """Return the settings of each of `workers` workers on this machine.

    `memory_max` is the most that one attempt may use, such as `2GB`.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    threads = os.cpu_count() or 1
    share = max(1, threads // workers)
    declared_bytes = memory_in_bytes(memory_max) if memory_max else None
    allowed, behind = (
        declared_bytes or int(memory * part / workers)
        for part in (MEMORY_SHARE, BACKGROUND_MEMORY_SHARE)
    )
    files = list(folders.project.glob("assets/**/*.py"))
    mode = _sandbox_mode(folders.project / "headrace.toml")
    return WorkerSettings(
        folders,
        threads,
        share,
        memory_max_bytes=allowed,
        background_memory_max_bytes=behind,
        python=bool(files),
        arrow=any(_has_rows(path) for path in files),
        restricted=mode == SandboxMode.ON,
        restricts_queries=mode != SandboxMode.OFF,
    )


_SANDBOX = re.compile(r"""^\s*sandbox\s*=\s*["'](\w+)["']""", re.MULTILINE)


def _sandbox_mode(settings: Path) -> str:
    """Return what seems to be restricted: the project isn't loaded yet.

    Attempts at Python assets fail where it is `on` and their workers were started without it.
    """
    try:
        declared = _SANDBOX.search(settings.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return declared[1] if declared is not None else ""


def _has_rows(path: Path) -> bool:
    """Whether asset code in the file seems to read or return rows.

    The project isn't loaded yet. A wrong guess costs only time.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.count("@asset") > len(_WITHOUT_ROWS.findall(text)) or "import pyarrow" in text


# The lease, and everything that is opened and recovered with it.

LOOK_SECONDS = 1.0
"""How often a leader checks for requests without a wake-up, which may be lost."""


class Busy(HeadraceError):
    """Another process leads this project; send it the request."""


class Emitter(Protocol):
    """Reports committed attempts to another system; the leader never waits for it."""

    def close(self) -> None:
        """End; called after the leader has left, while the lease is still held."""


class Leadership:
    """The lease and everything opened with it."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        clock: Clock,
        folders: Folders,
        stack: contextlib.ExitStack,
        production: Production | None,
    ) -> None:
        self.store, self.lease, self.clock, self.folders = store, lease, clock, folders
        self.production = production
        """None outside of environments. An environment writes no exports."""
        self.closed: LakeError | None = None
        """Why nothing can be published: a folder of the lake that can't be written."""
        self._stack = stack
        self._executor: Executor | None = None
        self._listener: WakeListener | None = None
        self._looked = 0.0

    def request_check_due(self) -> bool:
        """Whether to check for requests of other processes.

        True after a wake-up and LOOK_SECONDS after the last check.
        """
        now, rung = time.monotonic(), self._listener is not None and self._listener.woken
        if not rung and now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        if self._listener is not None:
            self._listener.woken = False
        return True

    def warm(self, settings: ProjectSettings) -> Executor:
        """Start the executor if it isn't running; workers start while the project is loaded."""
        if self._executor is None:
            self._executor = self._stack.enter_context(executor_of(settings, self.folders))
            self._listener = WakeListener(self.store.folder)
            self._stack.callback(self._listener.close)
            self._executor.watch(self._listener)
        return self._executor

    def leader(
        self,
        applied: AppliedVersion,
        repair: RepairOf,
        weekly: WeeklyOf,
        emitters: StartEmitters,
    ) -> Leader:
        """Return the leader of an applied version.

        For notifications, `repair` returns the repair of an incident, and `weekly` the weekly
        section of a digest. `emitters` starts what reports the leader's attempts to other systems.
        """
        executor = (
            self.warm(applied.compiled.project.settings) if self.closed is None else NullExecutor()
        )
        from headrace.runtime.evaluation import MessageContents
        from headrace.runtime.leader import Leader

        leader = Leader(
            store=self.store,
            lease=self.lease,
            clock=self.clock,
            folders=self.folders,
            executor=executor,
            applied=applied,
            contents=MessageContents(repair, weekly),
            production=self.production,
        )
        for close in emitters(self, leader):
            self._stack.callback(close)
        self._stack.callback(leader.leave)
        return leader


StartEmitters = Callable[[Leadership, "Leader"], Iterable[Callable[[], None]]]
"""Starts the emitters that accompany a leader, and yields what ends each."""


@contextlib.contextmanager
def hold(
    root: Path,
    settings: ProjectSettings,
    *,
    actor: Actor,
    now: datetime | None,
    production: ProjectSettings | None = None,
) -> Iterator[Leadership]:
    """Hold the lease for the duration of the block.

    If `settings` are an environment's, `production` are the settings outside of any environment.
    Raises Busy if another process leads, and the errors of opening the store.
    """
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
            if Clock.for_reading(tx, now).kind is ClockKind.LIVE:
                refuse_jump(root, Path(folders.data), last_written(tx), real_us(), tx.real_us)
            at = _not_behind(tx, now, borrows) if borrows is not None else now
            identities.append(state.settle_identity(tx, folders.lake))
            clock = _recover(tx, epoch, folders, settings, actor, at)
            clock.confirm = partial(refuse_jump, root, Path(folders.data))
            clocks.append(clock)

        lease = Lease.take(store, f"{actor.id} (process {os.getpid()})", then=recover)
        if lease is None:
            raise Busy("another headrace process leads this project now")
        stack.callback(_give_back, store, lease, clocks[0])
        reached(FaultPoint.LEASE_TAKEN)
        state.mark_lake(folders.lake, identities[0], settings.name)
        event_log.begin(store, lease.epoch, folders, actor, clocks[0].now_us())
        with fence.close_to_others(folders.fence, lease.epoch):
            lease.check()  # if this process was suspended meanwhile, the files are another leader's
            _sweep(folders)
        held = Leadership(store, lease, clocks[0], folders, stack, borrows)
        held.closed = closed
        if closed is None:
            _opened(store, lease.epoch)
        yield held


def _is_new(store: Store) -> bool:
    """Whether the state has no lake yet.

    Then there is nothing that anyone could be notified about.
    """
    with store.read() as tx:
        return catalog.missing(tx)


def _opened(store: Store, epoch: int) -> None:
    """Forget that the lake couldn't be written."""
    with store.read() as tx:
        known = lake_maintenance.problem(tx, lake_maintenance.LAKE)
    if known is not None:
        with store.write(epoch) as tx:
            lake_maintenance.clear_problem(tx, lake_maintenance.LAKE)


def _closed(folders: Folders) -> LakeError | None:
    """Return why a folder that every attempt writes to can't be written; None if all can."""
    for folder in (folders.lake, folders.raw, folders.quarantine):
        try:
            make_private(folder)
            probe = folder / f".{os.getpid()}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            hint = (
                "check that its file system isn't mounted read-only, and that this user may write"
                " there"
            )
            return LakeError(f"{folder} can't be written: {error.strerror}", hint=hint)
    return None


def _not_behind(tx: Transaction, now: datetime | None, production: Production) -> datetime | None:
    """Return the time for an environment's clock: never before production's replay clock.

    An environment of a replay is a replay, too.
    """
    replayed = production.at_us()
    if now is not None or replayed is None or last_written(tx) >= replayed:
        return now
    return from_us(replayed, "UTC")


def _give_back(store: Store, lease: Lease, clock: Clock) -> None:
    """Release the lease; open work is recorded as lost now, not when the next leader starts."""
    with contextlib.suppress(StoreError, ClockJumped), store.write(lease.epoch) as tx:
        leader_writes.lose_open_work(tx, lease.epoch + 1, clock.mark(tx))
    reached(FaultPoint.LEASE_RELEASING)
    lease.release()


def _sweep(folders: Folders) -> None:
    """Remove the files of attempts that were interrupted.

    None of this leader's workers runs yet, and another leader's are fenced.
    """
    _empty(folders.temporary)
    for half in folders.raw.glob("*.tmp"):
        half.unlink(missing_ok=True)


def _recover(
    tx: Transaction,
    epoch: int,
    folders: Folders,
    settings: ProjectSettings,
    actor: Actor,
    now: datetime | None,
) -> Clock:
    """Recover the state, in the transaction that takes the lease.

    Open work of an earlier leader is recorded as lost and may be repeated.
    """
    clock = Clock.for_writing(tx, now)
    at = clock.now_us()
    if catalog.missing(tx):
        make_private(folders.lake)
        catalog.create(tx, f"{folders.lake}/")
        append(
            tx,
            at,
            AuditEvent(
                action=Action.STORE_CREATED, actor=actor, object=Object("project", settings.name)
            ),
        )
    else:
        catalog.check_version(tx)
        catalog.add_indexes(tx)
        _correct_data_path(tx, at, folders, actor)
    leader_writes.lose_open_work(tx, epoch, at)
    append(
        tx,
        at,
        AuditEvent(action=Action.LEASE_TAKEN, actor=actor, object=Object("lease", str(epoch))),
    )
    return clock


def _correct_data_path(tx: Transaction, at: int, folders: Folders, actor: Actor) -> None:
    """Correct the data path of a project that was moved or copied.

    Otherwise DuckLake's readers would read files at the path that the catalog still names.
    """
    before = catalog.data_path(tx)
    if catalog.names(before, folders.lake):
        return
    after = f"{folders.lake}/"
    catalog.move(tx, after)
    append(
        tx,
        at,
        AuditEvent(
            action=Action.LAKE_MOVED,
            actor=actor,
            object=Object("lake", after),
            before=before,
            after=after,
        ),
    )


def _empty(folder: Path) -> None:
    """Delete what is in the folder; rules of restricted threads hold for the folder itself."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
