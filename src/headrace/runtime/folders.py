"""Paths in a project's data folder."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from headrace.model import Settings


class Folders(msgspec.Struct, frozen=True):
    """The project's root and its data folder, absolute, as text so that it travels to workers."""

    root: str
    data: str
    """The folder that holds the lake's: raw bytes, quarantine, logs and the like lie beside it, on the same file system."""
    lake_name: str = "lake"
    borrows: str | None = None
    """In an environment: production's lake, which is only read."""

    @classmethod
    def of(cls, root: Path, settings: Settings) -> Folders:
        """The folders of the project at `root`, where its settings say."""
        lake = (root / settings.lake_path).absolute()
        return cls(str(root.absolute()), str(lake.parent), lake.name)

    @property
    def project(self) -> Path:
        """What users wrote, and where deliveries land."""
        return Path(self.root)

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return Path(self.data)

    @property
    def lake(self) -> Path:
        """DuckLake's data path: `main/<table>/<uuid>.parquet`."""
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
        """Copies of files that were handed in by hand, each in a folder of its own."""
        return _below(self.data, "received")

    @property
    def logs(self) -> Path:
        """`<epoch>/<n>.jsonl`."""
        return _below(self.data, "logs")

    def log(self, epoch: int, n: int) -> Path:
        """Where an attempt's lines are kept."""
        return Path(self.data, "logs", str(epoch), f"{n}.jsonl")

    @property
    def checkpoints(self) -> Path:
        """Files that stand for old records of the event log."""
        return _below(self.data, "checkpoints")

    @property
    def code(self) -> Path:
        """Applied files, one folder a version."""
        return _below(self.data, "code")

    @property
    def files(self) -> Path:
        """What `materialize: files` published, one folder an attempt."""
        return _below(self.data, "files")

    @property
    def fence(self) -> Path:
        """Which leader's exports may become visible."""
        return _below(self.data, "exports.fence")

    @property
    def pages(self) -> Path:
        """Pages of fetches that a server has interrupted, until they go on."""
        return _below(self.data, "pages")

    @property
    def temporary(self) -> Path:
        """What only one attempt needs; emptied when a leader starts."""
        return _below(self.data, "tmp")


@functools.lru_cache(maxsize=64)
def _below(folder: str, name: str) -> Path:
    """Made once: each attempt asks for several, and a path costs microseconds."""
    return Path(folder, name)
