"""`headrace plan` and `diff`: what changed files would do, and what changed in published data."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from headrace.access.agreements import NEEDS_APPROVAL
from headrace.cli import plan_markdown
from headrace.cli.commands.approvals import render_needed_approval
from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, seconds, value_text, values_text
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.access import ACCESS_FILE
from headrace.model.errors import UsageError
from headrace.model.partitions import WHOLE
from headrace.model.wording import few
from headrace.project.parameters import Option, split_commas
from headrace.responses import (
    ChangeRow,
    DifferenceRow,
    NeededRow,
    PlanResponse,
    RefusedRow,
    RowChange,
    SpreadRow,
    StaleRow,
    StepRow,
)
from headrace.responses.inspections import DiffResponse, MomentRow, PartitionChange
from headrace.responses.plans import (
    LEFT_OUT_TEXTS,
    AgreementRow,
    ComputeRow,
    MonthRow,
    PrunedRow,
    RemovesRow,
)

# The plan of a change: changed nodes, partitions that become stale, affected consumers and owners,
# weakened promises. `plan` and `apply` print it.

ROWS_SHOWN_MAX = 40
COLUMNS_SHOWN_MAX = 6

CHANGE_COLUMNS = [
    ColumnLayout("node", gives=1, least=12),
    ColumnLayout("change", least=8),
    ColumnLayout("columns", gives=3, least=8, drops=2),
    ColumnLayout("read by", gives=2, least=8, drops=3),
    ColumnLayout("stale", gives=2, least=8, drops=1),
]
STALE_COLUMNS = [
    ColumnLayout("becomes stale", gives=1, least=12),
    ColumnLayout("partitions", right=True),
    ColumnLayout("from", least=7),
    ColumnLayout("to", least=7),
    ColumnLayout("because", gives=2, least=8, drops=1),
]
STEP_COLUMNS = [
    ColumnLayout("also", least=8),
    ColumnLayout("node", gives=1, least=12),
    ColumnLayout("partitions", right=True, drops=2),
    ColumnLayout("from", least=7, drops=1),
    ColumnLayout("to", least=7, drops=1),
    ColumnLayout("", gives=3, least=12),
]
_SAID_ELSEWHERE = ("weaken", "promote", "retype")
_EFFECT_SIGNS = {"added": "+", "dropped": "-", "type": "~", "meaning": ""}


def _say_classified(plan: PlanResponse, page: CommandOutput) -> None:
    """Say how classified columns are shown from now on to those who may not read them."""
    masked = [f"{row.column} ({row.mask})" for row in plan.classified if row.mask is not None]
    left_out = [row.column for row in plan.classified if row.mask is None]
    if plan.unclassified:
        text = f"not classified any more: {joined(plan.unclassified)}"
        where = "" if plan.env == "prod" else " once production has it"
        clear = f"shown in the clear{where}, with what is computed from it"
        page.say(f"{text}; {clear}", "bad", indent=2)
    if masked:
        page.say(f"masked from now on: {joined(masked)}", indent=2)
    if left_out:
        page.say(
            f"classified without a mask, so left out from now on: {joined(left_out)}",
            "warn",
            indent=2,
        )


def render_plan(  # complexipy: ignore (a page: a line for each thing there is to say)
    plan: PlanResponse,
    page: CommandOutput,
) -> None:
    """Print a plan: changed nodes, stale partitions, other steps, and who is affected."""
    page.table(CHANGE_COLUMNS, [_change_row(change) for change in plan.changes[:ROWS_SHOWN_MAX]])
    page.rest(len(plan.changes) - ROWS_SHOWN_MAX, "more change")
    code_lines = _code_lines(plan.changes)
    for text in code_lines[:ROWS_SHOWN_MAX]:
        page.say(text, indent=2)
    page.rest(len(code_lines) - ROWS_SHOWN_MAX, "more changed file")
    if plan.stale:
        page.say()
        page.table(STALE_COLUMNS, [_stale_row(row) for row in plan.stale[:ROWS_SHOWN_MAX]])
        page.rest(len(plan.stale) - ROWS_SHOWN_MAX, "more row")
        page.say(plan_markdown.stale_text(plan.stale), indent=2)
        _render_recomputation(plan, page)
    for repair in plan.repairs[:ROWS_SHOWN_MAX]:
        page.say(
            f"may repair {repair.node}:"
            f" {plural(repair.partitions, 'failed or rejected partition')},"
            f" {repair.from_} … {repair.to}",
            "good",
            indent=2,
        )
    page.rest(len(plan.repairs) - ROWS_SHOWN_MAX, "more repair")
    _say_cost(plan, page)
    others = [step for step in plan.steps if not _shown_above(plan, step)]
    if others:
        page.say()
        page.table(STEP_COLUMNS, [_step_row(row) for row in others[:ROWS_SHOWN_MAX]])
    page.rest(len(others) - ROWS_SHOWN_MAX, "more step")
    for step in (step for step in plan.steps if step.kind == "retype"):
        page.say(f"{step.node}.{step.detail}", "warn", indent=2)
    for built in plan.built:
        page.say(
            f"{built.environment} has built {built.node}: {plural(built.partitions, 'partition')}"
            " needn't be computed",
            indent=2,
        )
    _render_approval(plan, page)
    _say_agreements(plan.agreements, page)
    touched = [
        *(f"consumer {name}" for name in plan.affects.consumers),
        *(f"owner {name}" for name in plan.affects.owners),
    ]
    if touched:
        page.say(f"touches {joined(touched)}", indent=2)
    if plan.locks_out is not None:
        text = f"access.yaml gives {plan.locks_out} no role: after `apply` you may do nothing more"
        page.say(text, "bad", indent=2)
    _say_classified(plan, page)
    _say_removed(plan.removes, page)
    _say_pruned(plan.pruned, page)
    for row in plan.rebuildable[:ROWS_SHOWN_MAX]:
        _say_removed_early(row, page)
    page.rest(len(plan.rebuildable) - ROWS_SHOWN_MAX, "more node", style="warn")
    _say_left_out(plan, page)
    for weaker in plan.weakens:
        page.say(
            f"weakens {weaker.node}: {weaker.what}: {weaker.before} → {weaker.after}",
            "warn",
            indent=2,
        )


def _say_pruned(rows: Sequence[PrunedRow], page: CommandOutput) -> None:
    """Say how long the data of nodes stays that aren't declared any more."""
    for row in rows[:ROWS_SHOWN_MAX]:
        count = f"{plural(row.partitions, 'partition')}, {plural(row.rows, 'row')}"
        stays = f"the data of {row.node} stays ({count})"
        if row.hold is not None:
            page.say(f"{stays}: it is under a legal hold ({row.hold})", indent=2)
        elif row.keep is None:
            page.say(f"{stays}: `[retention] pruned` in headrace.toml would end that", indent=2)
        else:
            text = f"{stays} for {row.keep}, then maintenance removes it for good"
            page.say(text, "warn", indent=2)
    page.rest(len(rows) - ROWS_SHOWN_MAX, "more node", style="dim")


