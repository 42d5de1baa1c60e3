"""`headrace classify`: propose classifications and masks of columns."""

from __future__ import annotations

import json
from typing import Annotated

from headrace.extension import CommandOutput, Invocation, Option, UsageError, terminal_command
from headrace_advisor.responses.classification import SuggestedClassRow


@terminal_command(
    "headrace_advisor.services.classification:suggest_classes",
    group="change",
    summary="propose classifications and masks of columns",
)
def classify_command(
    invocation: Invocation,
    select: list[str],
    *,
    suggest: Annotated[
        bool, Option("--suggest", help="propose by names and by the form of values")
    ] = False,
) -> int:
    """Propose classifications and masks, as lines to add to declarations.

    It decides nothing: a person adds the lines, and `apply` makes them hold.
    """
    if not suggest:
        raise UsageError("classify proposes only", hint="headrace classify --suggest")
    from headrace_advisor.services.classification import suggest_classes

    invocation.show(suggest_classes(invocation.session, select), _render)
    return 0


def _render(rows: list[SuggestedClassRow], page: CommandOutput) -> None:
    if not rows:
        page.say("nothing to suggest: no other column looks personal or secret")
        return
    node = ""
    for row in rows:
        name, _, column = row.column.partition(".")
        if name != node:
            page.raw(f"# {name}\ncolumns:")
            node = name
        page.raw(
            f"  {_key(column)}: {{classification: {row.classification}, mask: {row.mask}}}"
            f"  # {row.because}"
        )
    page.say("these are proposals: add the lines that are right, then plan and apply", "dim")
    page.next("headrace plan")


def _key(column: str) -> str:
    """Return a column's name as a key of YAML."""
    return column if column.isidentifier() and column.isascii() else json.dumps(column)
