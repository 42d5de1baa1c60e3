"""Fault points: places with names where tests end the process, make it fail, stop it or slow it down.

Off unless the environment says otherwise, and then one look at a module's variable each:

    HEADRACE_FAULT=turn.committed:3=kill,export.staged=sleep:0.5    the third time, the first time
    HEADRACE_FAULT_ONCE=/tmp/fired      a file: who makes it fires, so only one of all processes does; it says which point that was
    HEADRACE_FAULT_TRACE=/tmp/passed    a file: a line `point pid` for every point that any process passes

Processes inherit the environment: what the runtime starts has the same faults armed, and counts for itself.
"""

from __future__ import annotations

import enum
import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class FaultPoint(enum.StrEnum):
    """Where a fault can strike; in the order in which a run passes them."""

    LEASE_TAKING = "lease.taking"
    """Within the transaction that takes the lease: what the last leader left open has been marked as lost."""
    LEASE_TAKEN = "lease.taken"
    """The lease is ours by a commit; what half-finished attempts left hasn't been swept, exports of the last leader aren't fenced off."""
    LEASE_RENEWING = "lease.renewing"
    """Within the transaction that renews the lease."""
    LEASE_RENEWED = "lease.renewed"
    """The renewal is committed."""
    FILES_READ = "files.read"
    """The project's files are read and understood; nothing of them is stored."""
    VERSION_APPLYING = "version.applying"
    """Within the transaction that puts a version of the project in force."""
    CODE_UNPACKED = "code.unpacked"
    """The applied code is written, and hasn't got its name yet."""
    RUN_BEGUN = "run.begun"
    """The run is in the store, no source has been looked at."""
    TURN_BEGUN = "turn.begun"
    """Answers of workers are there; of what they staged nothing is synced."""
    TURN_SYNCED = "turn.synced"
    """What was staged is on the disk, no transaction names it."""
    PUBLISH_REGISTERED = "publish.registered"
    """Within a turn's transaction: the catalog has the new files, the state doesn't say yet that they are published."""
    OVERLAY_STAGED = "overlay.staged"
    """Within a turn's transaction: what a plan's attempts made is listed, their core hasn't been told."""
    OVERLAY_PROMOTED = "overlay.promoted"
    """Within a turn's transaction: all that a plan made is registered and published, production's core hasn't been told."""
    ENVIRONMENT_PROMOTED = "environment.promoted"
    """Within a transaction: what an environment has built is registered, the state doesn't say yet that it is published."""
    CHECKPOINT_WRITTEN = "checkpoint.written"
    """Within a transaction: what the core knows is written down for the next leader."""
    TURN_COMMITTING = "turn.committing"
    """Within a turn's transaction, all of it written."""
    TURN_COMMITTED = "turn.committed"
    """A turn is committed: attempts have started as far as the store knows, none has been sent."""
    TURN_DURABLE = "turn.durable"
    """Before exports are sent: the disk has all that was committed."""
    TASK_SENDING = "task.sending"
    """Before each task that is sent to a worker; those before it are sent."""
    TURN_DONE = "turn.done"
    """All that a turn decided has been sent."""
    TASK_TAKEN = "task.taken"
    """A worker has read a task and hasn't begun it."""
    RAW_COPIED = "raw.copied"
    """A delivery's bytes are copied, under a name that means nothing."""
    RAW_KEPT = "raw.kept"
    """A delivery's bytes have their name; nothing of them is read."""
    BODY_BEGUN = "body.begun"
    """A body is about to be computed, its inputs are open."""
    FILE_WRITTEN = "file.written"
    """A file of the lake is written, its statistics and hashes aren't taken."""
    FILE_STAGED = "file.staged"
    """A body's file is staged, and hasn't been audited."""
    EXPORT_WRITTEN = "export.written"
    """An export's files are written where nobody looks for them."""
    EXPORT_STAGED = "export.staged"
    """An export's files lie beside their targets, synced, under names that nobody takes for them."""
    EXPORT_RENAMED = "export.renamed"
    """One file of an export has its name: readers see it."""
    EXPORT_COMMITTING = "export.committing"
    """A table's rows are replaced, within the transaction of the database that they are in."""
    EXPORT_COMMITTED = "export.committed"
    """The database that an export goes to has committed it; Headrace doesn't know."""
    TASK_DONE = "task.done"
    """A worker has done a task, and hasn't answered."""
    TASK_ANSWERED = "task.answered"
    """A worker's answer is in the pipe."""
    REQUEST_TAKEN = "request.taken"
    """A leader has taken what another process asked for, and hasn't begun it."""
    REQUEST_ANSWERING = "request.answering"
    """What was asked for is done, the answer isn't written."""
    MERGE_STEP = "merge.step"
    """In the process that merges files: one table's files are merged, others' aren't."""
    MAINTENANCE_MERGED = "upkeep.merged"
    """Small files are merged; no snapshot has expired."""
    MAINTENANCE_EXPIRED = "upkeep.expired"
    """Old snapshots are gone from the catalog, their files are on the disk."""
    MAINTENANCE_CLEANED = "upkeep.cleaned"
    """Files of expired snapshots are deleted, what nothing names isn't."""
    EVENT_LOG_COPIED = "event_log.copied"
    """The file that stands for old records of the event log is written and synced, and nothing names it."""
    EVENT_LOG_SHORTENING = "event_log.shortening"
    """Within the transaction that names that file and deletes those records."""
    EVENT_LOG_SHORTENED = "event_log.shortened"
    """That transaction is committed, the file before it is still there."""
    WASTE_REMOVING = "waste.removing"
    """Before each kind of waste that is deleted."""
    BACKUP_COPIED = "backup.copied"
    """State and catalog are copied under a name that means nothing."""
    BACKUP_WRITTEN = "backup.written"
    """A backup is whole and on the disk, under a name that means nothing."""
    BACKUP_NAMED = "backup.named"
    """A backup has its name; older ones aren't removed."""
    BACKUP_ROTATING = "backup.rotating"
    """An old backup has lost its name, its files are there."""
    LEASE_RELEASING = "lease.releasing"
    """The work is done, the lease isn't given back."""


