"""What a change does, for people: the changes, what becomes stale, whom it touches, what is promised less."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import joined, plural
from headrace.operations.plan_refusals import NEEDS_APPROVAL
from headrace.operations.responses import ChangeRow, NeededRow, PlanResponse, RefusedRow, StaleRow, StepRow

SHOWN_MAX = 40
COLUMNS_SHOWN_MAX = 6

CHANGES = [
    ColumnLayout("node", gives=1, least=12),
    ColumnLayout("change", least=8),
    ColumnLayout("columns", gives=3, least=8, drops=2),
    ColumnLayout("read by", gives=2, least=8, drops=3),
    ColumnLayout("stale", gives=2, least=8, drops=1),
]
STALE = [
    ColumnLayout("becomes stale", gives=1, least=12),
    ColumnLayout("partitions", right=True),
    ColumnLayout("from", least=7),
    ColumnLayout("to", least=7),
    ColumnLayout("because", gives=2, least=8, drops=1),
]
STEPS = [
    ColumnLayout("also", least=8),
    ColumnLayout("node", gives=1, least=12),
    ColumnLayout("partitions", right=True, drops=2),
    ColumnLayout("from", least=7, drops=1),
    ColumnLayout("to", least=7, drops=1),
    ColumnLayout("", gives=3, least=12),
]
_IN_OTHER_TABLES = ("weaken", "promote")
_SIGNS = {"added": "+", "dropped": "-", "type": "~", "meaning": ""}


def show(plan: PlanResponse, page: CommandOutput) -> None:
    """All that there is to say before anybody agrees."""
    page.table(CHANGES, [_change(change) for change in plan.changes[:SHOWN_MAX]])
    if len(plan.changes) > SHOWN_MAX:
        page.say(f"and {plural(len(plan.changes) - SHOWN_MAX, 'more change')}", indent=2)
    for text in _code(plan.changes)[:SHOWN_MAX]:
        page.say(text, indent=2)
    if plan.stale:
        page.say()
        page.table(STALE, [_stale(row) for row in plan.stale[:SHOWN_MAX]])
        page.say(_cost(plan), indent=2)
        _again(plan, page)
    for repair in plan.repairs[:SHOWN_MAX]:
        page.say(
            f"may repair {repair.node}: {plural(repair.partitions, 'partition')} failed, {repair.from_} … {repair.to}", "good", indent=2
        )
    others = [step for step in plan.steps if not _shown_above(plan, step)]
    if others:
        page.say()
        page.table(STEPS, [_step(row) for row in others[:SHOWN_MAX]])
    if len(others) > SHOWN_MAX:
        page.say(f"and {plural(len(others) - SHOWN_MAX, 'more step')}", indent=2)
    for built in plan.built:
        page.say(f"{built.environment} has built {built.node}: {plural(built.partitions, 'partition')} needn't be computed", indent=2)
    approved_first = [step.node for step in plan.steps if step.needs_approval]
    if approved_first:
        said = f"recomputing {joined(approved_first)} needs an approval: [policy] backfill_approval"
        page.say(said, "warn", indent=2)
    touched = [*(f"consumer {name}" for name in plan.affects.consumers), *(f"owner {name}" for name in plan.affects.owners)]
    if touched:
        page.say(f"touches {joined(touched)}", indent=2)
    for weaker in plan.weakens:
        page.say(f"weakens {weaker.node}: {weaker.what}: {weaker.before} → {weaker.after}", "warn", indent=2)


def identity(plan: PlanResponse) -> str:
    """The plan's id, as pages name it; empty for one that can't be applied."""
    return f"plan {plan.plan_id}" if plan.plan_id is not None else ""


def _shown_above(plan: PlanResponse, step: StepRow) -> bool:
    """Whether the tables of changes, of what becomes stale, or the lines below say it."""
    if step.kind in _IN_OTHER_TABLES:
        return True
    if step.kind == "declare":
        return step.node in {change.node for change in plan.changes}
    return step.kind == "invalidate" and (not step.partitions or step.node in {row.node for row in plan.stale})


def _step(row: StepRow) -> list[str | StyledCell]:
    count = "" if row.partitions is None else f"{row.partitions:,}"
    return [row.kind, StyledCell(row.node, "bold"), count, row.from_ or "", row.to or "", row.detail]


def _change(row: ChangeRow) -> list[str | StyledCell]:
    text = row.change + (" (breaking)" if row.breaking else "") + (", published data kept" if row.kept else "")
    readers = list(dict.fromkeys(name for effect in row.effects for name in effect.read_by))
    stale = plural(row.partitions_stale, "partition") if row.partitions_stale else ""
    return [StyledCell(row.node, "bold"), StyledCell(text, "bad" if row.breaking else ""), _columns(row), ", ".join(readers), stale]


def _code(changes: Sequence[ChangeRow]) -> list[str]:
    """One line for each changed file of code, with the assets that use it and through which lines the first of them does."""
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


def _columns(row: ChangeRow) -> str:
    """`+more, -gone, ~other type, other meaning`."""
    names = [f"{_SIGNS.get(effect.effect, '')}{effect.column}" for effect in row.effects] or row.columns
    more = len(names) - COLUMNS_SHOWN_MAX
    return ", ".join(names[:COLUMNS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _stale(row: StaleRow) -> list[str | StyledCell]:
    return [StyledCell(row.node, "bold"), f"{row.partitions:,}", row.from_, row.to, row.why]


def _cost(plan: PlanResponse) -> str:
    """How much is published and becomes stale; readers see the old rows until it is computed again."""
    total = sum(row.partitions for row in plan.stale)
    return f"{plural(total, 'published partition')} become{'s' if total == 1 else ''} stale"


def _again(plan: PlanResponse, page: CommandOutput) -> None:
    """What computing it all again makes, by the plan of the backfills that do it, and how long that takes."""
    for backfill in plan.backfills:
        if backfill.counts is not None:
            what = "to recompute" if backfill.mode == "missing" else "to try again"
            page.say(f"{what}, if you ask for it: {backfill.counts.text}", indent=2)
    if plan.estimate is None:
        page.say("how long that takes isn't known yet", indent=2)
    else:
        low, high = seconds(plan.estimate["low"]), seconds(plan.estimate["high"])
        page.say(f"about {seconds(plan.estimate['seconds'])} ({low} to {high})", indent=2)


def asked_for(needed: Sequence[NeededRow], stale: Collection[str], page: CommandOutput) -> None:
    """What makes again what a change made stale, as it is typed, and how much each makes. `stale` are the nodes of which readers
    see something stale: what only failed is computed by the next pass, whoever asks."""
    for row in needed:
        text = "readers keep what they see; to recompute what the change made stale:"
        if row.mode != "missing":
            text = "what failed under the code as it was:"
        elif not any(name in stale for name in row.select):
            text = "the next pass computes what failed under the code as it was; to compute it at once:"
        page.say(text, indent=2)
        page.command(row.command, indent=4)
        if row.counts is not None:
            page.say(f"makes {row.counts.text}", indent=4)


def refused(row: RefusedRow, what: str, again: str, page: CommandOutput) -> None:
    """Why a plan that somebody agreed to isn't done, and how to look at what would be done instead."""
    if row.code == NEEDS_APPROVAL:
        page.say(f"✗ {what}: {row.text}", "bad")
        for change in row.changed:
            page.say(f"to go on: {change}", indent=2)
        return
    page.say(f"✗ {what}: it isn't what would be done now", "bad")
    for path in row.files[:SHOWN_MAX]:
        page.say(f"{path} isn't as it was in the plan", indent=2)
    if len(row.files) > SHOWN_MAX:
        page.say(f"and {plural(len(row.files) - SHOWN_MAX, 'more file')}", indent=2)
    for change in row.changed[:SHOWN_MAX]:
        page.say(change, indent=2)
    if not row.files and not row.changed:
        page.say("it belongs to another state of this project", indent=2)
    page.say(f"what would be done now is {row.plan_id_now}; look at it, then agree to it:", indent=2)
    page.clock_note()
    page.next(again)
