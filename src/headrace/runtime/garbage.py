"""Unneeded files in the data folder: found from the state, deleted when old enough.

A recently written file is kept whatever the state says: an attempt may be writing it, or a reader
reading it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from pathlib import Path

import msgspec

from headrace.connect.connectors import PAGES_SECONDS_MAX
from headrace.faults import FaultPoint, reached
from headrace.lake import catalog
from headrace.lake.files import orphans
from headrace.model import Asset, Project, Source
from headrace.model.retention import first_kept
from headrace.model.times import parse_duration
from headrace.runtime.folders import Folders
from headrace.runtime.overlays.partitions import staged_paths
from headrace.store import Transaction
from headrace.store.queries import holds
from headrace.store.queries import retention as stored_retention

LONGEST_ATTEMPT = timedelta(days=1)
"""Longest time that an attempt may take; younger unreferenced files are kept."""
ENVIRONMENTS_KEPT = timedelta(days=7)
"""How long an environment of `requirements` is kept that isn't used."""
RAW_KEPT = "90d"
LOGS_KEPT = "90d"
QUARANTINE_KEPT = "90d"
SNAPSHOTS_KEPT = "30d"


class Waste(msgspec.Struct, frozen=True):
    """Deletable files of one kind: absolute paths of files or whole folders, and their size."""

    kind: str
    paths: tuple[str, ...]
    size_bytes: int


class RetentionPolicy(msgspec.Struct, frozen=True):
    """Retention times: durations as declared. `raw` is by source."""

    retention: Mapping[str, str]
    raw: Mapping[str, str] = {}
    nodes: Mapping[str, Source | Asset] = {}
    """The sources and assets with `retain`."""
    names: frozenset[str] | None = None
    """All declared sources and assets; None if it isn't known which are."""

    @classmethod
    def declared(cls, project: Project) -> RetentionPolicy:
        """Return a project's retention: `retain_raw` of each source, and [retention]."""
        nodes: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
        return cls(
            project.settings.retention,
            {name: source.retain_raw for name, source in project.sources.items()},
            {node.name: node for node in nodes if node.retain is not None},
            frozenset(node.name for node in nodes),
        )

    @property
    def pruned(self) -> timedelta | None:
        """How long the data of nodes stays that aren't declared any more; None: for ever."""
        text = self.retention.get("pruned")
        return None if text is None else parse_duration(text)

    def first_kept(self, now_us: int) -> dict[str, str]:
        """Return the first kept interval of each node with `retain`."""
        first_keys = {name: first_kept(node, now_us) for name, node in self.nodes.items()}
        return {name: key for name, key in first_keys.items() if key is not None}

    def longest_raw(self) -> timedelta:
        """Return the longest retention of raw bytes that a source declares."""
        return max((parse_duration(text) for text in self.raw.values()), default=timedelta(0))

    def of(self, kind: str, default: str) -> timedelta:
        """Return the declared duration of a kind, or the default."""
        return parse_duration(self.retention.get(kind, default))


