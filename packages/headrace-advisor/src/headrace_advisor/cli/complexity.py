"""`headrace complexity`: what the project could do without, and pruning it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from headrace.cli.output import seconds
from headrace.extension import (
    Argument,
    ColumnLayout,
    CommandOutput,
    Invocation,
    StyledCell,
    UsageError,
    Yes,
    can_ask,
    command_line,
    joined,
    plural,
    terminal_command,
)
from headrace_advisor.cli.agreed_changes import apply_agreed
from headrace_advisor.cli.dismissals import render_dismissal
from headrace_advisor.responses.advice import (
    ComplexityResponse,
    ComplexityRow,
    PruneResponse,
)

FINDINGS_PRINTED_MAX = 60
DISMISSED_PRINTED_MAX = 20


@terminal_command(
    "headrace_advisor.services.complexity:complexity",
    apply_prune="headrace_advisor.services.pruning:apply_prune",
    prune="headrace_advisor.services.pruning:prune",
    restore="headrace_advisor.services.pruning:restore_files",
    undo="headrace_advisor.services.pruning:undo_prune",
    group="look",
    summary="show what the project could do without; prune it",
)
def complexity_command(
    invocation: Invocation,
    what: Annotated[str | None, Argument("[prune|undo|restore]", help="the action")] = None,
    names: Annotated[
        list[str],
        Argument("[ID]...", help="of prune: findings; of undo and restore: a version's number"),
    ] = [],  # noqa: B006 - never changed
    yes: Yes = False,
) -> int:
    """Show what the project could do without, with counts by version.

    `prune` deletes the files of findings, shows the plan, asks and applies it. Without a terminal
    to ask, and without --yes, it only deletes the files, and nothing changes until `apply`.
    `undo` writes back the files of a version that are missing now, shows the plan, asks and applies
    it; `restore` only writes them back.
    """
    if what is None:
        from headrace_advisor.services.complexity import complexity

        invocation.show(complexity(invocation.session), _render)
        return 0
    from headrace_advisor.services import pruning

    if what == "prune" and names and (yes or (can_ask() and not invocation.options.json)):
        return _prune(invocation, names, yes=yes)
    if what == "prune" and names:
        invocation.show(
            pruning.prune(invocation.session, ids=names, progress=invocation.progress()),
            _render_pruned,
        )
        return 0
    if what == "restore" and len(names) == 1:
        invocation.show(
            pruning.restore_files(
                invocation.session, version=names[0], progress=invocation.progress()
            ),
            _render_pruned,
        )
        return 0
    if what == "undo" and len(names) == 1:
        return _undo(invocation, names[0], yes=yes)
    raise _unknown(what)


def _unknown(what: str) -> UsageError:
    if what in ("dismiss", "reopen"):
        return UsageError(
            "`headrace optimize` dismisses and reopens proposals",
            hint="headrace optimize dismiss ID --reason TEXT",
        )
    problem = "isn't complete" if what in ("prune", "undo", "restore") else "isn't known"
    return UsageError(
        f"`headrace complexity {what[:40]}` {problem}",
        hint="headrace complexity, complexity prune ID…, complexity undo VERSION",
    )


def _prune(invocation: Invocation, ids: list[str], *, yes: bool) -> int:
    from headrace_advisor.services.pruning import apply_prune

    return apply_agreed(invocation, partial(apply_prune, invocation.session, ids=ids), yes=yes)


def _undo(invocation: Invocation, version: str, *, yes: bool) -> int:
    from headrace_advisor.services.pruning import undo_prune

    return apply_agreed(
        invocation,
        partial(undo_prune, invocation.session, version=version),
        yes=yes,
        command=command_line("complexity", "undo", version, "--yes"),
    )


def _render(response: ComplexityResponse, page: CommandOutput) -> None:
    page.head("complexity", plural(sum(response.counts.values()), "finding"))
    if response.counts:
        page.say(
            " · ".join(
                f"{kind.replace('_', ' ')} {count:,}" for kind, count in response.counts.items()
            )
        )
        page.say(response.note, "dim")
    else:
        more = " more" if response.dismissed else ""
        page.say(f"nothing{more} was found that the project could do without")
    _render_findings(response, page)
    _render_dismissed(response, page)
    _render_hops_and_trend(response, page)
    page.next(next((row.command for row in response.findings if row.files), None))


def _render_findings(response: ComplexityResponse, page: CommandOutput) -> None:
    columns = [
        ColumnLayout("finding", gives=2, least=20),
        ColumnLayout("why", gives=3, least=20),
        ColumnLayout("a month", right=True),
    ]
    page.table(columns, [_cells(row) for row in response.findings[:FINDINGS_PRINTED_MAX]])
    if len(response.findings) > FINDINGS_PRINTED_MAX:
        more = plural(len(response.findings) - FINDINGS_PRINTED_MAX, "more finding")
        page.say(f"and {more}; --json has them", "dim", indent=2)


def _render_dismissed(response: ComplexityResponse, page: CommandOutput) -> None:
    returned = [row for row in response.findings if row.dismissal is not None]
    for row in (*response.dismissed, *returned)[:DISMISSED_PRINTED_MAX]:
        page.say(f"{row.id}: {row.evidence}", "dim")
        render_dismissal(row.dismissal, page, indent=2)
    if len(response.dismissed) + len(returned) > DISMISSED_PRINTED_MAX:
        page.say("--json has all that was dismissed", "dim", indent=2)


def _render_hops_and_trend(response: ComplexityResponse, page: CommandOutput) -> None:
    for consumer, hops in response.hops.items():
        if hops.actual > hops.least:
            page.say(
                f"{consumer}: {plural(hops.actual, 'asset')} between source and consumer,"
                f" {hops.least} would do"
            )
    if len(response.trend) > 1:
        first, last = response.trend[0], response.trend[-1]
        page.say(
            f"by declarations: {sum(first.counts.values()):,} in version {first.version},"
            f" {sum(last.counts.values()):,} in version {last.version}",
            "dim",
        )


def _cells(row: ComplexityRow) -> list[str | StyledCell]:
    return [StyledCell(row.id, "bold"), row.evidence, seconds(row.saves_month.seconds)]


def _render_pruned(response: PruneResponse, page: CommandOutput) -> None:
    verb = "deleted" if response.deleted else "written back"
    files = response.deleted or response.restored
    if not files:
        page.say(f"all files of version {response.version} are there: nothing was written")
        page.next("headrace status")
        return
    page.say(f"{plural(len(files), 'file')} {verb}: {joined(files, 8)}")
    if response.owners:
        page.say(f"ask their owners first: {joined(response.owners, 8)}", "warn")
        page.say(response.note, "dim")
    page.say("nothing changes until the plan is applied, which says how long published data stays")
    page.next(response.next)
    if response.undo is not None:
        page.say(f"undo: {response.undo}", "dim")
