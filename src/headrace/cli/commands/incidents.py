"""`headrace incidents` and `incident`: causes, their evidence, and their repair."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated

from headrace.cli import output
from headrace.cli.agreement import DryRun, Yes
from headrace.cli.commands.fix import repair
from headrace.cli.declared_commands import (
    ExitCode,
    HelpPrefix,
    ServiceCommand,
    terminal_command,
    unknown_action,
)
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.rename_texts import rival_texts, score_text
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.services.incidents import incidents
from headrace.services.parameters import Argument, FirstWrong, LastWrong, MutedUntil, Option
from headrace.services.repair_texts import AWAY
from headrace.services.responses.incidents import (
    EvidenceRow,
    IncidentRepairRow,
    IncidentRow,
    MuteRow,
)

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
    return [f"owner {row.owner}", *handler, *muted]


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

MISSING_TARGET = {
    "report": (
        "of what is the data wrong?",
        "headrace incidents report NODE --from K --reason TEXT",
    ),
    "note": ("about which incident is it?", "headrace incidents note ID --reason TEXT"),
    "assign": ("which incident is assigned?", "headrace incidents assign ID PERSON"),
    "ticket": ("of which incident is it?", "headrace incidents ticket ID URL"),
    "mute": ("which incident is muted?", "headrace incidents mute ID --reason TEXT"),
    "unmute": ("which incident is unmuted?", "headrace incidents unmute ID"),
    "fix": (
        "which incident is repaired?",
        "headrace incidents fix ID; headrace incidents lists them",
    ),
}
"""Action → the error message and the hint if its node or incident is missing."""
REASONED = ("report", "note", "mute", "unmute")
"""Actions with `--reason`."""


@terminal_command(
    "incidents:incidents",
    report="incident_records:report",
    note="incident_records:note",
    assign="incident_handling:assign",
    ticket="incident_handling:link_ticket",
    mute="incident_mutes:mute",
    unmute="incident_mutes:unmute",
    fix="fix:run_fix",
    group="look",
    summary="list open incidents; `report` published data that is wrong",
)
def incidents_command(
    invocation: Invocation,
    what: Annotated[
        str | None,
        Argument(
            "[report|note|assign|ticket|mute|unmute|fix]",
            help=(
                "`report` says that published data is wrong, `note` what is known, `assign` who"
                " handles it, `ticket` where it is discussed; `mute` holds messages about it back,"
                " `unmute` ends that; `fix` is `headrace fix`"
            ),
        ),
    ] = None,
    target: Annotated[
        str | None,
        Argument(
            "[NODE|ID]",
            help="of `report` a source or an asset, of the others an incident",
            names="NODE|INC-N",
        ),
    ] = None,
    value: Annotated[
        str | None,
        Argument("[PERSON|URL]", help="of `assign` and `ticket`; --none removes it"),
    ] = None,
    *,
    every: bool,
    nothing: Annotated[
        bool, Option("--none", help="of `assign`: to nobody; of `ticket`: without a link")
    ] = False,
    first: Annotated[FirstWrong, HelpPrefix("of `report`: ")] = None,
    last: Annotated[LastWrong, HelpPrefix("of `report`: ")] = None,
    reason: Annotated[
        str | None,
        Option(
            "--reason",
            metavar="TEXT",
            help="of `report`: what is wrong; of `note`: what is known; of `mute`, `unmute`: why",
        ),
    ] = None,
    until: Annotated[MutedUntil, HelpPrefix("of `mute`: ")] = None,
    dry_run: Annotated[DryRun, HelpPrefix("of `fix`: ")] = False,
    yes: Annotated[Yes, HelpPrefix("of `fix`: ")] = False,
    exit_code: ExitCode = False,
) -> int:
    """List the open incidents: one per cause, with its owner, its evidence and whom it affects.

    `report NODE --from K` reports that published data is wrong.
    """
    _refuse_misplaced_options(
        what, of_fix=dry_run or yes, of_report=bool(first or last), reason=bool(reason)
    )
    _refuse_misplaced_handling(what, nothing=nothing, until=until is not None)
    if what is None:
        rows = incidents(invocation.session, every=every)
        invocation.show(rows, lambda rows, page: render_incidents(rows, page, every=every))
        return int(exit_code and any(row.state != "resolved" for row in rows))
    if what not in MISSING_TARGET:
        raise unknown_action("incidents", what, MISSING_TARGET)
    if target is None:
        raise UsageError(MISSING_TARGET[what][0], hint=MISSING_TARGET[what][1])
    _refuse_misplaced_value(what, value, nothing=nothing)
    if what == "fix":
        from headrace.services.contract_updates import UNDECIDED

        return repair(invocation, target, UNDECIDED, dry_run=dry_run, yes=yes)
    if what in ("assign", "ticket"):
        invocation.show(_handled(invocation, what, target, value), render_incident)
        return 0
    if what != "report":
        invocation.show(_remarked(invocation, what, target, reason, until), render_incident)
        return 0
    from headrace.services.incident_records import report

    row = report(
        invocation.session,
        target,
        first=first,
        last=last,
        reason=reason or "",
        progress=invocation.progress(),
    )
    invocation.show(row, render_incident)
    return 0


def _handled(invocation: Invocation, what: str, incident: str, value: str | None) -> IncidentRow:
    """Assign an incident or link its ticket; None removes it."""
    from headrace.services.incident_handling import assign, link_ticket

    if what == "assign":
        return assign(invocation.session, incident, person=value, progress=invocation.progress())
    return link_ticket(invocation.session, incident, url=value, progress=invocation.progress())


def _remarked(
    invocation: Invocation, what: str, incident: str, reason: str | None, until: str | None
) -> IncidentRow:
    """Mute or unmute an incident, or add a note to it."""
    session, progress = invocation.session, invocation.progress()
    if what == "note":
        from headrace.services.incident_records import note

        return note(session, incident, reason=reason or "", progress=progress)
    from headrace.services.incident_mutes import mute, unmute

    if what == "mute":
        return mute(session, incident, reason=reason or "", until=until, progress=progress)
    return unmute(session, incident, reason=reason, progress=progress)


def _refuse_misplaced_value(what: str, value: str | None, *, nothing: bool) -> None:
    sets = what in ("assign", "ticket")
    if not sets and value is not None:
        raise UsageError(f"{value[:40]!r} is one word too many", hint="headrace incidents --help")
    if not sets:
        return
    argument = "PERSON" if what == "assign" else "URL"
    if value is not None and nothing:
        raise UsageError(
            f"`incidents {what}` takes {argument} or --none, not both",
            hint=command_line("incidents", what, "ID", argument),
        )
    if value is None and not nothing:
        raise UsageError(
            f"`incidents {what}` needs {argument} or --none",
            hint=MISSING_TARGET[what][1],
        )


def _refuse_misplaced_handling(what: str | None, *, nothing: bool, until: bool) -> None:
    if nothing and what not in ("assign", "ticket"):
        raise UsageError(
            "--none belongs to `assign` and `ticket`", hint="headrace incidents assign ID --none"
        )
    if until and what != "mute":
        raise UsageError("--until belongs to `mute`", hint=MISSING_TARGET["mute"][1])


def _refuse_misplaced_options(
    what: str | None, *, of_fix: bool, of_report: bool, reason: bool
) -> None:
    if of_fix and what != "fix":
        raise UsageError("--dry-run and --yes belong to a repair", hint="headrace incidents fix ID")
    if (of_report and what != "report") or (reason and what not in REASONED):
        raise UsageError(
            "--from, --to and --reason belong to a report; --reason to a note, `mute` and `unmute`"
            ", too",
            hint=MISSING_TARGET["report"][1],
        )
