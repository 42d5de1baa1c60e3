"""`headrace incidents` and `incident`: causes, their evidence, and their repair."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated

from headrace.cli import output
from headrace.cli.agreement import DryRun, Yes
from headrace.cli.commands.fix import repair
from headrace.cli.declared_commands import (
    CommandGroup,
    ExitCode,
    ServiceCommand,
    terminal_command,
)
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.rename_texts import rival_texts, score_text
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import Option
from headrace.repairs.repair_texts import AWAY
from headrace.responses.incidents import (
    EvidenceRow,
    IncidentRepairRow,
    IncidentRow,
    MuteRow,
)
from headrace.services.incidents import incidents

# The list of incidents, and one incident with its evidence. Equal evidence is printed once with
# its count; the middle of a long timeline is left out.

EVIDENCE_SHOWN_MAX = 8
RENAMES_SHOWN_MAX = 8
SYMPTOMS_SHOWN_MAX = 6
TIMELINE_FIRST = 2
TIMELINE_LAST = 10

INCIDENT_COLUMNS = [
    ColumnLayout("incident"),
    ColumnLayout("state"),
    ColumnLayout("cause", gives=2, least=14),
    ColumnLayout("node", gives=3, least=12),
    ColumnLayout("what", gives=1, least=18),
    ColumnLayout("owner", gives=4, least=6, drops=1),
    ColumnLayout("assignee", gives=4, least=6, drops=4),
    ColumnLayout("ticket", gives=5, least=12, drops=5),
    ColumnLayout("muted", drops=4),
    ColumnLayout("began", drops=2),
    ColumnLayout("affects", drops=3),
]
ToNobody = Annotated[bool, Option("--none", help="remove it")]
HANDLING = ("assignee", "ticket", "muted")
"""Columns that are left out if no incident has a value."""


def render_incidents(rows: list[IncidentRow], page: CommandOutput, *, every: bool) -> None:
    """Print the incidents, one per line. `every` says that resolved ones are included."""
    page.head("incidents")
    if not rows:
        page.say("✓ there has been no incident" if every else "✓ no incident is open", "good")
        page.next("headrace status" if every else "headrace incidents --all")
        return
    page.say()
    columns = _columns_of(rows)
    titles = {column.title for column in columns}
    page.table(columns, [_incident_row(row, page, titles) for row in rows])
    page.next(
        f"headrace incident {next((row.id for row in rows if row.state == 'open'), rows[0].id)}"
    )


def _columns_of(rows: list[IncidentRow]) -> list[ColumnLayout]:
    unset = {name for name in HANDLING if all(getattr(row, name) is None for row in rows)}
    return [column for column in INCIDENT_COLUMNS if column.title not in unset]


def _incident_row(
    row: IncidentRow, page: CommandOutput, titles: Collection[str]
) -> list[str | StyledCell]:
    return [
        StyledCell(row.id, "bold"),
        output.state_cell(row.state),
        row.cause.kind,
        row.cause.node,
        row.cause.summary,
        row.owner,
        *([row.assignee or ""] if "assignee" in titles else []),
        *([row.ticket or ""] if "ticket" in titles else []),
        *([_mute_end(row.muted, page)] if "muted" in titles else []),
        page.times.time_text(row.began_at),
        _affected_text(row),
    ]


def _mute_end(mute: MuteRow | None, page: CommandOutput) -> str:
    if mute is None:
        return ""
    return "yes" if mute.until is None else f"until {page.times.time_text(mute.until)}"


def _affected_text(row: IncidentRow) -> str:
    results = [
        plural(len(names), word)
        for names, word in ((row.affected.assets, "asset"), (row.affected.consumers, "consumer"))
        if names
    ]
    return ", ".join(results) or "nobody"


EVIDENCE_COLUMNS = [
    ColumnLayout("evidence", gives=2, least=16),
    ColumnLayout("expected", gives=3, least=12),
    ColumnLayout("observed", gives=1, least=12),
    ColumnLayout("seen"),
]
SHOWN_OPEN_LONGER = timedelta(hours=1)
"""If an incident was shown as open for at least this long after its end, its page says so."""
FACT_COLUMNS = [ColumnLayout("", least=8), ColumnLayout("", gives=1, least=20)]


def render_incident(row: IncidentRow, page: CommandOutput) -> None:
    """Print one incident: its cause with evidence, whom it affects, its repair and its timeline."""
    page.facts(row.id, *_cause_and_place(row), row.state, *_people_and_mute(row), style="bold")
    later = f"{seconds(row.detect_seconds)} later" if row.detect_seconds > 0 else "at once"
    again = row.opened_again_at
    since = "" if again is None else f"; opened again {page.times.time_text(again)}"
    began = page.times.time_text(row.began_at)
    page.say(f"{row.cause.summary}; began {began}, found {later}{since}")
    page.say()
    evidence = _grouped_evidence(row)
    visible = evidence[:EVIDENCE_SHOWN_MAX]
    page.table(
        EVIDENCE_COLUMNS,
        [[e.what, e.expected, observed, page.times.time_text(e.at)] for e, observed in visible],
    )
    page.rest(len(evidence) - len(visible), then="; --json has all", style="dim")
    _render_renames(row, page)
    page.table(FACT_COLUMNS, _fact_rows(row, page), header=False)
    _render_handling(row, page)
    if row.ended is not None:  # not in the table, which would cut its end
        page.say(f"ended    {row.ended}", indent=2)
    _render_incident_repair(row, page)
    hidden = len(row.timeline) - TIMELINE_FIRST - TIMELINE_LAST
    for number, line in enumerate(row.timeline):
        if hidden <= 1 or not TIMELINE_FIRST <= number < TIMELINE_FIRST + hidden:
            page.say(f"{page.times.time_text(line.at)}  {line.what}  ({line.by})", "dim", indent=2)
        elif number == TIMELINE_FIRST:
            page.say(f"… {_more_lines(row, hidden)}", "dim", indent=2)
    page.next(_next_command(row))


def _people_and_mute(row: IncidentRow) -> list[str]:
    handler = [f"assigned to {row.assignee}"] if row.assignee is not None else []
    muted = ["muted"] if row.muted is not None else []
    contact = f" ({', '.join(row.contact)})" if row.contact else ""
    return [f"owner {row.owner}{contact}", *handler, *muted]


def _render_handling(row: IncidentRow, page: CommandOutput) -> None:
    if row.ticket is not None:
        page.say(f"ticket   {row.ticket}", indent=2)
    if row.muted is not None:
        end = f" {_mute_end(row.muted, page)}" if row.muted.until is not None else ""
        page.say(f"muted    by {row.muted.by}{end}: {row.muted.reason}", indent=2)


def _more_lines(row: IncidentRow, hidden: int) -> str:
    if row.timeline_limited:
        return f"at least {hidden:,} more; --json has the newest"
    return f"{hidden:,} more; --json has all"


def _render_renames(row: IncidentRow, page: CommandOutput) -> None:
    """Print the proposed names of renamed columns, each with the columns that came close."""
    for rename in row.renames[:RENAMES_SHOWN_MAX]:
        score = "" if rename.score is None else f" ({score_text(rename.score)})"
        page.say(f"proposed  {rename.column} → {rename.to}{score}", indent=2)
        for text in rival_texts(rename.rivals):
            page.say(text, "dim", indent=12)
    page.rest(len(row.renames) - RENAMES_SHOWN_MAX, then="; --json has all")


def _cause_and_place(row: IncidentRow) -> list[str]:
    """Return the kind of the cause and its node, with its partition or the range of partitions."""
    at, keys = f"{row.cause.kind} at {row.cause.node}", row.affected.partitions
    if len(keys) > 1:
        return [at, f"{plural(len(keys), 'partition')}, {keys[0]} to {keys[-1]}"]
    return [at if row.cause.partition is None else f"{at}@{row.cause.partition}"]


def _render_incident_repair(row: IncidentRow, page: CommandOutput) -> None:
    """Print the repair as a sentence, and the commands below it if a person must act first."""
    if row.repair is None or row.repair.text is None:
        return
    first = row.repair.first is not None
    page.say(f"repair   {row.repair.text}{', then' if first else ''}", indent=2)
    for command in row.repair.commands if first else ():
        page.command(command, indent=4)


def _grouped_evidence(row: IncidentRow) -> list[tuple[EvidenceRow, str]]:
    """Return distinct evidence: the oldest row of each, with what was observed and how often."""
    results: dict[tuple[str, str, str], list[EvidenceRow]] = {}
    for evidence_row in row.cause.evidence:
        results.setdefault(
            (evidence_row.what, evidence_row.expected, evidence_row.observed), []
        ).append(evidence_row)
    least = "at least " if row.cause.evidence_limited else ""
    return [
        (same[0], f"{same[0].observed}{_occurrences_text(same, least)}")
        for same in results.values()
    ]


def _occurrences_text(same: list[EvidenceRow], least: str) -> str:
    """Return how often evidence was observed; failed attempts are counted as in `why`."""
    failed = {attempt for row in same for attempt in row.attempts}
    if failed:
        return f" ({least}{plural(len(failed), 'failed attempt')})" if len(failed) > 1 else ""
    return f" ({least}{len(same):,} times)" if len(same) > 1 else ""


def _next_command(row: IncidentRow) -> str | None:
    """Return the repair's command; if nothing has to be done, `why` of a consumer, or `status`."""
    if row.repair is not None and not _goes_on_alone(row, row.repair):
        return row.repair.command
    waits = row.state != "resolved" and row.affected.consumers
    return command_line("why", row.affected.consumers[0]) if waits else "headrace status"


