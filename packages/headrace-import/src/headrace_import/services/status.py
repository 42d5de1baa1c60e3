"""`import status`: how far an imported project is, and where each DAG of Airflow runs.

Where a DAG runs is read from both sides, and stored nowhere: it is paused in Airflow or not, and
its assets are paused here or not. So an interrupted move is seen, and another one ends it. Only
that a DAG is retired is stored, in the import's manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.connect.connectors import Unavailable
from headrace.extension import (
    SEE,
    ProjectError,
    ProjectSession,
    Source,
    UsageError,
    command,
    command_line,
    counted,
    did_you_mean,
    few,
)
from headrace.plan import Compiled
from headrace.security.secrets import SecretMissing, Secrets
from headrace.services.pause import scheduled
from headrace.store import Store
from headrace.store.queries import scheduling
from headrace_import.airflow_server.control import AirflowControl, AirflowServerAddress, DagState
from headrace_import.responses.imports import ImportChanges
from headrace_import.responses.stages import (
    ImportDagRow,
    ImportedItemRow,
    ImportStatusResponse,
)
from headrace_import.services.manifest import Manifest, changes_since, imported_manifest, text_hash
from headrace_import.services.project import importer

_STAGES = {
    ("active", "paused"): "airflow",
    ("active", "shadow"): "shadow",
    ("active", "active"): "both",
    ("paused", "shadow"): "moved",
    ("paused", "active"): "moved",
    ("paused", "paused"): "neither",
}


class DagHere(NamedTuple):
    """A DAG's part of the applied project."""

    assets: list[str]
    commands: list[str]
    """Assets that start the DAG's own tasks."""
    paused: list[str]
    why: str
    """Why nothing of it can run here; empty if something can."""
    paused_sources: tuple[str, ...] = ()
    """Sources of it that are paused, without which its assets wait."""
    waiting: tuple[str, ...] = ()
    """Active assets that come after a paused one of the DAG."""

    @property
    def active(self) -> list[str]:
        """The assets that aren't paused."""
        return [name for name in self.assets if name not in self.paused]

    @property
    def state(self) -> str | None:
        """`paused` or `active`; None if nothing of it can run here."""
        if self.why:
            return None
        return "active" if self.active else "paused"

    @property
    def runs_beside(self) -> bool:
        """Whether assets compute tables here, and none starts a task of the DAG."""
        return bool(self.active) and not set(self.active) & set(self.commands)


@command("import status", SEE)
def import_status(session: ProjectSession, directory: Path, item: str = "") -> ImportStatusResponse:
    """Return how far an imported project is: one item, one DAG, or (for an empty name) all.

    Raise ProjectError if the folder isn't an import, UsageError for an unknown item.
    """
    manifest = imported_manifest(directory, "status")
    chosen = chosen_items(manifest, item)
    root = (directory / manifest.origin).resolve()
    changes = None
    if root.is_dir():
        changes = changes_since(manifest, importer(manifest.tool)(root), root)
    groups = dict.fromkeys(manifest.became[name].group for name in chosen)
    silent: dict[str, Unavailable] = {}
    dags = [dag_row(session, manifest, group, silent) for group in groups if group]
    states = {} if changes is None else _origin_states(manifest, changes)
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


# What the import says


def chosen_items(manifest: Manifest, item: str) -> list[str]:
    """Return an item, the items of a DAG, or (for an empty name) all. Raise UsageError."""
    names = [name for name, facts in manifest.became.items() if item in ("", name, facts.group)]
    if item and not names:
        known = [*manifest.became, *{facts.group for facts in manifest.became.values()}]
        raise UsageError(
            f"the import has no item {item[:60]!r}",
            hint=did_you_mean(item, known) or "headrace import status lists them",
        )
    return names


def require_dag(manifest: Manifest, dag: str) -> None:
    """Raise UsageError if the import has no such DAG."""
    groups = {facts.group for facts in manifest.became.values() if facts.group}
    if dag in groups:
        return
    names = [*groups, *(row.id for row in manifest.suggestions)]
    raise UsageError(
        f"the import has no DAG or suggestion {dag[:60]!r}",
        hint=did_you_mean(dag, names) or "headrace import status lists them",
    )


def tasks_left(manifest: Manifest, dag: str) -> list[str]:
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


def _origin_states(manifest: Manifest, changes: ImportChanges) -> Mapping[str, str]:
    retired = [name for name, facts in manifest.became.items() if facts.group in manifest.retired]
    return {
        **dict.fromkeys(retired, "retired"),
        **dict.fromkeys(changes.changed, "changed"),
        **dict.fromkeys(changes.gone, "gone"),
    }


# Where a DAG runs


