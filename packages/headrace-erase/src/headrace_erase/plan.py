"""Where the rows of a subject are: what an erasure deletes, what stays, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.extension import Compiled, Folders, ProjectSession, command_line, compile_lineage
from headrace.model.settings import CI, PRODUCTION, of_environment
from headrace.plan.compiled import is_view
from headrace.runtime import backups
from headrace.security.erasures import hash_key
from headrace.store import Transaction
from headrace.store.transaction import Dialect
from headrace_erase import exports_again, ledger, searched_places, subjects
from headrace_erase.declared import earlier_codes
from headrace_erase.exports_again import ExportToErase
from headrace_erase.responses.erasures import ErasedPlaceRow
from headrace_erase.searched_places import Keys, TableFiles

ERASED, KEPT = "erased", "kept"


class ErasePlan(msgspec.Struct, frozen=True):
    """What an erasure would do: its places, and what each step needs."""

    subject: str
    keys: Keys
    values: tuple[str, ...]
    places: list[ErasedPlaceRow]
    nodes: tuple[str, ...]
    """The nodes with the keys, in project order."""
    sources: tuple[str, ...]
    exports: tuple[tuple[str, str, int], ...] = ()
    """Exports with rows of the subject: consumer, interval, publication."""
    others: tuple[str, ...] = ()
    """Values of the rows other than the keys, as far as texts can be searched for them."""
    quoting: tuple[str, ...] = ()
    """Nodes whose texts may quote the rows: those that have or read them."""


def erase_plan_of(
    session: ProjectSession,
    compiled: Compiled,
    subject: str,
    condition: subjects.Condition,
    from_node: str | None,
) -> ErasePlan:
    """Return where the rows of a subject's keys are.

    Without `from_node`, the keys begin at the subject if that is a node, else where their columns
    are. Raise UsageError if that isn't one node.
    """
    project = compiled.project
    start = from_node or (subject if project.source_or_asset(subject) is not None else None)
    data, _ = session.data_folder, session.clock  # it is read before the transaction
    cache = data / "cache"
    values = tuple(value for keys in condition for key in keys for value in key.values)
    with session.existing_store.read() as tx:
        codes = [
            (code, compile_lineage(code, cache))
            for code in (compiled, *earlier_codes(tx, compiled))
        ]
        nodes_of_subject = subjects.nodes_of(session, tx, codes, condition, start)
        keys = Keys(nodes_of_subject.keys, hash_key(data))
        token = ledger.subject_token(data, msgspec.json.encode([start or "", condition]).decode())
        nodes = tuple(name for name in compiled.order if name in nodes_of_subject.keys)
        sources = tuple(name for name in nodes if name in project.sources)
        searched = _searched(session, tx, compiled, keys, nodes)
        exports = _exports(session, tx, compiled, token, searched)
        copied = {
            name: searched_places.copies(tx, session.folders, project.sources[name], keys)
            for name in sources
        }
        others = _other_texts(searched, copied) - {*values}
        texts, logged = (*values, *others), (*nodes, *nodes_of_subject.without)
        places = [
            *(
                place
                for node, files in searched.items()
                for place in _of_node(compiled, node, files)
            ),
            *(place for node, copies in copied.items() for place in _of_copies(node, copies)),
            *_quarantined(session, tx, nodes, keys),
            *_logs(searched_places.logs_with(tx, session.folders, logged, texts)),
            *exports_again.place_rows(exports),
            *_former_exports(session, tx, compiled, nodes),
            *_places_that_stay(session, tx, compiled, nodes_of_subject),
        ]
    waiting = tuple(item.key for item in exports)
    return ErasePlan(
        token,
        keys,
        values,
        places,
        nodes,
        sources,
        waiting,
        tuple(sorted(others)),
        _quoting(places),
    )


def _quoting(places: Sequence[ErasedPlaceRow]) -> tuple[str, ...]:
    """Return the nodes that have rows of the subject or read them; none if there are no rows."""
    names = {place.node for place in places} - {"*"}
    has_rows = any(place.action == ERASED and place.node in names for place in places)
    return tuple(sorted(names)) if has_rows else ()


def _other_texts(
    searched: dict[str, TableFiles | None], copied: dict[str, searched_places.Copies]
) -> set[str]:
    rewritten = [file for files in searched.values() if files is not None for file in files.files]
    return {text for file in rewritten for text in file.texts}.union(
        *(copies.texts for copies in copied.values())
    )


def _searched(
    session: ProjectSession, tx: Transaction, compiled: Compiled, keys: Keys, nodes: Sequence[str]
) -> dict[str, TableFiles | None]:
    """Search the tables of the nodes; None for nodes without one."""
    return {
        node: None
        if _publishes_files(compiled, node)
        else searched_places.table_files(tx, session.folders, node, keys, rewrite=False)
        for node in nodes
    }


def _publishes_files(compiled: Compiled, node: str) -> bool:
    asset = compiled.project.assets.get(node)
    return asset is not None and asset.materialize == "files"


def _exports(
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    token: str,
    searched: dict[str, TableFiles | None],
) -> list[ExportToErase]:
    """Return the exports with rows of the subject, and those that an erasure couldn't write."""
    at = {node: files.paths if files is not None else {} for node, files in searched.items()}
    return exports_again.exports_to_erase(
        session, tx, compiled, at, exports_again.waiting_of(tx, token)
    )