def _goes_on_alone(row: IncidentRow, repair: IncidentRepairRow) -> bool:
    """Whether Headrace repairs it and nobody has anything to look at meanwhile."""
    is_away = row.state == "open" and row.cause.kind in AWAY
    return repair.automatic and repair.note is None and not is_away


def _cause_partitions_text(row: IncidentRow) -> str:
    """Return the cause's node and partitions; partitions computed from them aren't included."""
    first, *more = row.affected.partitions or [""]
    if not first:
        return row.cause.node
    last = f" … {more[-1]} ({len(more) + 1:,} partitions)" if more else ""
    return f"{row.cause.node} {first}{last}"


def _fact_rows(  # complexipy: ignore (a page: a line for each thing there is to say)
    row: IncidentRow,
    page: CommandOutput,
) -> list[list[str | StyledCell]]:
    facts: list[list[str | StyledCell]] = [
        [StyledCell("affects", "dim"), _affected_text(row)],
        [StyledCell("seen at", "dim"), _cause_partitions_text(row)],
    ]
    if row.affected.consumers:
        facts.append([StyledCell("readers", "dim"), joined(row.affected.consumers, 6)])
    if row.symptoms:
        symptom_texts = [
            f"{s.node}{f'@{s.partition}' if s.partition else ''}: {s.what}"
            for s in row.symptoms[:SYMPTOMS_SHOWN_MAX]
        ]
        more = len(row.symptoms) - len(symptom_texts)
        facts.append(
            [
                StyledCell("symptoms", "dim"),
                "; ".join([*symptom_texts, *([f"and {more} more"] if more else [])]),
            ]
        )
    if row.before is not None:
        done = "; ".join(row.before.done) or "nothing is known of what was done"
        began = page.times.time_text(row.before.began_at)
        facts.append([StyledCell("before", "dim"), f"the same as {row.before.id}, {began}: {done}"])
    if row.restored_at is not None:
        again = any(line.what.startswith("opened again") for line in row.timeline)
        took = f"{seconds(row.restore_seconds)} {'in all' if again else 'after it began'}"
        late = (
            row.resolved_at is not None and row.resolved_at - row.restored_at >= SHOWN_OPEN_LONGER
        )
        shown_until = (
            f"; shown as open until {page.times.time_text(row.resolved_at)}"
            if late and row.resolved_at
            else ""
        )
        facts.append(
            [
                StyledCell("over", "dim"),
                f"{page.times.time_text(row.restored_at)}, {took}{shown_until}",
            ]
        )
    return facts


