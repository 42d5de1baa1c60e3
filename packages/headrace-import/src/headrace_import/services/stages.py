"""`import shadow`, `move`, `retire` and `rollback`: one DAG of Airflow, stage by stage.

Each stage has a way back: `rollback` gives the DAG to Airflow again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headrace.connect.connectors import Unavailable
from headrace.extension import (
    CHANGE,
    OPERATE,
    HeadraceError,
    Progress,
    ProjectError,
    ProjectSession,
    Refused,
    command,
    command_line,
    counted,
    few,
    pause,
    resume,
    write_files,
)
from headrace.security.audit import rfc3339
from headrace.security.secrets import SecretMissing
from headrace.store.clock import instant
from headrace.store.queries import attempts
from headrace_import.airflow_server.control import AirflowControl, ScheduledRun
from headrace_import.importers.origin_files import MANIFEST_FILE
from headrace_import.responses.stages import ImportMovedResponse
from headrace_import.services.handover import (
    begin,
    beginning,
    continuation,
    require_applied,
    unfinished_error,
)
from headrace_import.services.manifest import (
    Manifest,
    RetiredDag,
    imported_manifest,
    manifest_text,
)
from headrace_import.services.project import importer
from headrace_import.services.status import (
    DagHere,
    airflow_control,
    dag_row,
    require_dag,
    runs_here,
    tasks_left,
)
from headrace_import.services.suggestions import take_back


@command("import shadow", OPERATE)
def run_beside(
    session: ProjectSession, directory: Path, dag: str, *, progress: Progress
) -> ImportMovedResponse:
    """Let the carried assets of a DAG run here beside Airflow, which isn't changed.

    Assets that start the DAG's own tasks are paused: no task runs twice. Raise ProjectError if
    nothing of the DAG is carried, or if it is paused in Airflow.
    """
    manifest = _of_dag(directory, dag)
    here = runs_here(session, manifest, dag)
    carried = [name for name in here.assets if name not in here.commands]
    if not carried:
        why = here.why or "each of its assets starts the task itself"
        raise ProjectError(
            f"nothing of {dag} can be computed beside Airflow: {why}",
            hint="headrace apply" if here.why else command_line("import", "move", dag),
        )
    _require_active_there(session, dag)
    reason = f"computed here beside Airflow, which runs {dag}"
    commands = [name for name in here.commands if name not in here.paused]
    if commands:
        pause(session, commands, reason=reason, progress=progress)
    waiting = [*here.paused_sources, *(name for name in carried if name in here.paused)]
    if waiting:
        resume(session, waiting, reason=reason, progress=progress)
    return _moved(session, manifest, dag)


def _require_active_there(session: ProjectSession, dag: str) -> None:
    """Raise ProjectError if a DAG is paused in Airflow. It may be that Airflow can't be asked."""
    try:
        paused = airflow_control(session, dag).state(dag).is_paused
    except (Unavailable, SecretMissing, ProjectError):
        return
    if paused:
        raise ProjectError(
            f"{dag} is paused in Airflow, so that there is nothing to run beside",
            hint=command_line("import", "rollback", dag),
        )


@command("import move", CHANGE)
def move(
    session: ProjectSession, directory: Path, dag: str, *, yes: bool, progress: Progress
) -> ImportMovedResponse:
    """Pause a DAG in Airflow, and let its assets run here. Another call ends an interrupted one.

    Assets that start its tasks begin with the first interval that Airflow has not run: that is
    written into their files, and applied. Raise Refused if runs of it are unfinished in Airflow,
    or without `yes` if tasks of it would run nowhere; ProjectError if nothing of it can run here
    or files aren't applied; HeadraceError if Airflow can't be asked.
    """
    manifest = _of_dag(directory, dag)
    here = runs_here(session, manifest, dag)
    if here.why:
        raise ProjectError(f"{dag} can't be moved: {here.why}", hint="headrace apply")
    left = tasks_left(manifest, dag)
    if left and not yes:
        raise Refused(
            f"{counted(len(left), 'task')} of {dag} would run nowhere, not carried by the import:"
            f" {few(left)}",
            hint=f"see {command_line('import', 'status', dag)}; to move it without them:"
            f" {command_line('import', 'move', dag, '--yes')}",
        )
    require_applied(session, dag, progress)
    control = airflow_control(session, dag)
    with _errors_of_airflow(dag):
        newest = _paused_after_its_runs(control, dag)
    start = beginning(session, directory, here, newest)
    applied = begin(session, directory, dag, start, progress)
    try:
        waiting = [*here.paused_sources, *here.paused]
        if waiting:
            reason = f"moved from Airflow, where {dag} is paused now"
            resume(applied, waiting, reason=reason, progress=progress)
    finally:
        applied.close()
    moved = _moved(session, manifest, dag)
    return msgspec.structs.replace(
        moved, files=list(start.after), diff=start.diff or None, notes=start.notes
    )


