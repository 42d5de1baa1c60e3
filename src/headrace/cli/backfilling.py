"""A backfill for people: what it makes, whom it touches, how long it takes, what has come of it."""

from __future__ import annotations

from headrace.cli import states
from headrace.cli.data import grid
from headrace.cli.moments import seconds
from headrace.cli.page import Page
from headrace.cli.tables import Cell, Column
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
HOW = {"taken_in": "taken in", "staged": "beside production", "afterwards": "afterwards, in order"}
PUBLISHES = {
    "atomically": "published all at once",
    "per_partition": "published one after the other, for each builds on the one before",
}

MADE = [
    Column("asset", gives=2, least=14),
    Column("partitions", right=True),
    Column("from", least=10),
    Column("to", least=10),
    Column("how", gives=4, drops=1),
    Column("why", gives=3, least=12),
]
NOT_MADE = [Column("not made", gives=2, least=14), Column("partitions", right=True), Column("why", gives=3, least=18)]
CHANGED = [
    Column("changed", gives=2, least=14), Column("partitions", right=True), Column("rows added", right=True),
    Column("removed", right=True), Column("changed", right=True),
]  # fmt: skip
PUBLISHED = [
    Column("node", gives=2, least=14), Column("planned", right=True, drops=1), Column("published", right=True),
    Column("rows", right=True), Column("added", right=True, drops=2), Column("removed", right=True, drops=2),
    Column("changed", right=True, drops=2),
]  # fmt: skip
LISTED = [
    Column("id", right=True),
    Column("state"),
    Column("to go", right=True, drops=4),
    Column("assets", gives=2, least=12),
    Column("partitions", right=True),
    Column("published", right=True, drops=2),
    Column("failed", right=True, drops=2),
    Column("planned", drops=1),
    Column("by", gives=4, least=6, drops=3),
    Column("why", gives=1, least=16),
]


def plan(document: BackfillResponse, page: Page) -> None:
    """What would be done, before anybody is asked."""
    page.table(MADE, [_made(row) for row in document.assets[:NODES_SHOWN_MAX]])
    if len(document.assets) > NODES_SHOWN_MAX:
        page.say(f"and {plural(len(document.assets) - NODES_SHOWN_MAX, 'more asset')}", indent=2)
    _skipped(document, page)
    page.say(f"in all {document.counts.text}, {_published(document)}", indent=2)
    page.say(cost(document), indent=2)
    touched = [*(f"consumer {name}" for name in document.affects.consumers), *(f"owner {name}" for name in document.affects.owners)]
    if touched:
        page.say(f"touches {joined(touched)}", indent=2)
    if document.approval is not None:
        said = document.approval
        page.say(f"needs an approval: {said.file}:{said.line} backfill_approval = {said.rule!r}", "warn", indent=2)
    if document.id is None and document.plan_id is not None:
        page.say(f"plan {document.plan_id}", "dim", indent=2)


def render(document: BackfillResponse, page: Page) -> None:
    """One backfill: its plan where nothing has begun, and what has come of it."""
    page.head(f"backfill {document.id}" if document.id else "backfill", document.reason)
    if document.assets and document.started_at is None:
        page.say()
        plan(document, page)
    elif document.assets:
        page.say()
        _progress(document, page)
    else:
        _skipped(document, page)
    page.facts(*_facts(document), style={"succeeded": "good", "failed": "bad", "partial": "warn"}.get(document.state, ""))
    for note in document.notes:
        page.say(note, "dim")
    page.next(*_next(document))


def listed(document: BackfillsResponse, page: Page) -> None:
    """The newest backfills."""
    page.head("backfills")
    if not document.backfills:
        page.say("nothing was backfilled yet")
        page.next("headrace backfill ASSET --from A --to B --reason TEXT --dry-run")
        return
    page.say()
    page.table(LISTED, [_line(row, page) for row in document.backfills])
    page.next(f"headrace backfills {document.backfills[0].id}")


def _made(row: BackfillRow) -> list[str | Cell]:
    to = f"{row.to} ({row.ranges} ranges)" if row.ranges > 1 else row.to
    return [Cell(row.asset, "bold"), f"{row.partitions:,}", row.from_, to, HOW[row.how], row.why]


def _skipped(document: BackfillResponse, page: Page) -> None:
    rows = document.skipped[:SKIPPED_SHOWN_MAX]
    page.table(NOT_MADE, [[Cell(row.asset, "bold"), f"{row.partitions:,}", row.why] for row in rows])
    if len(document.skipped) > len(rows):
        page.say(f"and {plural(len(document.skipped) - len(rows), 'more reason')}", indent=2)


def _published(document: BackfillResponse) -> str:
    if document.publishes == "in_steps":
        return f"published in {document.steps} steps, some intervals of all assets at a time"
    later = ", but for what is made afterwards" if any(row.how == "afterwards" for row in document.assets) else ""
    return PUBLISHES[document.publishes] + (later if document.publishes == "atomically" else "")


def cost(document: BackfillResponse) -> str:
    """How long it takes and how much it writes, or that this isn't known."""
    size = f", {_size(document.bytes_estimate)}" if document.bytes_estimate else ""
    if document.estimate is None or not document.estimate.known:
        return f"how long it takes isn't known yet: too little like it has run here{size}"
    return f"about {span(document.estimate)}{size} ({document.estimate.basis})"


def span(estimate: EstimateRow) -> str:
    """`4 min (3 min to 6 min)`."""
    return f"{seconds(estimate.seconds)} ({seconds(estimate.low)} to {seconds(estimate.high)})"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count //= 1000
    return f"{count:,} TB"


