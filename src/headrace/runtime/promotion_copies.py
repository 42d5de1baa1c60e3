"""Copies rows of an environment's lake into production's, in a separate process.

`python -m headrace.runtime.promotion_copies` reads one `CopyRequest` from standard input and answers with a `CopyResult` on
standard output. Partitions without the content that was audited aren't copied. The files lie in production's lake as
staged ones do: nothing refers to them until they are published.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from headrace.lake import ColumnLookup, FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import count_partitions, hash_partitions, stage, stage_rewrite
from headrace.model import HeadraceError, LakeError
from headrace.runtime.messages import RewrittenFile


class PartitionCopy(msgspec.Struct, frozen=True):
    """A partition to be copied: the environment's publication, and the files that hold its rows (absolute paths)."""

    key: str
    publication: int
    rows: int
    content_hash: str | None
    files: tuple[FileRef, ...]


class Job(msgspec.Struct, frozen=True):
    """What is to be copied of one table. `columns` are the environment's, `table` is production's, if there is one; `shared` are its
    files that hold some of the partitions and others."""

    node: str
    columns: tuple[LakeColumn, ...]
    table: LakeTable | None
    parts: tuple[PartitionCopy, ...]
    shared: tuple[FileRef, ...] = ()


class CopyRequest(msgspec.Struct, frozen=True):
    """Folders of both lakes, and the jobs."""

    lake: str
    from_lake: str
    jobs: tuple[Job, ...]


class CopiedPart(msgspec.Struct, frozen=True):
    """A partition whose rows lie in production's lake."""

    key: str
    publication: int
    staged: StagedFile
    content_hash: str | None


class CopiedJob(msgspec.Struct, frozen=True):
    """What of a table was copied. `table` is the one that it was written for. `refused` are keys whose rows aren't what was audited."""

    node: str
    table: LakeTable
    parts: tuple[CopiedPart, ...]
    rewritten: tuple[RewrittenFile, ...]
    refused: tuple[str, ...]


class CopyResult(msgspec.Struct, frozen=True):
    """The answer. `error` says what went wrong, if something did; then nothing is to be used."""

    jobs: tuple[CopiedJob, ...] = ()
    error: str = ""


def copy_in_process(order: CopyRequest) -> CopyResult:
    """Have it done by another process: this one may be the leader, which never loads what computes. Raises LakeError."""
    command = [sys.executable, "-m", "headrace.runtime.promotion_copies"]
    done = subprocess.run(command, input=msgspec.msgpack.encode(order), capture_output=True, check=False)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LakeError(f"what the environment has built can't be copied: {last or f'exit {done.returncode}'}")
    answer = msgspec.msgpack.decode(done.stdout, type=CopyResult)
    if answer.error:
        raise LakeError(f"what the environment has built can't be copied: {answer.error}")
    return answer


def main() -> None:
    """Do what standard input says."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=CopyRequest)
    sys.stdout.buffer.write(msgspec.msgpack.encode(_done(order)))


def _done(order: CopyRequest) -> CopyResult:
    import duckdb

    try:
        with DuckDBSession(Path(order.lake), readable=[Path(order.from_lake)]) as session:
            return CopyResult(tuple(job for item in order.jobs if (job := _copy(session, item)) is not None))
    except (HeadraceError, OSError, duckdb.Error) as error:
        return CopyResult(error=str(error))


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
    return CopiedJob(job.node, table, tuple(parts), _rewritten(session, job, table, tuple(part.key for part in parts)), tuple(refused))


def _as_audited(session: DuckDBSession, job: Job, part: PartitionCopy) -> bool:
    """Whether the files hold the rows that the publication says."""
    if not part.files:
        return part.rows == 0
    partitions = {
        partition.key: partition for partition in count_partitions(session, part.files, job.columns, hashed=part.content_hash is not None)
    }
    rows, content = (partitions[part.key].rows, partitions[part.key].content_hash) if part.key in partitions else (0, None)
    return rows == part.rows and (part.rows == 0 or part.content_hash is None or content == part.content_hash)


def _copy_part(
    session: DuckDBSession, job: Job, part: PartitionCopy, table: LakeTable | None, *, first: bool
) -> tuple[CopiedPart, LakeTable]:
    """The rows by production's columns: field ids and the order of columns are a table's own."""
    rows = relation_sql(part.files, job.columns)
    staged, target = stage(
        session, rows, table_name=job.node, partition=part.key, table=table, evolve=first and table is not None, hashed=False
    )
    content = staged.partitions[0].content_hash
    if staged.rows and part.content_hash is not None:
        (partition,) = hash_partitions(session, [FileRef(staged.path, lookup=ColumnLookup.SAME)], target.columns)
        content = partition.content_hash
    return CopiedPart(part.key, part.publication, staged.hashed(content), content), target


def _rewritten(session: DuckDBSession, job: Job, table: LakeTable, keys: tuple[str, ...]) -> tuple[RewrittenFile, ...]:
    """Production's files that hold these partitions and others, without them."""

    return tuple(RewrittenFile(file.path, stage_rewrite(session, file, table, keys)) for file in job.shared)


if __name__ == "__main__":
    main()