def _paused_after_its_runs(control: AirflowControl, dag: str) -> ScheduledRun | None:
    """Pause a DAG without unfinished runs, and return its newest run.

    Raise Refused if it has some; then it is as it was. A run that Airflow created just before the
    pause is unfinished, too.
    """
    before = control.state(dag)
    if before.unfinished:
        raise unfinished_error(dag, before)
    control.set_paused(dag, True)
    after = control.state(dag)
    if after.unfinished:
        if not before.is_paused:
            control.set_paused(dag, False)
        raise unfinished_error(dag, after._replace(is_paused=before.is_paused))
    return control.newest_run(dag)


@command("import retire", CHANGE)
def retire(session: ProjectSession, directory: Path, dag: str, *, yes: bool) -> ImportMovedResponse:
    """Record that a moved DAG isn't needed in Airflow any more; nothing is changed there.

    Raise ProjectError if it isn't moved as a whole, or assets still start its tasks; Refused
    without `yes` if tasks of it run nowhere, or if others in Airflow come after it.
    """
    manifest = _of_dag(directory, dag)
    row = dag_row(session, manifest, dag, {})
    here = runs_here(session, manifest, dag)
    if row.stage == "unknown":
        raise ProjectError(
            f"whether {dag} is moved isn't known: {row.why}",
            hint=f"see {command_line('import', 'status', dag)}",
        )
    if row.stage != "moved" or here.paused or here.paused_sources:
        what = f"isn't moved as a whole: {row.why}" if row.why else "isn't moved yet"
        raise ProjectError(f"{dag} {what}", hint=command_line("import", "move", dag))
    if here.commands:
        raise ProjectError(
            f"{dag} is still needed in Airflow: {few(here.commands)} start its tasks",
            hint="write them as assets of your own, or remove them; then headrace apply",
        )
    files, after = _at_the_origin(directory, manifest, dag)
    left = tasks_left(manifest, dag)
    reasons = [
        f"{counted(len(left), 'task')} of it run nowhere: {few(left)}" if left else "",
        f"{few(after)} come after it in Airflow" if after else "",
    ]
    if any(reasons) and not yes:
        raise Refused(
            f"{dag} isn't retired: {'; '.join(filter(None, reasons))}",
            hint=f"to retire it nevertheless: {command_line('import', 'retire', dag, '--yes')}",
        )
    at = rfc3339(instant(session.clock.now_us()))
    retired = {**manifest.retired, dag: RetiredDag(at=at, files=files)}
    stored = _stored(directory, msgspec.structs.replace(manifest, retired=retired))
    return _moved(session, stored, dag)


def _at_the_origin(directory: Path, manifest: Manifest, dag: str) -> tuple[list[str], list[str]]:
    """Return the files that have only tasks of this DAG, and other tasks that come after it.

    Tasks of retired DAGs don't count. Both are empty if the origin isn't there any more.
    """
    root = (directory / manifest.origin).resolve()
    if not root.is_dir():
        return [], []
    imported = importer(manifest.tool)(root)
    group_of = {item.id: item.group for item in imported.items}
    others = {item.file for item in imported.items if item.group != dag}
    files = {item.file for item in imported.items if item.group == dag} - others
    after = {
        row.target
        for row in imported.dependencies
        if group_of.get(row.origin) == dag
        and group_of.get(row.target) not in (dag, *manifest.retired)
    }
    return sorted(files), sorted(after)


