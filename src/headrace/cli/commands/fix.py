"""`headrace fix`: the plan of a repair, and its result."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from headrace.cli.agreement import DryRun, Yes, ask_agreement, refusal_as_json
from headrace.cli.commands import backfills
from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.rename_texts import rival_texts, score_text
from headrace.cli.terminal import ColumnLayout, StyledCell, joined
from headrace.model.errors import Refused
from headrace.responses.repairs import FixResponse

if TYPE_CHECKING:
    from headrace.repairs.contract_updates import ValueDecision

# A repair: its steps before it asks for agreement, and its result.

STILL_WRONG_SHOWN_MAX = 8
STEP_NAMES = {"map": "accept names", "read": "re-ingest", "look": "look again"}
STEP_COLUMNS = [
    ColumnLayout("", right=True),
    ColumnLayout("", least=8),
    ColumnLayout("", gives=2, least=12),
    ColumnLayout("", gives=1, least=24),
]


def render_fix_plan(  # complexipy: ignore (a page: a line for each thing there is to say)
    response: FixResponse,
    page: CommandOutput,
) -> None:
    """Print a repair's plan, before it asks for agreement: steps, cost, and who is affected."""
    page.table(
        STEP_COLUMNS,
        [
            [str(n), STEP_NAMES.get(step.act, step.act), StyledCell(step.what, "bold"), step.text]
            for n, step in enumerate(response.steps, 1)
        ],
        header=False,
    )
    if response.backfill is not None:
        page.say(f"in all {response.backfill.counts.text}", indent=2)
        page.say(backfills.cost_text(response.backfill), indent=2)
    for mapping in response.mappings:
        for differs in mapping.differs:
            page.say(f"{mapping.column} → {mapping.to}: {differs.text}", "warn", indent=2)
        if mapping.rivals and mapping.score is not None:
            rivals = "; ".join(rival_texts(mapping.rivals))
            proposal = f"{mapping.column} → {mapping.to} ({score_text(mapping.score)})"
            page.say(f"{proposal}; {rivals}", "dim", indent=2)
    touched = [
        *response.affected.consumers,
        *(response.backfill.affects.owners if response.backfill is not None else []),
    ]
    needs = None if response.backfill is None else response.backfill.approval
    approval = "approval not needed"
    if needs is not None:
        approval = f"needs an approval: {needs}"
    if touched or needs is not None:
        touches = [f"touches {joined(list(dict.fromkeys(touched)), 8)}"] if touched else []
        page.say("; ".join([*touches, approval]), indent=2)
    if response.plan_id is not None:
        page.say(f"plan {response.plan_id}", "dim", indent=2)


def render_fix(response: FixResponse, page: CommandOutput) -> None:
    """Print the plan of a repair if nothing was done, otherwise its result."""
    if response.fix in ("planned", "declined"):
        _render_undone(response, page)
    elif response.fix == "done":
        _render_done(response, page)
    else:
        _render_failed(response, page)


def _render_undone(response: FixResponse, page: CommandOutput) -> None:
    page.head(f"fix {response.id}", response.cause.summary)
    page.say()
    render_fix_plan(response, page)
    page.say(
        "· planned, nothing was done" if response.fix == "planned" else "· nothing was done",
        "dim",
    )
    refused = response.refused
    if refused is not None and refused.commands:
        page.say(f"! {refused.text}", "warn")
        page.either(*refused.commands)
        return
    needs = None if response.backfill is None else response.backfill.approval
    if needs is not None:
        page.say(
            "! a repair can't be approved: plan a backfill, which another person approves", "warn"
        )
        page.next(f"headrace fix {response.id} --dry-run")
        return
    page.next(
        f"headrace fix {response.id}"
        + (f" --plan {response.plan_id}" if response.plan_id is not None else "")
    )


def _render_done(response: FixResponse, page: CommandOutput) -> None:
    _render_published(response, page)
    if response.state == "resolved":
        page.say(f"✓ {response.id} resolved: {_durations_text(response)}", "good")
    else:
        ends = "it ends by itself" if response.repair is None else response.repair.note
        page.say(f"✓ {response.id} is repaired: {ends}", "good")
    _render_still_wrong(response, page)
    page.next(
        f"git commit {shlex.quote(response.file)}"
        if response.file is not None
        else "headrace status"
    )


def _render_failed(response: FixResponse, page: CommandOutput) -> None:
    _render_published(response, page)
    failed = _backfill_failed(response)
    over = (
        f"{response.id} is resolved, but"
        if response.state == "resolved"
        else f"{response.id} is {_OPEN_STATES[response.state]}:"
    )
    if failed:
        page.say(f"✗ {over} a part of the repair failed", "bad")
    else:
        page.say(f"✗ {over} {_open_reason(response)}", "bad")
    _render_still_wrong(response, page)
    page.next(*_next_after_failure(response))


