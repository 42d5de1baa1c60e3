"""Paths in a project's data folder."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from headrace.model import Settings


class Folders(msgspec.Struct, frozen=True):
    """The project's root and its data folder: absolute, as text so that workers can get it."""

    root: str
    data: str
    """The parent of the lake's folder. Raw bytes, quarantine, logs and others are in it as well.

    All of them are on the same file system.
    """
    lake_name: str = "lake"
    borrows: str | None = None
    """In an environment: production's lake, which is only read."""

    @classmethod
    def of(cls, root: Path, settings: Settings) -> Folders:
        """Return the folders of the project at `root`, according to its settings."""
        lake = (root / settings.lake_path).absolute()
        return cls(str(root.absolute()), str(lake.parent), lake.name)

    @property
    def project(self) -> Path:
        """The project's folder, with users' files and deliveries."""
        return _path(self.root)

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return _path(self.data)

    @property
    def lake(self) -> Path:
        """DuckLake's data path, with `main/<table>/<uuid>.parquet`."""
        return _below(self.data, self.lake_name)

    @property
    def quarantine(self) -> Path:
        """Held and rejected data, one Parquet file each."""
        return _below(self.data, "quarantine")

    @property
    def raw(self) -> Path:
        """Bytes of deliveries, by content."""
        return _below(self.data, "raw")

    @property
    def received(self) -> Path:
        """Copies of files that were handed in by hand, each in its own folder."""
        return _below(self.data, "received")

    @property
    def logs(self) -> Path:
        """Logs of attempts, as `<epoch>/<n>.jsonl`."""
        return _below(self.data, "logs")

    def log(self, epoch: int, n: int) -> Path:
        """Return the path of an attempt's log."""
        return _below(f"{self.data}/logs", str(epoch)) / f"{n}.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Files that replace old records of the event log."""
        return _below(self.data, "checkpoints")

    @property
    def code(self) -> Path:
        """Applied files, one folder per version."""
        return _below(self.data, "code")

    @property
    def environments(self) -> Path:
        """Python environments of assets with `requirements`, one folder per lock's hash."""
        return _below(self.data, "environments")

    @property
    def files(self) -> Path:
        """Published files of `materialize: files`, one folder per attempt."""
        return _below(self.data, "files")

    @property
    def fence(self) -> Path:
        """The file that records which leader's exports may become visible."""
        return _below(self.data, "exports.fence")

    @property
    def pages(self) -> Path:
        """Pages of fetches that a server has interrupted, until they continue."""
        return _below(self.data, "pages")

    @property
    def temporary(self) -> Path:
        """Temporary files of single attempts; emptied when a leader starts."""
        return _below(self.data, "tmp")


@functools.lru_cache(maxsize=16)
def _path(folder: str) -> Path:
    return Path(folder)


@functools.lru_cache(maxsize=64)
def _below(folder: str, name: str) -> Path:
    """Return the path, cached: attempts need several, and each costs microseconds to create."""
    return Path(folder, name)
