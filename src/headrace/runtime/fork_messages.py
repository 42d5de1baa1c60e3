"""What a worker sends to the fork of an attempt, and what the fork answers."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import msgspec

from headrace.engine.attempts import BodyError, Measures
from headrace.engine.compute import AssetOutput
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask

MODULES_MAX = 5_000
MODULE = re.compile(r"[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){0,9}", re.ASCII)
ENDED = struct.Struct("<id")
"""The status of an ended attempt as of `os.waitpid`, and its processor seconds."""


class AttemptFolders(msgspec.Struct, frozen=True):
    """The folders of one attempt: the project's, and its own for files and temporary data."""

    project_folders: Folders
    own: str

    @property
    def lake(self) -> Path:
        """The lake, which the attempt reads its inputs from."""
        return self.project_folders.lake

    @property
    def code(self) -> Path:
        """Applied files."""
        return self.project_folders.code

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.project_folders.project

    @property
    def files(self) -> Path:
        """The folder for `materialize: files`; the worker moves what is in it."""
        return Path(self.own, "files")

    @property
    def temporary(self) -> Path:
        """Temporary files."""
        return Path(self.own, "tmp")


class ForkJob(msgspec.Struct, frozen=True):
    """What the fork of an attempt gets from its worker."""

    task: ComputeTask
    folders: AttemptFolders
    staged: str
    """Name of the folder in which rows are staged, below the table's."""
    read: tuple[str, ...]
    write: tuple[str, ...]
    ports: tuple[int, ...] | None
    threads: int
    memory_max_bytes: int | None


class ForkResult(msgspec.Struct, frozen=True):
    """What the fork answers. The code that it ran may have forged it."""

    measures: Measures
    lines: int
    output: AssetOutput | None = None
    error: BodyError | None = None
    modules: tuple[str, ...] = ()
    """Installed modules that the attempt imported, to be imported in advance from now on."""
