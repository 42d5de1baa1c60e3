"""Where a table's files lie, below the lake's data folder. A name or a key from outside never becomes part of a path as it is."""

from __future__ import annotations

import hashlib
import re
import uuid

from headrace.lake.tables import LakeTable
from headrace.model.errors import LakeError

SCHEMA_FOLDER = "main/"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.parquet")
LOST = "lost-"
_LOST = re.compile(rf"{LOST}([A-Za-z0-9._-]+)-[0-9a-f]{{8}}\.parquet")


def folder_of(table_name: str) -> str:
    """The table's folder below `main/`, with `/` at the end: its name where that is plain, else a digest of it."""
    if _PLAIN.fullmatch(table_name):
        return f"{table_name}/"
    return f"t-{hashlib.sha256(table_name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}/"


def new_path(table: LakeTable) -> str:
    """A path for a file to be staged, relative to the data folder; nothing is there yet."""
    return f"{_of(table)}{uuid.uuid4()}.parquet"


def file_name(path: str, folder: str) -> str:
    """The file's name if `path` lies directly in `folder` (relative to the data folder, `/` at the end). Raises `LakeError`
    if it lies elsewhere or has a name that no staging gives."""
    name = path.removeprefix(folder)
    if name == path or not _FILE.fullmatch(name):
        raise LakeError(f"the staged file {path!r} doesn't lie in its table's folder {folder}")
    return name


def lost_path(path: str) -> str:
    """The name under which rows are registered that were lost with the file at `path`; no file is ever there."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{LOST}{lost_with(name) or name.removesuffix('.parquet')}-{uuid.uuid4().hex[:8]}.parquet"


def lost_with(name: str) -> str | None:
    """The name, without its ending, of the file with which rows were lost that are registered under `name`; None where they
    aren't lost."""
    match = _LOST.fullmatch(name)
    return match[1] if match else None


def new_deletes_path(table: LakeTable) -> str:
    """A path for a positional delete file to be staged, beside the table's data files."""
    return f"{_of(table)}{uuid.uuid4()}-delete.parquet"


def _of(table: LakeTable) -> str:
    return table.folder or f"{SCHEMA_FOLDER}{folder_of(table.name)}"
