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
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import LakeTable, StagedFile, catalog
from headrace.lake.catalog import FileMoved, MergeSource, TableMoved
from headrace.lake.files import verify
from headrace.model import LakeError
from headrace.model.errors import first_line
from headrace.runtime.folders import Folders
from headrace.slo.damaged_files import damaged_files
from headrace.store import Clock, Store
from headrace.store.queries import lake_maintenance

CURRENT_FILES_MAX = 500
"""Number of current files of a table above which its small files are merged, down to half of it.

The newer half stays: its partitions are replaced more often, which costs a copy of a merged file.
"""
FILES_BETWEEN = 64
"""Number of new files in the whole lake after which a server counts the files of its tables."""
SLICES_PER_ROUND = 16
"""Maximum number of slices that a command merges at its end, and a server between two checks
whether maintenance is due; the next command or check continues."""
CONFLICTS_MAX = 8
"""Maximum number of slices in succession that publications have overtaken; more wait."""
SLICE_SECONDS_MAX = 600.0
PROCESS = "headrace.runtime.slice_process"
"""Module of the process: it loads DuckDB, which this one must not."""

GIVE_WAY = "--give-way"
"""The process's argument for the lowest priority."""


class SliceRequest(msgspec.Struct, frozen=True):
    """The lake's folder, a table, and its files to merge.

    `footers` are the hashes of the files' footers from earlier checks, by the file's id.
    """

    lake: str
    table: LakeTable
    sources: tuple[MergeSource, ...]
    footers: dict[int, str]


class SliceResponse(msgspec.Struct, frozen=True):
    """The merged file, which is durable; or the reason why there is none."""

    staged: StagedFile | None = None
    error: str = ""


class NoSliceProcess(LakeError):
    """The process that merges small files can't be started, whichever the table."""


class MergedSlices(msgspec.Struct):
    """What was merged: number of slices and of their files, by table."""

    slices: dict[str, int] = {}
    files: dict[str, int] = {}


