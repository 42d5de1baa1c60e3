"""A backfill for people: what it makes, whom it touches, how long it takes, what has come of it."""

from __future__ import annotations

from headrace.cli import states
from headrace.cli.data import grid
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import joined, plural
from headrace.model.commands import command_line, place
from headrace.operations.backfill_responses import (
    BackfillResponse,
    BackfillRow,
    BackfillsResponse,
    ChangedRow,
    EstimateRow,
    FailureRow,
    PlanRowResponse,
)
from headrace.operations.responses import ColumnRow

NODES_SHOWN_MAX = 40
SKIPPED_SHOWN_MAX = 10
FAILURES_SHOWN_MAX = 10
NAMED_MAX = 5
"""At most so many nodes are named in a sentence."""
DETAILED_MAX = 3
"""So many are shown with what they broke."""
HOW = {"taken_in": "ingested", "staged": "beside production", "afterwards": "afterwards, in order"}
PUBLISHES = {
    "atomically": "published all at once",
    "per_partition": "published one after the other, for each builds on the one before",
}

MADE = [
    ColumnLayout("asset", gives=2, least=14),
    ColumnLayout("partitions", right=True),
    ColumnLayout("from", least=10),
    ColumnLayout("to", least=10),
    ColumnLayout("how", gives=4, drops=1),
    ColumnLayout("why", gives=3, least=12),
]
NOT_MADE = [ColumnLayout("not made", gives=2, least=14), ColumnLayout("partitions", right=True), ColumnLayout("why", gives=3, least=18)]
CHANGED = [
    ColumnLayout("changed", gives=2, least=14), ColumnLayout("partitions", right=True), ColumnLayout("rows added", right=True),
    ColumnLayout("removed", right=True), ColumnLayout("changed", right=True),
]  # fmt: skip
PUBLISHED = [
    ColumnLayout("node", gives=2, least=14), ColumnLayout("planned", right=True, drops=1), ColumnLayout("published", right=True),
    ColumnLayout("rows", right=True), ColumnLayout("added", right=True, drops=2), ColumnLayout("removed", right=True, drops=2),
    ColumnLayout("changed", right=True, drops=2),
]  # fmt: skip
LISTED = [
    ColumnLayout("id", right=True),
    ColumnLayout("state"),
    ColumnLayout("to go", right=True, drops=4),
    ColumnLayout("assets", gives=2, least=12),
    ColumnLayout("partitions", right=True),
    ColumnLayout("published", right=True, drops=2),
    ColumnLayout("failed", right=True, drops=2),
    ColumnLayout("planned", drops=1),
    ColumnLayout("by", gives=4, least=6, drops=3),
    ColumnLayout("why", gives=1, least=16),
]


def plan(response: BackfillResponse, page: CommandOutput) -> None:
    """What would be done, before anybody is asked."""
    page.table(MADE, [_made(row) for row in response.assets[:NODES_SHOWN_MAX]])
    if len(response.assets) > NODES_SHOWN_MAX:
        page.say(f"and {plural(len(response.assets) - NODES_SHOWN_MAX, 'more asset')}", indent=2)
    _skipped(response, page)
    page.say(f"in all {response.counts.text}, {_published(response)}", indent=2)
    page.say(cost(response), indent=2)
    touched = [*(f"consumer {name}" for name in response.affects.consumers), *(f"owner {name}" for name in response.affects.owners)]
    if touched:
        page.say(f"touches {joined(touched)}", indent=2)
    if response.approval is not None:
        approval_row = response.approval
        page.say(f"needs an approval: {approval_row.file}:{approval_row.line} backfill_approval = {approval_row.rule!r}", "warn", indent=2)
    if response.id is None and response.plan_id is not None:
        page.say(f"plan {response.plan_id}", "dim", indent=2)


def render(response: BackfillResponse, page: CommandOutput) -> None:
    """One backfill: its plan where nothing has begun, and what has come of it."""
    page.head(f"backfill {response.id}" if response.id else "backfill", response.reason)
    if response.assets and response.started_at is None:
        page.say()
        plan(response, page)
    elif response.assets:
        page.say()
        _progress(response, page)
    else:
        _skipped(response, page)
    page.facts(*_facts(response), style={"succeeded": "good", "failed": "bad", "partial": "warn"}.get(response.state, ""))
    for note in response.notes:
        page.say(note, "dim")
    page.next(*_next(response))


