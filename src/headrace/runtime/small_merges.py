"""Merge small files of tables that have too many, in slices, while production goes on.

Reading and writing the rows of a slice takes a process, of the lowest priority beside a server,
which neither sees the state nor holds a lock. Then one short transaction puts the merged file into
the place of its sources; if a publication has replaced one of them meanwhile, the merged file is
deleted and another slice is chosen.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import LakeTable, StagedFile, catalog
from headrace.lake.catalog import FileMoved, MergeSource, TableMoved
from headrace.lake.files import verify
from headrace.model import LakeError
from headrace.runtime.folders import Folders
from headrace.slo.damaged_files import damaged_files
from headrace.store import Clock, Store

CURRENT_FILES_MAX = 500
"""Number of current files of a table above which its small files are merged, down to half of it.

The newer half stays: its partitions are replaced more often, which costs a copy of a merged file.
"""
FILES_BETWEEN = 64
"""Number of new files in the whole lake after which a server counts the files of its tables."""
SLICES_PER_COMMAND = 16
"""Maximum number of slices that a command merges at its end; the next command continues."""
CONFLICTS_MAX = 8
"""Maximum number of slices in succession that publications have overtaken; more wait."""
SLICE_SECONDS_MAX = 600.0
PROCESS = "headrace.runtime.slice_process"
"""Module of the process: it loads DuckDB, which this one must not."""

GIVE_WAY = "--give-way"
"""The process's argument for the lowest priority."""


class SliceRequest(msgspec.Struct, frozen=True):
    """The lake's folder, a table, and its files to merge."""

    lake: str
    table: LakeTable
    sources: tuple[MergeSource, ...]


class SliceResponse(msgspec.Struct, frozen=True):
    """The merged file, which is durable; or the reason why there is none."""

    staged: StagedFile | None = None
    error: str = ""


class MergedSlices(msgspec.Struct):
    """What was merged: number of slices and of their files, by table."""

    slices: dict[str, int] = {}
    files: dict[str, int] = {}


def merge_small_files(
    store: Store,
    epoch: int | None,
    folders: Folders,
    clock: Clock,
    *,
    files_max: int,
    slices_max: int | None = None,
    give_way: bool = True,
) -> MergedSlices:
    """Merge small files of each table with more than `files_max` current files.

    `give_way` False is for a command that waits for the result: lower priority would only delay it.
    Tables with a damaged file are left out, as in the nightly maintenance. Raises LakeError if a
    slice can't be merged, and LeaseLost; completed slices stay done.
    """
    merged = MergedSlices()
    with store.read() as tx:
        names = catalog.tables_above(tx, files_max)
        damaged = {file.node for file in damaged_files(tx)} if names else set()
    names = [name for name in names if name not in damaged]
    if not names:
        return merged
    with _process(folders.lake, give_way=give_way) as process:
        for name in names:
            left = None if slices_max is None else slices_max - sum(merged.slices.values())
            work = _TableMerge(store, epoch, folders, clock, process, name)
            work.run(merged, files_max // 2, left)
    return merged


class _TableMerge:
    def __init__(
        self,
        store: Store,
        epoch: int | None,
        folders: Folders,
        clock: Clock,
        process: _Process,
        name: str,
    ) -> None:
        self._store, self._epoch, self._folders, self._clock = store, epoch, folders, clock
        self._process, self._name = process, name

    def run(self, merged: MergedSlices, files_wanted: int, slices_max: int | None) -> None:
        """Merge slices until the table has so few files, or nothing is left to merge."""
        conflicts = done = 0
        while conflicts < CONFLICTS_MAX and (slices_max is None or done < slices_max):
            with self._store.read() as tx:
                table = catalog.table(tx, self._name)
                sources = () if table is None else catalog.next_slice(tx, table, files_wanted)
            if table is None or not sources:
                return
            staged = self._process.merge(table, sources)
            verify(self._folders.lake, staged)
            reached(FaultPoint.SLICE_STAGED)
            if not self._publish(sources, staged):
                conflicts += 1
                continue
            conflicts, done = 0, done + 1
            merged.slices[self._name] = done
            merged.files[self._name] = merged.files.get(self._name, 0) + len(sources)

    def _publish(self, sources: tuple[MergeSource, ...], staged: StagedFile) -> bool:
        """Put the merged file into the catalog; False if the table has changed meanwhile.

        The file is deleted only if it certainly isn't in the catalog. After other errors it may be
        there, and is left to maintenance, which deletes what nothing names.
        """
        try:
            with self._store.write(self._epoch) as tx:
                now = self._clock.mark(tx)
                catalog.replace_by_merged(tx, now, self._name, sources, staged)
                reached(FaultPoint.SLICE_REGISTERED)
        except (FileMoved, TableMoved):
            (self._folders.lake / staged.path).unlink(missing_ok=True)
            return False
        reached(FaultPoint.SLICE_MERGED)
        return True


class _Process:
    """The process that writes merged files. It ends when its standard input is closed."""

    def __init__(self, lake: Path, *, give_way: bool) -> None:
        self._lake = str(lake)
        # -P: a module in the user's working directory is never imported
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", PROCESS, *([GIVE_WAY] if give_way else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def merge(self, table: LakeTable, sources: tuple[MergeSource, ...]) -> StagedFile:
        """Return the merged file. Raises LakeError, also if it takes too long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = msgspec.json.encode(SliceRequest(self._lake, table, sources))
        limit = threading.Timer(SLICE_SECONDS_MAX, self._process.kill)
        limit.start()
        try:
            self._process.stdin.write(request + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        finally:
            limit.cancel()
        response = msgspec.json.decode(line, type=SliceResponse) if line else SliceResponse()
        if response.staged is None:
            why = response.error or "the process that merges them has ended"
            raise LakeError(f"small files of `{table.name}` can't be merged: {why}")
        return response.staged

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def _process(lake: Path, *, give_way: bool) -> Iterator[_Process]:
    process = _Process(lake, give_way=give_way)
    try:
        yield process
    finally:
        process.close()
