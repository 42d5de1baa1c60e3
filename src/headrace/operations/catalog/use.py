"""How much nodes are read and what they cost, for the orders of the catalog that ask for it: the figure `use`, summed by node."""

from __future__ import annotations

from typing import NamedTuple

from headrace.operations.figure_documents import UseRow
from headrace.operations.figures import explain
from headrace.operations.remembering import remembered
from headrace.operations.session import Session


class Used(NamedTuple):
    """In the figure's window: reads that were seen, and seconds that attempts took."""

    reads: int = 0
    seconds: float = 0.0


def use(session: Session) -> dict[str, Used]:
    """Node → how it is used."""
    return remembered(session, "use", lambda: _summed(explain(session, "use").rows))


def _summed(rows: list[UseRow]) -> dict[str, Used]:
    found: dict[str, Used] = {}
    for row in rows:
        found[row.node] = Used(found.get(row.node, Used()).reads + row.reads, row.seconds)
    return found