def listed(response: BackfillsResponse, page: CommandOutput) -> None:
    """The newest backfills."""
    page.head("backfills")
    if not response.backfills:
        page.say("nothing was backfilled yet")
        page.next("headrace backfill ASSET --from A --to B --reason TEXT --dry-run")
        return
    page.say()
    page.table(LISTED, [_line(row, page) for row in response.backfills])
    page.next(f"headrace backfills {response.backfills[0].id}")


def _made(row: BackfillRow) -> list[str | StyledCell]:
    to = f"{row.to} ({row.ranges} ranges)" if row.ranges > 1 else row.to
    return [StyledCell(row.asset, "bold"), f"{row.partitions:,}", row.from_, to, HOW[row.how], row.why]


def _skipped(response: BackfillResponse, page: CommandOutput) -> None:
    rows = response.skipped[:SKIPPED_SHOWN_MAX]
    page.table(NOT_MADE, [[StyledCell(row.asset, "bold"), f"{row.partitions:,}", row.why] for row in rows])
    if len(response.skipped) > len(rows):
        page.say(f"and {plural(len(response.skipped) - len(rows), 'more reason')}", indent=2)


def _published(response: BackfillResponse) -> str:
    if response.publishes == "in_steps":
        return f"published in {response.steps} steps, some intervals of all assets at a time"
    later = ", but for what is made afterwards" if any(row.how == "afterwards" for row in response.assets) else ""
    return PUBLISHES[response.publishes] + (later if response.publishes == "atomically" else "")


def cost(response: BackfillResponse) -> str:
    """How long it takes and how much it writes, or that this isn't known."""
    size = f", {_size(response.bytes_estimate)}" if response.bytes_estimate else ""
    if response.estimate is None or not response.estimate.known:
        return f"how long it takes isn't known yet: too little like it has run here{size}"
    return f"about {span(response.estimate)}{size} ({response.estimate.basis})"


def span(estimate: EstimateRow) -> str:
    """`4 min (3 min to 6 min)`."""
    return f"{seconds(estimate.seconds)} ({seconds(estimate.low)} to {seconds(estimate.high)})"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count //= 1000
    return f"{count:,} TB"


def _progress(response: BackfillResponse, page: CommandOutput) -> None:
    made(response, page)
    _nothing_new(response, page)
    for number, row in enumerate(response.failures[:FAILURES_SHOWN_MAX]):
        page.say(f"{row.asset}@{row.partition} {row.state}: {row.reason}", "bad", indent=2)
        if number < DETAILED_MAX:
            _evidence(row, page)
    for fromkey in dict.fromkeys(row.first for row in response.failures if row.first is not None):
        page.say(f"to do: {fromkey}", indent=2)
    if response.failed > FAILURES_SHOWN_MAX:
        page.say(f"and {plural(response.failed - FAILURES_SHOWN_MAX, 'more failure')}", indent=2)


def _nothing_new(response: BackfillResponse, page: CommandOutput) -> None:
    """That what was published has the rows that readers saw before, or that nothing was published of what is computed alongside
    production. Where nothing at all was, the line of facts says it."""
    staged = [row for row in response.assets if row.how == "staged"]
    if not response.published or response.changes or response.made is None:
        return
    if any(row.published for row in staged):
        page.say("what was computed is what readers saw before", indent=2)
    elif staged and response.state in ("failed", "partial", "cancelled"):
        names = joined([row.asset for row in staged], NAMED_MAX)
        page.say(f"nothing of {names} was published: readers see what they saw before", indent=2)


