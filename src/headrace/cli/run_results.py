"""The output of runs: a line per asset and outcome, errors, repairs, and changed history.

`status`, `why`, `runs`, `logs` and others print errors and repairs with the same functions, so that
the texts are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, groupby

from headrace.cli import output
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.partitions import command_line, partition_argument
from headrace.responses import (
    AttemptRow,
    ErrorRow,
    LearntRow,
    ProposedRow,
    RepairedRow,
    RepairRow,
    RestatedRow,
    RunResponse,
)

# The format of a source, learnt at its first publication: how it is read, its columns, and the
# deliveries that disagree.

LEARNT_COLUMNS_SHOWN_MAX = 12
DISAGREED_SHOWN_MAX = 3
SOURCES_SHOWN_MAX = 6


def render_learnt_sources(rows: list[LearntRow], page: CommandOutput) -> None:
    """Print the learnt format of each source that a run published for the first time.

    Warnings are left out: they appear with the attempts.
    """
    if rows:
        page.say()
    for row in rows[:SOURCES_SHOWN_MAX]:
        render_learnt_source(row, page, warnings=False)
    if len(rows) > SOURCES_SHOWN_MAX:
        page.say(
            f"and of {plural(len(rows) - SOURCES_SHOWN_MAX, 'more source')}; --json has all",
            indent=2,
        )


def render_learnt_source(
    row: LearntRow, page: CommandOutput, *, columns: bool = True, warnings: bool = True
) -> None:
    """Print how a source is read, and the deliveries that disagree.

    With `columns` also the learnt columns and types, with `warnings` also the warnings.
    """
    types = "; types by its contract" if row.by == "contract" else ""
    page.say(
        f"{row.source} is read as {row.read_as}, learnt from {_deliveries_text(row)}{types}",
        indent=2,
    )
    if columns:
        page.say(
            joined(
                [f"{column.name} {column.type}" for column in row.columns], LEARNT_COLUMNS_SHOWN_MAX
            ),
            "dim",
            indent=4,
        )
    for text in row.warnings if warnings else ():
        page.say(text, "warn", indent=4)
    others = [
        disagreed_row
        for disagreed_row in row.disagreed
        if disagreed_row.column not in row.undecided
    ]
    for disagreed_row in others[:DISAGREED_SHOWN_MAX]:
        page.say(f"doesn't agree: {disagreed_row.text}", "warn", indent=4)
    if len(others) > DISAGREED_SHOWN_MAX:
        more = f"{len(others) - DISAGREED_SHOWN_MAX:,} more"
        page.say(f"and {more}: {command_line('deliveries', row.source, '--json')}", indent=4)


def _deliveries_text(row: LearntRow) -> str:
    count = len(row.deliveries)
    return row.deliveries[0] if count == 1 else f"{plural(count, 'delivery', 'deliveries')}"


# The response of `run`, `tick`, `retry` and `receive`.

ERRORS_SHOWN_MAX = 10
REPAIRS_SHOWN_MAX = 5
NOTHING_NEW = "identical, nothing new"
PAST_SHOWN_MAX = 6

COLUMNS = [
    ColumnLayout("asset", gives=2, least=16),
    ColumnLayout("partitions", gives=3, least=11),
    ColumnLayout("state"),
    ColumnLayout("rows", drops=1, right=True),
    ColumnLayout("took", drops=2, right=True),
    ColumnLayout("why", gives=4, least=18),
]


def render_run(response: RunResponse, page: CommandOutput) -> None:
    """Print a run: its attempts with errors and repairs, then a summary."""
    page.head(f"run {response.run_id}" if response.run_id else "")
    if response.attempts:
        page.say()
        verdicts = _verdicts(response)
        identical = {(row.asset, row.partition) for row in response.published if row.identical}
        page.table(
            COLUMNS,
            [
                _attempts_row(group, verdicts, identical)
                for group in _grouped_attempts(response.attempts)
            ],
        )
        _errors(response, page)
        render_repairs(response.repairs, page)
        render_learnt_sources(response.learnt, page)
        render_past_changes(response.restated, response.proposed, page)
        for repaired_row in response.repaired[:PAST_SHOWN_MAX]:
            page.say(repaired_text(repaired_row), "good", indent=2)
        page.rest(len(response.repaired) - PAST_SHOWN_MAX)
        page.say()
    page.facts(
        *_summary(response),
        response.unapplied or "",
        style={"succeeded": "good", "failed": "bad", "partial": "warn"}.get(response.state, ""),
    )
    page.next(*_next_commands(response))


def _verdicts(response: RunResponse) -> dict[str, dict[str, str | None]]:
    """Return asset → partition → verdict; nothing if none is `warned`, as no other is printed."""
    verdicts: dict[str, dict[str, str | None]] = {}
    printed = chain(
        (attempt.verdict for attempt in response.attempts),
        (row.verdict for row in response.published),
    )
    if "warned" not in printed:
        return verdicts
    for row in response.published:
        verdicts.setdefault(row.asset, {})[row.partition] = row.verdict
    return verdicts


def _grouped_attempts(attempts: list[AttemptRow]) -> list[list[AttemptRow]]:
    def key(attempt: AttemptRow) -> tuple[str, str, str]:
        return attempt.asset, attempt.state, attempt.verdict or ""

    order = {name: i for i, name in enumerate(dict.fromkeys(attempt.asset for attempt in attempts))}
    ordered = sorted(attempts, key=lambda attempt: (order[attempt.asset], *key(attempt)[1:]))
    return [list(group) for _, group in groupby(ordered, key=key)]


def _attempts_row(
    group: list[AttemptRow],
    verdicts: Mapping[str, Mapping[str, str | None]],
    identical: set[tuple[str, str]],
) -> list[str | StyledCell]:
    first = group[0]
    of_asset = verdicts.get(first.asset, {})
    keys = sorted({key for attempt in group for key in attempt.partitions})
    last = set(
        {key: attempt.id for attempt in group for key in attempt.partitions}.values()
    )  # partitions with several attempts: only the last one's rows
    rows = [
        row.rows for row in group if row.rows is not None and (not row.partitions or row.id in last)
    ]
    is_new = not identical.issuperset((first.asset, key) for key in keys)
    nothing_new = "" if is_new or first.state != "published" else NOTHING_NEW
    return [
        StyledCell(first.asset, "bold"),
        partition_span(keys),
        output.published_cell(first.state, [of_asset.get(key, first.verdict) for key in keys]),
        f"{sum(rows):,}" if rows else "–",
        seconds(_took(group)),
        _reasons_text(group) or nothing_new,
    ]


def _took(group: list[AttemptRow]) -> float:
    """Return the seconds of a group of attempts."""
    return sum(
        (attempt.finished_at - attempt.started_at).total_seconds()
        for attempt in group
        if attempt.started_at and attempt.finished_at
    )


def partition_span(keys: list[str]) -> str:
    """Return a range of keys: `2013-02-11`, or `2013-01-01 … 2013-02-13 (44)`."""
    return keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]} ({len(keys)})" if keys else ""


def _reasons_text(group: list[AttemptRow]) -> str:
    """Return the reason of a group of attempts; of several, the first and their number."""
    reasons = [reason for reason in dict.fromkeys(map(attempt_reason, group)) if reason]
    count_text = f"1 of {len(reasons)} reasons: " if len(reasons) > 1 else ""
    return f"{count_text}{reasons[0]}" if reasons else ""


def attempt_reason(attempt: AttemptRow) -> str:
    """Return an attempt's error message or reason; empty if it has neither."""
    if attempt.error is not None:
        return attempt.error.message
    return attempt.reason or ""


