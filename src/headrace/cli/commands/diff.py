"""`headrace diff ASSET --at A [--at B]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.differing import sample
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.errors import UsageError
from headrace.operations.inspections import DiffResponse, MomentRow, PartitionChange

PARTITIONS_SHOWN_MAX = 20
PARTITIONS = [
    ColumnLayout("partition", gives=1, least=11),
    ColumnLayout("change", least=9),
    ColumnLayout("rows before", drops=2, right=True),
    ColumnLayout("rows after", drops=1, right=True),
]


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ASSET[@K]", help="an asset or a source")],
    at: Annotated[list[str] | None, Option("--at", metavar="T", help="a time or a snapshot's number; twice, or once for until now")] = None,
    partition: Annotated[list[str] | None, Option("--partition", metavar="K,…", help="only these partitions")] = None,
    keys: Annotated[list[str] | None, Option("--keys", metavar="C,…", help="columns that say which rows are the same")] = None,
    exit_code: Annotated[bool, Option("--exit-code", help="exit 1 where anything changed")] = False,
) -> int:
    """What changed between two moments: partitions, columns, rows; by keys where there are any."""
    if at is None or len(at) > 2:
        raise UsageError("diff compares two moments", hint="--at A --at B; --at A alone compares with now")
    from headrace.operations.diff import DiffQuery, diff

    query = DiffQuery(at[0], at[1] if len(at) == 2 else None, _words(partition), _words(keys))
    response = diff(invocation.session, target, query)
    invocation.show(response, _render)
    return 1 if exit_code and (response.partitions or response.columns) else 0


def _words(texts: list[str] | None) -> tuple[str, ...]:
    return tuple(word.strip() for text in texts or [] for word in text.split(",") if word.strip())


def _render(response: DiffResponse, page: CommandOutput) -> None:
    page.head(response.asset)
    page.say(f"{_moment(response.before, page)} → {_moment(response.after, page)}")
    for change in response.columns:
        types = " → ".join(kind for kind in (change.before, change.after) if kind)
        page.say(f"column {change.column} {'has another type' if change.change == 'type' else change.change}: {types}", "warn", indent=2)
    page.say()
    page.table(PARTITIONS, [_partition(partition) for partition in response.partitions[:PARTITIONS_SHOWN_MAX]])
    if len(response.partitions) > PARTITIONS_SHOWN_MAX:
        page.say(f"and {plural(len(response.partitions) - PARTITIONS_SHOWN_MAX, 'more partition')}; --json has all", "dim", indent=2)
    for row in response.sample:
        sample(row, page)
    page.say()
    page.facts(*_sum(response))
    page.next(f"headrace lineage {response.asset}")


def _moment(row: MomentRow, page: CommandOutput) -> str:
    return f"snapshot {row.snapshot}" + ("" if row.at is None else f" ({page.reader.moment(row.at)})")


def _partition(change: PartitionChange) -> list[str | StyledCell]:
    style = {"added": "good", "removed": "bad", "republished": "warn"}.get(change.change, "dim")
    rows = ["" if n is None else f"{n:,}" for n in (change.rows_before, change.rows_after)]
    return [change.partition, StyledCell(change.change, style), *rows]


def _sum(response: DiffResponse) -> list[str]:
    if not response.partitions:
        return ["nothing was published meanwhile"]
    counts = [f"{response.rows_added:,} added", f"{response.rows_removed:,} removed"]
    if response.rows_changed is not None:
        counts.append(f"{response.rows_changed:,} changed")
    by = f"by {', '.join(response.keys)}" if response.keys else "whole rows compared: there are no keys"
    return [plural(len(response.partitions), "partition"), f"rows: {', '.join(counts)}", by]
