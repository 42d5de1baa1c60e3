"""What `contract` shows to people."""

from __future__ import annotations

from headrace.cli.page import Page
from headrace.cli.running import span
from headrace.cli.text import joined, plural
from headrace.operations.contract_responses import AcceptResponse, InferResponse, MappingRow

CONVERT = "what values are computed from, by the delivery's columns: 'amount_cents / 100'"
AS_IS = "take values that differ as they are"
REASON = "why; kept in the audit trail"


def accepted(document: AcceptResponse, page: Page) -> None:
    """What holds from when on, and what follows."""
    page.say(f"✓ {document.file} says what {document.source} calls its columns from {document.partition} on", "good")
    for one in document.mappings:
        page.say(_mapping(one), indent=2)
    page.say(f"in force as version {document.version}")
    if document.reread:
        page.say(f"re-ingested by the next tick: {document.source} {span(document.reread)}")
    if document.counts is not None:
        page.say(f"the next tick makes {document.counts.text}", indent=2)
    for row in document.stale:
        page.say(f"follows: {row.node} {row.from_} … {row.to} ({plural(row.partitions, 'partition')})", indent=2)
    if document.backfills:
        page.say("what is too old to follow by itself is recomputed by")
        for needed in document.backfills:
            page.command(needed.command, indent=4)
    page.clock_note()
    page.next("headrace tick")


def _mapping(one: MappingRow) -> str:
    score = "" if one.score is None else f" ({one.score:.2f}: {'; '.join(one.evidence)})"
    users = f", used by {joined(one.used_by)}" if one.used_by else ""
    return f"{one.column} ← {one.convert or one.to}{score}{users}"


def inferred(document: InferResponse, page: Page) -> None:
    """Where the contract was written."""
    page.say(
        f"✓ {document.file}, by {plural(document.rows, 'row')} of {plural(document.partitions, 'partition')} of {document.source}", "good"
    )
    page.next("headrace plan", "headrace apply")