def _errors(response: RunResponse, page: CommandOutput) -> None:
    erroneous = [attempt for attempt in response.attempts if attempt.error is not None]
    nodes = {attempt.asset for attempt in erroneous}
    last = {
        (attempt.asset, key): attempt.id
        for attempt in response.attempts
        if attempt.asset in nodes
        for key in attempt.partitions
    }
    failed = [
        attempt
        for attempt in erroneous  # only the last attempt at a partition
        if any(last[attempt.asset, key] == attempt.id for key in attempt.partitions)
    ]
    for attempt in failed[:ERRORS_SHOWN_MAX]:
        assert attempt.error is not None
        page.say()
        render_error(
            attempt.error,
            page,
            f"{attempt.asset}@{partition_span(attempt.partitions)} (attempt {attempt.id})",
        )
    if len(failed) > ERRORS_SHOWN_MAX:
        page.say(
            f"and {plural(len(failed) - ERRORS_SHOWN_MAX, 'more error')}: headrace runs"
            f" {response.run_id} --failed"
        )


def render_error(row: ErrorRow, page: CommandOutput, subject: str) -> None:
    """Print an error with its place, its hint and the command that explains its code."""
    page.say(f"{subject}: {row.message}", "bad", indent=2)
    if row.file:
        page.say(f"at {row.file}:{row.line}" if row.line else f"in {row.file}", indent=4)
    if row.hint:
        page.say(f"hint: {row.hint}", indent=4)
    if row.code:
        page.say(f"headrace explain {row.code}", indent=4)


def render_repairs(
    rows: Sequence[RepairRow], page: CommandOutput, limit: int = REPAIRS_SHOWN_MAX
) -> None:
    """Print at most `limit` repairs, and how many more there are."""
    for row in rows[:limit]:
        render_repair(row, page)
    page.rest(len(rows) - limit, "more repair", then="; --json has all", style="dim")


def render_repair(row: RepairRow, page: CommandOutput) -> None:
    """Print a repair: what a person does first, then the commands."""
    whole = row.partitions == ["*"]
    subject = row.node if whole else f"{row.node}@{partition_span(row.partitions)}"
    page.say()
    page.say(
        f"repair {subject}: {row.first}, then" if row.first else f"repair {subject}:", indent=2
    )
    for command in row.commands:
        page.command(command, indent=4)


