"""What a command or a body wrote into its output directory: rows in files to be staged, or files to be published as they are."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from headrace.engine.failures import failed, kind_of
from headrace.lake import PARTITION_COLUMN, Table
from headrace.lake.session import literal, quote

if TYPE_CHECKING:
    from headrace.lake.session import Session

FILES_MAX = 10_000
DEPTH_MAX = 20
_FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json"}
_COMPRESSED = (".gz", ".zst")
_CSV = "header = true, delim = ',', quote = '\"', escape = '\"', union_by_name = true"
_JSON = "format = 'newline_delimited', union_by_name = true, sample_size = -1"
_HINT = "write Parquet, CSV (with a header line, separated by commas) or JSON lines into the output directory"


def rows(session: Session, directory: Path, table: Table | None) -> str:
    """A SELECT over the rows in the directory's files. Columns that `table` has are read in its types, others as they look.

    Raises `BodyFailed` for no files, files of several formats or of none that is known, or files that can't be read."""
    paths = files(directory)
    formats = {_format(path) for path in paths}
    if not paths:
        raise failed("nothing was written into the output directory", code="no_output", hint=_HINT)
    if len(formats) > 1 or None in formats:
        raise failed(f"the output directory holds {_named(paths)}: rows must be in files of one format", code="no_output", hint=_HINT)
    source = f"[{', '.join(literal(str(path)) for path in paths)}]"
    kind = formats.pop()
    if kind == "parquet":
        return f"SELECT * FROM read_parquet({source}, union_by_name = true)"
    return _typed(session, source, str(kind), table)


def manifest(directory: Path, relative_to: Path) -> tuple[dict[str, Any], ...]:
    """Path (relative, `/` between its parts), size in bytes and sha256 of each file, by path. Raises `BodyFailed` for none."""
    paths = files(directory, hidden=True)
    if not paths:
        raise failed("no file was written into the output directory", code="no_output", hint="write into ctx.output_directory; a command finds it in HEADRACE_CONTEXT")
    return tuple({"path": path.relative_to(relative_to).as_posix(), "size": path.stat().st_size, "sha256": _sha256(path)} for path in paths)


def files(directory: Path, *, hidden: bool = False) -> list[Path]:
    """Regular files below the directory, sorted; without those that begin with `.` or `_` (markers) unless asked for.

    Raises `BodyFailed` for links and devices: what they lead to isn't what was written here."""
    found: list[Path] = []
    _walk(directory, hidden, 0, found)
    return sorted(found)


def _walk(directory: Path, hidden: bool, depth: int, found: list[Path]) -> None:
    if depth > DEPTH_MAX:
        raise failed(f"the output directory is nested deeper than {DEPTH_MAX} levels", code="no_output")
    with os.scandir(directory) as entries:
        for entry in entries:
            if not hidden and entry.name.startswith((".", "_")):
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                _walk(Path(entry.path), hidden, depth + 1, found)
            elif stat.S_ISREG(mode):
                found.append(Path(entry.path))
            else:
                raise failed(f"`{entry.name}` in the output directory is no regular file", code="no_output", hint="copy instead of linking")
            if len(found) > FILES_MAX:
                raise failed(f"more than {FILES_MAX} files were written", code="no_output", hint="write fewer, larger files")


def _format(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def _typed(session: Session, source: str, kind: str, table: Table | None) -> str:
    """CSV and JSON with the table's types for the columns that both have."""
    reader, options, untyped = ("read_csv", _CSV, ", all_varchar = true") if kind == "csv" else ("read_json", _JSON, "")
    if table is None:
        return f"SELECT * FROM {reader}({source}, {options}{', sample_size = -1' if kind == 'csv' else ''})"
    known = {column.name.lower(): column.type for column in table.columns if column.name != PARTITION_COLUMN}
    found = _columns(session, f"SELECT * FROM {reader}({source}, {options}{untyped})")
    if kind == "csv":
        types = ", ".join(f"{literal(name)}: {literal(known[name.lower()])}" for name, _ in found if name.lower() in known)
        return f"SELECT * FROM read_csv({source}, {options}{f', types = {{{types}}}' if types else ''})"
    cast = ", ".join(f"CAST({quote(name)} AS {known.get(name.lower(), shown)}) AS {quote(name)}" for name, shown in found)
    return f"SELECT {cast} FROM read_json({source}, {options})"


def _columns(session: Session, select_sql: str) -> list[tuple[str, str]]:
    try:
        return [(str(row[0]), str(row[1])) for row in session.connection.execute(f"DESCRIBE {select_sql}").fetchall()]
    except duckdb.Error as error:
        raise failed(f"what was written can't be read: {str(error).splitlines()[0]}", code="no_output", hint=_HINT, kind=kind_of(error)) from error


def _named(paths: Sequence[Path]) -> str:
    names = sorted({path.name for path in paths})
    return ", ".join(f"`{name}`" for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
