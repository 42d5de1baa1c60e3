"""Files in the lake's folder that nothing names: what a crash or a lost worker left behind."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from headrace.lake.folders import SCHEMA_FOLDER
from headrace.model.errors import LakeError


class Orphan(msgspec.Struct, frozen=True):
    """A file that no snapshot and no open attempt names. `path` is relative to the data folder."""

    path: str
    size_bytes: int
    modified_us: int


def orphans(data_folder: Path, named: Collection[str], staged: Collection[str], *, before_us: int) -> list[Orphan]:
    """Parquet files below `main/` that are neither `named` (`catalog.named_paths`) nor `staged` (by open attempts, plans,
    quarantine) and were last written before `before_us`, which must lie further back than the longest attempt takes: what a
    worker is writing now, nobody else knows of yet. Links aren't followed; whatever isn't a Parquet file isn't ours to judge."""
    known = {*named, *staged}
    results = []
    for path, status in _files(data_folder):
        relative = path.relative_to(data_folder).as_posix()
        modified = status.st_mtime_ns // 1000
        if relative not in known and modified < before_us:
            results.append(Orphan(relative, status.st_size, modified))
    return sorted(results, key=lambda orphan: orphan.path)


def remove(data_folder: Path, orphans: Collection[Orphan]) -> int:
    """Delete orphans; returns how many bytes are free again. A file that was written since is left alone."""
    freed = 0
    for orphan in orphans:
        path = data_folder / orphan.path
        if not orphan.path.startswith(SCHEMA_FOLDER) or not path.parent.resolve().is_relative_to(data_folder.resolve()):
            raise LakeError(f"{orphan.path!r} doesn't lie in the lake's folder")
        try:
            if path.lstat().st_mtime_ns // 1000 == orphan.modified_us:
                path.unlink()
                freed += orphan.size_bytes
        except FileNotFoundError:
            continue
    return freed


def _files(data_folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, _, names in os.walk(data_folder / SCHEMA_FOLDER, followlinks=False):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".parquet") and not path.is_symlink():
                try:
                    yield path, path.lstat()
                except FileNotFoundError:
                    continue