_OPEN_STATES = {"open": "still open", "recovering": "not over yet"}


def _open_reason(response: FixResponse) -> str:
    """Return why an incident is still open: its cause, or what it awaits once the cause is gone."""
    if response.state != "recovering":
        return response.cause.summary
    closes = "those affected are served" if response.still else "its repair is published"
    return f"its cause is gone, and it closes when {closes}"


def _backfill_failed(response: FixResponse) -> bool:
    return response.backfill is not None and response.backfill.state not in (
        "succeeded",
        "nothing_due",
    )


def _next_after_failure(response: FixResponse) -> list[str]:
    if (
        _backfill_failed(response)
        and response.backfill is not None
        and response.backfill.plan_id is not None
    ):
        causes = [
            row.command
            for row in response.still
            if row.state == "failed" and row.command is not None
        ]
        return [*causes[:1], f"headrace backfills {shlex.quote(response.backfill.plan_id)}"]
    if response.state in ("resolved", "recovering") or response.repair is None:
        return [
            next(
                (row.command for row in response.still if row.command is not None),
                f"headrace incident {response.id}",
            )
        ]
    return [f"headrace incident {response.id}"]


def _render_still_wrong(response: FixResponse, page: CommandOutput) -> None:
    """Print what is still wrong, as `status` evaluates it."""
    for row in response.still[:STILL_WRONG_SHOWN_MAX]:
        state = row.state if row.state == "failed" else f"is {row.state.replace('_', ' ')}"
        page.say(f"{row.what} {state}: {row.text}", "dim", indent=2)
    page.rest(len(response.still) - STILL_WRONG_SHOWN_MAX, then=": headrace status", style="dim")


def _render_published(response: FixResponse, page: CommandOutput) -> None:
    backfill_response = response.backfill
    if backfill_response is None:
        return
    backfills.render_published(backfill_response, page)
    page.say(": ".join(backfills.published_texts(backfill_response)), indent=2)
    if (again := response.recomputed) is not None:
        same = (
            "the same rows as before"
            if again.differ == 0
            else f"{again.differ} with other rows than before, {again.same} with the same"
        )
        page.say(f"{again.node}: {same}", indent=2)


def _durations_text(response: FixResponse) -> str:
    detected = f"detected in {seconds((response.opened_at - response.began_at).total_seconds())}"
    if response.restored_at is None:
        return detected
    restored = f"restored in {seconds((response.restored_at - response.began_at).total_seconds())}"
    waited = response.waited_seconds
    begun = (
        "" if waited is None else f"; the repair was begun {seconds(waited)} after it was opened"
    )
    return f"{detected}, {restored}{begun}"


# `headrace fix ID`

FIX_EXIT_CODES = {"planned": 0, "done": 0, "declined": 3}


@terminal_command(
    "fix:run_fix", group="start", summary="plan the repair of an incident, then run it"
)
def fix_command(
    invocation: Invocation,
    incident: str,
    dry_run: DryRun = False,
    yes: Yes = False,
    *,
    convert: list[str],
    as_is: bool,
    again: bool,
    agreed: str | None,
    reason: str | None,
) -> int:
    """Repair an incident: accept a vendor's new names, re-ingest, recompute downstream, publish.

    Downstream partitions are computed alongside production. Exits 1 if the incident isn't over
    afterwards or a part of the repair failed. Exits 3 if nobody agreed, if a person must act first,
    or if the rows would be the same because neither code nor inputs have changed since they were
    published.
    """
    from headrace.repairs.contract_updates import ValueDecision

    decision = ValueDecision(tuple(convert), as_is, reason)
    return repair(
        invocation, incident, decision, dry_run=dry_run, yes=yes, again=again, agreed=agreed
    )


def repair(
    invocation: Invocation,
    incident: str,
    decision: ValueDecision,
    *,
    dry_run: bool,
    yes: bool,
    again: bool = False,
    agreed: str | None = None,
) -> int:
    """Repair an incident as `headrace fix` does, and print the result; return the exit code."""
    from headrace.services.fix import fix

    with refusal_as_json(invocation, render_fix):
        response = fix(
            invocation.session,
            incident,
            dry_run=dry_run,
            again=again,
            confirm=lambda response: _confirm_fix(invocation, response, yes=yes),
            progress=invocation.progress(),
            plan_id=agreed,
            reason=decision.reason,
            decision=decision,
        )
    invocation.show(response, render_fix)
    return FIX_EXIT_CODES.get(response.fix, 1)


def _confirm_fix(invocation: Invocation, response: FixResponse, *, yes: bool) -> bool:
    refused = Refused(
        f"this repairs {response.id}, and there is no terminal to confirm it",
        hint=f"headrace fix {response.id} --plan {response.plan_id} --yes",
    )
    return ask_agreement(
        invocation,
        lambda page: render_fix_plan(response, page),
        "Do this?",
        yes=yes,
        refused=refused,
    )
