"""Exports that have rows of a subject: an erasure writes their files and tables again without them.

An export is written as it was: from the same snapshot of the lake, which has no row of the subject
any more, with the masks of today.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from headrace.extension import (
    AttemptId,
    Compiled,
    Consumer,
    ExportTask,
    InputData,
    ProjectSession,
    command_line,
    few,
)
from headrace.lake.catalog import newest_snapshot, snapshot_exists
from headrace.model.exports import ASSET_PLACEHOLDER, export_of, holds_all, path_of
from headrace.plan.compiled import expand_view_names
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.tasks.kinds import export_task
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.store import Transaction
from headrace_erase.queries import erased_exports as stored
from headrace_erase.queries import erasures
from headrace_erase.queries.erased_exports import ERASED, KEPT, ErasedExport, NewestExport
from headrace_erase.responses.erasures import ErasedPlaceRow

TARGETS_SHOWN = 5

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


class ExportLookup:
    """Look-ups of exports in the applied version."""

    def __init__(self, session: ProjectSession, tx: Transaction, compiled: Compiled) -> None:
        self.tx, self.compiled = tx, compiled
        self.now = session.clock.now_us()  # known already: a store runs one read at a time
        cache = session.data_folder / "cache"
        applied = AppliedVersion(0, "", compiled)
        self._root = session.root
        self._tasks = TaskLookup(applied, str(session.root), None, cache)
        self._tasks.as_written = True

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
    lookup = ExportLookup(session, tx, compiled)
    noted = {(item.consumer, item.interval) for item in waiting}
    partitions: dict[str, frozenset[str]] = {}
    for files in at.values():
        partitions |= files
    results = []
    for consumer in lookup.readers(at):
        for newest in stored.newest_exports(tx, consumer.name):
            item = examined(lookup, consumer, newest)
            if item.task is None or _reads_any(item.task, partitions) or item.key[:2] in noted:
                results.append(item)
    return results


def _reads_any(task: ExportTask, partitions: Mapping[str, frozenset[str]]) -> bool:
    return any(
        path in partitions and (keys is None or not partitions[path].isdisjoint(keys))
        for path, keys in _files(task.reads)
    )


def examined(lookup: ExportLookup, consumer: Consumer, newest: NewestExport) -> ExportToErase:
    """Return an export with the task that writes it again, or why it can't be."""
    result = ExportToErase(
        consumer.name, newest.interval, newest.publication, tuple(newest.targets)
    )
    again = exports_now(consumer.name, newest.interval)
    try:
        task = lookup.as_written(consumer, newest)
    except Undeliverable as error:
        why = f"{error}: {again}, or delete it"
        return msgspec.structs.replace(result, why=why)
    former = sorted(set(newest.targets) - _targets(consumer, task))
    if former:
        why = "an earlier declaration of the export wrote there: delete it"
        return msgspec.structs.replace(result, targets=tuple(former), why=why)
    links = lookup.links(newest.targets)
    if links:
        why = "it is a link to a file that somebody put elsewhere: delete that file and the link"
        return msgspec.structs.replace(result, targets=tuple(links), why=f"{why}; then {again}")
    return msgspec.structs.replace(result, task=task, gone=lookup.gone(consumer, newest.targets))


def exports_now(consumer: str, interval: str) -> str:
    """Return a clause with the command that exports an interval as it is now."""
    command = command_line("run", consumer, "--partition", interval, "--again", "--reason", "TEXT")
    return f"{command} exports what is there now"


def _targets(consumer: Consumer, task: ExportTask) -> set[str]:
    """Return the files or tables that a task writes, as an export's manifest names them."""
    from datetime import datetime

    export = export_of(consumer)
    assert export is not None
    if export.path is None:
        return {export.label.replace(ASSET_PLACEHOLDER, data.name) for data in task.reads}
    start = datetime.fromisoformat(task.start) if task.start else None
    reads = [data.name for data in task.reads]
    if holds_all(export):
        reads = reads[:1]
    return {path_of(export.label, start, name) for name in reads}


def former_targets(
    session: ProjectSession, tx: Transaction, compiled: Compiled, nodes: Sequence[str]
) -> dict[str, list[str]]:
    """Return files of earlier declarations that are still there, by consumer of these nodes."""
    results = {}
    for consumer in ExportLookup(session, tx, compiled).readers(nodes):
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
                    -1, f"{targets_named(item.targets)}: {item.why}" if item.why else "",
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
        parts.append(f"exported, and written again without these rows: {targets_named(written)}")
    if gone:
        parts.append(f"not there any more, so not written again: {targets_named(gone)}")
    return "; ".join(parts)


def targets_named(targets: Iterable[str]) -> str:
    """Return the names of targets, the first of them if there are many."""
    return few(list(targets), TARGETS_SHOWN)


def waiting_of(tx: Transaction, subject: str) -> list[ErasedExport]:
    """Return the exports that an earlier erasure of the subject couldn't write again."""
    erasure = erasures.of_subject(tx, subject)
    if erasure is None:
        return []
    return [item for item in stored.of_erasure(tx, erasure.id) if item.state != ERASED]
