"""Published rows for readers over the network, written by a separate process.

DuckDB never shares a process with the state; a query can be stopped when its reader disconnects,
and its memory is freed with it. The process (`services.read_forks`) gets a DataFileRequest. It
writes a Head as one line of JSON, then the rows.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from headrace.compiler.lineage import compile_lineage
from headrace.model import Asset, HeadraceError, Project, Source, UsageError
from headrace.services import read as reading
from headrace.services import targets
from headrace.services.read_queries import ReadQuery
from headrace.services.session import ProjectSession
from headrace.sql.values import Transformation

if TYPE_CHECKING:
    from typing_extensions import Buffer


# Columns that network readers don't see: those that a contract classifies, and columns derived from
# them. For asset code that Headrace can't analyse only the declared columns are known.

HARMLESS = frozenset({Transformation.FILTER, Transformation.JOIN_KEY})
"""Transformations that pass on no values. (Aggregates may: the greatest name is a name.)"""


def masked_columns(session: ProjectSession, node: str) -> list[str]:
    """Return the names of a node's masked columns, in lower case."""
    compiled = session.compiled
    if compiled is None:
        return sorted(_classified(session.project(), node))
    project = compiled.project
    classified = {
        f"{name}.{column}"
        for name in (*project.sources, *project.assets)
        for column in _classified(project, name)
    }
    own_columns = _classified(project, node)
    if not classified:
        return []
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    derived_columns = {
        column.lower()
        for column in compiled.nodes[node].column_names or ()
        if any(
            step.column.lower() in classified and step.transformation not in HARMLESS
            for step in lineage.upstream(node, column)
        )
    }
    return sorted(own_columns | derived_columns)


def _classified(project: Project, name: str) -> set[str]:
    node = project.node(name)
    contract = (
        project.contracts.get(node.contract or name) if isinstance(node, Source | Asset) else None
    )
    return (
        {column.name.lower() for column in contract.columns if column.classification}
        if contract is not None
        else set()
    )


JSON = "json"


class DataFileRequest(msgspec.Struct, frozen=True, tag="rows"):
    """A query of an actor in a project; without `columns`, all unmasked ones are read."""

    root: str
    env: str
    actor: str
    wanted: ReadQuery
    form: str
    columns: tuple[str, ...] | None = None


class Head(msgspec.Struct, frozen=True):
    """The line before the rows; `masked` columns are left out, and no rows follow a `problem`."""

    masked: list[str] = []
    problem: str | None = None
    hint: str = ""
    kind: str = ""


class AfterHead(io.RawIOBase):
    """A stream that writes the head before the first bytes: earlier errors can be reported."""

    def __init__(self, out: BinaryIO, head: Head) -> None:
        self._out, self._head = out, head
        self.begun = False

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        self.begin()
        self._out.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Send what was written so far."""
        if not self._out.closed:
            self._out.flush()

    def begin(self) -> None:
        """Write the head, unless it is written already."""
        if not self.begun:
            self.begun = True
            self._out.write(msgspec.json.encode(self._head) + b"\n")


def hand_out(request: DataFileRequest, out: BinaryIO) -> None:
    """Write the head and the rows.

    An error before the first row becomes a head with a problem; later errors are raised.
    """
    session = ProjectSession.open(Path(request.root), request.env, None, request.actor)
    rows: AfterHead | None = None
    try:
        hidden = masked_columns(
            session, targets.target(request.wanted.asset, session.project()).node
        )
        refused = [name for name in request.columns or () if name.lower() in hidden]
        if refused:
            raise UsageError(
                f"column {refused[0][:60]} is classified: it isn't shown",
                hint="a contract says so, here or upstream",
            )
        visible_columns = _columns_to_read(session, request, hidden)
        rows = AfterHead(out, Head(hidden))
        stream = cast("BinaryIO", rows)
        if request.form == JSON:
            reading.write_json(session, request.wanted, stream, visible_columns, hidden)
        else:
            reading.write(session, request.wanted, stream, request.form, columns=visible_columns)
        rows.begin()
    except HeadraceError as error:
        if rows is not None and rows.begun:
            raise
        head = Head(problem=str(error), hint=error.hint, kind=type(error).__name__)
        out.write(msgspec.json.encode(head) + b"\n")
    finally:
        session.close()


def _columns_to_read(
    session: ProjectSession, request: DataFileRequest, hidden: list[str]
) -> list[str] | None:
    """Return the columns to be read; None for all."""
    if request.columns is not None or not hidden:
        return None if request.columns is None else list(request.columns)
    known = reading.columns_of(session, request.wanted)
    return [name for name in known if name.lower() not in hidden]
