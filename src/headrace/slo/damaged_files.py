"""Files of the lake that are missing or changed since publication, and the partitions in them.

Readers need the files of the newest snapshot; files that were given up are listed with what is left
of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from headrace.lake import catalog
from headrace.lake.catalog import FileRow
from headrace.lake.tables import lost_with
from headrace.model.partitions import WHOLE
from headrace.store.queries import lake_maintenance, publications
from headrace.store.queries.lake_maintenance import FileLook
from headrace.store.transaction import Transaction

PARTITIONS_MAX = 1_000_000


class DamagedFile(NamedTuple):
    """A file that readers need and that is missing or changed since publication.

    `path` is relative to the lake's folder; for a `materialize: files` asset, whose `id` is
    negative, to the data folder. `wrong` is a sentence without its full stop; `since` is the first
    observation of the damage. `given_up` names the file with which the rows were lost: no file
    exists at `path` then.
    """

    id: int
    node: str
    path: str
    size_bytes: int
    wrong: str
    since: int
    given_up: str | None = None


def damaged_files(tx: Transaction) -> list[DamagedFile]:
    """Return the damaged files of the newest snapshot and what is left of files given up."""
    outside = [
        _damaged_outside(publication) for publication in lake_maintenance.damaged_publications(tx)
    ]
    observations = {
        file_look.file_id: file_look for file_look in lake_maintenance.damaged_files(tx)
    }
    if not observations:
        return outside
    files = {
        file.id: _damaged(file, observations[file.id]) for file in catalog.current(tx, observations)
    }
    if not catalog.any_lost(tx):
        return [*files.values(), *outside]
    for item in observations.values():
        if item.file_id not in files:  # replaced: the lost rows are registered under another file
            left = catalog.left_of(tx, [item.file_id])
            files |= {file.id: _damaged(file, item) for file in left if file.id not in files}
    return [*files.values(), *outside]


def _damaged_outside(publication: lake_maintenance.DamagedPublication) -> DamagedFile:
    """Return a damaged file of a `materialize: files` asset, which is in no lake table."""
    observation = publication.file_check
    since = observation.wrong_since or observation.looked_at
    return DamagedFile(
        -publication.publication,
        publication.node,
        observation.path or "",
        observation.size_bytes or 0,
        f"the file {observation.wrong}",
        since,
    )


def _damaged(file: catalog.CurrentFile, observation: FileLook) -> DamagedFile:
    since = observation.wrong_since or observation.looked_at
    folder, _, name = file.path.rpartition("/")
    lost = lost_with(name)
    given_up = None if lost is None else f"{folder}/{lost}.parquet"
    wrong = (
        f"the file {observation.wrong}"
        if lost is None
        else "the file was given up, its rows are lost"
    )
    return DamagedFile(file.id, file.table, file.path, file.size_bytes, wrong, since, given_up)


def partitions_in(tx: Transaction, node: str, ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return the partitions in each file, with their published rows.

    DuckLake doesn't record which partitions a merged file holds. They are found from what was
    published in the snapshots that it was merged from. If those don't have as many rows as the
    file, it may hold every partition within its bounds that no other file is known to hold.
    """
    outside = _partitions_outside(tx, node, ids)
    if outside:
        return outside
    current = [file for file in catalog.current(tx, ids) if file.table == node]
    if accumulates(tx, node):
        return {file.id: _published_since(tx, node, file.begins) for file in current}
    every = catalog.files_of(tx, node)
    # a file of deletions holds the partitions of the file whose rows it deletes
    deletes = {file.of: file.id for file in current if file.of != file.id}
    held = {
        file.id: _partitions_in(tx, node, file, every)
        for file in every
        if file.id in ids or file.id in deletes
    }
    return {number: held[number] for number in ids if number in held} | {
        deletes[of]: held[of] for of in deletes if of in held
    }


def _partitions_outside(
    tx: Transaction, node: str, ids: Collection[int]
) -> dict[int, dict[str, int]]:
    """Return the same for files of a `materialize: files` asset, which are in no lake table."""
    return {
        -publication.publication: {publication.partition: publication.rows}
        for publication in lake_maintenance.damaged_publications(tx)
        if publication.node == node and -publication.publication in ids
    }


def accumulates(tx: Transaction, node: str) -> bool:
    """Return whether each partition of a node is a version of its whole table.

    That holds for merge and snapshot tables that are partitioned by time.
    """
    newest = publications.newest(tx, node)
    if newest is None or newest.partition == WHOLE:
        return False
    return any(file.keys == frozenset({WHOLE}) for file in catalog.files_of(tx, node))


def _published_since(tx: Transaction, node: str, snapshot: int) -> dict[str, int]:
    """Return the partitions of a merged table that were published since a snapshot.

    Each of them is a version of the whole table.
    """
    every = publications.of_node(tx, node, limit=PARTITIONS_MAX)
    return {
        publication.partition: publication.rows
        for publication in every
        if publication.snapshot >= snapshot
    }


def _partitions_in(
    tx: Transaction, node: str, file: FileRow, every: Collection[FileRow]
) -> dict[str, int]:
    """Return the partitions of one of the node's files; `every` are all of them."""
    if file.lost is not None:
        return dict(file.lost)
    if file.keys is not None:
        current = {key: publications.current(tx, node, key) for key in file.keys}
        return {key: publication.rows if publication else 0 for key, publication in current.items()}
    return _partitions_of_merged(tx, node, file, every)


def _partitions_of_merged(
    tx: Transaction, node: str, file: FileRow, every: Collection[FileRow]
) -> dict[str, int]:
    """Return the partitions published in the snapshots that a file was merged from.

    If those don't have as many rows as the file, return all that it may hold.
    """
    elsewhere: set[str] = set().union(*(row.keys for row in every if row.keys is not None))
    candidates = [
        publication
        for publication in publications.of_node(tx, node, limit=PARTITIONS_MAX)
        if publication.rows
        and file.may_hold(publication.partition)
        and publication.partition not in elsewhere
    ]
    first, last = file.snapshots
    exactly = [candidate for candidate in candidates if first <= candidate.snapshot <= last]
    explains_all = sum(publication.rows for publication in exactly) == file.rows
    chosen = exactly if explains_all else candidates
    return {publication.partition: publication.rows for publication in chosen}
