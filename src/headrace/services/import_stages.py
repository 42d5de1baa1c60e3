"""`import status`, `import move` and `import rollback`: an imported project, stage by stage.

Where a DAG of Airflow runs is read from both sides, and stored nowhere: it is paused in Airflow or
not, and its assets are paused here or not. So an interrupted move is seen, and another one ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.connect.airflow_control import AirflowControl, AirflowServerAddress, DagState
from headrace.connect.connectors import Unavailable
from headrace.model import HeadraceError, ProjectError, Refused, UsageError
from headrace.model.errors import did_you_mean
from headrace.model.partitions import command_line
from headrace.security.secrets import SecretMissing, Secrets
from headrace.services.import_manifest import Manifest, changes_since, load_manifest, text_hash
from headrace.services.import_project import importer
from headrace.services.import_suggestions import take_back
from headrace.services.pause import pause, resume, scheduled
from headrace.services.responses.import_stages import (
    ImportDagRow,
    ImportedItemRow,
    ImportMovedResponse,
    ImportStatusResponse,
)
from headrace.services.session import Progress, ProjectSession
from headrace.store.queries import attempts, scheduling

_STAGES = {
    ("active", "paused"): "airflow",
    ("paused", "active"): "moved",
    ("active", "active"): "both",
    ("paused", "paused"): "neither",
}
_NAMED_MAX = 5


class _Here(NamedTuple):
    """A DAG's part of the applied project."""

    assets: list[str]
    paused: list[str]
    why: str
    """Why nothing of it can run here; empty if something can."""

    @property
    def state(self) -> str | None:
        if self.why:
            return None
        return "paused" if len(self.paused) == len(self.assets) else "active"


def import_status(session: ProjectSession, directory: Path, item: str = "") -> ImportStatusResponse:
    """Return how far an imported project is: one item, one DAG, or (for an empty name) all.

    Raise ProjectError if the folder isn't an import, UsageError for an unknown item.
    """
    manifest = _manifest(directory)
    chosen = _chosen(manifest, item)
    root = (directory / manifest.origin).resolve()
    changes = None
    if root.is_dir():
        changes = changes_since(manifest, importer(manifest.tool)(root), root)
    groups = dict.fromkeys(manifest.became[name].group for name in chosen)
    silent: dict[str, Unavailable] = {}
    dags = [_dag_row(session, manifest, group, silent) for group in groups if group]
    states = {} if changes is None else _origin_states(changes.gone, changes.changed)
    steps = [row.next for row in dags if row.next is not None]
    return ImportStatusResponse(
        tool=manifest.tool,
        directory=str(directory),
        origin=manifest.origin,
        dags=dags,
        items=[
            ImportedItemRow(
                id=name,
                verdict=manifest.became[name].verdict,
                files=_files_state(directory, manifest, manifest.became[name].files),
                origin=None if changes is None else states.get(name, "unchanged"),
                suggestions=[
                    row.id
                    for row in manifest.suggestions
                    if name in row.items and row.id in manifest.applied
                ],
            )
            for name in chosen
        ],
        new=None if changes is None else changes.new,
        applied=list(manifest.applied),
        next=steps[0] if steps else None,
    )


def move(
    session: ProjectSession, directory: Path, dag: str, *, yes: bool, progress: Progress
) -> ImportMovedResponse:
    """Pause a DAG in Airflow, and let its assets run here. Another call ends an interrupted one.

    Raise Refused without `yes` if tasks of it would run nowhere, ProjectError if nothing of it can
    run here, HeadraceError if Airflow can't be asked or runs of it are unfinished there.
    """
    manifest = _manifest(directory)
    _require_dag(manifest, dag)
    here = _here(session, manifest, dag)
    if here.why:
        raise ProjectError(f"{dag} can't be moved: {here.why}", hint="headrace apply")
    left = _left(manifest, dag)
    if left and not yes:
        raise Refused(
            f"{_counted(len(left), 'task')} of {dag} would run nowhere, not carried by the import:"
            f" {_few(left)}",
            hint=f"see {command_line('import', 'status', dag)}; to move it without them:"
            f" {command_line('import', 'move', dag, '--yes')}",
        )
    control = _control(session, dag)
    with _errors_of_airflow(dag):
        control.set_paused(dag, True)
        unfinished = control.state(dag).unfinished
    if unfinished:
        raise HeadraceError(
            f"{dag} is paused in Airflow now, but {_counted(unfinished, 'run')} of it"
            f" {'is' if unfinished == 1 else 'are'} queued or running there, and nothing was"
            " resumed here",
            hint=f"once no run is left there: {command_line('import', 'move', dag)}",
        )
    if here.paused:
        reason = f"moved from Airflow, where {dag} is paused now"
        resume(session, here.paused, reason=reason, progress=progress)
    return _moved(session, manifest, dag)


