"""State that a worker keeps between tasks.

Folders, locked-down DuckDB sessions per time zone, and the pipes that capture output.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from headrace.engine import sandbox
from headrace.engine.attempts import ErrorKind
from headrace.engine.compute import AssetOutput
from headrace.engine.failures import failed
from headrace.engine.isolation import LogListener
from headrace.engine.logs import LogFile, OutputPipes
from headrace.engine.query_thread import QueryThread
from headrace.lake import FileRef, LakeTable, Replacement, StagedFile
from headrace.lake.session import DuckDBSession, open_spare
from headrace.lake.staging import stage_rewrite
from headrace.runtime.attempt_forks import AttemptForks
from headrace.runtime.messages import ComputeTask, RewrittenFile
from headrace.runtime.worker_protocol import WorkerSettings, memory_of_process
from headrace.security.secrets import Secrets

Result = TypeVar("Result")

SESSIONS_MAX = 6
"""Most sessions kept open, one per time zone, number of threads, order and memory limit."""
BOUNDED_MEMORY_BYTES = 512 * 2**20
"""DuckDB's memory limit while ingesting a large delivery.

Reading, casting and writing need no more, whatever its size.
"""
DUCKDB_SHARE = 0.75
"""Largest share of an attempt's memory for DuckDB, which spills above it.

The rest is for Python, Arrow and memory that DuckDB doesn't count.
"""
UNCOUNTED_BYTES = 64 * 2**20
"""Memory of an attempt beyond DuckDB's and its worker's at start."""
DUCKDB_SHARE_MIN = 0.25
LARGE_ROWS = 500_000
LARGE_BYTES = 16 * 2**20
"""A task is large from this many rows read or bytes delivered."""


class WorkerContext:
    """The folders, DuckDB sessions and pipes of one worker, kept between its tasks."""

    def __init__(self, settings: WorkerSettings, channel: OutputPipes) -> None:
        self.folders, self.channel = settings.folders, channel
        self.listener = LogListener(channel)
        self.forks: AttemptForks | None = None
        """Runs Python assets in restricted processes; None: they run in this one."""
        self.secrets = Secrets(self.folders.project)
        self._settings = settings
        self._memory_max_bytes = settings.memory_max_bytes
        self._own_bytes = 0
        self._sessions: dict[tuple[str, int, bool, int | None], DuckDBSession] = {}
        for folder in (
            self.folders.raw,
            self.folders.temporary,
            self.folders.quarantine,
            self.folders.lake,
            self.folders.logs,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        self._queries = self._query_thread()
        self.session("UTC")
        # measured before the first task: the process can't return this memory
        self._own_bytes = memory_of_process(os.getpid())

    def _query_thread(self) -> QueryThread | None:
        if not self._settings.restricts_queries or not sandbox.available():
            return None
        folders = self.folders
        borrowed = [Path(folders.borrows)] if folders.borrows else []
        return QueryThread(
            sandbox.access_of_queries(
                read=(folders.raw, folders.code, *borrowed),
                write=(folders.lake, folders.temporary, folders.quarantine, folders.logs),
            )
        )

    def in_query_thread(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns where queries run: restricted to the lake, if possible."""
        return call() if self._queries is None else self._queries.run(call)

    def close(self) -> None:
        """Close the sessions, and end the thread that runs queries and the process that forks."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        if self.forks is not None:
            self.forks.close()
        if self._queries is not None:
            self._queries.end()

    def limit(self, memory_max_bytes: int | None) -> None:
        """Set the memory limit of the current task in bytes; None: the limit of all tasks."""
        self._memory_max_bytes = memory_max_bytes or self._settings.memory_max_bytes

    def session(
        self, timezone: str, *, large: bool = False, ordered: bool = False, bounded: bool = False
    ) -> DuckDBSession:
        """Return the DuckDB session of a time zone.

        A small task uses this worker's share of the processors, a large one all of them. `ordered`
        keeps rows in the order of their files, which takes more memory; `bounded` limits memory and
        spills instead.
        """
        threads = self._settings.threads if large else self._settings.share
        memory = self._memory_of_duckdb()
        if bounded:
            memory = min(memory or BOUNDED_MEMORY_BYTES, BOUNDED_MEMORY_BYTES)
        duck_db_session = self._sessions.get((timezone, threads, ordered, memory))
        if duck_db_session is None:
            if len(self._sessions) >= SESSIONS_MAX:
                self._sessions.pop(next(iter(self._sessions))).close()
            # DuckDB reads the machine's limits when a database is opened, and starts its threads
            # when it is set up, which has to be in the restricted thread
            open_spare()
            duck_db_session = self._sessions[timezone, threads, ordered, memory] = (
                self.in_query_thread(
                    lambda: DuckDBSession(
                        self.folders.lake,
                        readable=[
                            self.folders.raw,
                            self.folders.temporary,
                            *([Path(self.folders.borrows)] if self.folders.borrows else []),
                        ],
                        timezone=timezone,
                        threads=threads,
                        memory_max_bytes=memory,
                        ordered=ordered,
                    )
                )
            )
        return duck_db_session

    def compute_restricted(self, task: ComputeTask, log: LogFile, *, large: bool) -> AssetOutput:
        """Compute a Python asset in a restricted process of its own. Raises `BodyFailed`."""
        if self.forks is None:
            raise failed(
                "this worker can't restrict Python assets",
                kind=ErrorKind.ENVIRONMENT,
                hint="start Headrace again after a change of `[run] sandbox`; on Dask, set it to"
                " `commands`",
            )
        return self.forks.compute(
            task,
            self.folders,
            log,
            threads=self._settings.threads if large else self._settings.share,
            memory_max_bytes=self._memory_of_duckdb(),
        )

    def _memory_of_duckdb(self) -> int | None:
        most = self._memory_max_bytes
        if most is None:
            return None
        left = most - self._own_bytes - UNCOUNTED_BYTES
        return int(max(min(left, most * DUCKDB_SHARE), most * DUCKDB_SHARE_MIN))

    def rewrite(
        self, shared: Sequence[FileRef], table: LakeTable, without: Sequence[str], timezone: str
    ) -> tuple[RewrittenFile, ...]:
        """Copy files without the replaced partitions (copy on write)."""
        session = self.session(timezone)
        return tuple(
            RewrittenFile(file.path, stage_rewrite(session, file, table, without))
            for file in shared
        )

    def discard(self, replacement: Replacement | None) -> None:
        """Delete the deletion files of a merge that isn't published."""
        for deletes in replacement.deletes if replacement is not None else ():
            (self.folders.lake / deletes.path).unlink(missing_ok=True)

    def quarantine(self, staged: StagedFile) -> str:
        """Move a staged file to quarantine; return its path relative to the data folder."""
        path = Path("quarantine", f"{uuid.uuid4()}.parquet")
        (self.folders.lake / staged.path).replace(Path(self.folders.data, path))
        return str(path)