def made(response: BackfillResponse, page: CommandOutput) -> None:
    """What was published of each node, of how many that were planned; and what is different for readers."""
    if response.made is None:
        page.table(CHANGED, [
            [StyledCell(row.asset, "bold"), f"{row.partitions:,}", f"{row.rows_added:,}", f"{row.rows_removed:,}", f"{row.rows_changed:,}"]
            for row in response.changes
        ])  # fmt: skip
        return
    changes = {row.asset: row for row in response.changes}
    page.table(PUBLISHED, [_published_row(row, changes.get(row.asset)) for row in response.assets[:NODES_SHOWN_MAX]])
    if len(response.assets) > NODES_SHOWN_MAX:
        page.say(f"and {plural(len(response.assets) - NODES_SHOWN_MAX, 'more node')}", indent=2)


def _published_row(row: BackfillRow, change: ChangedRow | None) -> list[str | StyledCell]:
    """Rows that differ are known only of what is made beside production."""
    differ = ["", "", ""] if row.how != "staged" else ["0", "0", "0"]
    if change is not None:
        differ = [f"{change.rows_added:,}", f"{change.rows_removed:,}", f"{change.rows_changed:,}"]
    return [StyledCell(row.asset, "bold"), f"{row.partitions:,}", f"{row.published or 0:,}", f"{row.rows or 0:,}", *differ]


def _evidence(row: FailureRow, page: CommandOutput) -> None:
    for check in row.checks:
        page.say(f"check {check.name}: {check.detail or f'{check.failing} of {check.rows} rows'}", indent=4)
    if row.sample:
        names = list(dict.fromkeys(name for sample in row.sample for name in sample))
        page.say("for example:", indent=4)
        grid(page, [ColumnRow(name=name, type="") for name in names], row.sample)


def _facts(response: BackfillResponse) -> list[str]:
    if response.state == "nothing_due":
        return ["· nothing to do"]
    if response.state in ("planned", "declined", "awaiting_approval"):
        said = {"planned": "· planned, nothing was done", "declined": "· nothing was done", "awaiting_approval": "· waits for an approval"}
        return [said[response.state]]
    facts = [states.mark(response.state), *published(response)]
    facts += [f"{response.failed:,} failed"] if response.failed else []
    facts += [f"{response.redone:,} recomputed, for their inputs changed meanwhile"] if response.redone else []
    if response.state in ("failed", "cancelled") and not response.published:
        facts.append("readers see what they saw before")
    left = response.partitions_total - response.published
    facts += [f"the other {left:,} didn't have to be made: what they read is as it was"] if response.state == "succeeded" and left else []
    facts += [f"{span(response.remaining)} to go"] if response.remaining is not None else []
    return facts


def published(response: BackfillResponse) -> list[str]:
    """`30 of 30 partitions published`, and once it has ended `3 of 1 source, 24 of 8 assets, 3 of 1 export`."""
    parts = "" if response.made is None else response.made.text.partition(": ")[2]
    text = f"{response.published:,} of {plural(response.partitions_total, 'partition')} published"
    return [text, parts] if parts else [text]


def _next(response: BackfillResponse) -> list[str]:
    number = response.id
    match response.state:
        case "planned" if number is None:
            return [response.command + (f" --plan {response.plan_id}" if response.plan_id is not None else "")]
        case "running":
            return [f"headrace backfills {number}"]
        case "paused":
            return [f"headrace backfills resume {number} --reason TEXT"]
        case "awaiting_approval":
            return [f"headrace backfills cancel {number} --reason TEXT"]
        case "failed" | "partial":
            again = f"headrace backfills resume {number} --reason TEXT"
            first = next(iter(response.failures), None)
            if first is None:
                return [again]
            mended = ["headrace apply"] if any(row.first is not None for row in response.failures) else []
            return [command_line("logs", first.attempt or place(first.asset, first.partition)), *mended, again]
    return ["headrace status"]


def _line(row: PlanRowResponse, page: CommandOutput) -> list[str | StyledCell]:
    to_go = seconds(row.remaining.seconds) if row.remaining is not None else ""
    return [
        row.id, row.state, to_go, joined(row.assets, 3), f"{row.partitions_total:,}", f"{row.published:,}", f"{row.failed:,}",
        page.reader.moment(row.created_at), row.by, row.reason,
    ]  # fmt: skip
