"""How much nodes are read and what they cost, for the orders of the catalog that ask for it: the figure `use`, summed by node."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from headrace.operations.availability import window_began
from headrace.operations.catalog.cost import Cost
from headrace.operations.figures import DEFAULT
from headrace.operations.figuring import Figuring
from headrace.operations.remembering import remembered
from headrace.operations.session import Session
from headrace.operations.standing import standing
from headrace.run.garbage import Keep
from headrace.run.retiring import cut
from headrace.store.queries import usage, worth


class Used(NamedTuple):
    """In the figure's window: reads that were seen, and seconds that attempts took."""

    reads: int = 0
    seconds: float = 0.0


def use(session: Session) -> dict[str, Used]:
    """Node → how it is used."""
    return remembered(session, "use", lambda: _used(session))


def _used(session: Session) -> dict[str, Used]:
    if session.store is None or session.compiled is None:
        return {}
    now_us = session.clock.now_us()
    window = window_began(DEFAULT, now_us, session.timezone), now_us
    with standing(session, now_us) as found:
        figuring, reads = Figuring(session, found, session.compiled, window, None), Counter[str]()
        for one in figuring.reads:
            reads[one.node] += one.reads
        for exported in usage.exports(found.tx, found.scene.declared.exports, *window):
            reads.update(dict.fromkeys(session.compiled.project.consumers[exported.consumer].reads, exported.exports))
        if cut(Keep.declared(session.compiled.project), now_us)["attempt"] > window[0]:  # what goes is of the window: it would be missed
            took = {node: round(seconds * 1e6) for node, seconds in worth.seconds(found.tx, *window)}
        else:
            took = dict(_cost(session).of(found.tx, *window))
    return {name: Used(reads[name], took.get(name, 0) / 1e6) for name in {*reads, *took}}


def _cost(session: Session) -> Cost:
    """What the sessions that know each other share."""
    return session.memory.setdefault("cost", ("", Cost()))[1]  # type: ignore[no-any-return]
