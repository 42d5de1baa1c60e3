"""Fault points: named places in the code where a test can kill, fail, stop or slow the process.

Fault points are off unless environment variables arm them. Each then costs one read of a module
variable:

    HEADRACE_FAULT=turn.committed:3=kill,export.staged=sleep:0.5    the third pass, the first pass
    HEADRACE_FAULT_ONCE=/tmp/fired      only the process that creates this file fires
    HEADRACE_FAULT_TRACE=/tmp/passed    gets a line `point pid` for each point that a process passes

The file of HEADRACE_FAULT_ONCE then holds the name of the point.

Processes inherit the environment. A process that the runtime starts has the same faults armed and
counts its passes separately.
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
    """The points at which a fault can be injected, in the order in which a run passes them."""

    LEASE_TAKING = "lease.taking"
    """In the transaction that takes the lease: the last leader's open work is marked as lost."""
    LEASE_TAKEN = "lease.taken"
    """The lease is committed.

    Remains of unfinished attempts aren't swept, and the last leader's exports aren't fenced.
    """
    LEASE_RENEWING = "lease.renewing"
    """In the transaction that renews the lease."""
    LEASE_RENEWED = "lease.renewed"
    """The renewal is committed."""
    FILES_READ = "files.read"
    """The project's files are read and parsed; nothing of them is stored."""
    VERSION_APPLYING = "version.applying"
    """In the transaction that applies a version of the project."""
    CODE_UNPACKED = "code.unpacked"
    """The applied code is written, but doesn't have its final name."""
    RUN_BEGUN = "run.begun"
    """The run is in the store; no source has been observed."""
    TURN_BEGUN = "turn.begun"
    """The workers' results have arrived; the files that they staged aren't synced."""
    TURN_SYNCED = "turn.synced"
    """The staged files are on disk; no transaction names them."""
    PUBLISH_REGISTERED = "publish.registered"
    """The catalog has the new files, but the state doesn't say that they are published.

    In the iteration's transaction.
    """
    OVERLAY_STAGED = "overlay.staged"
    """Results of a plan's attempts are recorded, but the plan's scheduler core doesn't know them.

    In the iteration's transaction.
    """
    OVERLAY_FOUND = "overlay.found"
    """The published files that a plan will replace in a table are found; nothing is published."""
    OVERLAY_PROMOTED = "overlay.promoted"
    """A plan's results are published, but production's scheduler core doesn't know them.

    In the iteration's transaction.
    """
    OVERLAY_TIDYING = "overlay.tidying"
    """A plan's results are published; before each slice of them that is deleted where they waited.

    In the iteration's transaction.
    """
    ENVIRONMENT_PROMOTED = "environment.promoted"
    """An environment's results are registered, but the state doesn't say that they are published.

    In a transaction.
    """
    CHECKPOINT_WRITTEN = "checkpoint.written"
    """In a transaction: the scheduler core's state is written for the next leader."""
    TURN_COMMITTING = "turn.committing"
    """In the iteration's transaction, when all of it is written."""
    TURN_COMMITTED = "turn.committed"
    """The iteration is committed: the store says that attempts have started, but none was sent."""
    TURN_DURABLE = "turn.durable"
    """Before exports are sent: everything that was committed is on disk."""
    TASK_SENDING = "task.sending"
    """Before each task that is sent to a worker; the earlier tasks are sent."""
    TURN_DONE = "turn.done"
    """Everything that the loop iteration decided has been sent."""
    TASK_TAKEN = "task.taken"
    """A worker has read a task, but hasn't begun it."""
    RAW_COPIED = "raw.copied"
    """A delivery's bytes are copied under a temporary name."""
    RAW_KEPT = "raw.kept"
    """A delivery's bytes have their final name; none of them was read."""
    BODY_BEGUN = "body.begun"
    """Asset code is about to run; its inputs are open."""
    FILE_WRITTEN = "file.written"
    """A file of the lake is written; its statistics and hashes aren't computed."""
    FILE_STAGED = "file.staged"
    """The file that asset code produced is staged, but not audited."""
    EXPORT_WRITTEN = "export.written"
    """An export's files are written in a temporary folder."""
    EXPORT_STAGED = "export.staged"
    """An export's files lie next to their targets, synced, under temporary names."""
    EXPORT_RENAMED = "export.renamed"
    """One file of an export has its final name: readers see it."""
    EXPORT_COMMITTING = "export.committing"
    """A table's rows are replaced, in an open transaction of the target database."""
    EXPORT_COMMITTED = "export.committed"
    """The target database has committed an export; Headrace doesn't know it."""
    TASK_DONE = "task.done"
    """A worker has finished a task, but hasn't answered."""
    TASK_ANSWERED = "task.answered"
    """A worker's answer is in the pipe."""
    REQUEST_TAKEN = "request.taken"
    """A leader has accepted another process's request, but hasn't begun it."""
    REQUEST_ANSWERING = "request.answering"
    """The request is done; its response isn't written."""
    MERGE_STEP = "merge.step"
    """In the process that merges files: one table's files are merged, others' aren't."""
    SLICE_WRITTEN = "slice.written"
    """In the process that merges small files by day: a merged file is written, but not synced."""
    SLICE_STAGED = "slice.staged"
    """A merged file is synced, but nothing names it."""
    SLICE_REGISTERED = "slice.registered"
    """In the transaction that puts a merged file into the place of small files."""
    SLICE_MERGED = "slice.merged"
    """That transaction is committed; the small files still exist."""
    ERASURE_BEGUN = "erasure.begun"
    """An erasure is in the ledger and in the state; nothing is erased yet."""
    ERASURE_REWRITTEN = "erasure.rewritten"
    """The files of a table are written without the subject's rows, but nothing names them."""
    ERASURE_REGISTERED = "erasure.registered"
    """In the transaction that puts files without the subject's rows into the place of others."""
    ERASURE_DELETING = "erasure.deleting"
    """One file with rows of the subject is deleted; others may follow."""
    ERASURE_EXPORTED = "erasure.exported"
    """An export is written again without the subject's rows; the state doesn't say so yet."""
    ERASURE_CERTIFIED = "erasure.certified"
    """The certificate is written; the state doesn't say yet that the erasure is complete."""
    RETENTION_REWRITTEN = "retention.rewritten"
    """Files of a table are written without old partitions, but nothing names them."""
    RETENTION_REGISTERED = "retention.registered"
    """Old partitions have left the catalog; their files still exist."""
    MAINTENANCE_MERGED = "upkeep.merged"
    """Small files are merged; no snapshot has expired."""
    MAINTENANCE_EXPIRED = "upkeep.expired"
    """Old snapshots are removed from the catalog; their files are still on disk."""
    MAINTENANCE_CLEANED = "upkeep.cleaned"
    """Files of expired snapshots are deleted; files that nothing references aren't."""
    EVENT_LOG_COPIED = "event_log.copied"
    """The file that replaces old records of the event log is synced, but nothing names it."""
    EVENT_LOG_SHORTENING = "event_log.shortening"
    """In the transaction that names that file and deletes those records."""
    EVENT_LOG_SHORTENED = "event_log.shortened"
    """That transaction is committed; the previous file still exists."""
    WASTE_REMOVING = "waste.removing"
    """Before each kind of waste that is deleted."""
    BACKUP_COPIED = "backup.copied"
    """State and catalog are copied under a temporary name."""
    BACKUP_WRITTEN = "backup.written"
    """A backup is complete and on disk, under a temporary name."""
    BACKUP_NAMED = "backup.named"
    """A backup has its final name; older backups aren't removed."""
    BACKUP_ROTATING = "backup.rotating"
    """An old backup has lost its name; its files still exist."""
    KEYS_ROTATING = "keys.rotating"
    """A domain has its next key; its data keys are still encrypted with the last one."""
    KEYS_REWRAPPED = "keys.rewrapped"
    """Some of the data keys are encrypted with the next key."""
    LEASE_RELEASING = "lease.releasing"
    """The work is done; the lease isn't released."""


