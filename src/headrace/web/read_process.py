"""Published rows for readers over the network, written by a separate process.

DuckDB never shares a process with the state; a query can be stopped when its reader disconnects,
and its memory is freed with it. The process (`web.read_forks`) gets a DataFileRequest. It
writes a Head as one line of JSON, then the rows.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from headrace.model import HeadraceError, StoreError, UnknownName
from headrace.model.errors import ColumnRefused, DataUnsound, OutOfMemory, words_of
from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession
from headrace.security.access import Identity
from headrace.services import data_pages
from headrace.services import read as reading
from headrace.services.data_pages import DataQuery

if TYPE_CHECKING:
    from typing_extensions import Buffer


JSON = "json"


class DataFileRequest(msgspec.Struct, frozen=True, tag="rows"):
    """A query of an actor in a project; without `columns`, all unmasked ones are read."""

    root: str
    env: str
    actor: str
    wanted: ReadQuery
    form: str
    columns: tuple[str, ...] | None = None
    identity: Identity | None = None
    """Who reads; None for the user who runs the server."""
    page: DataQuery | None = None
    """Filters and an order; None for all rows."""


class Head(msgspec.Struct, frozen=True):
    """The line before the rows; `masked` columns are left out, and no rows follow a `problem`."""

    masked: list[str] = []
    problem: str | None = None
    hint: str = ""
    status: int = 200
    """The HTTP status of a problem."""


HELD_BYTES = 1 << 16
"""The head waits for so many bytes, or the end: a file begins before its first row is computed."""


class AfterHead(io.RawIOBase):
    """A stream that writes the head before the first rows: earlier errors can be reported."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.head = Head()
        self._held = bytearray()
        self.begun = False

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        if self.begun:
            self._out.write(data)
        else:
            self._held += memoryview(data)
            if len(self._held) >= HELD_BYTES:
                self.begin()
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Send what was written so far, once the head is written."""
        if self.begun and not self._out.closed:
            self._out.flush()

    def begin(self) -> None:
        """Write the head and the held bytes, unless they are written already."""
        if not self.begun:
            self.begun = True
            self._out.write(msgspec.json.encode(self.head) + b"\n" + self._held)
            self._held.clear()


def hand_out(session: ProjectSession, request: DataFileRequest, out: AfterHead) -> None:
    """Write the rows, and set what the head says about them."""
    visible = reading.visible_columns(session, request.wanted, request.columns, over_network=True)
    out.head = Head(visible.masked)
    stream = cast("BinaryIO", out)
    if request.page is not None:
        data_pages.write_data(session, request.wanted.asset, request.page, stream, request.form)
    elif request.form == JSON:
        reading.write_json(session, request.wanted, stream, visible)
    else:
        reading.write(session, request.wanted, stream, request.form, visible)


_STATUS = (
    (StoreError, 503),
    (OutOfMemory, 503),
    (UnknownName, 404),
    (ColumnRefused, 403),
    (DataUnsound, 409),
    (HeadraceError, 400),
)
"""The first kind that an error is of decides the status."""


def head_of(error: Exception) -> Head:
    """Return the head for an error before the first row.

    The words of errors that aren't Headrace's own may quote a value, so they are left out.
    """
    if isinstance(error, HeadraceError):
        status = next(code for kind, code in _STATUS if isinstance(error, kind))
        return Head(problem=str(error), hint=error.hint, status=status)
    if isinstance(error, MemoryError):
        return head_of(OutOfMemory())
    if isinstance(error, OSError):
        reason = os.strerror(error.errno) if error.errno else words_of(error)
        return Head(
            problem=f"the read can't be done by this machine: {reason}",
            hint="look after the server's memory, disk and open files, and ask again",
            status=503,
        )
    return Head(
        problem=f"the read failed with an error of Headrace's own: {words_of(error)}",
        hint="`headrace -v read` or `headrace -v sql` with the same question shows where",
        status=500,
    )