class SmallMerges:
    """Merges small files of the lake's tables, in the epoch of a leader."""

    def __init__(self, store: Store, epoch: int | None, folders: Folders, clock: Clock) -> None:
        self.store, self.epoch, self.folders, self.clock = store, epoch, folders, clock

    def merge(
        self,
        *,
        files_max: int,
        slices_max: int | None = None,
        give_way: bool = True,
        left_out: set[str] | None = None,
    ) -> MergedSlices:
        """Merge small files of each table with more than `files_max` current files.

        `give_way` False is for a command that waits for the result: lower priority would only delay
        it. Tables with a damaged file are left out, as in the nightly maintenance, and so are those
        in `left_out`, to which each table is added whose files can't be merged. Raises the
        LakeError of the first of them after the other tables, NoSliceProcess, and LeaseLost;
        completed slices stay done.
        """
        merged, left_out = MergedSlices(), set() if left_out is None else left_out
        errors: list[LakeError] = []
        with _Process(self.folders.lake, give_way=give_way) as process:
            for name in self._tables(files_max, left_out):
                left = None if slices_max is None else slices_max - sum(merged.slices.values())
                try:
                    _TableMerge(self, process, name).run(merged, files_max // 2, left)
                except NoSliceProcess as error:
                    errors.append(error)
                    break
                except LakeError as error:
                    errors.append(error)
                    left_out.add(name)
        if errors:
            raise errors[0]
        return merged

    def _tables(self, files_max: int, left_out: Collection[str]) -> list[str]:
        with self.store.read() as tx:
            names = catalog.tables_above(tx, files_max)
            damaged = {file.node for file in damaged_files(tx)} if names else set()
        return [name for name in names if name not in damaged and name not in left_out]


class _Slice(NamedTuple):
    """A table, its files to merge, and the known hashes of their footers by the file's id."""

    table: LakeTable
    sources: tuple[MergeSource, ...]
    footers: dict[int, str]


class _TableMerge:
    def __init__(self, lake: SmallMerges, process: _Process, name: str) -> None:
        self._lake, self._process, self._name = lake, process, name

    def run(self, merged: MergedSlices, files_wanted: int, slices_max: int | None) -> None:
        """Merge slices until the table has so few files, or nothing is left to merge."""
        conflicts = done = 0
        while conflicts < CONFLICTS_MAX and (slices_max is None or done < slices_max):
            slice_ = self._next(files_wanted)
            if slice_ is None:
                return
            staged = self._process.merge(slice_)
            verify(self._lake.folders.lake, staged)
            reached(FaultPoint.SLICE_STAGED)
            if not self._publish(slice_.sources, staged):
                conflicts += 1
                continue
            conflicts, done = 0, done + 1
            merged.slices[self._name] = done
            merged.files[self._name] = merged.files.get(self._name, 0) + len(slice_.sources)

    def _next(self, files_wanted: int) -> _Slice | None:
        with self._lake.store.read() as tx:
            table = catalog.table(tx, self._name)
            sources = () if table is None else catalog.next_slice(tx, table, files_wanted)
            if table is None or not sources:
                return None
            known = lake_maintenance.known_checks(tx, (source.id for source in sources))
        return _Slice(table, sources, {number: check.footer for number, check in known.items()})

    def _publish(self, sources: tuple[MergeSource, ...], staged: StagedFile) -> bool:
        """Put the merged file into the catalog; False if the table has changed meanwhile.

        The file is deleted only if it certainly isn't in the catalog. After other errors than
        LakeError it may be there, and is left to maintenance, which deletes what nothing names.
        """
        try:
            with self._lake.store.write(self._lake.epoch) as tx:
                now = self._lake.clock.mark(tx)
                catalog.replace_by_merged(tx, now, self._name, sources, staged)
                reached(FaultPoint.SLICE_REGISTERED)
        except LakeError as error:
            with contextlib.suppress(OSError):
                (self._lake.folders.lake / staged.path).unlink()
            if not isinstance(error, FileMoved | TableMoved):
                raise
            return False
        reached(FaultPoint.SLICE_MERGED)
        return True


class _Process:
    """The process that writes merged files: started for a slice, and anew if it has ended."""

    def __init__(self, lake: Path, *, give_way: bool) -> None:
        self._lake = str(lake)
        self._options = [GIVE_WAY] if give_way else []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def merge(self, slice_: _Slice) -> StagedFile:
        """Return the merged file.

        Raises LakeError, also if it takes too long, and NoSliceProcess.
        """
        try:
            request = msgspec.json.encode(SliceRequest(self._lake, *slice_))
        except (ValueError, msgspec.MsgspecError) as error:
            response = SliceResponse(error=first_line(error))
        else:
            response = self._response(request)
        if response.staged is None:
            name = slice_.table.name
            raise LakeError(f"small files of `{name}` can't be merged: {response.error}")
        return response.staged

    def _response(self, request: bytes) -> SliceResponse:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(SLICE_SECONDS_MAX, process.kill)
        try:
            limit.start()
            process.stdin.write(request + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except RuntimeError as error:  # the system allows no more threads
            raise NoSliceProcess(f"small files can't be merged: {first_line(error)}") from error
        except OSError:
            line = b""
        finally:
            limit.cancel()
        if not line.endswith(b"\n"):  # nothing, or the beginning of an answer
            self._end()
            return SliceResponse(error="the process that merges them has ended")
        try:
            return msgspec.json.decode(line, type=SliceResponse)
        except (ValueError, msgspec.MsgspecError) as error:
            self._end()
            return SliceResponse(error=f"the answer can't be read: {first_line(error)}")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        # -P: a module in the user's working directory is never imported
        command = [sys.executable, "-P", "-m", PROCESS, *self._options]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            raise NoSliceProcess(
                f"small files can't be merged: no process can be started: {first_line(error)}"
            ) from error
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