class Fault(NamedTuple):
    """An action for the `time`-th time that a process reaches a point; `seconds` is for `sleep`."""

    point: FaultPoint
    time: int
    action: str
    seconds: float


ACTIONS = ("kill", "error", "full", "stop", "sleep")
"""The actions of a fault.

`kill` ends the process by SIGKILL, `error` raises an I/O error, `full` raises a disk-full error,
`stop` suspends the process until it gets SIGCONT, `sleep` waits.
"""


def parse(text: str) -> tuple[Fault, ...]:
    """Parse `POINT[:TIME]=ACTION[:SECONDS]`, separated by commas. Raises ValueError."""
    return tuple(_parsed_fault(part.strip()) for part in text.split(",") if part.strip())


def _parsed_fault(text: str) -> Fault:
    place, _, what = text.partition("=")
    point, _, time_text = place.partition(":")
    action, _, seconds = what.partition(":")
    if action not in ACTIONS or (action == "sleep") != bool(seconds):
        raise ValueError(
            f"HEADRACE_FAULT: {text!r} must end in one of =kill =error =full =stop =sleep:SECONDS"
        )
    if point not in tuple(FaultPoint):
        raise ValueError(
            f"HEADRACE_FAULT: there is no fault point {point!r}; there are {', '.join(FaultPoint)}"
        )
    return Fault(FaultPoint(point), int(time_text or 1), action, float(seconds or 0))


class Armed:
    """The faults that are armed in this process, and how often it has passed each point."""

    def __init__(self, faults: Sequence[Fault], once: str, trace: str) -> None:
        self._faults, self._once, self._trace = faults, once, trace
        self._times: Counter[FaultPoint] = Counter()

    def reached(self, point: FaultPoint) -> None:
        """Count and trace a pass, and inject the fault if it is due."""
        self._times[point] += 1
        if self._trace:
            _append(self._trace, f"{point} {os.getpid()}\n")
        for fault in self._faults:
            if fault.point is point and fault.time == self._times[point] and self._first(point):
                _strike(fault)

    def _first(self, point: FaultPoint) -> bool:
        """Return whether this process may fire; with `HEADRACE_FAULT_ONCE` only the first may."""
        if not self._once:
            return True
        try:
            descriptor = os.open(self._once, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        os.write(descriptor, point.encode())
        os.close(descriptor)
        return True


def _append(path: str, line: str) -> None:
    """Append in one write, so that lines of several processes don't mix."""
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
    """Return the faults that the variables arm, or None. Raises ValueError for invalid text."""
    faults, trace = (
        parse(environment.get("HEADRACE_FAULT", "")),
        environment.get("HEADRACE_FAULT_TRACE", ""),
    )
    return (
        Armed(faults, environment.get("HEADRACE_FAULT_ONCE", ""), trace)
        if faults or trace
        else None
    )


_armed = armed_by(os.environ)


def reached(point: FaultPoint) -> None:
    """Pass a fault point: nothing happens unless a test has armed it."""
    if _armed is not None:
        _armed.reached(point)
