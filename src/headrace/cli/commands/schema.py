"""`headrace schema [NAME]`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.operations.inspections import SchemaRow


def command(
    invocation: Invocation,
    name: Annotated[
        str | None, Argument("[NAME]", help="project, owners, sources, assets, front_matter, consumers, tests, calendars")
    ] = None,
    write: Annotated[bool, Option("--write", help="write all of them into the project, for its editor")] = False,
) -> int:
    """JSON Schemas of a project's files (draft 2020-12): the one that is named, or which there are.

    With --write they are kept in .vscode/headrace, and .vscode/settings.json uses them where there is none yet.
    """
    from headrace.operations import schema

    if write:
        written = schema.write(invocation.session.root)
        invocation.show(written, _written, clock=False)
        return 0
    rows = schema.schemas(name)
    if name is None:
        invocation.show(rows, _all, clock=False)
    elif invocation.options.json:
        invocation.json(rows[0].document)
    else:
        sys.stdout.write(json.dumps(rows[0].document, indent=2, ensure_ascii=False) + "\n")
    return 0


def _all(rows: list[SchemaRow], page: CommandOutput) -> None:
    columns = [ColumnLayout("schema", least=10), ColumnLayout("of", gives=1, least=20), ColumnLayout("files", gives=2, least=12, drops=1)]
    page.table(columns, [[StyledCell(row.name, "bold"), row.description, ", ".join(row.files)] for row in rows])
    page.next("headrace schema --write")


def _written(paths: list[str], page: CommandOutput) -> None:
    for path in paths:
        page.say(path, indent=2)
    page.next("headrace validate")
