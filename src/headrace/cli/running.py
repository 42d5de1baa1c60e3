"""What `run` and `tick` did, for people: one line for each asset and outcome, then what went wrong."""

from __future__ import annotations

from itertools import groupby

from headrace.cli import states
from headrace.cli.moments import seconds
from headrace.cli.page import Page
from headrace.cli.tables import Cell, Column
from headrace.cli.text import plural
from headrace.operations.documents import AttemptRow, ErrorRow, RunDocument

ERRORS_SHOWN_MAX = 10

COLUMNS = [
    Column("asset", gives=2, least=16),
    Column("partitions", gives=3, least=11),
    Column("state"),
    Column("rows", drops=1, right=True),
    Column("took", drops=2, right=True),
    Column("why", gives=4, least=18),
]


def render(document: RunDocument, page: Page) -> None:
    """The attempts, then a sentence that adds up."""
    page.head(f"run {document.run_id}" if document.run_id else "")
    if document.attempts:
        page.say()
        page.table(COLUMNS, [_row(list(group)) for group in _groups(document.attempts)])
        _errors(document, page)
        page.say()
    page.facts(*_sum(document), style={"succeeded": "good", "failed": "bad", "partial": "warn"}.get(document.state, ""))
    page.next(*_next(document))


def _groups(attempts: list[AttemptRow]) -> list[list[AttemptRow]]:
    def key(attempt: AttemptRow) -> tuple[str, str, str]:
        return attempt.asset, attempt.state, attempt.verdict or ""

    order = {name: i for i, name in enumerate(dict.fromkeys(attempt.asset for attempt in attempts))}
    ordered = sorted(attempts, key=lambda attempt: (order[attempt.asset], *key(attempt)[1:]))
    return [list(group) for _, group in groupby(ordered, key=key)]


def _row(group: list[AttemptRow]) -> list[str | Cell]:
    first = group[0]
    keys = sorted({key for attempt in group for key in attempt.partitions})
    rows = [attempt.rows for attempt in group if attempt.rows is not None]
    took = sum((a.finished_at - a.started_at).total_seconds() for a in group if a.started_at and a.finished_at)
    return [
        Cell(first.asset, "bold"), span(keys), states.cell("warned" if first.verdict == "warned" else first.state),
        f"{sum(rows):,}" if rows else "", seconds(took), why(first),
    ]  # fmt: skip


def span(keys: list[str]) -> str:
    """`2013-02-11`, or `2013-01-01 … 2013-02-13 (44)`."""
    return keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]} ({len(keys)})" if keys else ""


def why(attempt: AttemptRow) -> str:
    """The clause beside a state that isn't simply published."""
    if attempt.error is not None:
        return attempt.error.message
    return attempt.reason or ""


def _errors(document: RunDocument, page: Page) -> None:
    failed = [attempt for attempt in document.attempts if attempt.error is not None]
    for attempt in failed[:ERRORS_SHOWN_MAX]:
        assert attempt.error is not None
        page.say()
        error(attempt.error, page, f"{attempt.asset}@{span(attempt.partitions)} (attempt {attempt.id})")
    if len(failed) > ERRORS_SHOWN_MAX:
        page.say(f"and {plural(len(failed) - ERRORS_SHOWN_MAX, 'more error')}: headrace runs {document.run_id} --failed")


def error(row: ErrorRow, page: Page, of: str) -> None:
    """An error with where it is, what to do, and its page."""
    page.say(f"{of}: {row.message}", "bad", indent=2)
    if row.file:
        page.say(f"at {row.file}:{row.line}" if row.line else f"in {row.file}", indent=4)
    if row.hint:
        page.say(f"hint: {row.hint}", indent=4)
    if row.code:
        page.say(f"headrace explain {row.code}", indent=4)


def _sum(document: RunDocument) -> list[str]:
    if document.state == "nothing_due":
        return [f"· nothing is due{': ' + document.reason if document.reason else ''}"]
    counts = {state: sum(row.state == state for row in document.rejected) for state in ("held", "rejected", "failed")}
    said = [f"{states.mark(document.state)}: {plural(len(document.published), 'partition')} published"]
    said += [f"{n} {state}" for state, n in counts.items() if n]
    if any(counts[state] for state in ("held", "rejected")):
        said.append("nothing wrong was published")
    return [*said, document.reason or ""]


def _next(document: RunDocument) -> list[str]:
    waiting = next((row for row in document.rejected if row.state in ("held", "rejected")), None)
    if waiting:
        return [f"headrace quarantine {waiting.asset}@{waiting.partition}"]
    failed = next((attempt for attempt in document.attempts if attempt.state == "failed"), None)
    return [f"headrace logs {failed.id}"] if failed else ["headrace status"]
