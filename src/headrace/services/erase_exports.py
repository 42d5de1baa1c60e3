"""Exports that have rows of a subject: an erasure writes their files and tables again without them.

An export is written as it was: from the same snapshot of the lake, which has no row of the subject
any more, with the masks of today.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.connect.exports.fence import epoch_of
from headrace.engine import InputData
from headrace.faults import FaultPoint, reached
from headrace.lake.catalog import newest_snapshot, snapshot_exists
from headrace.model import Consumer, LakeError
from headrace.model.exports import ASSET_PLACEHOLDER, ExportFormat, export_of, path_of
from headrace.model.partitions import command_line
from headrace.model.wording import few
from headrace.plan.compiled import Compiled, expand_view_names
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.erasure_search import ExportWrite, written_again
from headrace.runtime.messages import ExportTask
from headrace.runtime.tasks.kinds import export_task
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.scheduler import AttemptId
from headrace.services.commands import perform
from headrace.services.erase_steps import ExportArguments
from headrace.services.responses.erasures import ErasedPlaceRow, ErasureStepResponse
from headrace.services.session import Progress, ProjectSession
from headrace.store import Transaction
from headrace.store.queries import attempts, erasures
from headrace.store.queries import erased_exports as stored
from headrace.store.queries.erased_exports import ERASED, KEPT, ErasedExport, NewestExport

TRIES = 5
"""Maximum number of times that exports are looked up again, because one was written meanwhile."""
TARGETS_SHOWN = 5
WAIT_SECONDS, WAIT_SECONDS_MAX = 0.5, 60.0
"""How often attempts at exports are looked up that began before the rows were erased, how long."""

ErasedRowsAt = Mapping[str, Mapping[str, frozenset[str]]]
"""Node → file → the partitions in it that have rows of the subject."""


class ExportToErase(msgspec.Struct, frozen=True):
    """An interval of an export with rows of the subject: `why` it can't be written again, or "".

    `task` writes it, from the lake as it is when the task is made.
    """

    consumer: str
    interval: str
    publication: int
    targets: tuple[str, ...]
    why: str = ""
    task: ExportTask | None = None
    gone: tuple[str, ...] = ()
    """Targets that are files and aren't there any more, so that none is written."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Consumer, interval and publication."""
        return self.consumer, self.interval, self.publication


class _Lookup:
    """Look-ups of exports in the applied version."""

    def __init__(self, session: ProjectSession, tx: Transaction, compiled: Compiled) -> None:
        self.tx, self.compiled = tx, compiled
        self.now = session.clock.now_us()  # known already: a store runs one read at a time
        cache = session.data_folder / "cache"
        applied = AppliedVersion(0, "", compiled)
        self._root = session.root
        self._tasks = TaskLookup(applied, str(session.root), None, cache)

    def readers(self, nodes: Iterable[str]) -> Iterator[Consumer]:
        """Yield the consumers whose export reads one of the nodes, directly or by views."""
        wanted = set(nodes)
        for consumer in self.compiled.project.consumers.values():
            read = {*consumer.reads, *expand_view_names(self.compiled, consumer.reads)}
            if consumer.export is not None and read & wanted:
                yield consumer

    def task(self, consumer: Consumer, newest: NewestExport, snapshot: int) -> ExportTask:
        """Return the task that writes an interval from a snapshot. Raises Undeliverable."""
        task = export_task(
            self._tasks,
            self.tx,
            AttemptId(newest.epoch, newest.n),
            consumer,
            (newest.interval,),
            self.now,
            snapshot,
        )
        reads = tuple(msgspec.structs.replace(data, rows=None) for data in task.reads)
        hashes = {str(item["target"]): str(item["sha256"]) for item in newest.manifest}
        return msgspec.structs.replace(task, reads=reads, replaces=hashes)

    def links(self, targets: Iterable[str]) -> list[str]:
        """Return the files that are links: writing one again leaves the file behind it."""
        return [name for name in targets if (self._root / name).is_symlink()]

    def gone(self, consumer: Consumer, targets: Iterable[str]) -> tuple[str, ...]:
        """Return the local files that aren't there any more."""
        path = (consumer.export or {}).get("to", "://")
        if "://" in path:
            return ()
        return tuple(name for name in targets if not os.path.lexists(self._root / name))

    def as_written(self, consumer: Consumer, newest: NewestExport) -> ExportTask:
        """Return the task that writes what the export has read. Raises Undeliverable."""
        task = self.task(consumer, newest, newest.snapshot)
        if snapshot_exists(self.tx, newest.snapshot):
            return task
        now = self.task(consumer, newest, newest_snapshot(self.tx))
        if set(_files(now.reads)) != set(_files(task.reads)):
            raise Undeliverable(
                "its inputs have changed since it was written, and the snapshot that it was written"
                " from isn't kept any more"
            )
        return now