def _say_removed_early(row: RemovesRow, page: CommandOutput) -> None:
    """Say what `retain_rebuildable` lets go, and that it can be rebuilt."""
    count = f"{plural(row.partitions, 'partition')}, {plural(row.rows, 'row')}"
    when = (
        f"under a legal hold ({row.hold}), so not before it is released"
        if row.hold is not None
        else "`headrace db gc` removes those that give the same rows again; they can be rebuilt"
    )
    page.say(
        f"retain_rebuildable {row.retain} is about what is older than {row.kept_from} of"
        f" {row.node}: {count}",
        "warn",
        indent=2,
    )
    page.say(when, "warn", indent=4)


def _say_removed(rows: Sequence[RemovesRow], page: CommandOutput) -> None:
    """Say what a new or shortened `retain` removes."""
    for row in rows[:ROWS_SHOWN_MAX]:
        text = f"retain {row.retain} removes what is older than {row.kept_from} of {row.node}"
        if not row.partitions:
            page.say(f"{text}: nothing published is older yet", "warn", indent=2)
            continue
        count = f"{plural(row.partitions, 'partition')}, {plural(row.rows, 'row')}"
        page.say(f"{text}: {count}", "bad", indent=2)
        span = row.from_ if row.from_ == row.to else f"{row.from_} … {row.to}"
        when = (
            f"under a legal hold ({row.hold}), so not before it is released"
            if row.hold is not None
            else "by the first cleanup after `apply`, for good"
        )
        page.say(f"{span}: {when}", "bad", indent=4)
    page.rest(len(rows) - ROWS_SHOWN_MAX, "more node", style="bad")


