"""Files that hold what a plan replaces and something else: they are copied without it before anything can be published.

Production's files may hold partitions that aren't the plan's; a file that the plan staged may hold partitions that were made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.catalog import CatalogChange
from headrace.run.messages import Prune, RewrittenFile
from headrace.run.overlays.staged import OverlayPartitions
from headrace.schedule import AttemptId


class Copy(NamedTuple):
    """A file that is needed without some of its partitions."""

    file: FileRef
    without: tuple[str, ...]


Copies = Mapping[Copy, RewrittenFile]


def wanted(change: CatalogChange, staged: OverlayPartitions, node: str, keys: Iterable[str]) -> list[Copy]:
    """What has to be copied before these partitions of a node can be published by a change."""
    replaced = frozenset(keys)
    own = (Copy(FileRef(file.path), gone) for file, gone in _files(staged, node, replaced) if gone)
    return [*production_files(change, node, replaced), *own]


def production_files(change: CatalogChange, node: str, keys: frozenset[str]) -> list[Copy]:
    """Files that readers see and that hold other partitions as well."""
    without = tuple(sorted(keys))
    return [Copy(file, without) for file in change.shared_files(node, without)]


def lacking(copies: Iterable[Copy], files: Copies) -> list[Copy]:
    """Those that nobody has made yet."""
    return [copy for copy in copies if copy not in files]


def errand(attempt: AttemptId, table: LakeTable, copies: Iterable[Copy]) -> Prune:
    """The task that makes them."""
    files = tuple(copies)
    return Prune(str(attempt), table, tuple(file.file for file in files), tuple(copy.without for copy in files), "UTC")


def own_files(staged: OverlayPartitions, node: str, keys: frozenset[str], files: Copies) -> Iterator[StagedFile]:
    """The files to be registered: as they were staged, or copied without what doesn't count any more."""
    for file, gone in _files(staged, node, keys):
        left = files[Copy(FileRef(file.path), gone)].staged if gone else file
        if left is not None:
            yield left


def _files(staged: OverlayPartitions, node: str, keys: frozenset[str]) -> Iterator[tuple[StagedFile, tuple[str, ...]]]:
    """The files that these partitions are in, each with what in it counts no more as it was made then."""
    counts: dict[AttemptId, set[str]] = {}
    for key in keys:
        row = staged.rows[node][key]
        counts.setdefault(AttemptId(row.epoch, row.n), set()).add(key)
    for attempt in sorted(counts):
        file = staged.outcomes[attempt].staged
        if file is not None:
            yield file, tuple(sorted(part.key for part in file.partitions if part.key not in counts[attempt]))