def waste(tx: Transaction, folders: Folders, keep: RetentionPolicy, now_us: int) -> list[Waste]:
    """Return all deletable files by kind.

    These are the lake's orphans, raw bytes, quarantine, logs, pages that no fetch continues, files
    of ended publications, code, and environments. While anything is under a legal hold, neither
    quarantine nor published files are among them, nor raw bytes of its sources.
    """
    # a replay's time may be in the future, but file times are real
    now_us = min(now_us, time.time_ns() // 1000)
    young_us = _us(now_us, LONGEST_ATTEMPT)
    named = catalog.named_paths(tx)
    lost = [
        folders.lake / orphan.path
        for orphan in orphans(folders.lake, named, staged_paths(tx), before_us=young_us)
    ]
    held = holds.held_nodes(tx)
    waiting = {str(Path(folders.data, path)) for path in stored_retention.quarantined_paths(tx)}
    snapshots_us = _us(now_us, keep.of("snapshots", SNAPSHOTS_KEPT))
    pages_us = _us(now_us, timedelta(seconds=PAGES_SECONDS_MAX))
    return [
        _waste("orphans", lost),
        _waste("raw", _old(folders.raw, _raw_expires(tx, keep, now_us, held), young_us, waiting)),
        _waste(
            "quarantine",
            _old(
                folders.quarantine,
                _fixed(0 if held else _us(now_us, keep.of("quarantine", QUARANTINE_KEPT))),
                young_us,
                waiting,
            ),
        ),
        _waste(
            "logs",
            _old(
                folders.logs, _fixed(_us(now_us, keep.of("logs", LOGS_KEPT))), young_us, frozenset()
            ),
        ),
        _waste("pages", _old(folders.pages, _fixed(pages_us), now_us, frozenset())),
        _waste("files", [] if held else _ended_files(tx, folders, snapshots_us, young_us)),
        _waste("code", _code(tx, folders, young_us)),
        _waste("environments", _environments(folders, now_us)),
    ]


def remove(wastes: list[Waste]) -> None:
    """Delete the files, and folders that this empties; missing files are no error."""
    for waste in wastes:
        reached(FaultPoint.WASTE_REMOVING)
        for path in map(Path, waste.paths):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            _drop_empty(path.parent)


def _drop_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # not empty, or gone
        return


def _raw_expires(
    tx: Transaction, keep: RetentionPolicy, now_us: int, held: AbstractSet[str]
) -> Callable[[Path], int]:
    """Return the function that gives the time before which a raw file must have been written.

    Only older files are deletable. Content that is needed by one of its deliveries isn't. Content
    without a delivery (a part of one, the copy of a lost attempt) has the longest retention of all
    sources, and is kept while anything is under a legal hold (`held`).
    """
    needed = _needed_raw(tx, keep, now_us, held)
    longest = max([_raw_seconds(keep), *map(_seconds, keep.raw.values())])

    def expires(path: Path) -> int:
        if path.name in needed:
            return 0 if needed[path.name] else now_us
        return 0 if held else now_us - int(longest * 1_000_000)

    return expires


def _needed_raw(
    tx: Transaction, keep: RetentionPolicy, now_us: int, held: AbstractSet[str]
) -> dict[str, bool]:
    """Return whether a delivery still needs its stored bytes, by their hash.

    The longest retention of the deliveries with the same content applies. `retain:` ends it with
    the rows, and a legal hold (`held`) continues it.
    """
    default, first = _raw_seconds(keep), keep.first_kept(now_us)
    spans = {name: _seconds(text) for name, text in keep.raw.items()}
    results: dict[str, bool] = {}
    for delivery in stored_retention.retained_deliveries(tx):
        name, span = delivery.source, spans.get(delivery.source, default)
        young = delivery.arrived_at + int(span * 1_000_000) > now_us
        retained = name not in first or delivery.partition >= first[name]
        needed = (young and retained) or not held.isdisjoint({name, holds.EVERYTHING})
        results[delivery.sha256] = results.get(delivery.sha256, False) or needed
    return results


def _raw_seconds(keep: RetentionPolicy) -> float:
    return _seconds(keep.retention.get("raw", RAW_KEPT))


def _fixed(before_us: int) -> Callable[[Path], int]:
    return lambda _: before_us


def _old(
    folder: Path, expires: Callable[[Path], int], young_us: int, besides: AbstractSet[str]
) -> Iterator[Path]:
    """Yield files below a folder that are older than `expires` allows, and not young."""
    for path, modified_us in _files(folder):
        if str(path) not in besides and modified_us < min(expires(path), young_us):
            yield path


def _ended_files(tx: Transaction, folders: Folders, ended_us: int, young_us: int) -> Iterator[Path]:
    """Yield folders of `materialize: files` (`files/<asset>/<attempt>`) that can be deleted.

    No publication in them is visible now or was until recently.
    """
    needed = {
        Path(folders.data, path).parts for path in stored_retention.published_files(tx, ended_us)
    }
    depth = len(folders.files.parts) + 2
    needed_folders = {parts[:depth] for parts in needed}
    for asset in _folders(folders.files):
        for attempt in _folders(asset):
            if (
                attempt.parts not in needed_folders
                and attempt.stat().st_mtime_ns // 1000 < young_us
            ):
                yield attempt


def _code(tx: Transaction, folders: Folders, young_us: int) -> Iterator[Path]:
    used = {digest[:16] for digest in stored_retention.digests_in_use(tx)}
    for folder in _folders(folders.code):
        if folder.name not in used and folder.stat().st_mtime_ns // 1000 < young_us:
            yield folder


def _environments(folders: Folders, now_us: int) -> Iterator[Path]:
    """Yield environments that no attempt began with lately, each with the file that guards it."""
    before_us = _us(now_us, ENVIRONMENTS_KEPT)
    for folder in _folders(folders.environments):
        if folder.stat().st_mtime_ns // 1000 < before_us:
            yield from (folder, folder.with_suffix(".lock"))


def _folders(folder: Path) -> list[Path]:
    return (
        sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        if folder.is_dir()
        else []
    )


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for inside, _, names in os.walk(folder, followlinks=False):
        for name in sorted(names):
            path = Path(inside, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            yield path, status.st_mtime_ns // 1000


def _waste(kind: str, paths: Iterator[Path] | list[Path]) -> Waste:
    results = list(paths)
    return Waste(kind, tuple(str(path) for path in results), sum(_size(path) for path in results))


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(inner.lstat().st_size for inner, _ in _files(path))
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _us(now_us: int, back: timedelta) -> int:
    return now_us - int(back.total_seconds() * 1_000_000)


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()
