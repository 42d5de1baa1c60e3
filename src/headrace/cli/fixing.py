"""The repair of an incident on a terminal: what will be done, step by step, and what came of it."""

from __future__ import annotations

import shlex

from headrace.cli import backfilling
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import joined
from headrace.operations.fix_responses import FixResponse

STILL_SHOWN_MAX = 8
ACTS = {"map": "accept names", "read": "re-ingest", "look": "look again"}
STEPS = [ColumnLayout("", right=True), ColumnLayout("", least=8), ColumnLayout("", gives=2, least=12), ColumnLayout("", gives=1, least=24)]


def plan(response: FixResponse, page: CommandOutput) -> None:
    """What is going to be done, before anybody is asked."""
    page.table(
        STEPS,
        [[str(n), ACTS.get(step.act, step.act), StyledCell(step.what, "bold"), step.text] for n, step in enumerate(response.steps, 1)],
        header=False,
    )
    if response.backfill is not None:
        page.say(f"in all {response.backfill.counts.text}", indent=2)
        page.say(backfilling.cost(response.backfill), indent=2)
    for mapping in response.mappings:
        for differs in mapping.differs:
            page.say(f"{mapping.column} → {mapping.to}: {differs.text}", "warn", indent=2)
        rival = next((text for text in mapping.evidence if text.startswith("rival: ")), None)
        if rival is not None:
            page.say(f"{mapping.column} → {mapping.to} ({mapping.score}); {rival}", "dim", indent=2)
    touched = [*response.affected.consumers, *(response.backfill.affects.owners if response.backfill is not None else [])]
    needs = None if response.backfill is None else response.backfill.approval
    approval = "approval not needed"
    if needs is not None:
        approval = f"needs an approval: {needs.file}:{needs.line} backfill_approval = {needs.rule!r}"
    if touched or needs is not None:
        touches = [f"touches {joined(list(dict.fromkeys(touched)), 8)}"] if touched else []
        page.say("; ".join([*touches, approval]), indent=2)
    if response.plan_id is not None:
        page.say(f"plan {response.plan_id}", "dim", indent=2)


def render(response: FixResponse, page: CommandOutput) -> None:
    """The plan where nothing was done; else what came of it."""
    if response.fix in ("planned", "declined"):
        page.head(f"fix {response.id}", response.cause.summary)
        page.say()
        plan(response, page)
        page.say("· planned, nothing was done" if response.fix == "planned" else "· nothing was done", "dim")
        refused = response.refused
        if refused is not None and refused.commands:
            page.say(f"! {refused.text}", "warn")
            page.either(*refused.commands)
            return
        needs = None if response.backfill is None else response.backfill.approval
        if needs is not None:
            page.say(f"! nobody can approve it yet: change {needs.file}:{needs.line} first", "warn")
            page.next(f"headrace fix {response.id} --dry-run")
            return
        page.next(f"headrace fix {response.id}" + (f" --plan {response.plan_id}" if response.plan_id is not None else ""))
        return
    _made(response, page)
    if response.fix == "done":
        if response.state == "resolved":
            page.say(f"✓ {response.id} resolved: {_took(response)}", "good")
        else:
            ends = "it ends by itself" if response.repair is None else response.repair.note
            page.say(f"✓ {response.id} is repaired: {ends}", "good")
        _still(response, page)
        page.next(f"git commit {shlex.quote(response.file)}" if response.file is not None else "headrace status")
        return
    failed = _failed(response)
    over = f"{response.id} is resolved, but" if response.state == "resolved" else f"{response.id} is {_OPEN[response.state]}:"
    if failed:
        page.say(f"✗ {over} a part of the repair failed", "bad")
    else:
        page.say(f"✗ {over} {_why_not_over(response)}", "bad")
    _still(response, page)
    page.next(*_next(response))


_OPEN = {"open": "still open", "recovering": "not over yet"}


def _why_not_over(response: FixResponse) -> str:
    """What it is while its cause is there; once that is gone, what it waits for."""
    if response.state != "recovering":
        return response.cause.summary
    closes = "those affected are served" if response.still else "its repair is published"
    return f"its cause is gone, and it closes when {closes}"


def _failed(response: FixResponse) -> bool:
    return response.backfill is not None and response.backfill.state not in ("succeeded", "nothing_due")


def _next(response: FixResponse) -> list[str]:
    if _failed(response) and response.backfill is not None and response.backfill.plan_id is not None:
        causes = [row.command for row in response.still if row.state == "failed" and row.command is not None]
        return [*causes[:1], f"headrace backfills {shlex.quote(response.backfill.plan_id)}"]
    if response.state in ("resolved", "recovering") or response.repair is None:
        return [next((row.command for row in response.still if row.command is not None), f"headrace incident {response.id}")]
    return [f"headrace incident {response.id}"]


def _still(response: FixResponse, page: CommandOutput) -> None:
    """What isn't as it should be, as `status` says it."""
    for row in response.still[:STILL_SHOWN_MAX]:
        state = row.state if row.state == "failed" else f"is {row.state.replace('_', ' ')}"
        page.say(f"{row.what} {state}: {row.text}", "dim", indent=2)
    if len(response.still) > STILL_SHOWN_MAX:
        page.say(f"and {len(response.still) - STILL_SHOWN_MAX} more: headrace status", "dim", indent=2)


def _made(response: FixResponse, page: CommandOutput) -> None:
    backfill_response = response.backfill
    if backfill_response is None:
        return
    backfilling.made(backfill_response, page)
    page.say(": ".join(backfilling.published(backfill_response)), indent=2)
    if (again := response.recomputed) is not None:
        same = "the same rows as before" if again.differ == 0 else f"{again.differ} with other rows than before, {again.same} with the same"
        page.say(f"{again.node}: {same}", indent=2)


def _took(response: FixResponse) -> str:
    detected = f"detected in {seconds((response.opened_at - response.began_at).total_seconds())}"
    if response.restored_at is None:
        return detected
    restored = f"restored in {seconds((response.restored_at - response.began_at).total_seconds())}"
    waited = response.waited_seconds
    begun = "" if waited is None else f"; the repair was begun {seconds(waited)} after it was opened"
    return f"{detected}, {restored}{begun}"
