"""`headrace validate`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Option
from headrace.cli.text import plural
from headrace.operations.responses import Counts, ProblemRow, ValidateResponse
from headrace.operations.validate import validate

SHOWN_MAX = 100
"""Problems printed for people; `--json` has all."""


def command(
    invocation: Invocation,
    bind: Annotated[bool, Option("--bind", help="have DuckDB bind every SQL statement, however long it takes")] = False,
) -> int:
    """Every problem of the project's files with file, line and what to write instead. Runs nothing.

    DuckDB binds the SQL statements for about a second; the next `validate` goes on from there.
    """
    response = validate(invocation.session, progress=invocation.progress(), bind_all=bind)
    invocation.show(response, _render, clock=False)
    return 0 if response.ok else 1


def _render(response: ValidateResponse, page: CommandOutput) -> None:
    for problem in response.problems[:SHOWN_MAX]:
        _problem(problem, page)
    if len(response.problems) > SHOWN_MAX:
        page.say(f"and {plural(len(response.problems) - SHOWN_MAX, 'more problem')}; headrace validate --json lists all")
    if response.binding is not None and response.binding.left:
        left = plural(response.binding.left, "SQL statement")
        page.say(f"{left} of {response.binding.statements:,} not bound yet: headrace validate --bind", "warn")
    errors = sum(problem.severity == "error" for problem in response.problems)
    warnings = len(response.problems) - errors
    said = [plural(errors, "error")] * bool(errors) + [plural(warnings, "warning")] * bool(warnings)
    if response.ok:
        page.facts("✓ valid", counted(response.counts), *said, style="good")
        page.next("headrace status")
    else:
        page.facts("✗ not valid", *said, style="bad")
        page.next(f"headrace explain {response.problems[0].code}")


def _problem(problem: ProblemRow, page: CommandOutput) -> None:
    style = "bad" if problem.severity == "error" else "warn"
    page.say(f"{problem.file}:{problem.line}  {problem.severity}: {problem.message} [{problem.code}]", style)
    if problem.hint:
        page.say(f"hint: {problem.hint}", indent=4)


def counted(counts: Counts) -> str:
    """`5 sources, 12 assets, 3 consumers`, contracts where there are any."""
    kinds = ["sources", "assets", "consumers"] + ["contracts"] * bool(counts.contracts)
    return ", ".join(plural(getattr(counts, kind), kind.removesuffix("s")) for kind in kinds)