def _files(reads: Iterable[InputData]) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """Yield the files that are read, with the partitions if not all are; through views."""
    for data in reads:
        yield from ((file.path, file.partitions) for file in data.files)
        yield from _files(data.inputs)


def exports_to_erase(
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    at: ErasedRowsAt,
    waiting: Sequence[ErasedExport],
) -> list[ExportToErase]:
    """Return the intervals of exports that were written from rows of the subject.

    `waiting` are those that an erasure couldn't write again.
    """
    lookup = _Lookup(session, tx, compiled)
    noted = {(item.consumer, item.interval) for item in waiting}
    partitions: dict[str, frozenset[str]] = {}
    for files in at.values():
        partitions |= files
    results = []
    for consumer in lookup.readers(at):
        for newest in stored.newest_exports(tx, consumer.name):
            item = _examined(lookup, consumer, newest)
            if item.task is None or _reads_any(item.task, partitions) or item.key[:2] in noted:
                results.append(item)
    return results


def _reads_any(task: ExportTask, partitions: Mapping[str, frozenset[str]]) -> bool:
    return any(
        path in partitions and (keys is None or not partitions[path].isdisjoint(keys))
        for path, keys in _files(task.reads)
    )


def _examined(lookup: _Lookup, consumer: Consumer, newest: NewestExport) -> ExportToErase:
    """Return an export with the task that writes it again, or why it can't be."""
    result = ExportToErase(
        consumer.name, newest.interval, newest.publication, tuple(newest.targets)
    )
    again = command_line(
        "run", consumer.name, "--partition", newest.interval, "--again", "--reason", "TEXT"
    )
    try:
        task = lookup.as_written(consumer, newest)
    except Undeliverable as error:
        why = f"{error}: {again} exports what is there now, or delete it"
        return msgspec.structs.replace(result, why=why)
    former = sorted(set(newest.targets) - _targets(consumer, task))
    if former:
        why = "an earlier declaration of the export wrote there: delete it"
        return msgspec.structs.replace(result, targets=tuple(former), why=why)
    links = lookup.links(newest.targets)
    if links:
        why = "it is a link to a file that somebody put elsewhere: delete that file and the link"
        return msgspec.structs.replace(result, targets=tuple(links), why=f"{why}, then {again}")
    return msgspec.structs.replace(result, task=task, gone=lookup.gone(consumer, newest.targets))


def _targets(consumer: Consumer, task: ExportTask) -> set[str]:
    """Return the files or tables that a task writes, as an export's manifest names them."""
    from datetime import datetime

    export = export_of(consumer)
    assert export is not None
    if export.path is None:
        return {export.label.replace(ASSET_PLACEHOLDER, data.name) for data in task.reads}
    start = datetime.fromisoformat(task.start) if task.start else None
    reads = [data.name for data in task.reads]
    if export.format is ExportFormat.EXCEL and ASSET_PLACEHOLDER not in export.path:
        reads = reads[:1]
    return {path_of(export.label, start, name) for name in reads}


def former_targets(
    session: ProjectSession, tx: Transaction, compiled: Compiled, nodes: Sequence[str]
) -> dict[str, list[str]]:
    """Return files of earlier declarations that are still there, by consumer of these nodes."""
    results = {}
    for consumer in _Lookup(session, tx, compiled).readers(nodes):
        current = {
            name for newest in stored.newest_exports(tx, consumer.name) for name in newest.targets
        }
        others = stored.every_target(tx, consumer.name) - current
        present = sorted(name for name in others if (session.root / name).is_file())
        if present:
            results[consumer.name] = present
    return results


def place_rows(exports: Iterable[ExportToErase]) -> list[ErasedPlaceRow]:
    """Return the planned exports as places: one per consumer that is written again, or is kept."""
    return _rows(
        [
            (
                ErasedExport(
                    item.consumer, item.interval, item.publication, KEPT if item.why else ERASED,
                    -1, f"{_named(item.targets)}: {item.why}" if item.why else "",
                ),
                [*map(stored.as_gone, item.gone), *sorted({*item.targets} - {*item.gone})],
            )
            for item in exports
        ]
    )  # fmt: skip


def erased_rows(exports: Iterable[ErasedExport]) -> list[ErasedPlaceRow]:
    """Return what was done to exports as places."""
    return _rows([(item, [*filter(None, item.why.split("\n"))]) for item in exports])


def _rows(exports: Sequence[tuple[ErasedExport, list[str]]]) -> list[ErasedPlaceRow]:
    groups: dict[tuple[str, str, str], list[tuple[ErasedExport, list[str]]]] = {}
    for item, targets in exports:
        action = ERASED if item.state == ERASED else KEPT
        why = "" if action == ERASED else item.why
        groups.setdefault((item.consumer, action, why), []).append((item, targets))
    results = []
    for (consumer, action, why), items in groups.items():
        names = dict.fromkeys(name for _, targets in items for name in targets)
        rows = sum(item.rows for item, _ in items)
        results.append(
            ErasedPlaceRow(
                node=consumer,
                what="export",
                partitions=[item.interval for item, _ in items],
                rows=rows if action == ERASED and rows >= 0 else None,
                action=action,
                why=why or _done(names),
            )
        )
    return results


