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
    facts = context.facts.standing(node.name, interval)
    same = newest is not None and newest.partition == interval
    return LatestExport(_state(facts), interval, newest.at_us if newest is not None and same else None, node.target(interval))


def _state(facts: PartitionStateFacts | None) -> str:
    if facts is None:
        return "missing"
    if facts.state == "waiting" and facts.reason:
        return "failed"
    if facts.published and (facts.stale or facts.state == "waiting"):
        return "superseded"
    return "exported" if facts.state == "published" else facts.state