def _quarantined(
    session: ProjectSession, tx: Transaction, nodes: Sequence[str], keys: Keys
) -> list[ErasedPlaceRow]:
    results: list[ErasedPlaceRow] = []
    held = Counter[str]()
    for item in searched_places.quarantined(tx, session.folders, nodes, keys):
        if item.rows is None:
            why = f"{item.path} can't be read"
            results.append(place_row(item.node, "quarantine", None, KEPT, why))
        else:
            held[item.node] += item.rows
    for node, rows in held.items():
        why = (
            "held or rejected rows: their files are deleted, what waits is ingested or computed"
            " again"
        )
        results.append(place_row(node, "quarantine", rows, ERASED, why))
    return results


def _logs(logs: Mapping[str, Sequence[Path]]) -> Iterator[ErasedPlaceRow]:
    for node, paths in logs.items():
        why = (
            f"logs of {len(paths)} attempts: lines with the key, and other values, are overwritten"
        )
        yield place_row(node, "log", None, ERASED, why)


def place_row(
    node: str,
    what: str,
    rows: int | None,
    action: str,
    why: str,
    partitions: Sequence[str] = (),
) -> ErasedPlaceRow:
    """Return a place: `what` of a node, with the number of rows where it is known."""
    return ErasedPlaceRow(
        node=node, what=what, partitions=list(partitions), rows=rows, action=action, why=why
    )


def _former_exports(
    session: ProjectSession, tx: Transaction, compiled: Compiled, nodes: Sequence[str]
) -> list[ErasedPlaceRow]:
    results = []
    for consumer, files in exports_again.former_targets(session, tx, compiled, nodes).items():
        why = (
            f"an earlier declaration of the export wrote {', '.join(files[:5])}: Headrace"
            " doesn't search it, so delete it, or the rows in it"
        )
        results.append(place_row(consumer, "export", None, KEPT, why))
    return results


def _of_node(compiled: Compiled, node: str, searched: TableFiles | None) -> list[ErasedPlaceRow]:
    if _publishes_files(compiled, node):
        why = (
            "it publishes files, which Headrace doesn't read: compute it again from the erased"
            f" inputs: {command_line('run', node, '--again')} --reason TEXT"
        )
        return [place_row(node, "files", None, KEPT, why)]
    if searched is None:
        return []
    results = []
    if searched.files or searched.loose:
        partitions = sorted({key for file in searched.files for key in file.visible})
        rows = sum(sum(file.visible.values()) for file in searched.files)
        files = len(searched.files) + len(searched.loose)
        why = f"published rows, in all snapshots; files that are replaced: {files}"
        results.append(place_row(node, "rows", rows, ERASED, why, partitions))
    if searched.staged:
        why = "a backfill has staged them: let it end or cancel it, then erase again"
        results.append(place_row(node, "staged", None, KEPT, why))
    return results


def _of_copies(node: str, copies: searched_places.Copies) -> list[ErasedPlaceRow]:
    results = []
    if copies.raw:
        why = f"stored bytes of deliveries; files that are deleted: {len(copies.raw)}"
        results.append(place_row(node, "raw", copies.rows, ERASED, why))
    for path in copies.delivered:
        why = f"the delivered file {path} isn't Headrace's: delete the rows in it"
        results.append(place_row(node, "delivery", None, KEPT, why))
    for path in copies.unread:
        why = f"{path} can't be read, so nobody can tell: look at it"
        results.append(place_row(node, "raw", None, KEPT, why))
    return results


def _places_that_stay(
    session: ProjectSession,
    tx: Transaction,
    compiled: Compiled,
    subject: subjects.Found,
) -> list[ErasedPlaceRow]:
    results = []
    for node, columns in subject.reused.items():
        why = (
            f"earlier code had the key in {' and '.join(columns)}, which has other values now: its"
            " rows in older partitions and snapshots aren't searched"
        )
        results.append(place_row(node, "rows", None, KEPT, why))
    for node, columns in subject.without.items():
        if is_view(compiled.project, node):
            continue
        names = " and ".join(columns)
        why = (
            f"no column has the values of {names} unchanged, so Headrace can't tell whose rows"
            " these are. If one has, name it: --where … or NODE.COLUMN = VALUE"
        )
        results.append(place_row(node, "rows", None, KEPT, why))
    copies = backups.own_backups(session.root, session.settings)
    if copies:
        why = f"automatic backups of the state; deleted, and a new one is written: {len(copies)}"
        results.append(place_row("*", "backup", None, ERASED, why))
    why = (
        "backups of `headrace db backup` and copies outside of the data folder: delete them. After"
        " `db restore`, the erasure is done again"
    )
    results.append(place_row("*", "backup", None, KEPT, why))
    for name in _other_environments(session):
        why = (
            f"the environment {name} has data of its own: run the command there, too: --env {name}"
        )
        results.append(place_row("*", "environment", None, KEPT, why))
    aside = sorted(
        path.name
        for path in session.data_folder.iterdir()
        if path.name.startswith(("before_", "state.db.", "state.db_"))
    )
    if aside:
        why = (
            f"{', '.join(aside[:5])} were moved aside by `db restore` or `db upgrade`: delete them"
        )
        results.append(place_row("*", "state", None, KEPT, why))
    if tx.dialect is Dialect.POSTGRESQL:
        why = (
            "the server has deleted rows in its pages until `vacuum full`, and in its logs and"
            " backups: its administrator sees to it"
        )
        results.append(place_row("*", "state", None, KEPT, why))
    return results


def _other_environments(session: ProjectSession) -> Iterator[str]:
    """Yield the other environments that have data here, or may have it in a database."""
    for name in (PRODUCTION, CI, *session.settings.environments):
        settings = of_environment(session.settings, name)
        elsewhere = not settings.store_url.startswith("sqlite:")
        if name != session.env and (
            elsewhere or Folders.of(session.root, settings).data_path.exists()
        ):
            yield name
