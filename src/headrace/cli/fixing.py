"""The repair of an incident on a terminal: what will be done, step by step, and what came of it."""

from __future__ import annotations

import shlex

from headrace.cli import backfilling
from headrace.cli.moments import seconds
from headrace.cli.page import Page
from headrace.cli.tables import Cell, Column
from headrace.cli.text import joined
from headrace.operations.fix_responses import FixResponse

STILL_SHOWN_MAX = 8
ACTS = {"map": "accept names", "read": "re-ingest", "look": "look again"}
STEPS = [Column("", right=True), Column("", least=8), Column("", gives=2, least=12), Column("", gives=1, least=24)]


def plan(document: FixResponse, page: Page) -> None:
    """What is going to be done, before anybody is asked."""
    page.table(
        STEPS,
        [[str(n), ACTS.get(step.act, step.act), Cell(step.what, "bold"), step.text] for n, step in enumerate(document.steps, 1)],
        header=False,
    )
    if document.backfill is not None:
        page.say(f"in all {document.backfill.counts.text}", indent=2)
        page.say(backfilling.cost(document.backfill), indent=2)
    for one in document.mappings:
        for differs in one.differs:
            page.say(f"{one.column} → {one.to}: {differs.text}", "warn", indent=2)
        rival = next((text for text in one.evidence if text.startswith("rival: ")), None)
        if rival is not None:
            page.say(f"{one.column} → {one.to} ({one.score}); {rival}", "dim", indent=2)
    touched = [*document.affected.consumers, *(document.backfill.affects.owners if document.backfill is not None else [])]
    needs = None if document.backfill is None else document.backfill.approval
    approval = "approval not needed"
    if needs is not None:
        approval = f"needs an approval: {needs.file}:{needs.line} backfill_approval = {needs.rule!r}"
    if touched or needs is not None:
        touches = [f"touches {joined(list(dict.fromkeys(touched)), 8)}"] if touched else []
        page.say("; ".join([*touches, approval]), indent=2)
    if document.plan_id is not None:
        page.say(f"plan {document.plan_id}", "dim", indent=2)


def render(document: FixResponse, page: Page) -> None:
    """The plan where nothing was done; else what came of it."""
    if document.fix in ("planned", "declined"):
        page.head(f"fix {document.id}", document.cause.summary)
        page.say()
        plan(document, page)
        page.say("· planned, nothing was done" if document.fix == "planned" else "· nothing was done", "dim")
        refused = document.refused
        if refused is not None and refused.commands:
            page.say(f"! {refused.text}", "warn")
            page.either(*refused.commands)
            return
        needs = None if document.backfill is None else document.backfill.approval
        if needs is not None:
            page.say(f"! nobody can approve it yet: change {needs.file}:{needs.line} first", "warn")
            page.next(f"headrace fix {document.id} --dry-run")
            return
        page.next(f"headrace fix {document.id}" + (f" --plan {document.plan_id}" if document.plan_id is not None else ""))
        return
    _made(document, page)
    if document.fix == "done":
        if document.state == "resolved":
            page.say(f"✓ {document.id} resolved: {_took(document)}", "good")
        else:
            ends = "it ends by itself" if document.repair is None else document.repair.note
            page.say(f"✓ {document.id} is repaired: {ends}", "good")
        _still(document, page)
        page.next(f"git commit {shlex.quote(document.file)}" if document.file is not None else "headrace status")
        return
    failed = _failed(document)
    over = f"{document.id} is resolved, but" if document.state == "resolved" else f"{document.id} is {_OPEN[document.state]}:"
    if failed:
        page.say(f"✗ {over} a part of the repair failed", "bad")
    else:
        page.say(f"✗ {over} {_why_not_over(document)}", "bad")
    _still(document, page)
    page.next(*_next(document))


_OPEN = {"open": "still open", "recovering": "not over yet"}


def _why_not_over(document: FixResponse) -> str:
    """What it is while its cause is there; once that is gone, what it waits for."""
    if document.state != "recovering":
        return document.cause.summary
    closes = "those affected are served" if document.still else "its repair is published"
    return f"its cause is gone, and it closes when {closes}"


def _failed(document: FixResponse) -> bool:
    return document.backfill is not None and document.backfill.state not in ("succeeded", "nothing_due")


def _next(document: FixResponse) -> list[str]:
    if _failed(document) and document.backfill is not None and document.backfill.plan_id is not None:
        causes = [row.command for row in document.still if row.state == "failed" and row.command is not None]
        return [*causes[:1], f"headrace backfills {shlex.quote(document.backfill.plan_id)}"]
    if document.state in ("resolved", "recovering") or document.repair is None:
        return [next((row.command for row in document.still if row.command is not None), f"headrace incident {document.id}")]
    return [f"headrace incident {document.id}"]


def _still(document: FixResponse, page: Page) -> None:
    """What isn't as it should be, as `status` says it."""
    for row in document.still[:STILL_SHOWN_MAX]:
        state = row.state if row.state == "failed" else f"is {row.state.replace('_', ' ')}"
        page.say(f"{row.what} {state}: {row.text}", "dim", indent=2)
    if len(document.still) > STILL_SHOWN_MAX:
        page.say(f"and {len(document.still) - STILL_SHOWN_MAX} more: headrace status", "dim", indent=2)


def _made(document: FixResponse, page: Page) -> None:
    found = document.backfill
    if found is None:
        return
    backfilling.made(found, page)
    page.say(": ".join(backfilling.published(found)), indent=2)
    if (again := document.recomputed) is not None:
        same = "the same rows as before" if again.differ == 0 else f"{again.differ} with other rows than before, {again.same} with the same"
        page.say(f"{again.node}: {same}", indent=2)


def _took(document: FixResponse) -> str:
    detected = f"detected in {seconds((document.opened_at - document.began_at).total_seconds())}"
    if document.restored_at is None:
        return detected
    restored = f"restored in {seconds((document.restored_at - document.began_at).total_seconds())}"
    waited = document.waited_seconds
    begun = "" if waited is None else f"; the repair was begun {seconds(waited)} after it was opened"
    return f"{detected}, {restored}{begun}"
