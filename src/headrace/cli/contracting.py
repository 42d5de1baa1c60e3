"""What `contract` shows to people."""

from __future__ import annotations

from headrace.cli.page import CommandOutput
from headrace.cli.running import span
from headrace.cli.text import joined, plural
from headrace.operations.contract_responses import AcceptResponse, InferResponse, MappingRow

CONVERT = "what values are computed from, by the delivery's columns: 'amount_cents / 100'"
AS_IS = "take values that differ as they are"
REASON = "why; kept in the audit trail"


def accepted(response: AcceptResponse, page: CommandOutput) -> None:
    """What holds from when on, and what follows."""
    page.say(f"✓ {response.file} says what {response.source} calls its columns from {response.partition} on", "good")
    for mapping in response.mappings:
        page.say(_mapping(mapping), indent=2)
    page.say(f"in force as version {response.version}")
    if response.reread:
        page.say(f"re-ingested by the next tick: {response.source} {span(response.reread)}")
    if response.counts is not None:
        page.say(f"the next tick makes {response.counts.text}", indent=2)
    for row in response.stale:
        page.say(f"follows: {row.node} {row.from_} … {row.to} ({plural(row.partitions, 'partition')})", indent=2)
    if response.backfills:
        page.say("what is too old to follow by itself is recomputed by")
        for needed in response.backfills:
            page.command(needed.command, indent=4)
    page.clock_note()
    page.next("headrace tick")


def _mapping(row: MappingRow) -> str:
    score = "" if row.score is None else f" ({row.score:.2f}: {'; '.join(row.evidence)})"
    users = f", used by {joined(row.used_by)}" if row.used_by else ""
    return f"{row.column} ← {row.convert or row.to}{score}{users}"


def inferred(response: InferResponse, page: CommandOutput) -> None:
    """Where the contract was written."""
    page.say(
        f"✓ {response.file}, by {plural(response.rows, 'row')} of {plural(response.partitions, 'partition')} of {response.source}", "good"
    )
    page.next("headrace plan", "headrace apply")
