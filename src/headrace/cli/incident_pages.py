"""Incidents on a terminal: the list, and one with its evidence."""

from __future__ import annotations

from datetime import timedelta

from headrace.cli import states
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import joined, plural
from headrace.model.commands import command_line
from headrace.operations.incident_responses import EvidenceRow, IncidentRow
from headrace.operations.repair_texts import AWAITED

EVIDENCE_SHOWN_MAX = 8
SYMPTOMS_SHOWN_MAX = 6
TIMELINE_FIRST = 2
TIMELINE_LAST = 10

LIST = [
    ColumnLayout("incident"),
    ColumnLayout("state"),
    ColumnLayout("cause", gives=2, least=14),
    ColumnLayout("node", gives=3, least=12),
    ColumnLayout("what", gives=1, least=18),
    ColumnLayout("owner", gives=4, least=6, drops=1),
    ColumnLayout("began", drops=2),
    ColumnLayout("affects", drops=3),
]


def listed(rows: list[IncidentRow], page: CommandOutput, *, every: bool) -> None:
    """The causes, one a line."""
    page.head("incidents")
    if not rows:
        page.say("✓ there has been no incident" if every else "✓ no incident is open", "good")
        page.next("headrace status" if every else "headrace incidents --all")
        return
    page.say()
    page.table(LIST, [_row(row, page) for row in rows])
    page.next(f"headrace incident {next((row.id for row in rows if row.state == 'open'), rows[0].id)}")


def _row(row: IncidentRow, page: CommandOutput) -> list[str | StyledCell]:
    return [
        StyledCell(row.id, "bold"), states.cell(row.state), row.cause.kind, row.cause.node, row.cause.summary, row.owner,
        page.reader.moment(row.began_at), _affects(row),
    ]  # fmt: skip


def _affects(row: IncidentRow) -> str:
    results = [plural(len(names), word) for names, word in ((row.affected.assets, "asset"), (row.affected.consumers, "consumer")) if names]
    return ", ".join(results) or "nobody"


EVIDENCE = [
    ColumnLayout("evidence", gives=2, least=16),
    ColumnLayout("expected", gives=3, least=12),
    ColumnLayout("observed", gives=1, least=12),
    ColumnLayout("seen"),
]
SHOWN_LONGER = timedelta(hours=1)
"""An incident that was shown as open for so long after it was over says until when."""
FACTS = [ColumnLayout("", least=8), ColumnLayout("", gives=1, least=20)]


def one(row: IncidentRow, page: CommandOutput) -> None:
    """One cause: what was seen, what it holds, what repairs it."""
    page.facts(row.id, *_place(row), row.state, f"owner {row.owner}", style="bold")
    result = seconds(row.detect_seconds) if row.detect_seconds > 0 else "at once"
    later = result if result == "at once" else f"{result} later"
    again = row.opened_again_at
    since = "" if again is None else f"; opened again {page.reader.moment(again)}"
    began = page.reader.moment(row.began_at)
    page.say(f"{row.cause.summary}; began {began}, found {later}{since}")
    page.say()
    alike = _alike(row)
    shown = alike[:EVIDENCE_SHOWN_MAX]
    page.table(EVIDENCE, [[e.what, e.expected, observed, page.reader.moment(e.at)] for e, observed in shown])
    if len(alike) > len(shown):
        page.say(f"and {len(alike) - len(shown)} more; --json has all", "dim", indent=2)
    page.table(FACTS, _facts(row, page), header=False)
    if row.ended is not None:  # whole, on as many lines as it takes: how it ended stands at its end
        page.say(f"ended    {row.ended}", indent=2)
    _repair(row, page)
    hidden = len(row.timeline) - TIMELINE_FIRST - TIMELINE_LAST
    for number, line in enumerate(row.timeline):
        if hidden <= 1 or not TIMELINE_FIRST <= number < TIMELINE_FIRST + hidden:
            page.say(f"{page.reader.moment(line.at)}  {line.what}  ({line.by})", "dim", indent=2)
        elif number == TIMELINE_FIRST:
            page.say(f"… {hidden:,} more; --json has all", "dim", indent=2)
    page.next(_next(row))


