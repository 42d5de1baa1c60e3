"""`headrace versions [N [--file PATH]]`."""

from __future__ import annotations

import sys
from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, Row, StyledCell
from headrace.cli.text import plural
from headrace.model.commands import command_line
from headrace.model.errors import UsageError
from headrace.operations.responses import VersionRow

SHOWN_MAX = 40
LISTED = [
    ColumnLayout("version", right=True),
    ColumnLayout("plan", least=18),
    ColumnLayout("files", right=True, drops=1),
    ColumnLayout("applied", gives=1, least=12),
    ColumnLayout("by", gives=1, least=8),
]
FILES = [ColumnLayout("file", gives=1, least=20), ColumnLayout("sha256", least=16)]


def command(
    invocation: Invocation,
    number: Annotated[str | None, Argument("[N]", help="a version's number: its files with their hashes")] = None,
    file: Annotated[str | None, Option("--file", metavar="PATH", help="print the stored bytes of one file of version N")] = None,
) -> int:
    """What was applied: each version with the plan that it was applied by, who did it, and its files as they are stored."""
    from headrace.operations.versions import file_of, versions

    if file is not None:
        if number is None:
            raise UsageError("--file needs a version", hint="headrace versions N --file PATH")
        sys.stdout.buffer.write(file_of(invocation.session, number, file))
        return 0
    rows = versions(invocation.session, number)
    invocation.show(rows, _one if number is not None else _all)
    return 0


def _all(rows: list[VersionRow], page: CommandOutput) -> None:
    page.head("versions")
    if not rows:
        page.say("nothing is applied yet")
        page.next("headrace plan")
        return
    page.say()
    page.table(LISTED, [_line(row, page) for row in rows[:SHOWN_MAX]])
    if len(rows) > SHOWN_MAX:
        page.say(f"and {plural(len(rows) - SHOWN_MAX, 'older version')}", indent=2)
    page.next(f"headrace versions {rows[0].version}")


def _line(row: VersionRow, page: CommandOutput) -> Row:
    return [StyledCell(str(row.version), "bold"), row.plan_id or "", f"{len(row.files):,}", page.reader.moment(row.at), row.by]


def _one(rows: list[VersionRow], page: CommandOutput) -> None:
    (row,) = rows
    page.head(f"version {row.version}", *([f"plan {row.plan_id}"] if row.plan_id else []))
    page.say(f"applied {page.reader.moment(row.at)} by {row.by}")
    page.say()
    page.table(FILES, [[StyledCell(file.path, "bold"), file.sha256] for file in row.files])
    page.next(*(command_line("versions", str(row.version), "--file", file.path) for file in row.files[:1]))
