"""Copies rows of an environment's lake into production's, in a separate process.

`python -m headrace.runtime.promotion_copies` reads one `CopyRequest` from standard input and
answers with a `CopyResult` on standard output. Partitions whose content isn't the audited one
aren't copied. The files in production's lake are unreferenced until they are published, like staged
ones.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from headrace.lake import ColumnLookup, FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import count_partitions, hash_partitions, stage, stage_rewrite
from headrace.model import HeadraceError, LakeError
from headrace.runtime.messages import RewrittenFile


class PartitionCopy(msgspec.Struct, frozen=True):
    """A partition to copy: the environment's publication, and its files with absolute paths."""

    key: str
    publication: int
    rows: int
    content_hash: str | None
    files: tuple[FileRef, ...]


class Job(msgspec.Struct, frozen=True):
    """The partitions to copy of one table.

    `columns` are the environment's. `table` is production's, if it exists; `shared` are its files
    that hold some of these partitions and others, `others` all that hold others.
    """

    node: str
    columns: tuple[LakeColumn, ...]
    table: LakeTable | None
    parts: tuple[PartitionCopy, ...]
    shared: tuple[FileRef, ...] = ()
    others: tuple[FileRef, ...] = ()
    timezone: str = "UTC"
    """The node's."""


class CopyRequest(msgspec.Struct, frozen=True):
    """The folders of both lakes, and the jobs."""

    lake: str
    from_lake: str
    jobs: tuple[Job, ...]


class CopiedPart(msgspec.Struct, frozen=True):
    """A partition whose rows were copied to production's lake."""

    key: str
    publication: int
    staged: StagedFile
    content_hash: str | None


class CopiedJob(msgspec.Struct, frozen=True):
    """The copied partitions of a table.

    `table` is the version of the table that they were written for. `refused` are keys whose rows
    aren't the audited ones.
    """

    node: str
    table: LakeTable
    parts: tuple[CopiedPart, ...]
    rewritten: tuple[RewrittenFile, ...]
    refused: tuple[str, ...]


class CopyResult(msgspec.Struct, frozen=True):
    """The answer. If `error` isn't empty, nothing in it may be used."""

    jobs: tuple[CopiedJob, ...] = ()
    error: str = ""


def copy_in_process(order: CopyRequest) -> CopyResult:
    """Copy in another process: this one may be the leader, which never loads DuckDB.

    Raises LakeError.
    """
    command = [sys.executable, "-m", "headrace.runtime.promotion_copies"]
    done = subprocess.run(
        command, input=msgspec.msgpack.encode(order), capture_output=True, check=False
    )
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LakeError(
            f"what the environment has built can't be copied: {last or f'exit {done.returncode}'}"
        )
    answer = msgspec.msgpack.decode(done.stdout, type=CopyResult)
    if answer.error:
        raise LakeError(f"what the environment has built can't be copied: {answer.error}")
    return answer


def main() -> None:
    """Process the request on standard input."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=CopyRequest)
    sys.stdout.buffer.write(msgspec.msgpack.encode(_done(order)))


def _done(order: CopyRequest) -> CopyResult:
    import duckdb

    try:
        done = (_copied(order, item) for item in order.jobs)
        return CopyResult(tuple(job for job in done if job is not None))
    except (HeadraceError, OSError, duckdb.Error) as error:
        return CopyResult(error=str(error))


def _copied(order: CopyRequest, job: Job) -> CopiedJob | None:
    readable = [Path(order.from_lake)]
    with DuckDBSession(Path(order.lake), readable=readable, timezone=job.timezone) as session:
        return _copy(session, job)


def _copy(session: DuckDBSession, job: Job) -> CopiedJob | None:
    table = job.table
    parts: list[CopiedPart] = []
    refused: list[str] = []
    for part in job.parts:
        if not _as_audited(session, job, part):
            refused.append(part.key)
            continue
        copied_part, table = _copy_part(session, job, part, table, first=not parts)
        parts.append(copied_part)
    if table is None or not parts:
        return None
    return CopiedJob(
        job.node,
        table,
        tuple(parts),
        _rewritten(session, job, table, tuple(part.key for part in parts)),
        tuple(refused),
    )


def _as_audited(session: DuckDBSession, job: Job, part: PartitionCopy) -> bool:
    """Whether the files hold the rows that the publication records."""
    if not part.files:
        return part.rows == 0
    partitions = {
        partition.key: partition
        for partition in count_partitions(
            session, part.files, job.columns, hashed=part.content_hash is not None
        )
    }
    rows, content = (
        (partitions[part.key].rows, partitions[part.key].content_hash)
        if part.key in partitions
        else (0, None)
    )
    return rows == part.rows and (
        part.rows == 0 or part.content_hash is None or content == part.content_hash
    )


def _copy_part(
    session: DuckDBSession, job: Job, part: PartitionCopy, table: LakeTable | None, *, first: bool
) -> tuple[CopiedPart, LakeTable]:
    """Copy the rows by production's columns: field ids and column order belong to a table."""
    rows = relation_sql(part.files, job.columns)
    staged, target = stage(
        session,
        rows,
        target=TargetTable(job.node, table, evolve=first and table is not None),
        partition=part.key,
        hashed=False,
    )
    content = staged.partitions[0].content_hash
    if staged.rows and part.content_hash is not None:
        (partition,) = hash_partitions(
            session, [FileRef(staged.path, lookup=ColumnLookup.SAME)], target.columns
        )
        content = partition.content_hash
    return CopiedPart(part.key, part.publication, staged.hashed(content), content), target


def _rewritten(
    session: DuckDBSession, job: Job, table: LakeTable, keys: tuple[str, ...]
) -> tuple[RewrittenFile, ...]:
    """Return production's files that must be rewritten, without these partitions."""
    files = job.others if table.retyped else job.shared
    return tuple(
        RewrittenFile(file.path, stage_rewrite(session, file, table, keys)) for file in files
    )


if __name__ == "__main__":
    main()
