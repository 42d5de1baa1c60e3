"""Published rows for who reads over the network, made in a process of its own: DuckDB never shares one with the state, a query can be
ended with who asked for it, and its memory goes with it.

`python -m headrace.operations.handing_out` takes an Asked as JSON on its standard input; it gives a Head as one line of JSON, and
then the rows.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import msgspec

from headrace.model import HeadraceError, UsageError
from headrace.operations import read as reading
from headrace.operations import targets
from headrace.operations.documents import ReadDocument
from headrace.operations.encoding import encoded
from headrace.operations.masking import masked
from headrace.operations.read import Wanted
from headrace.operations.session import Session

JSON = "json"


class Asked(msgspec.Struct, frozen=True):
    """Who asks what of which project. `columns` None: all that may be shown."""

    root: str
    env: str
    actor: str
    wanted: Wanted
    form: str
    columns: tuple[str, ...] | None = None


class Head(msgspec.Struct, frozen=True):
    """What comes before the rows: `masked` columns are left out. With a `problem` no rows follow."""

    masked: list[str] = []
    problem: str | None = None
    hint: str = ""
    kind: str = ""


def hand_out(asked: Asked) -> tuple[Head, bytes]:
    """The rows, encoded."""
    session = Session(Path(asked.root), asked.env, None, asked.actor)
    try:
        hidden = masked(session, targets.target(asked.wanted.asset, session.project()).node)
        refused = [name for name in asked.columns or () if name.lower() in hidden]
        if refused:
            raise UsageError(f"column {refused[0][:60]} is classified: it isn't shown", hint="a contract says so, here or upstream")
        shown = _shown(session, asked, hidden)
        if asked.form == JSON:
            return Head(hidden), encoded(_read(session, asked, shown, hidden))
        out = BytesIO()
        reading.write(session, asked.wanted, out, asked.form, columns=shown)
        return Head(hidden), out.getvalue()
    finally:
        session.close()


def _shown(session: Session, asked: Asked, hidden: list[str]) -> list[str] | None:
    """The columns to be read; None for all."""
    if asked.columns is not None or not hidden:
        return None if asked.columns is None else list(asked.columns)
    known = reading.columns_of(session, asked.wanted)
    return [name for name in known if name.lower() not in hidden]


def _read(session: Session, asked: Asked, shown: list[str] | None, hidden: list[str]) -> ReadDocument:
    return msgspec.structs.replace(reading.read(session, asked.wanted, columns=shown), masked=hidden)


def main() -> int:
    """Answer one question."""
    try:
        head, body = hand_out(msgspec.json.decode(sys.stdin.buffer.read(), type=Asked))
    except HeadraceError as error:
        head, body = Head(problem=str(error), hint=error.hint, kind=type(error).__name__), b""
    sys.stdout.buffer.write(msgspec.json.encode(head) + b"\n" + body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
