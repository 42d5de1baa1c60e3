"""Copies of files without some of their partitions, made in a separate process.

The process is separate because a process with the state database open loads no DuckDB. `python -m
headrace.runtime.file_rewrites` reads a `RewriteRequest` from standard input and answers with the
rewritten files.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.lake import FileRef, LakeTable
from headrace.model import LakeError
from headrace.runtime.messages import RewrittenFile

SECONDS_MAX = 3_600


class RewriteRequest(msgspec.Struct, frozen=True):
    """The lake's folder, a table, its files to copy, and the partitions to leave out.

    `timezone` is the node's.
    """

    lake: str
    table: LakeTable
    files: tuple[FileRef, ...]
    keys: tuple[str, ...]
    timezone: str


def rewritten(
    lake: Path, table: LakeTable, files: Sequence[FileRef], keys: Sequence[str], timezone: str
) -> tuple[RewrittenFile, ...]:
    """Return synced copies of files without these partitions; nothing refers to them yet.

    Raises LakeError if that fails.
    """
    request = msgspec.msgpack.encode(
        RewriteRequest(str(lake), table, tuple(files), tuple(keys), timezone)
    )
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=request,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        error_lines = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [
            "it ended without a word"
        ]
        raise LakeError(
            f"the files that other partitions share with {keys[0]!r} can't be rewritten:"
            f" {error_lines[0][:500]}"
        )
    return msgspec.msgpack.decode(done.stdout, type=tuple[RewrittenFile, ...])


def main() -> None:
    """Answer one request."""
    from headrace.lake.files import sync
    from headrace.lake.session import DuckDBSession
    from headrace.lake.staging import stage_rewrite

    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=RewriteRequest)
    lake = Path(request.lake)
    with DuckDBSession(lake, timezone=request.timezone) as session:
        files = tuple(
            RewrittenFile(file.path, stage_rewrite(session, file, request.table, request.keys))
            for file in request.files
        )
    if written := [lake / file.staged.path for file in files if file.staged is not None]:
        sync(written)
    sys.stdout.buffer.write(msgspec.msgpack.encode(files))


if __name__ == "__main__":
    main()
