"""What a transaction of the leader does to the state when rows leave files of the lake.

The files are rewritten beforehand, by another process (`runtime.lake_process`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from headrace.checks import metrics
from headrace.lake.erased_files import ErasableFile, ErasedFile
from headrace.runtime.folders import Folders
from headrace.store import Transaction
from headrace.store.queries import removed_rows as stored

ATTEMPTS_MAX = 500
"""Maximum number of attempts that one entry of the audit trail names."""


def lose_rows(
    tx: Transaction,
    node: str,
    files: Sequence[ErasedFile],
    listed: Mapping[int, ErasableFile],
) -> Counter[str]:
    """Subtract the rows from the publications that showed them; return them by attempt.

    A file that isn't listed any more is left to `catalog.replace_files`, which refuses it.
    """
    lost = Counter[str]()
    for file in files:
        if file.id in listed:
            for key in file.matched:
                lost.update(_lose_of(tx, node, key, file, listed[file.id]))
    return lost


def _lose_of(
    tx: Transaction, node: str, key: str, file: ErasedFile, listed: ErasableFile
) -> Counter[str]:
    """Subtract the rows of one partition in one file."""
    parts = file.staged.partitions if file.staged is not None else ()
    content = next((part.content_hash for part in parts if part.key == key), None)
    lost = Counter[str]()
    for publication in stored.publications_at(tx, node, key):
        gone = _lost(publication, listed, file.matched[key], file.visible.get(key, 0))
        if gone:
            stored.lose_rows(tx, publication.id, gone, content if publication.current else None)
            lost[publication.attempt] += gone
    return lost


def _lost(publication: stored.ShownPublication, file: ErasableFile, rows: int, visible: int) -> int:
    """Return how many rows of a publication were in a file that the publication's readers read."""
    if publication.current:
        return visible if file.current else 0
    return rows if file.shown_at(publication.snapshot) else 0


def forget_values(tx: Transaction, node: str, partition: str, rows: int) -> None:
    """Delete profiles and samples of a partition, and rare values in metrics."""
    stored.scrub(tx, node, [partition])
    for epoch, n, vector in stored.vectors_of(tx, node, partition):
        clean = metrics.without_rare_values(vector, rows)
        stored.set_vector(tx, epoch, n, partition, clean)


def by_attempts(lost: Counter[str]) -> list[dict[str, int]]:
    """Return lost rows by attempt, for entries of the audit trail; at least one entry."""
    names = sorted(lost)
    return [
        {name: lost[name] for name in names[start : start + ATTEMPTS_MAX]}
        for start in range(0, max(len(names), 1), ATTEMPTS_MAX)
    ]


def discard(folders: Folders, files: Sequence[ErasedFile]) -> None:
    """Delete rewritten files that nothing names."""
    for file in files:
        for item in (file.staged, *file.deletes):
            if item is not None:
                (folders.lake / item.path).unlink(missing_ok=True)
