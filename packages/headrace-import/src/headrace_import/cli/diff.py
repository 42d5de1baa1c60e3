"""`headrace import diff`: rows of imported assets beside those of the origin's tables."""

from __future__ import annotations

from pathlib import Path

from headrace.extension import ColumnLayout, CommandOutput, Invocation, plural
from headrace_import.cli.stages import imported_session
from headrace_import.responses.diff import (
    ImportDiffPartition,
    ImportDiffResponse,
    ImportDiffRow,
)

PARTITIONS_SHOWN_MAX = 5


def diff(invocation: Invocation, item: str, into: Path | None, since: str | None) -> int:
    """Print where assets have other rows than the origin's tables; 0 if all have the same."""
    from headrace_import.services.diff import import_diff

    session = imported_session(invocation, into)
    response = import_diff(session, session.root, item, since, progress=invocation.progress())
    invocation.show(response, _render, clock=False)
    return int(bool(response.items) and response.equal is not True)


_COLUMNS = [
    ColumnLayout("item", gives=1, least=12),
    ColumnLayout("table there", gives=1, least=8),
    ColumnLayout("compared", right=True),
    ColumnLayout("equal", right=True),
    ColumnLayout("why not", gives=2),
]


def _render(response: ImportDiffResponse, page: CommandOutput) -> None:
    if not response.items:
        page.say(
            "the import knows no table that these items fill at the origin: only carried SQL tasks"
            " of Airflow have one"
        )
        return
    page.say(f"partitions since {response.since:%Y-%m-%d %H:%M} UTC")
    page.table(
        _COLUMNS,
        [
            [row.item, row.table, str(row.compared), str(row.equal), row.why]
            for row in response.items
        ],
    )
    for row in response.items:
        _render_row(row, page)
    compared = sum(row.compared for row in response.items)
    missing = sum(not row.compared for row in response.items)
    if missing:
        page.say(f"! {plural(missing, 'table')} couldn't be compared", "warn")
    if response.equal:
        page.say(f"✓ {plural(compared, 'partition')} with the same rows on both sides", "good")
    page.next(response.next)


def _render_row(row: ImportDiffRow, page: CommandOutput) -> None:
    for names, where in ((row.columns_only_there, "there"), (row.columns_only_here, "here")):
        if names:
            page.say(f"! {row.asset}: only {where}: {', '.join(names)}", "warn")
    if row.empty:
        text = f"{plural(row.empty, 'partition')} without rows there, and not published here"
        page.say(f"{row.asset}: {text}", "dim")
    if row.left_out:
        page.say(f"! {row.asset}: {plural(row.left_out, 'older partition')} not compared", "warn")
    for partition in row.differing[:PARTITIONS_SHOWN_MAX]:
        page.say(f"! {row.asset}@{partition.partition}: {_difference(partition)}", "warn")
    more = row.compared - row.equal - PARTITIONS_SHOWN_MAX
    if more > 0:
        page.say(f"… and {plural(more, 'partition')} more of {row.asset}", "dim", indent=2)


def _difference(partition: ImportDiffPartition) -> str:
    counts = [
        f"{plural(partition.rows_there, 'row')} there, {partition.rows_here:,} here",
        f"{partition.rows_only_there:,} only there" if partition.rows_only_there else "",
        f"{partition.rows_only_here:,} only here" if partition.rows_only_here else "",
        f"{partition.rows_changed:,} changed" if partition.rows_changed else "",
        f"in {', '.join(partition.cells)}" if partition.cells else "",
    ]
    return "; ".join(text for text in counts if text)