def _progress(document: BackfillResponse, page: Page) -> None:
    made(document, page)
    _nothing_new(document, page)
    for number, row in enumerate(document.failures[:FAILURES_SHOWN_MAX]):
        page.say(f"{row.asset}@{row.partition} {row.state}: {row.reason}", "bad", indent=2)
        if number < DETAILED_MAX:
            _evidence(row, page)
    for said in dict.fromkeys(row.first for row in document.failures if row.first is not None):
        page.say(f"to do: {said}", indent=2)
    if document.failed > FAILURES_SHOWN_MAX:
        page.say(f"and {plural(document.failed - FAILURES_SHOWN_MAX, 'more failure')}", indent=2)


def _nothing_new(document: BackfillResponse, page: Page) -> None:
    """That what was published has the rows that readers saw before, or that nothing was published of what is computed alongside
    production. Where nothing at all was, the line of facts says it."""
    staged = [row for row in document.assets if row.how == "staged"]
    if not document.published or document.changes or document.made is None:
        return
    if any(row.published for row in staged):
        page.say("what was computed is what readers saw before", indent=2)
    elif staged and document.state in ("failed", "partial", "cancelled"):
        names = joined([row.asset for row in staged], NAMED_MAX)
        page.say(f"nothing of {names} was published: readers see what they saw before", indent=2)


def made(document: BackfillResponse, page: Page) -> None:
    """What was published of each node, of how many that were planned; and what is different for readers."""
    if document.made is None:
        page.table(CHANGED, [
            [Cell(row.asset, "bold"), f"{row.partitions:,}", f"{row.rows_added:,}", f"{row.rows_removed:,}", f"{row.rows_changed:,}"]
            for row in document.changes
        ])  # fmt: skip
        return
    changes = {row.asset: row for row in document.changes}
    page.table(PUBLISHED, [_published_row(row, changes.get(row.asset)) for row in document.assets[:NODES_SHOWN_MAX]])
    if len(document.assets) > NODES_SHOWN_MAX:
        page.say(f"and {plural(len(document.assets) - NODES_SHOWN_MAX, 'more node')}", indent=2)


def _published_row(row: BackfillRow, change: ChangedRow | None) -> list[str | Cell]:
    """Rows that differ are known only of what is made beside production."""
    differ = ["", "", ""] if row.how != "staged" else ["0", "0", "0"]
    if change is not None:
        differ = [f"{change.rows_added:,}", f"{change.rows_removed:,}", f"{change.rows_changed:,}"]
    return [Cell(row.asset, "bold"), f"{row.partitions:,}", f"{row.published or 0:,}", f"{row.rows or 0:,}", *differ]


def _evidence(row: FailureRow, page: Page) -> None:
    for check in row.checks:
        page.say(f"check {check.name}: {check.detail or f'{check.failing} of {check.rows} rows'}", indent=4)
    if row.sample:
        names = list(dict.fromkeys(name for sample in row.sample for name in sample))
        page.say("for example:", indent=4)
        grid(page, [ColumnRow(name=name, type="") for name in names], row.sample)


def _facts(document: BackfillResponse) -> list[str]:
    if document.state == "nothing_due":
        return ["· nothing to do"]
    if document.state in ("planned", "declined", "awaiting_approval"):
        said = {"planned": "· planned, nothing was done", "declined": "· nothing was done", "awaiting_approval": "· waits for an approval"}
        return [said[document.state]]
    facts = [states.mark(document.state), *published(document)]
    facts += [f"{document.failed:,} failed"] if document.failed else []
    facts += [f"{document.redone:,} recomputed, for their inputs changed meanwhile"] if document.redone else []
    if document.state in ("failed", "cancelled") and not document.published:
        facts.append("readers see what they saw before")
    left = document.partitions_total - document.published
    facts += [f"the other {left:,} didn't have to be made: what they read is as it was"] if document.state == "succeeded" and left else []
    facts += [f"{span(document.remaining)} to go"] if document.remaining is not None else []
    return facts


def published(document: BackfillResponse) -> list[str]:
    """`30 of 30 partitions published`, and once it has ended `3 of 1 source, 24 of 8 assets, 3 of 1 export`."""
    parts = "" if document.made is None else document.made.text.partition(": ")[2]
    said = f"{document.published:,} of {plural(document.partitions_total, 'partition')} published"
    return [said, parts] if parts else [said]


def _next(document: BackfillResponse) -> list[str]:
    number = document.id
    match document.state:
        case "planned" if number is None:
            return [document.command + (f" --plan {document.plan_id}" if document.plan_id is not None else "")]
        case "running":
            return [f"headrace backfills {number}"]
        case "paused":
            return [f"headrace backfills resume {number} --reason TEXT"]
        case "awaiting_approval":
            return [f"headrace backfills cancel {number} --reason TEXT"]
        case "failed" | "partial":
            again = f"headrace backfills resume {number} --reason TEXT"
            first = next(iter(document.failures), None)
            if first is None:
                return [again]
            mended = ["headrace apply"] if any(row.first is not None for row in document.failures) else []
            return [command_line("logs", first.attempt or place(first.asset, first.partition)), *mended, again]
    return ["headrace status"]


def _line(row: PlanRowResponse, page: Page) -> list[str | Cell]:
    to_go = seconds(row.remaining.seconds) if row.remaining is not None else ""
    return [
        row.id, row.state, to_go, joined(row.assets, 3), f"{row.partitions_total:,}", f"{row.published:,}", f"{row.failed:,}",
        page.reader.moment(row.created_at), row.by, row.reason,
    ]  # fmt: skip