def _say_agreements(rows: Sequence[AgreementRow], page: CommandOutput) -> None:
    """Say which domains read a contract that takes back something, and who agrees for them."""
    for row in rows[:ROWS_SHOWN_MAX]:
        version = row.before if row.after in (row.before, None) else f"{row.before} → {row.after}"
        page.say(f"contract of {row.node} {version}: {'; '.join(row.changes)}", "warn", indent=2)
        page.say(f"{row.domain} reads it: {joined(row.readers)}", indent=4)
        page.say(_agreement_text(row), "good" if row.agreed else "warn", indent=4)
    page.rest(len(rows) - ROWS_SHOWN_MAX, "more domain", style="warn")


def _agreement_text(row: AgreementRow) -> str:
    if row.agreed:
        return "agreed: " + "; ".join(f"{item.by}, {item.reason}" for item in row.agreed)
    owners = joined(row.owners)
    if row.needed:
        return f"its owner must agree, by `headrace approve`: {owners}"
    return f"its owner should agree: {owners}; no rule of [policy] asks for it"


def _render_approval(plan: PlanResponse, page: CommandOutput) -> None:
    """Print whether applying the plan, or recomputing what it makes stale, needs an approval."""
    later = [step.node for step in plan.steps if step.needs_approval]
    if plan.approval is not None:
        render_needed_approval(plan.approval, page)
    elif later:
        notice = f"recomputing {joined(later)} needs an approval by a rule of [policy]"
        page.say(notice, "warn", indent=2)
    elif plan.steps and plan.left_out != "changes":
        breaks = any(row.breaking for row in plan.changes)
        notice = "no rule of [policy] asks for an approval" if breaks else "no approval needed"
        page.say(notice, "dim", indent=2)


def _say_left_out(plan: PlanResponse, page: CommandOutput) -> None:
    """Say what a role that is limited to nodes doesn't get of a plan."""
    if plan.left_out is not None:
        page.say(f"left out: {LEFT_OUT_TEXTS[plan.left_out]}", "warn", indent=2)


def plan_id_text(plan: PlanResponse) -> str:
    """Return `plan ID`; empty for a plan that can't be applied."""
    return f"plan {plan.plan_id}" if plan.plan_id is not None else ""


def _shown_above(plan: PlanResponse, step: StepRow) -> bool:
    """Whether the plan's other tables or lines already show this step."""
    if step.kind in _SAID_ELSEWHERE:
        return True
    if step.kind == "declare":
        return step.node in {change.node for change in plan.changes}
    return step.kind == "invalidate" and (
        not step.partitions or step.node in {row.node for row in plan.stale}
    )


def _step_row(row: StepRow) -> list[str | StyledCell]:
    count = "" if row.partitions is None else f"{row.partitions:,}"
    return [
        row.kind,
        StyledCell(row.node, "bold"),
        count,
        row.from_ or "",
        row.to or "",
        row.detail,
    ]


_CHANGES = {ACCESS_FILE: {"metadata": "who may do what"}}
"""Of files that aren't nodes: what changes."""


