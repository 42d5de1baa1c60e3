"""`headrace explain` and `schema`: problem codes, and JSON Schemas of a project's files."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.output import CommandOutput as Output
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.project.parameters import Option
from headrace.responses import Page
from headrace.responses.inspections import SchemaRow
from headrace.services.explain import explain

# `headrace explain [CODE]`


@terminal_command("explain:explain", group="look", summary="explain a problem code")
def explain_command(invocation: Invocation, code: str | None) -> int:
    """Explain a problem code, with a wrong and a right example; without a code, list all codes."""
    invocation.show(
        explain(code), _render_codes_in_full if code else _render_code_list, clock=False
    )
    return 0


def _render_codes_in_full(pages: list[Page], out: Output) -> None:
    for page in pages:
        out.say(f"{page.code}: {page.title}", "bold")
        out.say()
        out.raw(page.text)


def _render_code_list(pages: list[Page], out: Output) -> None:
    columns = [ColumnLayout("code"), ColumnLayout("means", gives=1, least=20)]
    out.table(columns, [[StyledCell(page.code, "bold"), page.title] for page in pages])
    if pages:
        out.next(f"headrace explain {pages[0].code}")


# `headrace schema [NAME]`


@terminal_command(
    "init:schemas", group="change", summary="print JSON Schemas of the project's files, for editors"
)
def schema_command(
    invocation: Invocation,
    name: str | None,
    write: Annotated[
        bool, Option("--write", help="write all of them into the project, for its editor")
    ] = False,
) -> int:
    """Print a JSON Schema (draft 2020-12) of the project's files; without a name, list the schemas.

    --write stores all of them in .vscode/headrace, and creates .vscode/settings.json, which uses
    them, unless that file exists.
    """
    from headrace.services import init

    if write:
        written = init.write(invocation.session.root)
        invocation.show(written, _render_written, clock=False)
        return 0
    rows = init.schemas(name)
    if name is None:
        invocation.show(rows, _render_schemas, clock=False)
    elif invocation.options.json:
        invocation.json(rows[0].document)
    else:
        sys.stdout.write(json.dumps(rows[0].document, indent=2, ensure_ascii=False) + "\n")
    return 0


def _render_schemas(rows: list[SchemaRow], page: CommandOutput) -> None:
    columns = [
        ColumnLayout("schema", least=10),
        ColumnLayout("of", gives=1, least=20),
        ColumnLayout("files", gives=2, least=12, drops=1),
    ]
    page.table(
        columns,
        [[StyledCell(row.name, "bold"), row.description, ", ".join(row.files)] for row in rows],
    )
    page.next("headrace schema --write")


def _render_written(paths: list[str], page: CommandOutput) -> None:
    for path in paths:
        page.say(path, indent=2)
    page.next("headrace validate")
