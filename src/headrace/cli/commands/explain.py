"""`headrace explain [CODE]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput as Output
from headrace.cli.parsing import Argument
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.operations.explain import explain
from headrace.operations.responses import Page


def command(invocation: Invocation, code: Annotated[str | None, Argument("[CODE]", help="as `headrace validate` prints it")] = None) -> int:
    """What a problem code means, with a wrong and a right example; all codes where none is given."""
    invocation.show(explain(code), _one if code else _all, clock=False)
    return 0


def _one(pages: list[Page], out: Output) -> None:
    for page in pages:
        out.say(f"{page.code}: {page.title}", "bold")
        out.say()
        out.raw(page.text)


def _all(pages: list[Page], out: Output) -> None:
    columns = [ColumnLayout("code"), ColumnLayout("means", gives=1, least=20)]
    out.table(columns, [[StyledCell(page.code, "bold"), page.title] for page in pages])
    if pages:
        out.next(f"headrace explain {pages[0].code}")
