"""How the export of what a consumer reads stands. Pure."""

from __future__ import annotations

from headrace.observe.declared_promises import WHOLE, Terms
from headrace.observe.obligations import EvaluationContext
from headrace.observe.state_facts import PartitionStateFacts
from headrace.observe.states import LatestExport


def exported(terms: Terms, context: EvaluationContext, due: str | None) -> LatestExport | None:
    """Of the newest interval that is due (`due`) or was exported; None where nothing is exported."""
    node = context.declared.exports.get(terms.consumer)
    if node is None:
        return None
    newest = context.facts.newest(node.name)
    interval = newest.partition if newest is not None else None
    if node.partition.whole:
        interval = WHOLE
    elif due is not None and (interval is None or due > interval):
        interval = due
    if interval is None:
        return LatestExport("missing", None, None, node.exported_to)
    standing = context.facts.standing(node.name, interval)
    same = newest is not None and newest.partition == interval
    return LatestExport(_state(standing), interval, newest.at_us if newest is not None and same else None, node.target(interval))


def _state(standing: PartitionStateFacts | None) -> str:
    if standing is None:
        return "missing"
    if standing.state == "waiting" and standing.reason:
        return "failed"
    if standing.published and (standing.stale or standing.state == "waiting"):
        return "superseded"
    return "exported" if standing.state == "published" else standing.state
