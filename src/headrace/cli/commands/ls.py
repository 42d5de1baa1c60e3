"""`headrace ls [SELECT…]`."""

from __future__ import annotations

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Exclude, Select, Selection
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.ls import ls
from headrace.operations.responses import NodeRow


def command(invocation: Invocation, select: Selection = None, also: Select = None, exclude: Exclude = None) -> int:
    """The sources, assets and consumers that the files declare."""
    rows = ls(invocation.session, [*(select or []), *(also or [])], exclude or [], progress=invocation.progress())
    invocation.show(rows, _render, clock=False)
    return 0


COLUMNS = [
    ColumnLayout("name", gives=2, least=24),
    ColumnLayout("kind"),
    ColumnLayout("body", drops=2),
    ColumnLayout("owner", gives=3, least=8, drops=3),
    ColumnLayout("domain", gives=4, least=6, drops=5),
    ColumnLayout("partition", gives=1, least=5, drops=1),
    ColumnLayout("tags", gives=5, least=6, drops=6),
    ColumnLayout("file", gives=6, least=16, drops=4),
]


def _render(rows: list[NodeRow], page: CommandOutput) -> None:
    page.table(COLUMNS, [_row(row) for row in rows])
    kinds = [(kind, sum(row.kind == kind for row in rows)) for kind in ("source", "asset", "consumer")]
    page.say(", ".join(plural(n, kind) for kind, n in kinds if n) or "nothing is declared yet")
    page.next("headrace status" if rows else "headrace explain")


def _row(row: NodeRow) -> list[str | StyledCell]:
    return [
        StyledCell(row.name, "bold"),
        row.kind,
        row.body or "",
        row.owner,
        row.domain or "",
        row.partition or "",
        ", ".join(row.tags),
        row.file,
    ]
