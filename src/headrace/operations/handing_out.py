"""Published rows for who reads over the network, made in a process of its own: DuckDB never shares one with the state, a query can be
ended with who asked for it, and its memory goes with it.

`python -m headrace.operations.handing_out` takes an Asked as JSON on its standard input; it gives a Head as one line of JSON, and
then the rows.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from headrace.model import HeadraceError, UsageError
from headrace.operations import read as reading
from headrace.operations import targets
from headrace.operations.masking import masked
from headrace.operations.read import ReadQuery
from headrace.operations.session import ProjectSession

if TYPE_CHECKING:
    from typing_extensions import Buffer

JSON = "json"


class DataFileRequest(msgspec.Struct, frozen=True):
    """Who asks what of which project. `columns` None: all that may be shown."""

    root: str
    env: str
    actor: str
    wanted: ReadQuery
    form: str
    columns: tuple[str, ...] | None = None


class Head(msgspec.Struct, frozen=True):
    """What comes before the rows: `masked` columns are left out. With a `problem` no rows follow."""

    masked: list[str] = []
    problem: str | None = None
    hint: str = ""
    kind: str = ""


class AfterHead(io.RawIOBase):
    """A stream that puts the head before the first bytes: until then an error is still an answer."""

    def __init__(self, out: BinaryIO, head: Head) -> None:
        self._out, self._head = out, head
        self.begun = False

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Buffer) -> int:
        """Write all of it."""
        self.begin()
        self._out.write(data)
        return memoryview(data).nbytes

    def begin(self) -> None:
        """Write the head, where it isn't written yet."""
        if not self.begun:
            self.begun = True
            self._out.write(msgspec.json.encode(self._head) + b"\n")


def hand_out(request: DataFileRequest, out: BinaryIO) -> None:
    """Write the head and the rows. An error before the first row becomes a head with a problem; later
    ones are raised."""
    session = ProjectSession(Path(request.root), request.env, None, request.actor)
    rows: AfterHead | None = None
    try:
        hidden = masked(session, targets.target(request.wanted.asset, session.project()).node)
        refused = [name for name in request.columns or () if name.lower() in hidden]
        if refused:
            raise UsageError(f"column {refused[0][:60]} is classified: it isn't shown", hint="a contract says so, here or upstream")
        shown = _shown(session, request, hidden)
        rows = AfterHead(out, Head(hidden))
        stream = cast("BinaryIO", rows)
        if request.form == JSON:
            reading.write_json(session, request.wanted, stream, shown, hidden)
        else:
            reading.write(session, request.wanted, stream, request.form, columns=shown)
        rows.begin()
    except HeadraceError as error:
        if rows is not None and rows.begun:
            raise
        head = Head(problem=str(error), hint=error.hint, kind=type(error).__name__)
        out.write(msgspec.json.encode(head) + b"\n")
    finally:
        session.close()


def _shown(session: ProjectSession, request: DataFileRequest, hidden: list[str]) -> list[str] | None:
    """The columns to be read; None for all."""
    if request.columns is not None or not hidden:
        return None if request.columns is None else list(request.columns)
    known = reading.columns_of(session, request.wanted)
    return [name for name in known if name.lower() not in hidden]


def main() -> int:
    """Answer one question."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=DataFileRequest)
    with suppress(BrokenPipeError):  # nobody waits for the rest
        hand_out(question, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