def _change_row(row: ChangeRow) -> list[str | StyledCell]:
    text = (
        _CHANGES.get(row.node, {}).get(row.change, row.change)
        + (" (breaking)" if row.breaking else "")
        + (", published data kept" if row.kept else "")
    )
    readers = list(dict.fromkeys(name for effect in row.effects for name in effect.read_by))
    stale = plural(row.partitions_stale, "partition") if row.partitions_stale else ""
    return [
        StyledCell(row.node, "bold"),
        StyledCell(text, "bad" if row.breaking else ""),
        _columns_text(row),
        ", ".join(readers),
        stale,
    ]


def _code_lines(changes: Sequence[ChangeRow]) -> list[str]:
    """Return a line for each changed code file: how an asset uses it, and how many others do."""
    users: dict[tuple[str, str], dict[str, str]] = {}
    for row in changes:
        for file in row.code:
            users.setdefault((file.path, file.change), {})[row.node] = file.via
    results = []
    for (path, change), vias in users.items():
        first, more = next(iter(vias.items())), len(vias) - 1
        others = f"; {plural(more, 'other asset')}" if more else ""
        results.append(f"{path} {change}: {first[0]} uses it: {first[1]}{others}")
    return results


def _columns_text(row: ChangeRow) -> str:
    """Return changed columns: added `+a`, dropped `-b`, other type `~c`, other meaning `d`."""
    names = [
        f"{_EFFECT_SIGNS.get(effect.effect, '')}{effect.column}" for effect in row.effects
    ] or row.columns
    return few(names, COLUMNS_SHOWN_MAX)


def _stale_row(row: StaleRow) -> list[str | StyledCell]:
    return [StyledCell(row.node, "bold"), f"{row.partitions:,}", row.from_, row.to, row.why]


def _render_recomputation(plan: PlanResponse, page: CommandOutput) -> None:
    """Print what recomputing the stale partitions computes, and how long it takes."""
    for backfill in plan.backfills:
        if backfill.counts is not None:
            what = "to recompute" if backfill.mode == "missing" else "to try again"
            page.say(f"{what}, if you ask for it: {backfill.counts.text}", indent=2)
    if plan.estimate is None and plan.left_out is not None:
        return
    if plan.estimate is None:
        page.say("how long that takes isn't known yet", indent=2)
    else:
        low, high = seconds(plan.estimate["low"]), seconds(plan.estimate["high"])
        page.say(f"about {seconds(plan.estimate['seconds'])} ({low} to {high})", indent=2)
    for text in columns_lost(plan).values():
        page.say(text, "warn", indent=2)


def columns_lost(plan: PlanResponse) -> dict[str, str]:
    """Return node → what becomes of its columns in partitions that nobody recomputes.

    A table that has one partition is published anew as a whole.
    """
    parts = {row.node for row in plan.stale if row.from_ != WHOLE}
    return {
        row.node: text
        for row in plan.changes
        if row.node in parts and row.partitions_stale and (text := _lost_of(row))
    }


def _lost_of(row: ChangeRow) -> str:
    """Return what becomes of the columns of one node; empty if none comes or goes."""
    gone, new = (
        few(
            [f"`{each.column}`" for each in row.effects if each.effect == effect], COLUMNS_SHOWN_MAX
        )
        for effect in ("dropped", "added")
    )
    if gone and new:
        return (
            f"{row.node} isn't published again until all of it is recomputed: what is published has"
            f" {gone} and no {new}"
        )
    if gone:
        return f"once {row.node} is published again, what isn't recomputed of it is without {gone}"
    return new and f"what reads {new} of {row.node} waits until the partitions before have it"


def _say_cost(plan: PlanResponse, page: CommandOutput) -> None:
    """Say what the plan computes, and what it changes in a month."""
    if plan.compute is not None:
        page.say(_compute_text(plan.compute), indent=2)
    if plan.month is not None and plan.month.seconds is not None:
        page.say(_month_text(plan.month, plan.month.seconds), indent=2)


def _compute_text(compute: ComputeRow) -> str:
    if compute.seconds is None:
        return f"compute time: unknown until it has run: {joined(compute.unknown)}"
    rest = f", without {joined(compute.unknown)}: unknown" if compute.unknown else ""
    return f"compute time: about {seconds(compute.seconds)}{_money(compute.cost)}{rest}"


