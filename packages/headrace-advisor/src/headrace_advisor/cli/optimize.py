"""`headrace optimize`: advice on SQL, of the project's assets or of files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from headrace.cli.output import seconds
from headrace.extension import (
    Argument,
    CommandOutput,
    ExitCode,
    Invocation,
    Option,
    UsageError,
    Yes,
    command_line,
    joined,
    plural,
    terminal_command,
)
from headrace_advisor.cli.agreed_changes import apply_agreed
from headrace_advisor.cli.dismissals import render_dismissal
from headrace_advisor.responses.advice import DismissedResponse
from headrace_advisor.responses.optimize import MeasuredRow, OptimizeRow

DEFAULT_BUDGET = "60s"
DISMISSED_PRINTED_MAX = 20
_ACTIONS = ("check", "apply", "dismiss", "reopen")
_STYLES = {"proven": "good", "refuted": "dim"}


@terminal_command(
    "headrace_advisor.services.optimize:optimize",
    check="headrace_advisor.services.optimize:check_sql",
    apply="headrace_advisor.services.optimize_apply:apply_findings",
    dismiss="headrace_advisor.services.dismissals:dismiss",
    reopen="headrace_advisor.services.dismissals:reopen",
    prove="headrace_advisor.services.proofs:prove",
    group="change",
    summary="list what can go or be faster in SQL; `check` reads files",
)
def optimize_command(
    invocation: Invocation,
    words: Annotated[
        list[str] | None,
        Argument(
            "[SELECT|check FILE|apply ID|dismiss ID|reopen ID]...",
            "assets (all); or `check` and files of SQL; or an action and findings",
        ),
    ] = None,
    exclude: list[str] | None = None,
    dialect: str | None = None,
    prove: Annotated[
        bool, Option("--prove", help="measure each change on published partitions")
    ] = False,
    partitions: int = 3,
    budget: str = DEFAULT_BUDGET,
    reason: str | None = None,
    yes: Yes = False,
    exit_code: ExitCode = False,
) -> int:
    """List what can go or be faster in SQL, and what is wrong in it, with premises and diffs.

    `check FILE --dialect D` reads files instead of the project: no project and no data are needed.
    A finding is proven if each of its premises is guarded by a check, a contract or the query
    itself. Nothing is run without `--prove`, which runs each change and its original over published
    partitions and compares rows and times. `apply ID…` writes the change of findings that are
    proven and measured, shows the plan, asks and applies it. `dismiss ID…` dismisses findings, and
    proposals of `bottleneck` and `complexity`, until their facts change; `reopen ID…` ends
    that.
    """
    action, rest = (words[0], words[1:]) if words else ("", [])
    _refuse_misplaced(action, reason, dialect)
    if action == "check":
        return _check(invocation, rest, dialect, exit_code=exit_code)
    if action == "apply":
        return _apply(invocation, rest, yes=yes)
    if action in ("dismiss", "reopen"):
        return _decide(invocation, action, rest, reason)
    if prove:
        rows = _proved(invocation, words or (), exclude or (), partitions, budget)
    else:
        rows = _listed(invocation, words or (), exclude or (), (partitions, budget))
    invocation.show(rows, _render, clock=False)
    return int(exit_code and any(_is_open(row) for row in rows))


def _refuse_misplaced(action: str, reason: str | None, dialect: str | None) -> None:
    """Raise UsageError for an option of another action."""
    if reason is not None and action != "dismiss":
        raise UsageError(
            "--reason belongs to `optimize dismiss`",
            hint="headrace optimize dismiss ID --reason TEXT",
        )
    if dialect is not None and action not in _ACTIONS:
        raise UsageError(
            "--dialect belongs to `optimize check`; assets are in DuckDB's SQL",
            hint="headrace optimize check FILE --dialect D",
        )


def _is_open(row: OptimizeRow) -> bool:
    dismissal = row.dismissal
    return row.verdict != "refuted" and (dismissal is None or dismissal.ended is not None)


def _decide(invocation: Invocation, action: str, ids: list[str], reason: str | None) -> int:
    """Dismiss proposals or reopen them."""
    from headrace_advisor.services import dismissals

    session, progress = invocation.session, invocation.progress()
    if action == "reopen":
        response = dismissals.reopen(session, ids=ids, progress=progress)
    else:
        response = dismissals.dismiss(session, ids=ids, reason=reason or "", progress=progress)
    invocation.show(response, _render_decided)
    return 0


def _render_decided(response: DismissedResponse, page: CommandOutput) -> None:
    names, dismissal = joined(response.ids, 8), response.dismissal
    if dismissal is None:
        page.say(f"{names} {'is' if len(response.ids) == 1 else 'are'} proposed again", "good")
        return
    page.say(f"dismissed: {names}")
    page.say(f"by {dismissal.by}: {dismissal.reason}", indent=2)
    by_text: dict[str, list[str]] = {}
    for name, text in zip(response.ids, response.until, strict=True):
        by_text.setdefault(text, []).append(name)
    for text, those in by_text.items():
        of = f"{joined(those, 8)}: " if len(by_text) > 1 else ""
        page.say(f"{of}{text}", "dim", indent=2)
    page.next(command_line("optimize", "reopen", *response.ids))


def _proved(
    invocation: Invocation,
    select: Sequence[str],
    exclude: Sequence[str],
    partitions: int,
    budget: str,
) -> list[OptimizeRow]:
    from headrace_advisor.services.proofs import prove

    return prove(
        invocation.session,
        select,
        exclude,
        partitions=partitions,
        budget=budget,
        progress=invocation.progress(),
    )


def _listed(
    invocation: Invocation,
    select: Sequence[str],
    exclude: Sequence[str],
    of_proofs: tuple[int, str],
) -> list[OptimizeRow]:
    if of_proofs != (3, DEFAULT_BUDGET):
        raise UsageError("--partitions and --budget belong to --prove")
    from headrace_advisor.services.optimize import optimize

    return optimize(invocation.session, select, exclude, progress=invocation.progress())


def _apply(invocation: Invocation, ids: list[str], *, yes: bool) -> int:
    if not ids:
        raise UsageError("which finding is to be applied?", hint="headrace optimize apply ID")
    from headrace_advisor.services.optimize_apply import apply_findings

    return apply_agreed(
        invocation,
        partial(apply_findings, invocation.session, ids=ids),
        yes=yes,
        command=command_line("optimize", "apply", *ids, "--yes"),
    )


def _check(
    invocation: Invocation, files: list[str], dialect: str | None, *, exit_code: bool
) -> int:
    if not files:
        raise UsageError(
            "which file is to be checked?", hint="headrace optimize check FILE --dialect D"
        )
    from headrace_advisor.services.optimize import check_sql

    rows, unreadable = check_sql(files, dialect=dialect)
    invocation.show(rows, _render, clock=False)
    for file, problem in unreadable:
        invocation.note(f"{file}:{problem.line}: the statement can't be read: {problem.message}")
    reported = any(row.verdict != "refuted" for row in rows)
    return int(bool(unreadable) or (exit_code and reported))


def _render(rows: list[OptimizeRow], page: CommandOutput) -> None:
    page.head("optimize")
    open_rows = [row for row in rows if _is_open(row)]
    dismissed = [row for row in rows if row.verdict != "refuted" and not _is_open(row)]
    if not open_rows:
        page.say("✓ nothing to propose", "good")
        _render_dismissed(dismissed, page)
        return
    for row in open_rows:
        _render_row(row, page)
    _render_common_commands(open_rows, page)
    proven = sum(row.verdict == "proven" for row in open_rows)
    page.say()
    page.say(f"{plural(len(open_rows), 'finding')}, {proven} proven")
    _render_dismissed(dismissed, page)


def _render_common_commands(open_rows: list[OptimizeRow], page: CommandOutput) -> None:
    together = {row.asset: row.asset_command for row in open_rows if row.asset_command}
    for asset, command in together.items():
        page.say()
        page.say(f"all of {asset} at once:")
        page.command(command, indent=2)


def _render_dismissed(rows: list[OptimizeRow], page: CommandOutput) -> None:
    if not rows:
        return
    page.say()
    page.say(f"dismissed: {plural(len(rows), 'finding')}", "dim")
    for row in rows[:DISMISSED_PRINTED_MAX]:
        page.say(f"{row.id} · {row.file}:{row.line}  {row.message}", "dim", indent=2)
        render_dismissal(row.dismissal, page, indent=4)
    if len(rows) > DISMISSED_PRINTED_MAX:
        page.say("--json has all", "dim", indent=2)


def _render_row(row: OptimizeRow, page: CommandOutput) -> None:
    page.say()
    page.say(f"{row.file}:{row.line}  {row.message}", "bold")
    page.say(f"{row.id} · {row.rule} · {row.verdict}", _STYLES.get(row.verdict, ""), indent=2)
    render_dismissal(row.dismissal, page, indent=2)
    for premise in row.premises:
        guard = "nothing guards it" if premise.guard is None else premise.guard
        page.say(f"if {premise.text}: {guard}", indent=2)
    for line in (row.diff or "").splitlines()[2:]:
        page.say(line, _diff_style(line), indent=2)
    _render_measured(row, page)


def _render_measured(row: OptimizeRow, page: CommandOutput) -> None:
    if row.equality is not None and row.equality.equal:
        number = plural(len(row.equality.partitions), "partition")
        page.say(f"measured: {plural(row.equality.rows, 'row')} equal in {number}", indent=2)
    if row.measured is not None:
        low, high = row.measured.ci95
        page.say(f"duration {low:+.1f} to {high:+.1f} %{_saving(row)}", indent=2)
        _render_buffers(row.measured, page)
    if row.unmeasured is not None:
        page.say(f"not measured: {row.unmeasured}", "dim", indent=2)
    if row.waited_seconds:
        page.say(f"waited {seconds(row.waited_seconds)} for an idle slot", "dim", indent=2)
    for check in row.adds_checks:
        page.say(f"adds the check {check}", indent=2)
    if row.command is not None:
        page.command(row.command, indent=2)


def _render_buffers(measured: MeasuredRow, page: CommandOutput) -> None:
    before, after = measured.before_peak_bytes, measured.after_peak_bytes
    if before is not None and after is not None:
        texts = (f"{peak / 2**20:,.1f} MiB" for peak in (before, after))
        page.say(f"buffers at most {' before, '.join(texts)} after", "dim", indent=2)


def _saving(row: OptimizeRow) -> str:
    saved = row.saves_month.seconds
    return "" if saved is None else f", {seconds(saved)} a month by the runs of the last 30 days"


def _diff_style(line: str) -> str:
    return {"+": "good", "-": "bad"}.get(line[:1], "dim")
