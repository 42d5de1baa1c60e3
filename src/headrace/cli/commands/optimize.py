"""`headrace optimize`: advice on SQL, of the project's assets or of files."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import ExitCode, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import plural
from headrace.model.errors import UsageError
from headrace.services.parameters import Argument
from headrace.services.responses.optimize import OptimizeRow

_STYLES = {"proven": "good", "refuted": "dim"}


@terminal_command("optimize:optimize", check="optimize:check_sql")
def optimize_command(
    invocation: Invocation,
    words: Annotated[
        list[str] | None,
        Argument("[SELECT|check FILE]...", "assets (all), or `check` and files of SQL"),
    ] = None,
    exclude: list[str] | None = None,
    dialect: str | None = None,
    exit_code: ExitCode = False,
) -> int:
    """List what can go or be faster in SQL, and what is wrong in it, with premises and diffs.

    `check FILE --dialect D` reads files instead of the project: no project and no data are needed.
    Nothing is run and nothing is changed. A finding is proven if each of its premises is guarded by
    a check, a contract or the query itself.
    """
    if words and words[0] == "check":
        return _check(invocation, words[1:], dialect, exit_code=exit_code)
    if dialect is not None:
        raise UsageError(
            "--dialect belongs to `optimize check`; assets are in DuckDB's SQL",
            hint="headrace optimize check FILE --dialect D",
        )
    from headrace.services.optimize import optimize

    rows = optimize(invocation.session, words or (), exclude or (), progress=invocation.progress())
    invocation.show(rows, _render, clock=False)
    return int(exit_code and any(row.verdict != "refuted" for row in rows))


def _check(
    invocation: Invocation, files: list[str], dialect: str | None, *, exit_code: bool
) -> int:
    if not files:
        raise UsageError(
            "which file is to be checked?", hint="headrace optimize check FILE --dialect D"
        )
    from headrace.services.optimize import check_sql

    rows, unreadable = check_sql(files, dialect=dialect)
    invocation.show(rows, _render, clock=False)
    for file, problem in unreadable:
        invocation.note(f"{file}:{problem.line}: the statement can't be read: {problem.message}")
    reported = any(row.verdict != "refuted" for row in rows)
    return int(bool(unreadable) or (exit_code and reported))


def _render(rows: list[OptimizeRow], page: CommandOutput) -> None:
    page.head("optimize")
    open_rows = [row for row in rows if row.verdict != "refuted"]
    if not open_rows:
        page.say("✓ nothing to propose", "good")
        return
    for row in open_rows:
        _render_row(row, page)
    proven = sum(row.verdict == "proven" for row in open_rows)
    page.say()
    page.say(f"{plural(len(open_rows), 'finding')}, {proven} proven")


def _render_row(row: OptimizeRow, page: CommandOutput) -> None:
    page.say()
    page.say(f"{row.file}:{row.line}  {row.message}", "bold")
    page.say(f"{row.id} · {row.rule} · {row.verdict}", _STYLES.get(row.verdict, ""), indent=2)
    for premise in row.premises:
        guard = "nothing guards it" if premise.guard is None else premise.guard
        page.say(f"if {premise.text}: {guard}", indent=2)
    for line in (row.diff or "").splitlines()[2:]:
        page.say(line, _diff_style(line), indent=2)


def _diff_style(line: str) -> str:
    return {"+": "good", "-": "bad"}.get(line[:1], "dim")
