"""`headrace import`: bring a project of another tool over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from headrace.extension import (
    Argument,
    ColumnLayout,
    CommandOutput,
    Invocation,
    Option,
    UsageError,
    command_line,
    local_actor,
    plural,
    terminal_command,
)
from headrace_import.cli.diff import diff
from headrace_import.cli.stages import beside, move, retire, rollback, status
from headrace_import.cli.suggestions import suggestion
from headrace_import.responses.imports import ImportChanges, ImportResponse
from headrace_import.services.report import carried_text, commands_text

ITEMS_SHOWN_MAX = 20
"""Items for a person, suggestions and secrets that are printed; the report has all."""


@terminal_command(
    group="start",
    summary="write a project from one of dbt, Airflow or Azure Data Factory, with a report",
)
def import_command(
    invocation: Invocation,
    tool: Annotated[
        str,
        Argument(
            "dbt|airflow|adf|prefect|dagster|suggestion|status|shadow|diff|move|retire|rollback",
            help="the tool of the project, or an action",
        ),
    ],
    path: Annotated[
        Path | None,
        Argument(
            "PATH",
            help="the folder of its project; suggestion: an id or a kind; status, diff: an item or"
            " a DAG; shadow, move, retire: a DAG; rollback: a DAG or a suggestion",
        ),
    ] = None,
    *,
    into: Annotated[
        Path | None,
        Option(
            "--into",
            metavar="DIR",
            help="where it is written (default: ./<name of PATH>-headrace); for an action, the"
            " imported project (default: this folder)",
        ),
    ] = None,
    with_dbt: Annotated[
        bool,
        Option("--with-dbt", help="dbt: let the program dbt compile what can't be read without it"),
    ] = False,
    check: Annotated[
        bool, Option("--check", help="only say what changed there since the import; exit 1 if so")
    ] = False,
    apply: Annotated[
        bool, Option("--apply", help="suggestion: write its change into the project's files")
    ] = False,
    yes: Annotated[
        bool,
        Option(
            "--yes",
            help="move, retire, rollback: even if tasks would run nowhere or twice, or others wait",
        ),
    ] = False,
    since: Annotated[
        str | None,
        Option("--since", metavar="T", help="diff: partitions since then (default: 31d)"),
    ] = None,
) -> int:
    """Write a Headrace project from a project of another tool, with a report on each of its tasks.

    The project's files are read, nothing of it is run. With --with-dbt, dbt compiles the templates
    that can't be read without it: then dbt runs their macros, which may ask your warehouse. The
    report is import-report.md and import-report.html in the new folder; headrace validate has
    checked it.

    `headrace import suggestion [ID|KIND] --into DIR` prints suggestions of an import as diffs;
    with --apply it changes the project's files. In an imported project, `headrace import status`
    says how far it is. `headrace import shadow DAG` lets the carried assets of a DAG run beside
    Airflow, and `headrace import diff DAG` compares their rows with those of Airflow's tables; it
    exits with 0 only if all are compared and the same. `headrace import move DAG` pauses a DAG in
    Airflow and lets its assets run here, `headrace import retire DAG` records that Airflow doesn't
    need it any more, and `headrace import rollback DAG` gives it back.
    """
    name = str(path or "")
    actions: dict[str, Callable[[], int]] = {
        "suggestion": lambda: suggestion(invocation, name, into, apply=apply),
        "status": lambda: status(invocation, name, into),
        "shadow": lambda: beside(invocation, name, into),
        "diff": lambda: diff(invocation, name, into, since),
        "move": lambda: move(invocation, name, into, yes=yes),
        "retire": lambda: retire(invocation, name, into, yes=yes),
        "rollback": lambda: rollback(invocation, name, into, yes=yes),
    }
    if tool in actions:
        return actions[tool]()
    from headrace_import.services.project import check_import, import_project, importer

    if not apply:
        importer(tool)  # its name first: the rest of the line may be for another tool
    if path is None or apply:
        what = "--apply is for suggestions" if apply else "the folder of the project is missing"
        words = ("suggestion", "ID", "--apply") if apply else (tool, "PATH")
        raise UsageError(what, hint=command_line("import", *words))
    if check:
        _refuse_with_dbt(with_dbt, tool, path)
        response = check_import(tool, path, into)
        invocation.show(response, _render_changes, clock=False)
        changes = response.changes
        return int(changes is not None and bool(_changed(changes)))
    response = import_project(
        tool, path, into, local_actor(), invocation.progress(), with_dbt=with_dbt
    )
    invocation.show(response, _render_import, clock=False)
    return int(response.validate is not None and not response.validate.ok)


def _refuse_with_dbt(with_dbt: bool, tool: str, path: Path) -> None:
    if with_dbt:
        raise UsageError(
            "--check compares files, and --with-dbt changes nothing about that",
            hint=command_line("import", tool, str(path), "--check"),
        )


def _changed(changes: ImportChanges) -> list[tuple[str, str]]:
    """Return what changed, as kind and name."""
    return [
        *(("new", name) for name in changes.new),
        *(("gone", name) for name in changes.gone),
        *(("changed", name) for name in changes.changed),
        *(("file", name) for name in changes.files),
    ]


def _render_changes(response: ImportResponse, page: CommandOutput) -> None:
    rows = _changed(response.changes) if response.changes else []
    if not rows:
        page.say(f"✓ {response.origin} hasn't changed since the import", "good")
        return
    page.table(
        [ColumnLayout("change", least=7), ColumnLayout("item or file", gives=1, least=20)],
        [list(row) for row in rows[:ITEMS_SHOWN_MAX]],
    )
    _more(len(rows), "changes", page)
    page.say(f"! {plural(len(rows), 'change')} since the import", "warn")
    page.next(response.next)


def _render_import(response: ImportResponse, page: CommandOutput) -> None:
    counts, validation = response.counts, response.validate
    if not response.items:
        page.say(f"! {response.origin} has nothing of {response.tool} that was recognised", "warn")
        page.next(response.next)
        return
    page.say(f"✓ {response.origin} imported into {response.directory}", "good")
    page.facts(
        carried_text(counts),
        commands_text(counts.command),
        f"{counts.person} for a person",
        f"dbt compiled {plural(response.executed, 'template')}"
        if response.executed
        else "nothing of it was run",
    )
    _render_items(response, page)
    for row in response.suggestions[:ITEMS_SHOWN_MAX]:
        page.say(f"suggestion {row.id}: {row.evidence}", indent=2)
    _more(len(response.suggestions), "suggestions", page)
    if any(row.diff for row in response.suggestions):
        command = command_line("import", "suggestion", "--into", response.directory)
        page.say(f"suggestions as changes of files: {command}", indent=2)
    for secret in response.secrets_found[:ITEMS_SHOWN_MAX]:
        page.say(
            f"! {secret.file}:{secret.line} has a secret in plain text: {secret.name} (not copied)",
            "warn",
            indent=2,
        )
    _more(len(response.secrets_found), "secrets", page)
    if validation is not None and not validation.ok:
        errors = sum(row.severity == "error" for row in validation.problems)
        page.say(f"✗ not valid yet: {plural(errors, 'error')}", "bad")
    page.say(f"report: {response.directory}/import-report.md, import-report.html")
    _warn_of_second_runs(response, page)
    page.next(response.next)


def _warn_of_second_runs(response: ImportResponse, page: CommandOutput) -> None:
    """Say how to keep commands from starting work that the origin's schedules still start."""
    if response.counts.command and response.tool in _SCHEDULED:
        pause = command_line("pause", "*", "--reason", f"runs in {_SCHEDULED[response.tool]}")
        page.say(
            f"! the commands start tasks in {_SCHEDULED[response.tool]}, whose own schedules go on."
            f" Pause them after headrace apply, before run or serve: {pause}",
            "warn",
        )


_SCHEDULED = {
    "airflow": "Airflow",
    "adf": "Data Factory",
    "prefect": "Prefect",
    "dagster": "Dagster",
}
_ITEM_COLUMNS = [
    ColumnLayout("for a person", gives=2, least=20),
    ColumnLayout("at", gives=3, least=12, drops=1),
    ColumnLayout("why", gives=1, least=24),
]


def _render_items(response: ImportResponse, page: CommandOutput) -> None:
    rows = [item for item in response.items if item.verdict == "person"]
    page.table(
        _ITEM_COLUMNS,
        [[row.id, f"{row.file}:{row.line}", row.why] for row in rows[:ITEMS_SHOWN_MAX]],
    )
    _more(len(rows), "items", page)


def _more(total: int, what: str, page: CommandOutput) -> None:
    if total > ITEMS_SHOWN_MAX:
        page.say(f"… and {total - ITEMS_SHOWN_MAX} more {what}", "dim", indent=2)