def _month_text(month: MonthRow, change: float) -> str:
    how = "less" if change <= 0 else "more"
    rest = f", without {joined(month.unknown)}: not measured" if month.unknown else ""
    cost = f" (costs {abs(month.cost):.2f} {how})" if month.cost else ""
    return f"a month: {seconds(abs(change))} {how} compute time{cost}{rest}"


def _money(cost: float | None) -> str:
    return "" if not cost else f" (costs {cost:.2f})"


def render_needed_backfills(
    needed: Sequence[NeededRow],
    stale: Collection[str],
    lost: Mapping[str, str],
    page: CommandOutput,
) -> None:
    """Print the backfills that a change requires: their commands and what they compute.

    `stale` has the nodes with stale published data, `lost` what `columns_lost` says. Partitions
    that only failed aren't stale; the next tick computes them without a request.
    """
    for row in needed:
        but = "; ".join(lost[name] for name in row.select if name in lost)
        text = (
            f"readers keep the published values{', but ' if but else ''}{but}; to recompute what"
            " the change made stale:"
        )
        if row.mode != "missing":
            text = "what failed under the code as it was:"
        elif not any(name in stale for name in row.select):
            text = (
                "the next pass computes what failed under the code as it was; to compute it at"
                " once:"
            )
        page.say(text, indent=2)
        page.command(row.command, indent=4)
        if row.counts is not None:
            page.say(f"makes {row.counts.text}", indent=4)


def render_refusal(row: RefusedRow, what: str, again: str, page: CommandOutput) -> None:
    """Print why an agreed plan was refused, and the command that shows the current plan."""
    if row.code == NEEDS_APPROVAL:
        page.say(f"✗ {what}: {row.text}", "bad")
        for change in row.changed:
            page.say(f"to go on: {change}", indent=2)
        return
    page.say(f"✗ {what}: it isn't what would be done now", "bad")
    for path in row.files[:ROWS_SHOWN_MAX]:
        page.say(f"{path} isn't as it was in the plan", indent=2)
    page.rest(len(row.files) - ROWS_SHOWN_MAX, "more file")
    for change in row.changed[:ROWS_SHOWN_MAX]:
        page.say(change, indent=2)
    page.rest(len(row.changed) - ROWS_SHOWN_MAX, "more change")
    if not row.files and not row.changed:
        page.say("it belongs to another state of this project", indent=2)
    page.say(
        f"what would be done now is {row.plan_id_now}; look at it, then agree to it:", indent=2
    )
    page.clock_note()
    page.next(again)


# Differences between rows: of an environment and production (`plan --env`), or of two snapshots
# (`diff`).

SPREADS_SHOWN_MAX = 8
SPREAD_COLUMNS = [
    ColumnLayout("column", gives=1, least=10),
    ColumnLayout("nulls", right=True, drops=2),
    ColumnLayout("distinct", right=True, drops=3),
    ColumnLayout("from", gives=3, least=8, drops=4),
    ColumnLayout("to", gives=3, least=8, drops=4),
    ColumnLayout("mean", right=True, drops=1),
]


def render_differences(rows: Sequence[DifferenceRow], page: CommandOutput) -> None:
    """Print how many rows of each node differ, in which columns, with examples and statistics."""
    for row in rows:
        _render_difference(row, page)


def _render_difference(row: DifferenceRow, page: CommandOutput) -> None:
    page.say()
    page.say(f"{row.node} against production", "bold")
    page.facts(*_difference_facts(row))
    for change in row.columns:
        types = " → ".join(kind for kind in (change.before, change.after) if kind)
        what = "has another type" if change.change == "type" else change.change
        page.say(f"column {change.column} {what}: {types}", "warn", indent=2)
    if row.cells:
        cells = [f"{name} ({plural(count, 'row')})" for name, count in row.cells.items()]
        page.say(f"changed in: {', '.join(cells)}", indent=2)
    for example in row.sample:
        render_changed_row(example, page)
    _say_masked(row.masked, page)
    page.table(SPREAD_COLUMNS, [_spread_row(spread) for spread in row.spreads[:SPREADS_SHOWN_MAX]])
    page.rest(len(row.spreads) - SPREADS_SHOWN_MAX, "more column", then="; --json has all")


