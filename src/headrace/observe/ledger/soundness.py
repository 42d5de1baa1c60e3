"""Which publications incidents name as wrong, and what was made of them: nobody was soundly served with those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.observe.availability.carrying import Carrying, lineage_of
from headrace.observe.availability.spans import EVER
from headrace.observe.availability.tainted import spread, unsound
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import unsound as stored

if TYPE_CHECKING:
    from headrace.plan import Compiled

Wrongs = dict[tuple[str, str], dict[int, int]]
"""Node and partition → when what is wrong of it was published, and which incident names it."""


def wrongs(tx: Transaction, compiled: Compiled, context: EvaluationContext, from_us: int) -> Wrongs:
    """As known now, of incidents that weren't resolved before a time."""
    roots = unsound(stored.named(tx, from_us))
    results: Wrongs = {}
    for taints in spread(tx, context, roots, Carrying(lineage_of(compiled))).values() if roots else ():
        for taint in taints:
            if taint.withdrawn_us == EVER and taint.incident is not None:
                results.setdefault((taint.node, taint.partition), {}).setdefault(taint.from_us, taint.incident)
    return results