def rollback(
    session: ProjectSession, directory: Path, name: str, *, actor: str, progress: Progress
) -> ImportMovedResponse:
    """Give a DAG back to Airflow, or take an applied suggestion back.

    Raise UsageError for an unknown name, ProjectError if a file of the suggestion was edited since,
    HeadraceError if Airflow can't be asked or attempts of the DAG's assets still run here.
    """
    manifest = _manifest(directory)
    if name in {row.id for row in manifest.suggestions}:
        files = take_back(name, directory, actor, progress)
        return ImportMovedResponse(dag=None, suggestion=name, files=files, next="headrace plan")
    _require_dag(manifest, name)
    here = _here(session, manifest, name)
    control = _control(session, name)
    with _errors_of_airflow(name):
        control.state(name)  # nothing is paused here if Airflow couldn't be told
    active = [asset for asset in here.assets if asset not in here.paused]
    if active:
        reason = f"moved back to Airflow, which runs {name} again"
        pause(session, active, reason=reason, progress=progress)
    running = _running(session, here.assets)
    if running:
        raise HeadraceError(
            f"the assets of {name} are paused here now, but attempts of {_few(running)} still run,"
            " and nothing was changed in Airflow",
            hint=f"when they have ended: {command_line('import', 'rollback', name)}",
        )
    with _errors_of_airflow(name):
        control.set_paused(name, False)
    return _moved(session, manifest, name)


def _moved(session: ProjectSession, manifest: Manifest, dag: str) -> ImportMovedResponse:
    again = ProjectSession(session.root, session.env, None, session.actor)
    try:
        row = _dag_row(again, manifest, dag, {})
    finally:
        again.close()
    return ImportMovedResponse(dag=row, suggestion=None, files=[], next=row.next)


# What the import says


def _manifest(directory: Path) -> Manifest:
    manifest = load_manifest(directory)
    if manifest is None:
        raise ProjectError(
            f"{directory.resolve()} isn't an imported project",
            hint="name its folder: headrace import status --into DIR",
        )
    return manifest


def _chosen(manifest: Manifest, item: str) -> list[str]:
    names = [name for name, facts in manifest.became.items() if item in ("", name, facts.group)]
    if item and not names:
        known = [*manifest.became, *{facts.group for facts in manifest.became.values()}]
        raise UsageError(
            f"the import has no item {item[:60]!r}",
            hint=did_you_mean(item, known) or "headrace import status lists them",
        )
    return names


def _require_dag(manifest: Manifest, dag: str) -> None:
    groups = {facts.group for facts in manifest.became.values() if facts.group}
    if dag in groups:
        return
    names = [*groups, *(row.id for row in manifest.suggestions)]
    raise UsageError(
        f"the import has no DAG or suggestion {dag[:60]!r}",
        hint=did_you_mean(dag, names) or "headrace import status lists them",
    )


def _left(manifest: Manifest, dag: str) -> list[str]:
    """Return the tasks of a DAG that nothing here does."""
    return [
        name
        for name, facts in manifest.became.items()
        if facts.group == dag and facts.verdict == "person"
    ]


def _files_state(directory: Path, manifest: Manifest, files: Sequence[str]) -> str:
    texts = {name: _text(directory / name) for name in files if name in manifest.files}
    if None in texts.values():
        return "removed"
    edited = [name for name, text in texts.items() if _is_edited(manifest, name, text or "")]
    return "edited" if edited else "as_written" if texts else "none"


