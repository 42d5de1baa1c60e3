"""`headrace lineage ASSET[.COLUMN]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.model.commands import command_line
from headrace.model.errors import UsageError
from headrace.operations.lineage import lineage
from headrace.operations.responses import LineageResponse, LineageRow, PublishedCodeRow

SHOWN_MAX = 100


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ASSET[.COLUMN]", help="an asset or a source, or one of its columns")],
    up: Annotated[bool, Option("--up", help="only where it comes from")] = False,
    down: Annotated[bool, Option("--down", help="only where it goes to")] = False,
) -> int:
    """Which columns a column comes from and goes into, with what is done to it on the way."""
    if up and down:
        raise UsageError("--up and --down exclude each other", hint="leave both away to see both")
    invocation.show(lineage(invocation.session, target, up=not down, down=not up), _render, clock=False)
    return 0


COLUMNS = [
    ColumnLayout("", least=1),
    ColumnLayout("column", gives=1, least=16),
    ColumnLayout("how", least=8),
    ColumnLayout("via", gives=2, least=12, drops=1),
]


CODE = [
    ColumnLayout("applied as", gives=1, least=12),
    ColumnLayout("partitions", right=True),
    ColumnLayout("from", least=7),
    ColumnLayout("to", least=7),
]


def _versions(row: PublishedCodeRow) -> str:
    return f"version {row.versions[0]}" + (f" … {row.versions[-1]}" if len(row.versions) > 1 else "")


def _render(response: LineageResponse, page: CommandOutput) -> None:
    page.say(response.column, "bold")
    _side(response.upstream, "←", "comes from nothing upstream", page)
    _side(response.downstream, "→", "goes into nothing downstream", page)
    if len(response.code) > 1:
        page.say(f"{len(response.code)} versions of its code computed what readers see:", "warn", indent=2)
        page.table(CODE, [[_versions(row), f"{row.partitions:,}", row.from_, row.to] for row in response.code[:SHOWN_MAX]])
    page.next(command_line("read", response.column.partition(".")[0]))


def _side(rows: list[LineageRow] | None, arrow: str, nothing: str, page: CommandOutput) -> None:
    if rows is None:
        return
    if not rows:
        page.say(nothing, "dim", indent=2)
        return
    page.table(
        COLUMNS, [[arrow, StyledCell(row.column, "bold"), row.transformation.replace("_", " "), row.via] for row in rows[:SHOWN_MAX]]
    )
    if len(rows) > SHOWN_MAX:
        page.say(f"and {len(rows) - SHOWN_MAX} more; --json has all", indent=2)