def _place(row: IncidentRow) -> list[str]:
    """The kind, and where the evidence is: at one partition, or at how many between which."""
    at, keys = f"{row.cause.kind} at {row.cause.node}", row.affected.partitions
    if len(keys) > 1:
        return [at, f"{plural(len(keys), 'partition')}, {keys[0]} to {keys[-1]}"]
    return [at if row.cause.partition is None else f"{at}@{row.cause.partition}"]


def _repair(row: IncidentRow, page: CommandOutput) -> None:
    """What repairs it: a sentence, and below it the commands, each whole on a line of its own."""
    if row.repair is None or row.repair.text is None:
        return
    first = row.repair.first is not None
    page.say(f"repair   {row.repair.text}{', then' if first else ''}", indent=2)
    for command in row.repair.commands if first else ():
        page.command(command, indent=4)


def _alike(row: IncidentRow) -> list[tuple[EvidenceRow, str]]:
    """The evidence, the oldest of what is alike, with what was observed and how often."""
    results: dict[tuple[str, str, str], list[EvidenceRow]] = {}
    for evidence_row in row.cause.evidence:
        results.setdefault((evidence_row.what, evidence_row.expected, evidence_row.observed), []).append(evidence_row)
    least = "at least " if row.cause.evidence_limited else ""
    return [(same[0], f"{same[0].observed}{_times(same, least)}") for same in results.values()]


def _times(same: list[EvidenceRow], least: str) -> str:
    """How often it was seen: attempts that failed are counted as `why` counts them."""
    failed = {attempt for row in same for attempt in row.attempts}
    if failed:
        return f" ({least}{plural(len(failed), 'failed attempt')})" if len(failed) > 1 else ""
    return f" ({least}{len(same):,} times)" if len(same) > 1 else ""


def _next(row: IncidentRow) -> str:
    """What repairs it; where that isn't known, why those wait whom it affects."""
    awaited = row.repair is not None and row.repair.automatic and row.cause.kind in AWAITED
    if row.repair is not None and not awaited:
        return row.repair.command
    waits = row.state != "resolved" and row.affected.consumers
    return command_line("why", row.affected.consumers[0]) if waits else "headrace status"


def _seen_at(row: IncidentRow) -> str:
    """The cause's own partitions; what is made of them is told of by the assets."""
    first, *more = row.affected.partitions or [""]
    if not first:
        return row.cause.node
    last = f" … {more[-1]} ({len(more) + 1:,} partitions)" if more else ""
    return f"{row.cause.node} {first}{last}"


def _facts(row: IncidentRow, page: CommandOutput) -> list[list[str | StyledCell]]:
    facts: list[list[str | StyledCell]] = [
        [StyledCell("affects", "dim"), _affects(row)],
        [StyledCell("seen at", "dim"), _seen_at(row)],
    ]
    if row.affected.consumers:
        facts.append([StyledCell("readers", "dim"), joined(row.affected.consumers, 6)])
    if row.symptoms:
        shown = [f"{s.node}{f'@{s.partition}' if s.partition else ''}: {s.what}" for s in row.symptoms[:SYMPTOMS_SHOWN_MAX]]
        more = len(row.symptoms) - len(shown)
        facts.append([StyledCell("symptoms", "dim"), "; ".join([*shown, *([f"and {more} more"] if more else [])])])
    if row.before is not None:
        done = "; ".join(row.before.done) or "nothing is known of what was done"
        facts.append([StyledCell("before", "dim"), f"the same as {row.before.id}, {page.reader.moment(row.before.began_at)}: {done}"])
    if row.restored_at is not None:
        first = "first " if any(line.what.startswith("opened again") for line in row.timeline) else ""
        took = f"{seconds(row.restore_seconds)} after it {first}began"
        late = row.resolved_at is not None and row.resolved_at - row.restored_at >= SHOWN_LONGER
        shown_until = f"; shown as open until {page.reader.moment(row.resolved_at)}" if late and row.resolved_at else ""
        facts.append([StyledCell("over", "dim"), f"{page.reader.moment(row.restored_at)}, {took}{shown_until}"])
    return facts