def _is_edited(manifest: Manifest, name: str, text: str) -> bool:
    """Return whether neither the import nor a suggestion wrote a file as it is."""
    by_suggestions = {hashes[name] for hashes in manifest.applied.values() if name in hashes}
    return text_hash(text) not in {manifest.files[name], *by_suggestions}


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def _origin_states(gone: Sequence[str], changed: Sequence[str]) -> Mapping[str, str]:
    return {**dict.fromkeys(changed, "changed"), **dict.fromkeys(gone, "gone")}


# Where a DAG runs


def _dag_row(
    session: ProjectSession, manifest: Manifest, dag: str, silent: dict[str, Unavailable]
) -> ImportDagRow:
    """Return where a DAG runs.

    `silent` has the servers that couldn't be reached, which aren't asked again: each would keep the
    command waiting once for each DAG.
    """
    here = _here(session, manifest, dag)
    in_airflow, unfinished, why = None, None, here.why
    if here.state == "active" and here.paused:
        why = f"{_few(here.paused)} {'is' if len(here.paused) == 1 else 'are'} paused here"
    try:
        state = _asked(_control(session, dag), dag, silent)
    except (Unavailable, SecretMissing, ProjectError) as error:
        why = "; ".join(text for text in (why, str(error)) if text)
    else:
        in_airflow, unfinished = "paused" if state.is_paused else "active", state.unfinished
    stage = _STAGES.get((in_airflow or "", here.state or ""), "unknown")
    return ImportDagRow(
        dag=dag,
        stage=stage,
        in_airflow=in_airflow,
        here=here.state,
        why=why,
        unfinished=unfinished,
        assets=here.assets,
        left=_left(manifest, dag),
        next=_next(stage, dag),
    )


def _asked(control: AirflowControl, dag: str, silent: dict[str, Unavailable]) -> DagState:
    if control.shown in silent:
        raise silent[control.shown]
    try:
        return control.state(dag)
    except Unavailable as error:
        if error.transient:
            silent[control.shown] = error
        raise


def _next(stage: str, dag: str) -> str | None:
    if stage == "both":
        return command_line("import", "rollback", dag)
    return command_line("import", "move", dag) if stage in ("airflow", "neither") else None


def _here(session: ProjectSession, manifest: Manifest, dag: str) -> _Here:
    """Return the assets of a DAG that are scheduled here, and those of them that are paused."""
    compiled, store = session.compiled, session.store
    if compiled is None or store is None:
        return _Here([], [], "nothing of the new project is applied yet")
    files = {
        file for facts in manifest.became.values() if facts.group == dag for file in facts.files
    }
    assets = [name for name, asset in compiled.project.assets.items() if asset.body.file in files]
    names = list(scheduled(compiled.project, assets))
    if not names:
        return _Here([], [], "none of its tasks is an asset that runs here")
    now_us = session.clock.now_us()
    with store.read() as tx:
        pauses = {row.node for row in scheduling.pauses_in_force(tx, now_us)}
    return _Here(names, [name for name in names if name in pauses], "")


def _running(session: ProjectSession, assets: Sequence[str]) -> list[str]:
    if session.store is None:
        return []
    with session.store.read() as tx:
        return sorted({row.node for row in attempts.running(tx)} & set(assets))


def _control(session: ProjectSession, dag: str) -> AirflowControl:
    """Return the API of the server that a source with `airflow:` names, one of this DAG first.

    Raise ProjectError if no source names a server, or if several do.
    """
    project = session.project()
    declared = [
        source.connector["airflow"]
        for source in project.sources.values()
        if "airflow" in source.connector
    ]
    of_dag = [fields for fields in declared if fields.get("dag") == dag]
    addresses = {msgspec.convert(fields, AirflowServerAddress) for fields in of_dag or declared}
    if len(addresses) != 1:
        what = "several servers are named by sources" if addresses else "no source names its server"
        raise ProjectError(
            f"Airflow can't be asked about {dag}: {what} with `airflow:`",
            hint="declare one with `airflow: {url: …, dag: …, authorization: …}`, and apply it",
        )
    return AirflowControl(addresses.pop(), Secrets(session.root))


@contextmanager
def _errors_of_airflow(dag: str) -> Iterator[None]:
    """Raise what Airflow's API raised as an error of this command."""
    try:
        yield
    except Unavailable as error:
        raise HeadraceError(
            str(error), hint=f"see {command_line('import', 'status', dag)}"
        ) from error


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
