"""`headrace import status`, `shadow`, `move`, `retire` and `rollback`: stage by stage."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.extension import (
    ColumnLayout,
    CommandOutput,
    Invocation,
    UsageError,
    command_line,
    plural,
)
from headrace_import.responses.stages import (
    ImportDagRow,
    ImportMovedResponse,
    ImportStatusResponse,
)
from headrace_import.services.report import commands_text

if TYPE_CHECKING:
    from headrace.extension import ProjectSession

ITEMS_SHOWN_MAX = 20
_STAGE_TEXTS = {
    "airflow": "runs in Airflow",
    "shadow": "shadow: runs in Airflow, and assets of it run here",
    "moved": "moved: runs here",
    "retired": "retired",
    "both": "runs in both",
    "neither": "runs in neither",
    "unfinished": "paused in Airflow with unfinished runs",
    "unknown": "not known",
}


def status(invocation: Invocation, item: str, into: Path | None) -> int:
    """Print how far an imported project is."""
    from headrace_import.services.status import import_status

    session = imported_session(invocation, into)
    response = import_status(session, session.root, item)
    invocation.show(response, partial(_render_status, named=bool(item)), clock=False)
    return 0


def move(invocation: Invocation, dag: str, into: Path | None, *, yes: bool) -> int:
    """Pause a DAG in Airflow, and let its assets run here."""
    from headrace_import.services import stages

    name, session = _named("move", dag, "DAG"), imported_session(invocation, into)
    progress = invocation.progress()
    response = stages.move(session, session.root, name, yes=yes, progress=progress)
    invocation.show(response, _render_moved, clock=False)
    return 0


def beside(invocation: Invocation, dag: str, into: Path | None) -> int:
    """Let the carried assets of a DAG run here beside Airflow."""
    from headrace_import.services import stages

    name, session = _named("shadow", dag, "DAG"), imported_session(invocation, into)
    progress = invocation.progress()
    response = stages.run_beside(session, session.root, name, progress=progress)
    invocation.show(response, _render_moved, clock=False)
    return 0


def retire(invocation: Invocation, dag: str, into: Path | None, *, yes: bool) -> int:
    """Record that a moved DAG isn't needed in Airflow any more."""
    from headrace_import.services import stages

    name, session = _named("retire", dag, "DAG"), imported_session(invocation, into)
    response = stages.retire(session, session.root, name, yes=yes)
    invocation.show(response, _render_moved, clock=False)
    return 0


def rollback(invocation: Invocation, name: str, into: Path | None, *, yes: bool) -> int:
    """Give a DAG back to Airflow, or take an applied suggestion back."""
    from headrace.extension import local_actor
    from headrace_import.services import stages

    name, session = _named("rollback", name, "DAG"), imported_session(invocation, into)
    response = stages.rollback(
        session,
        session.root,
        name,
        yes=yes,
        actor=local_actor(),
        progress=invocation.progress(),
    )
    invocation.show(response, _render_moved, clock=False)
    return 0


def imported_session(invocation: Invocation, into: Path | None) -> ProjectSession:
    """Return the session of the imported project: that in `into`, if it is given."""
    if into is not None:
        invocation.options = invocation.options._replace(project=str(into))
    return invocation.session


def _named(action: str, name: str, what: str) -> str:
    if not name:
        raise UsageError("the name is missing", hint=command_line("import", action, what))
    return name


def _render_status(response: ImportStatusResponse, page: CommandOutput, *, named: bool) -> None:
    page.say(f"imported from {response.origin} ({response.tool})")
    verdicts = [item.verdict for item in response.items]
    page.facts(
        f"{verdicts.count('carried')} carried",
        commands_text(verdicts.count("command")),
        f"{verdicts.count('person')} for a person",
    )
    if response.dags:
        page.table(_DAG_COLUMNS, [_dag_cells(row) for row in response.dags])
    _render_items(response, page, named=named)
    if response.new is None:
        page.say(f"! {response.origin} isn't there any more, so nothing is compared", "warn")
    elif response.new:
        page.say(f"! {plural(len(response.new), 'new item')} at the origin", "warn")
    if response.applied:
        page.say(f"applied suggestions: {', '.join(response.applied)}")
    page.next(response.next)


_DAG_COLUMNS = [
    ColumnLayout("DAG", gives=1, least=12),
    ColumnLayout("stage", least=8),
    ColumnLayout("assets"),
    ColumnLayout("not carried"),
    ColumnLayout("unfinished"),
    ColumnLayout("why", gives=2),
]


def _dag_cells(row: ImportDagRow) -> list[str]:
    unfinished = "" if row.unfinished is None else str(row.unfinished)
    return [row.dag, _stage(row), str(len(row.assets)), str(len(row.left)), unfinished, row.why]


_ITEM_COLUMNS = [
    ColumnLayout("item", gives=1, least=12),
    ColumnLayout("became"),
    ColumnLayout("its files"),
    ColumnLayout("at the origin"),
]


def _render_items(response: ImportStatusResponse, page: CommandOutput, *, named: bool) -> None:
    """Print the named items, or those whose files or whose origin changed since the import."""
    rows = [
        [item.id, item.verdict, item.files.replace("_", " "), item.origin or "not there"]
        for item in response.items
        if named or item.files in ("edited", "removed") or item.origin in ("changed", "gone")
    ]
    page.table(_ITEM_COLUMNS, rows[:ITEMS_SHOWN_MAX])
    if len(rows) > ITEMS_SHOWN_MAX:
        page.say(f"… and {len(rows) - ITEMS_SHOWN_MAX} more items", "dim", indent=2)


def _stage(row: ImportDagRow) -> str:
    return _STAGE_TEXTS[row.stage]


def _render_moved(response: ImportMovedResponse, page: CommandOutput) -> None:
    if response.suggestion is not None:
        page.say(f"✓ {response.suggestion} taken back", "good")
        page.say(f"{plural(len(response.files), 'file')} changed: {', '.join(response.files)}")
    if response.dag is not None:
        row = response.dag
        good = row.stage in ("airflow", "shadow", "moved", "retired")
        page.say(f"{'✓' if good else '!'} {row.dag}: {_stage(row)}", "good" if good else "warn")
        if row.stage == "retired":
            page.say(
                f"nothing was changed in Airflow: remove {row.dag} there when you like", indent=2
            )
        else:
            page.facts(
                f"in Airflow: {row.in_airflow or 'not known'}", f"here: {row.here or 'not known'}"
            )
    for note in response.notes:
        page.say(note, indent=2)
    if response.diff is not None:
        page.raw(response.diff.rstrip("\n"))
    page.next(response.next)