def _done(names: Iterable[str]) -> str:
    """Return what an erasure does to targets, of which some may not be there any more."""
    gone, written = stored.gone_and_written(names)
    parts = []
    if written:
        parts.append(f"exported, and written again without these rows: {_named(written)}")
    if gone:
        parts.append(f"not there any more, so not written again: {_named(gone)}")
    return "; ".join(parts)


def _named(targets: Iterable[str]) -> str:
    return few(list(targets), TARGETS_SHOWN)


# The erasure: what waits is written again, and what was exported meanwhile, too.


def erase_exports(
    session: ProjectSession,
    compiled: Compiled,
    nodes: Sequence[str],
    number: int,
    since: int,
    progress: Progress,
) -> None:
    """Write the exports of an erasure again; one that can't be is noted as kept.

    Exports that were written since `since` may have read the rows before they were erased, so they
    are written again, too. Raises LakeError if that doesn't come to an end.
    """
    erased_at = session.clock.now_us()
    tried = set[int]()
    for _ in range(TRIES):
        _wait_for_attempts(session, compiled, nodes, erased_at)
        waiting = [
            item
            for item in _waiting(session, compiled, nodes, number, since)
            if item.publication not in tried
        ]
        if not waiting:
            return
        for item in waiting:
            tried.add(item.publication)
            _erase(session, item, number, progress)
    raise LakeError(
        "exports of the subject's rows are written again and again meanwhile",
        hint="pause the consumers, then run the same command again",
    )


def _wait_for_attempts(
    session: ProjectSession, compiled: Compiled, nodes: Sequence[str], erased_at: int
) -> None:
    """Wait for attempts at exports that began before the rows were erased.

    They may have read the rows, and put a file with them in place when they end. Raises LakeError
    if one takes too long.
    """
    end = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        with session.existing_store.read() as tx:
            names = {consumer.name for consumer in _Lookup(session, tx, compiled).readers(nodes)}
            early = [
                attempt
                for attempt in attempts.running(tx)
                if attempt.node in names and attempt.queued_at <= erased_at
            ]
        if not early:
            return
        if time.monotonic() > end:
            raise LakeError(
                f"{early[0].node} is still exported by the attempt {early[0].id}, which may have"
                " read rows of the subject",
                hint="run the same command again when it has ended",
            )
        time.sleep(WAIT_SECONDS)


def _waiting(
    session: ProjectSession, compiled: Compiled, nodes: Sequence[str], number: int, since: int
) -> list[ExportToErase]:
    session.clock.now_us()
    with session.existing_store.read() as tx:
        lookup = _Lookup(session, tx, compiled)
        noted = {(item.consumer, item.interval): item for item in stored.of_erasure(tx, number)}
        return [
            _examined(lookup, consumer, newest)
            for consumer in lookup.readers(nodes)
            for newest in stored.newest_exports(tx, consumer.name)
            if _is_due(noted.get((consumer.name, newest.interval)), newest, since)
        ]


def _is_due(noted: ErasedExport | None, newest: NewestExport, since: int) -> bool:
    if noted is not None and (noted.state, noted.publication) == (ERASED, newest.publication):
        return False
    return (noted is not None and noted.state != ERASED) or newest.published_at >= since


def _erase(session: ProjectSession, item: ExportToErase, number: int, progress: Progress) -> None:
    manifest, why = _rewritten(session, item)
    arguments = ExportArguments(number, *item.key, manifest, why)
    reached(FaultPoint.ERASURE_EXPORTED)
    _: ErasureStepResponse = perform(session, "erasure_export", arguments, progress)


def _rewritten(
    session: ProjectSession, item: ExportToErase
) -> tuple[tuple[dict[str, Any], ...] | None, str]:
    """Write an export again; return what was written, or why it is kept."""
    if item.task is None:
        return None, f"{_named(item.targets)}: {item.why}"
    task, why = item.task, "other leaders take over again and again"
    for _ in range(TRIES):
        task = msgspec.structs.replace(task, erases=epoch_of(session.folders.fence))
        try:
            answer = written_again(ExportWrite(task, session.folders, os.cpu_count() or 1))
        except LakeError as error:
            why = str(error)
            break
        if answer.manifest is not None:
            return answer.manifest, ""
        if not answer.fenced:
            why = answer.why
            break
    return None, f"{_named(item.targets)}: {why}; then run the same command again"


def waiting_of(tx: Transaction, subject: str) -> list[ErasedExport]:
    """Return the exports that an earlier erasure of the subject couldn't write again."""
    erasure = erasures.of_subject(tx, subject)
    if erasure is None:
        return []
    return [item for item in stored.of_erasure(tx, erasure.id) if item.state != ERASED]