def _say_masked(columns: Sequence[str], page: CommandOutput) -> None:
    if columns:
        page.say(f"masked or left out: {', '.join(columns)}", "dim", indent=2)


def _difference_facts(row: DifferenceRow) -> list[str]:
    changed = [] if row.rows_changed is None else [f"{row.rows_changed:,} changed"]
    rows = ", ".join([f"{row.rows_added:,} added", f"{row.rows_removed:,} removed", *changed])
    clauses = [f"{plural(row.compared, 'partition')} compared, {row.identical:,} identical"]
    clauses += [f"{row.not_compared:,} more differ"] if row.not_compared else []
    clauses += [f"{row.not_built:,} not built here"] if row.not_built else []
    clauses += [f"{row.only_here:,} only here"] if row.only_here else []
    return [*clauses, *([f"rows: {rows}"] if row.compared else [])]


def render_changed_row(row: RowChange, page: CommandOutput) -> None:
    """Print one row that was added, removed or changed."""
    if row.change != "changed":
        sign, values = ("+", row.after) if row.change == "added" else ("-", row.before)
        page.say(f"{sign} {values_text(values or {})}", "good" if sign == "+" else "bad", indent=2)
        return
    before, after = row.before or {}, row.after or {}
    same = {name: value for name, value in after.items() if before.get(name) == value}
    other = [
        f"{name}: {value_text(before.get(name))} → {value_text(value)}"
        for name, value in after.items()
        if name not in same
    ]
    page.say(f"~ {values_text(same)}  {'  '.join(other)}", "warn", indent=2)


def _spread_row(row: SpreadRow) -> list[str | StyledCell]:
    names = ("nulls", "distinct", "minimum", "maximum", "mean")
    return [
        StyledCell(row.column, "bold"),
        *(_change_text(row.before[name], row.after[name]) for name in names),
    ]


def _change_text(before: Any, after: Any) -> str:
    if before == after:
        return "" if after is None else _number_text(after)
    return (
        f"{'–' if before is None else _number_text(before)} →"
        f" {'–' if after is None else _number_text(after)}"
    )


def _number_text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


# `headrace plan`


class PlanFormat(enum.StrEnum):
    """The output format of a plan."""

    TEXT = "text"
    MARKDOWN = "markdown"
    GITHUB = "github"


@terminal_command("plans:plan", group="change", summary="show what changed files would do")
def plan_command(
    invocation: Invocation,
    *,
    against: str | None,
    version: int | None,
    form: Annotated[
        PlanFormat,
        Option(
            "--format",
            metavar="text|markdown|github",
            help="github: annotations and a job's summary",
        ),
    ] = PlanFormat.TEXT,
    exit_code: Annotated[
        bool,
        Option(
            "--exit-code", help="exit 1 where it breaks something for readers, or weakens a promise"
        ),
    ] = False,
) -> int:
    """Show what changed files would do: whom they affect, what becomes stale and what it takes.
    Writes nothing.

    With --env NAME the files are compared with production, and the data built in the environment
    with production's data.
    """
    from headrace.services.plans import plan

    response = plan(
        invocation.session, against=against, version=version, progress=invocation.progress()
    )
    if form is PlanFormat.TEXT or invocation.options.json:
        invocation.show(response, _render_plan_page)
    else:
        _write_plan(response, form)
    worse = any(change.breaking for change in response.changes) or bool(response.weakens)
    return 1 if exit_code and worse else 0


def _render_plan_page(response: PlanResponse, page: CommandOutput) -> None:
    page.head(
        plan_id_text(response) or "plan",
        f"against {response.against}" if response.against else "nothing is applied yet",
    )
    if not response.changes and not response.steps:
        nothing = "nothing changes" + (" of what your roles reach" if response.left_out else "")
        page.say(f"· {nothing}", "good")
        _say_left_out(response, page)
        page.next(response.next)
        return
    page.say()
    render_plan(response, page)
    render_differences(response.diff or [], page)
    page.next(response.next)