# `headrace incident ID`

incident_command = ServiceCommand("incidents:incident", render_incident)


# `headrace incidents [report|note|assign|ticket|mute|unmute|fix]`


@terminal_command("incidents:incidents")
def _list(invocation: Invocation, *, every: bool, exit_code: ExitCode = False) -> int:
    """List the open incidents: one per cause, with its owner, its evidence and whom it affects."""
    rows = incidents(invocation.session, every=every)
    invocation.show(rows, lambda rows, page: render_incidents(rows, page, every=every))
    return int(exit_code and any(row.state != "resolved" for row in rows))


@terminal_command("incident_handling:assign")
def _assign(
    invocation: Invocation, incident: str, person: str | None = None, nothing: ToNobody = False
) -> int:
    """Say who handles an incident; --none removes the person."""
    from headrace.services.incident_handling import assign

    given = _one_of(person, nothing, "assign", "PERSON")
    row = assign(invocation.session, incident, person=given, progress=invocation.progress())
    invocation.show(row, render_incident)
    return 0


@terminal_command("incident_handling:link_ticket")
def _ticket(
    invocation: Invocation, incident: str, url: str | None = None, nothing: ToNobody = False
) -> int:
    """Link where an incident is discussed; --none removes the link."""
    from headrace.services.incident_handling import link_ticket

    given = _one_of(url, nothing, "ticket", "URL")
    row = link_ticket(invocation.session, incident, url=given, progress=invocation.progress())
    invocation.show(row, render_incident)
    return 0


def _one_of(value: str | None, nothing: bool, action: str, argument: str) -> str | None:
    """Return the value; None stands for --none. Raise UsageError for both or neither."""
    if (value is None) == nothing:
        return value
    both = ", not both" if nothing else ""
    needs = "takes" if nothing else "needs"
    raise UsageError(
        f"`incidents {action}` {needs} {argument} or --none{both}",
        hint=command_line("incidents", action, "ID", argument),
    )


@terminal_command("incidents:incident")
def _fix(invocation: Invocation, incident: str, dry_run: DryRun = False, yes: Yes = False) -> int:
    """Repair an incident, as `headrace fix` does."""
    from headrace.repairs.contract_updates import UNDECIDED

    return repair(invocation, incident, UNDECIDED, dry_run=dry_run, yes=yes)


incidents_command = CommandGroup(
    _list.description,
    {
        "report": ServiceCommand("incident_records:report", render_incident),
        "note": ServiceCommand("incident_records:note", render_incident),
        "assign": _assign,
        "ticket": _ticket,
        "mute": ServiceCommand("incident_mutes:mute", render_incident),
        "unmute": ServiceCommand("incident_mutes:unmute", render_incident),
        "fix": _fix,
    },
    _list,
    group="look",
    summary="list open incidents; `report` published data that is wrong",
)