def render_past_changes(
    restated: list[RestatedRow], proposed: list[ProposedRow], page: CommandOutput
) -> None:
    """Print which published history changed, and which stale partitions await a request."""
    if restated or proposed:
        page.say()
    for row in restated[:PAST_SHOWN_MAX]:
        page.say(restated_text(row), "warn", indent=2)
    page.rest(len(restated) - PAST_SHOWN_MAX, "more change", then=" of the past; --json has all")
    for proposed_row in proposed[:PAST_SHOWN_MAX]:
        request_clause = ", and is recomputed only on request"
        clause = (
            request_clause
            if proposed_row.incident is None
            else f"; its code fails and is corrected first ({proposed_row.incident})"
        )
        page.say(
            f"{proposed_row.node} {_interval_text(proposed_row)} is stale{clause}:",
            "warn",
            indent=2,
        )
        page.command(proposed_row.command, indent=4)
    page.rest(
        len(proposed) - PAST_SHOWN_MAX, "more node", then=" with stale partitions; --json has all"
    )


def repaired_text(row: RepairedRow) -> str:
    """Return which partitions were repaired, who reads them, and how many are still wrong."""
    text = f"repaired {row.node}" + (
        "" if row.partitions == ["*"] else f" {partition_span(row.partitions)}"
    )
    readers = [*row.assets, *(f"consumer {name}" for name in row.consumers)]
    text += (
        f"; {joined(readers)} read it"
        if len(readers) > 1
        else f"; {readers[0]} reads it"
        if readers
        else ""
    )
    if not row.still_wrong:
        return text
    return (
        f"{text}; {plural(row.still_wrong, 'other partition')} of it failed or in quarantine:"
        f" {command_line('why', row.node)}"
    )


def restated_text(row: RestatedRow) -> str:
    """Return how much of a node's history changed, why, and who reads it."""
    causes = {
        "code": "its code changed",
        "again": (
            f"{joined(row.because)} was ingested again" if row.because else "it was recomputed"
        ),
        "restatement": f"{joined(row.because)} delivered again",
        "correction": f"{joined(row.because)} delivered a correction",
        "arrival": f"{joined(row.because)} came after it was computed without",
    }
    text = (
        f"the past of {row.node} changed: {_interval_text(row)}, {_rows_text(row)}, because"
        f" {causes[row.cause]}"
    )
    return text + (f"; read by {joined(row.consumers)}" if row.consumers else "")


def _rows_text(row: RestatedRow) -> str:
    """Return how the number of rows changed; for files, which have none, that they are new ones.

    Rows of other code, or of a delivery read another way, may differ in nothing but a type.
    """
    if row.rows_before is None or row.rows_after is None:
        return "published again"
    if row.rows_before != row.rows_after:
        return f"{row.rows_before:,} → {plural(row.rows_after, 'row')}"
    return f"{plural(row.rows_after, 'row')} as before, with other " + (
        "values, columns or types" if row.cause in ("code", "again") else "values"
    )


def _interval_text(row: RestatedRow | ProposedRow) -> str:
    return row.from_ if row.partitions == 1 else f"{row.from_} … {row.to} ({row.partitions:,})"


def _summary(response: RunResponse) -> list[str]:
    opened = f"opened {joined(response.incidents_opened, 5)}" if response.incidents_opened else ""
    if response.state == "nothing_due":
        why = f"ran: {response.reason}" if response.reason else "is due"
        return [f"· nothing {why}{'; ' if opened else ''}{opened}"]
    counts = Counter(row.state for row in response.rejected)
    counts[NOTHING_NEW] = sum(row.identical for row in response.published)
    published = plural(len(response.published) - counts[NOTHING_NEW], "partition")
    clauses = [f"{output.state_mark(response.state)}: {published} published"]
    order = (NOTHING_NEW, "held", "rejected", "failed")
    clauses += [f"{counts[state]:,} {state}" for state in order if counts[state]]
    if counts["held"] or counts["rejected"]:
        clauses.append("nothing wrong was published")
    return [*clauses, opened, response.reason or ""]


def _next_commands(response: RunResponse) -> list[str]:
    waiting = next((row for row in response.rejected if row.state in ("held", "rejected")), None)
    if waiting:
        return [command_line("quarantine", partition_argument(waiting.asset, waiting.partition))]
    given_up = {(row.asset, row.partition) for row in response.rejected}
    failed = next(
        (
            attempt
            for attempt in response.attempts
            if attempt.state == "failed"
            or (
                attempt.state == "lost"
                and any((attempt.asset, key) in given_up for key in attempt.partitions)
            )
        ),
        None,
    )
    incident_commands = [command_line("incident", item) for item in response.incidents_opened[:1]]
    commands = ["headrace run --apply" if response.unapplied else "headrace status"]
    return [f"headrace logs {failed.id}"] if failed else incident_commands or commands