def _of_dag(directory: Path, dag: str) -> Manifest:
    """Return the manifest of an import with this DAG. Raise ProjectError if it is retired."""
    manifest = imported_manifest(directory, "status")
    require_dag(manifest, dag)
    if dag in manifest.retired:
        raise ProjectError(
            f"{dag} is retired since {manifest.retired[dag].at[:10]}",
            hint=f"to give it back to Airflow: {command_line('import', 'rollback', dag)}",
        )
    return manifest


def _stored(directory: Path, manifest: Manifest) -> Manifest:
    text = manifest_text(manifest)
    write_files(directory, {MANIFEST_FILE: text}, "look at its permissions, then try again")
    return manifest


@command("import rollback", CHANGE)
def rollback(
    session: ProjectSession,
    directory: Path,
    name: str,
    *,
    yes: bool = False,
    actor: str,
    progress: Progress,
) -> ImportMovedResponse:
    """Give a DAG back to Airflow, or take an applied suggestion back.

    Raise Refused without `yes` if Airflow would run tasks again that ran here, UsageError for an
    unknown name, ProjectError if a file of the suggestion was edited since, HeadraceError if
    Airflow can't be asked or attempts of the DAG's assets still run here.
    """
    manifest = imported_manifest(directory, "status")
    if name in {row.id for row in manifest.suggestions}:
        files = take_back(name, directory, actor, progress)
        return ImportMovedResponse(dag=None, suggestion=name, files=files, next="headrace plan")
    require_dag(manifest, name)
    here = runs_here(session, manifest, name)
    control = airflow_control(session, name)
    with _errors_of_airflow(name):
        # Nothing is paused here if Airflow couldn't be told.
        notes = _continuation(session, control, here, name, yes=yes)
    if here.active:
        reason = f"moved back to Airflow, which runs {name} again"
        pause(session, here.active, reason=reason, progress=progress)
    running = _running(session, here.assets)
    if running:
        raise HeadraceError(
            f"the assets of {name} are paused here now, but attempts of {few(running)} still run,"
            " and nothing was changed in Airflow",
            hint=f"when they have ended: {command_line('import', 'rollback', name)}",
        )
    with _errors_of_airflow(name):
        control.set_paused(name, False)
    if name in manifest.retired:
        retired = {key: row for key, row in manifest.retired.items() if key != name}
        manifest = _stored(directory, msgspec.structs.replace(manifest, retired=retired))
    return msgspec.structs.replace(_moved(session, manifest, name), notes=notes)


def _continuation(
    session: ProjectSession, control: AirflowControl, here: DagHere, dag: str, *, yes: bool
) -> list[str]:
    """Return what Airflow does once a paused DAG is active there again; empty if it is active.

    Raise Refused without `yes` if it would run again what the DAG's commands ran here.
    """
    if not control.state(dag).is_paused or here.why:
        return []
    newest, catchup = control.newest_run(dag), control.catchup(dag)
    following = continuation(session, here, newest, catchup=catchup)
    if following.again and not yes:
        raise Refused(
            f"{dag} isn't given back: {'; '.join(following.notes)}",
            hint="to run that again in Airflow:"
            f" {command_line('import', 'rollback', dag, '--yes')}",
        )
    return following.notes


def _moved(session: ProjectSession, manifest: Manifest, dag: str) -> ImportMovedResponse:
    again = session.again(session.actor)
    try:
        row = dag_row(again, manifest, dag, {})
    finally:
        again.close()
    return ImportMovedResponse(dag=row, suggestion=None, files=[], next=row.next)


def _running(session: ProjectSession, assets: Sequence[str]) -> list[str]:
    if session.store is None:
        return []
    with session.store.read() as tx:
        return sorted({row.node for row in attempts.running(tx)} & set(assets))


@contextmanager
def _errors_of_airflow(dag: str) -> Iterator[None]:
    """Raise what Airflow's API raised as an error of this command."""
    try:
        yield
    except Unavailable as error:
        raise HeadraceError(
            str(error), hint=f"see {command_line('import', 'status', dag)}"
        ) from error
