"""What a worker and the processes of its restricted attempts send to each other."""

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

# Between a worker and the process that forks. One message is one packet.

TAKEN, IMPORT, DONE = b"T", b"I", b"D"
"""From the worker: the process ahead got its attempt; modules to import, one a line; what an
attempt wrote is needed no more: the name of its own folder, and the path of its staged rows."""
READY, ENDED, IMPORTED = b"R", b"E", b"M"
"""From the process that forks: a process ahead, with its socket and its pidfd; a process that has
ended; the modules are imported."""
NAME_BYTES = 32
EVENT = struct.Struct(f"<cii{NAME_BYTES}s")
"""The kind, the process id, the status of an ended process as of `os.waitpid`, and the name of the
folder of a process ahead."""
PACKET_BYTES_MAX = 150_000

SIZE = struct.Struct("<Q")
"""The number of bytes of a job or an answer, before it, on the socket of an attempt's process."""


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

    @property
    def spill(self) -> Path:
        """What DuckDB writes when memory is short."""
        return Path(self.own, "duckdb")

    def create(self) -> None:
        """Create the attempt's own folders. Raises OSError."""
        for folder in (self.temporary, self.files):
            folder.mkdir(parents=True)
        self.spill.mkdir(mode=0o700)


def own_folder(folders: Folders, name: str) -> AttemptFolders:
    """Return the folders of the attempt whose own folder has this name."""
    return AttemptFolders(folders, str(folders.temporary / name))


class ForkJob(msgspec.Struct, frozen=True):
    """What the process of an attempt gets from its worker."""

    task: ComputeTask
    folders: AttemptFolders
    staged: str
    """Name of the folder in which rows are staged, below the table's."""
    read: tuple[str, ...]
    """What it may read besides `sandbox.everywhere`."""
    write: tuple[str, ...]
    ports: tuple[int, ...] | None
    threads: int
    memory_max_bytes: int | None


class ForkResult(msgspec.Struct, frozen=True):
    """What the process of an attempt answers. The code that it ran may have forged it."""

    measures: Measures
    lines: int
    output: AssetOutput | None = None
    error: BodyError | None = None
    modules: tuple[str, ...] = ()
    """Installed modules that the attempt imported, to be imported in advance from now on."""
