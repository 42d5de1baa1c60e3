"""The process that merges the small files of slices, beside a server with the lowest priority.

`python -m headrace.runtime.slice_process`, started by `runtime.small_merges`, reads
`SliceRequest`s from standard input, one JSON text a line, and answers each with a line. It ends as
soon as its input does, also during a slice: that is how it notices that the leader was killed. The
unfinished file that it leaves then is deleted by maintenance, because nothing names it.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import duckdb
import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake.files import sync_each
from headrace.lake.session import DuckDBSession
from headrace.lake.small_merges import check_sources, stage_merged
from headrace.model import HeadraceError
from headrace.model.errors import first_line
from headrace.runtime.background_priority import give_way
from headrace.runtime.disk_priority import in_usual_class
from headrace.runtime.small_merges import GIVE_WAY, SliceRequest, SliceResponse

MEMORY_BYTES_MAX = 512 * 2**20
"""512 MiB: the memory of DuckDB; more is spilled to disk."""


def main() -> None:
    """Read requests until standard input ends; another thread answers them meanwhile."""
    if GIVE_WAY in sys.argv[1:]:
        give_way()
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_answer, args=(requests,), daemon=True).start()
    for line in sys.stdin.buffer:
        requests.put(line)
    os._exit(0)


def _answer(requests: SimpleQueue[bytes]) -> None:
    """Answer requests; an error that isn't part of an answer ends the process."""
    try:
        while True:
            response = merged(msgspec.json.decode(requests.get(), type=SliceRequest))
            sys.stdout.buffer.write(msgspec.json.encode(response) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        os._exit(1)


def merged(request: SliceRequest) -> SliceResponse:
    """Return the merged file, synced, or the reason why there is none."""
    lake = Path(request.lake)
    try:
        check_sources(lake, request.sources, request.footers)
        with DuckDBSession(lake, threads=1, memory_max_bytes=MEMORY_BYTES_MAX) as session:
            staged = stage_merged(session, request.sources, request.table)
        reached(FaultPoint.SLICE_WRITTEN)
        with in_usual_class():
            sync_each([lake / staged.path])
    except (HeadraceError, duckdb.Error, OSError) as error:
        return SliceResponse(error=first_line(error))
    return SliceResponse(staged)


if __name__ == "__main__":
    main()