def dag_row(
    session: ProjectSession, manifest: Manifest, dag: str, silent: dict[str, Unavailable]
) -> ImportDagRow:
    """Return where a DAG runs.

    `silent` has the servers that couldn't be reached, which aren't asked again: each would keep the
    command waiting once for each DAG.
    """
    here = runs_here(session, manifest, dag)
    row = ImportDagRow(
        dag=dag,
        stage="unknown",
        in_airflow=None,
        here=here.state,
        why=_why(here),
        unfinished=None,
        assets=here.assets,
        left=tasks_left(manifest, dag),
        next=None,
    )
    if dag in manifest.retired:
        since = f"since {manifest.retired[dag].at[:10]}; here it is {here.state or 'not there'}"
        return msgspec.structs.replace(row, stage="retired", why=since)
    try:
        asked = _asked(airflow_control(session, dag), dag, silent)
    except (Unavailable, SecretMissing, ProjectError) as error:
        why = "; ".join(text for text in (row.why, str(error)) if text)
        return msgspec.structs.replace(row, why=why)
    in_airflow = "paused" if asked.is_paused else "active"
    state_here = "shadow" if here.runs_beside else here.state or ""
    stage = _STAGES.get((in_airflow, state_here), "unknown")
    why = row.why
    if _is_stuck(asked) and here.state is not None:
        stage = "unfinished"
        stuck = f"Airflow starts no more tasks of {counted(asked.unfinished, 'run')}"
        why = f"{stuck}; {why}" if why else stuck
    return msgspec.structs.replace(
        row,
        stage=stage,
        in_airflow=in_airflow,
        why=why,
        unfinished=asked.unfinished,
        next=_next(stage, dag, here),
    )


def _is_stuck(asked: DagState) -> bool:
    """Whether runs won't end: Airflow starts no tasks of a paused DAG."""
    return asked.is_paused and asked.unfinished > 0


def _why(here: DagHere) -> str:
    """Return what keeps a DAG's part here from running; empty if nothing does."""
    stopped = [*here.paused, *here.paused_sources]
    if here.state != "active" or not stopped:
        return here.why
    text = f"{few(stopped)} {'is' if len(stopped) == 1 else 'are'} paused here"
    if here.waiting:
        waits = "waits" if len(here.waiting) == 1 else "wait"
        text += f", and {few(here.waiting)} {waits} for that"
    return text


def _asked(control: AirflowControl, dag: str, silent: dict[str, Unavailable]) -> DagState:
    if control.shown in silent:
        raise silent[control.shown]
    try:
        return control.state(dag)
    except Unavailable as error:
        if error.transient:
            silent[control.shown] = error
        raise


def _next(stage: str, dag: str, here: DagHere) -> str | None:
    computes = set(here.assets) - set(here.commands)
    is_partial = bool(set(here.paused) & set(here.commands))
    action = {
        "airflow": "shadow" if computes else "move",
        "shadow": "diff",
        "both": "rollback",
        "neither": "move",
        "unfinished": "rollback",
        "moved": "move" if is_partial else "",
    }.get(stage)
    return command_line("import", action, dag) if action else None


def runs_here(session: ProjectSession, manifest: Manifest, dag: str) -> DagHere:
    """Return the assets of a DAG that are scheduled here, and what of it is paused."""
    compiled, store = session.compiled, session.store
    if compiled is None or store is None:
        return DagHere([], [], [], "nothing of the new project is applied yet")
    verdicts = _verdicts_of_files(manifest, dag)
    assets, sources = compiled.project.assets, compiled.project.sources
    of_dag = [name for name, asset in assets.items() if asset.body.file in verdicts]
    names = list(scheduled(compiled.project, of_dag))
    if not names:
        return DagHere([], [], [], "none of its tasks is an asset that runs here")
    stopped = _paused_nodes(session, store)
    commands = [name for name in names if verdicts[assets[name].body.file] == "command"]
    paused = [name for name in names if name in stopped]
    inputs = tuple(name for name in sorted(stopped) if _is_of(sources.get(name), verdicts))
    waiting = _waiting(compiled, names, set(paused))
    return DagHere(names, commands, paused, "", inputs, waiting)


def _is_of(source: Source | None, files: Mapping[str, str]) -> bool:
    return source is not None and source.place.file in files


def _waiting(compiled: Compiled, names: Sequence[str], paused: set[str]) -> tuple[str, ...]:
    """Return the assets that come after a paused one, directly or through others that wait."""
    blocked = set(paused)
    for name in compiled.order:
        node = compiled.nodes[name]
        upstream = {spec.node for spec in node.inputs} | set(node.depends)
        if name in names and blocked & upstream:
            blocked.add(name)
    return tuple(name for name in names if name in blocked - paused)


def _paused_nodes(session: ProjectSession, store: Store) -> set[str]:
    now_us = session.clock.now_us()
    with store.read() as tx:
        return {row.node for row in scheduling.pauses_in_force(tx, now_us)}


def _verdicts_of_files(manifest: Manifest, dag: str) -> dict[str, str]:
    """Return the files that a DAG's items became, with their verdicts."""
    items = [facts for facts in manifest.became.values() if facts.group == dag]
    return {file: facts.verdict for facts in items for file in facts.files}


def airflow_control(session: ProjectSession, dag: str) -> AirflowControl:
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
    return AirflowControl(
        addresses.pop(), Secrets(session.root), project.settings.private_addresses
    )