class Fault(NamedTuple):
    """What happens the `time`-th time that a process reaches a point."""

    point: FaultPoint
    time: int
    action: str
    seconds: float


ACTIONS = ("kill", "error", "full", "stop", "sleep")
"""End this process at once; fail as a broken disk does, as a full one; stop until somebody continues it; wait."""


def parse(text: str) -> tuple[Fault, ...]:
    """`POINT[:TIME]=ACTION[:SECONDS]`, several separated by commas. ValueError for anything else."""
    return tuple(_one(part.strip()) for part in text.split(",") if part.strip())


def _one(text: str) -> Fault:
    place, _, what = text.partition("=")
    point, _, time_text = place.partition(":")
    action, _, seconds = what.partition(":")
    if action not in ACTIONS or (action == "sleep") != bool(seconds):
        raise ValueError(f"HEADRACE_FAULT: {text!r} must end in one of =kill =error =full =stop =sleep:SECONDS")
    if point not in tuple(FaultPoint):
        raise ValueError(f"HEADRACE_FAULT: there is no fault point {point!r}; there are {', '.join(FaultPoint)}")
    return Fault(FaultPoint(point), int(time_text or 1), action, float(seconds or 0))


class Armed:
    """Faults that are armed in this process, and how often it has come to each point."""

    def __init__(self, faults: Sequence[Fault], once: str, trace: str) -> None:
        self._faults, self._once, self._trace = faults, once, trace
        self._times: Counter[FaultPoint] = Counter()

    def reached(self, point: FaultPoint) -> None:
        """Count, note it, and strike if it is time."""
        self._times[point] += 1
        if self._trace:
            _append(self._trace, f"{point} {os.getpid()}\n")
        for fault in self._faults:
            if fault.point is point and fault.time == self._times[point] and self._first(point):
                _strike(fault)

    def _first(self, point: FaultPoint) -> bool:
        """Whether no other process was here before, where only one may be."""
        if not self._once:
            return True
        try:
            made = os.open(self._once, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        os.write(made, point.encode())
        os.close(made)
        return True


def _append(path: str, line: str) -> None:
    """In one write, so that processes don't mix their lines."""
    out = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(out, line.encode())
    os.close(out)


def _strike(fault: Fault) -> None:
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(fault.seconds)
        case _:
            number = errno.ENOSPC if fault.action == "full" else errno.EIO
            raise OSError(number, os.strerror(number), str(fault.point))


def armed_by(environment: Mapping[str, str]) -> Armed | None:
    """What the environment arms; None where it arms nothing. ValueError for what it can't mean."""
    faults, trace = parse(environment.get("HEADRACE_FAULT", "")), environment.get("HEADRACE_FAULT_TRACE", "")
    return Armed(faults, environment.get("HEADRACE_FAULT_ONCE", ""), trace) if faults or trace else None


_armed = armed_by(os.environ)


def reached(point: FaultPoint) -> None:
    """This process is at a fault point: nothing happens, unless a test has armed it."""
    if _armed is not None:
        _armed.reached(point)
