"""How much nodes are read and what they cost, for the orders of the catalog that ask for it: the figure `use`, summed by node."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from headrace.observe.availability.sentences import AvailabilityWindow
from headrace.operations.availability import WINDOW, window_began
from headrace.operations.cost import took
from headrace.operations.figuring import Figuring
from headrace.operations.remembering import remembered
from headrace.operations.session import ProjectSession
from headrace.operations.standing import standing
from headrace.store.queries import usage


class NodeUsage(NamedTuple):
    """In the figure's window: reads that were seen, and seconds that attempts took."""

    reads: int = 0
    seconds: float = 0.0


def use(session: ProjectSession) -> dict[str, NodeUsage]:
    """Node → how it is used."""
    return remembered(session, "use", lambda: _used(session))


def _used(session: ProjectSession) -> dict[str, NodeUsage]:
    if session.store is None or session.compiled is None:
        return {}
    now_us = session.clock.now_us()
    began_us = window_began(WINDOW, now_us, session.timezone)
    window = AvailabilityWindow(WINDOW, began_us, now_us, session.timezone)
    with standing(session, now_us) as snapshot:
        figuring, reads = Figuring(session, snapshot, session.compiled, window, None), Counter[str]()
        for read_usage in figuring.reads:
            reads[read_usage.node] += read_usage.reads
        for exported in usage.exports(snapshot.tx, snapshot.context.declared.exports, began_us, now_us):
            reads.update(dict.fromkeys(session.compiled.project.consumers[exported.consumer].reads, exported.exports))
        seconds = took(session, session.compiled, snapshot.tx, (began_us, now_us))
    return {name: NodeUsage(reads[name], seconds.get(name, 0) / 1e6) for name in {*reads, *seconds}}