def _write_plan(response: PlanResponse, form: PlanFormat) -> None:
    text = plan_markdown.markdown(response)
    if form is PlanFormat.MARKDOWN:
        sys.stdout.write(text)
        return
    sys.stdout.write(plan_markdown.annotated(response))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


# `headrace diff ASSET --at A [--at B]`

PARTITIONS_SHOWN_MAX = 20
PARTITION_COLUMNS = [
    ColumnLayout("partition", gives=1, least=11),
    ColumnLayout("change", least=9),
    ColumnLayout("rows before", drops=2, right=True),
    ColumnLayout("rows after", drops=1, right=True),
]


@terminal_command(
    "sql:diff", group="look", summary="compare the rows of an asset at two points in time"
)
def diff_command(
    invocation: Invocation,
    target: str,
    at: Annotated[
        list[str] | None,
        Option(
            "--at", metavar="T", help="a time or a snapshot's number; twice, or once for until now"
        ),
    ] = None,
    *,
    partitions: list[str],
    keys: list[str],
    exit_code: Annotated[bool, Option("--exit-code", help="exit 1 where anything changed")] = False,
) -> int:
    """Show what changed between two points in time: partitions, columns and rows.

    Rows are compared by their keys; without keys, whole rows are compared.
    """
    if at is None or len(at) > 2:
        raise UsageError(
            "diff compares two moments", hint="--at A --at B; --at A alone compares with now"
        )
    from headrace.services.sql import DiffQuery, diff

    query = DiffQuery(at[0], at[1] if len(at) == 2 else None, tuple(partitions), split_commas(keys))
    response = diff(invocation.session, target, query)
    invocation.show(response, _render_diff)
    return 1 if exit_code and (response.partitions or response.columns) else 0


def _render_diff(response: DiffResponse, page: CommandOutput) -> None:
    page.head(response.asset)
    page.say(f"{_snapshot_text(response.before, page)} → {_snapshot_text(response.after, page)}")
    for change in response.columns:
        types = " → ".join(kind for kind in (change.before, change.after) if kind)
        page.say(
            f"column {change.column}"
            f" {'has another type' if change.change == 'type' else change.change}: {types}",
            "warn",
            indent=2,
        )
    page.say()
    page.table(
        PARTITION_COLUMNS,
        [_partition_row(partition) for partition in response.partitions[:PARTITIONS_SHOWN_MAX]],
    )
    page.rest(
        len(response.partitions) - PARTITIONS_SHOWN_MAX,
        "more partition",
        then="; --json has all",
        style="dim",
    )
    for row in response.sample:
        render_changed_row(row, page)
    _say_masked(response.masked, page)
    page.say()
    page.facts(*_diff_facts(response))
    page.next(f"headrace lineage {response.asset}")


def _snapshot_text(row: MomentRow, page: CommandOutput) -> str:
    return f"snapshot {row.snapshot}" + (
        "" if row.at is None else f" ({page.times.time_text(row.at)})"
    )


def _partition_row(change: PartitionChange) -> list[str | StyledCell]:
    style = {"added": "good", "removed": "bad", "republished": "warn"}.get(change.change, "dim")
    rows = ["" if n is None else f"{n:,}" for n in (change.rows_before, change.rows_after)]
    return [change.partition, StyledCell(change.change, style), *rows]


def _diff_facts(response: DiffResponse) -> list[str]:
    if not response.partitions:
        return ["nothing was published meanwhile"]
    counts = [f"{response.rows_added:,} added", f"{response.rows_removed:,} removed"]
    if response.rows_changed is not None:
        counts.append(f"{response.rows_changed:,} changed")
    by = (
        f"by {', '.join(response.keys)}"
        if response.keys
        else "whole rows compared: there are no keys"
    )
    return [plural(len(response.partitions), "partition"), f"rows: {', '.join(counts)}", by]
