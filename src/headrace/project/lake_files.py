"""Lake files that are missing or damaged, and a lake that isn't where the catalog says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace.lake import FileRef, catalog
from headrace.lake.files import DataCorrupted, check_file
from headrace.model import Asset, Project, Source
from headrace.model.causes import CauseKind
from headrace.model.partitions import WHOLE, command_line, range_of
from headrace.model.settings import PRODUCTION
from headrace.project.session import ProjectSession
from headrace.slo.damaged_files import partitions_in
from headrace.store import Transaction
from headrace.store.queries import incidents, lake_maintenance

# Reads that fail because of a missing or damaged lake file name the file, the node, and the next
# command.

REASON = "its file is damaged"


def recompute_command(env: str, project: Project, tx: Transaction, name: str, file: int) -> str:
    """Return the command that recomputes the rows of a damaged file in an environment.

    Environments have no incidents that would name it.
    """
    node = project.node(name)
    keys = sorted(partitions_in(tx, name, [file]).get(file, ()))
    words = ["--env", env, "run", name]
    if len(keys) == 1 and keys != [WHOLE] and "," not in keys[0]:
        words += ["--partition", keys[0]]
    elif len(keys) > 1 and isinstance(node, Source | Asset) and node.partition.grain is not None:
        first, last = range_of(keys)
        words += ["--from", first, "--to", last]
    return command_line(*words, "--again", "--reason", REASON)


@contextmanager
def naming_damage(session: ProjectSession, files: Iterable[FileRef]) -> Iterator[None]:
    """Raise DataCorrupted with the file's name if a read fails and one of these files is damaged.

    Other errors pass unchanged.
    """
    try:
        yield
    except Exception as error:
        result = _damaged(
            session,
            {
                path
                for file in files
                for path in (file.path, *(delete.path for delete in file.deletes))
            },
        )
        if result is None:
            raise
        raise result from error


def _damaged(session: ProjectSession, paths: set[str]) -> DataCorrupted | None:
    """Return the error for the first damaged file.

    Open the state anew, because it is closed while rows are read.
    """
    fresh = session.again(session.actor)
    try:
        if fresh.store is None:
            return None
        _ = fresh.compiled  # loaded before the transaction: a store runs one read at a time
        with fresh.store.read() as tx:
            return _first_damaged(fresh, tx, paths)
    finally:
        fresh.close()


def _first_damaged(
    session: ProjectSession, tx: Transaction, paths: set[str]
) -> DataCorrupted | None:
    """Return the error for the first damaged file, by sizes first and then by known footers."""
    lake = session.folders.lake
    files = [item for item in catalog.registered(tx) if _is_named(lake, item.path, paths)]
    for item in files:
        wrong = check_file(lake / item.path, item.size_bytes, item.footer_bytes).wrong
        if wrong:
            return _corruption_error(session, tx, item.table, item.key, item.path, wrong)
    keys = {item.path: item.key for item in reversed(files)}
    deletes = {
        item.path for item in catalog.current_deletes(tx) if _is_named(lake, item.path, paths)
    }
    known_files = catalog.current_after(tx, 0, len(files) + len(paths) + 1_000_000)
    current = [file for file in known_files if file.path in keys or file.path in deletes]
    return _first_by_footer(session, tx, current, keys)


def _is_named(lake: Path, path: str, paths: Collection[str]) -> bool:
    """Return whether paths, absolute or relative to the lake, include a file of the lake."""
    return path in paths or str(lake / path) in paths


def _first_by_footer(
    session: ProjectSession,
    tx: Transaction,
    current: Sequence[catalog.CurrentFile],
    keys: Mapping[str, str | None],
) -> DataCorrupted | None:
    lake = session.folders.lake
    footers = lake_maintenance.known_checks(tx, (file.id for file in current))
    for file in current:
        known = footers[file.id].footer if file.id in footers else ""
        wrong = check_file(lake / file.path, file.size_bytes, file.footer_bytes, known).wrong
        if wrong:
            return _corruption_error(session, tx, file.table, keys.get(file.path), file.path, wrong)
    return None


def _corruption_error(
    session: ProjectSession,
    tx: Transaction,
    node: str,
    key: str | None,
    path: str,
    wrong: str,
) -> DataCorrupted:
    place = node if key in (None, "*") else f"{node}@{key}"
    damaged = [
        incident
        for incident in incidents.open_incidents(tx)
        if (incident.kind, incident.node) == (CauseKind.DATA_CORRUPTED, node)
    ]
    opens = "headrace tick, which opens an incident with the repair: headrace incidents"
    hint = f"headrace fix {damaged[0].label}" if damaged else opens
    if session.env != PRODUCTION and session.compiled is not None:
        files = catalog.current(tx, [row.id for row in catalog.files_of(tx, node)])
        number = next((file.id for file in files if file.path == path), -1)
        hint = recompute_command(session.env, session.compiled.project, tx, node, number)
    return DataCorrupted(f"{place} can't be read: its file {path} {wrong}", hint=hint)


# Whether the catalog names the lake's real folder. In a project that was moved or copied it names
# the old one.

CORRECT = "headrace tick (every command that writes corrects it)"


def moved(session: ProjectSession, tx: Transaction) -> str:
    """Return a message if the catalog's data path isn't the lake's folder; otherwise empty.

    Headrace reads the project's own folder in any case; other DuckLake readers follow the catalog.
    """
    if catalog.missing(tx):
        return ""
    text = catalog.data_path(tx)
    if catalog.names(text, session.folders.lake):
        return ""
    return (
        f"the catalog says that the lake is {text}, and it is {session.folders.lake}:"
        " programs that attach the catalog by themselves read the other folder"
    )


def moved_now(session: ProjectSession) -> str:
    """Return `moved` in a transaction of its own; empty if there is no state."""
    if session.store is None:
        return ""
    with session.store.read() as tx:
        return moved(session, tx)
