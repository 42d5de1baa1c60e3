"""What a command or a body wrote into its output directory: rows in files to be staged, or files to be published as they are."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from headrace.engine.failures import failed, of_duckdb
from headrace.lake import PARTITION_COLUMN, LakeTable
from headrace.lake.session import literal, quote

if TYPE_CHECKING:
    from headrace.govern.redaction import Redactor
    from headrace.lake.session import DuckDBSession

FILES_MAX = 10_000
DEPTH_MAX = 20
_FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json"}
_CSV = "header = true, delim = ',', quote = '\"', escape = '\"', strict_mode = true, nullstr = ''"
_JSON = "format = 'newline_delimited'"
HEADER_CHARACTERS_MAX = 1_000_000
_HINT = "write Parquet, CSV (with a header line, separated by commas) or JSON lines into the output directory"


def rows(session: DuckDBSession, directory: Path, table: LakeTable | None) -> str:
    """A SELECT over the rows in the directory's files. Columns that `table` has are read in its types, others as they look.

    Raises `BodyFailed` for no files, files of several formats or of none that is known, or files that can't be read."""
    paths = files(directory)
    formats = {_format(path) for path in paths}
    if not paths:
        raise failed("nothing was written into the output directory", code="no_output", hint=_HINT)
    if len(formats) > 1 or None in formats:
        raise failed(f"the output directory holds {_named(paths)}: rows must be in files of one format", code="no_output", hint=_HINT)
    kind = formats.pop()
    known = {column.name.lower(): column.type for column in table.columns if column.name != PARTITION_COLUMN} if table is not None else {}
    if kind == "parquet":
        return f"SELECT * FROM read_parquet({_list(paths)}, union_by_name = true)"
    return _csv(session, paths, known) if kind == "csv" else _json(session, paths, known)


def manifest(directory: Path, relative_to: Path) -> tuple[dict[str, Any], ...]:
    """Path (relative, `/` between its parts), size in bytes and sha256 of each file, by path. Raises `BodyFailed` for none."""
    paths = files(directory, hidden=True)
    if not paths:
        raise failed(
            "no file was written into the output directory",
            code="no_output",
            hint="write into ctx.output_directory; a command finds it in HEADRACE_CONTEXT",
        )
    return tuple({"path": path.relative_to(relative_to).as_posix(), "size": path.stat().st_size, "sha256": _sha256(path)} for path in paths)


def name_no_secret(manifest: Sequence[Mapping[str, Any]], redactor: Redactor) -> None:
    """Raises `BodyFailed` where a file's name holds a declared secret: names are published, kept and shown."""
    if any(redactor.text(str(file["path"])) != file["path"] for file in manifest):
        raise failed(
            "the name of a file in the output directory holds a declared secret",
            code="no_output",
            hint="name files by what they hold: names are published with them",
        )


def columns_hold_no_secret(session: DuckDBSession, select_sql: str, redactor: Redactor) -> None:
    """Raises `BodyFailed` where the name of a column, or of a field in it, holds a declared secret: names stand in the catalog, in
    contracts and in lineage."""
    # a field's name stands in its column's type as SQL writes it, with each quote doubled
    texts = [text for column in _columns(session, select_sql) for text in column]
    texts += [text.replace('""', '"') for text in texts]
    if any(redactor.text(text) != text for text in texts):
        raise failed(
            "the name of a column holds a declared secret",
            code="wrong_result",
            hint="name columns by what they hold: names are published, kept and shown",
        )


def files(directory: Path, *, hidden: bool = False) -> list[Path]:
    """Regular files below the directory, sorted; without those that begin with `.` or `_` (markers) unless asked for.

    Raises `BodyFailed` for links and devices: what they lead to isn't what was written here."""
    paths: list[Path] = []
    _walk(directory, hidden, 0, paths)
    return sorted(paths)


def _walk(directory: Path, hidden: bool, depth: int, paths: list[Path]) -> None:
    if depth > DEPTH_MAX:
        raise failed(f"the output directory is nested deeper than {DEPTH_MAX} levels", code="no_output")
    with os.scandir(directory) as entries:
        for entry in entries:
            if not hidden and entry.name.startswith((".", "_")):
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                _walk(Path(entry.path), hidden, depth + 1, paths)
            elif stat.S_ISREG(mode):
                paths.append(Path(entry.path))
            else:
                raise failed(f"`{entry.name}` in the output directory is no regular file", code="no_output", hint="copy instead of linking")
            if len(paths) > FILES_MAX:
                raise failed(f"more than {FILES_MAX} files were written", code="no_output", hint="write fewer, larger files")


def _format(path: Path) -> str | None:
    return _FORMATS.get(path.suffix.lower())


def _csv(session: DuckDBSession, paths: Sequence[Path], known: Mapping[str, str]) -> str:
    """CSV read strictly: DuckDB's detection would leave out a header, or lines, that don't look like the rest."""
    headers: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        headers.setdefault(_header(path), []).append(path)
    return " UNION ALL BY NAME ".join(_alike(session, header, alike, known) for header, alike in headers.items())


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = tuple(next(csv.reader([file.readline(HEADER_CHARACTERS_MAX)]), ()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise failed(f"`{path.name}` isn't CSV in UTF-8: {error}", code="no_output", hint=_HINT) from error
    if not names or len({name.lower() for name in names}) < len(names) or "" in names:
        raise failed(f"`{path.name}` has no header line with a name for each column", code="no_output", hint=_HINT)
    return names


def _alike(session: DuckDBSession, header: tuple[str, ...], paths: Sequence[Path], known: Mapping[str, str]) -> str:
    """Files with the same header, in the table's types where it has the column, else as all their values look."""
    source = _list(paths)
    types = {name: known.get(name.lower(), "") for name in header}
    if not all(types.values()):
        seen = _looks(session, f"SELECT * FROM read_csv({source}, {_CSV}, auto_detect = true, sample_size = -1, skip = 0)", header)
        types = {name: types[name] or seen.get(name, "VARCHAR") for name in header}
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return f"SELECT * FROM read_csv({source}, {_CSV}, auto_detect = false, columns = {{{columns}}})"


def _looks(session: DuckDBSession, select_sql: str, header: tuple[str, ...]) -> dict[str, str]:
    """The types that DuckDB sees; none where it sees other columns or no CSV at all, which reading then says line by line."""
    try:
        results = _columns(session, select_sql)
    except duckdb.Error:
        return {}
    return dict(results) if [name for name, _ in results] == list(header) else {}


def _json(session: DuckDBSession, paths: Sequence[Path], known: Mapping[str, str]) -> str:
    """JSON lines, in the table's types where it has the column."""
    paths = [path for path in paths if path.stat().st_size]
    if not paths and known:
        return f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {quote(name)}' for name, kind in known.items())} WHERE false"
    if not paths:
        raise failed("what was written is empty, so the columns aren't known", code="no_output", hint="declare them with `columns:`")
    try:
        results = _columns(session, f"SELECT * FROM read_json({_list(paths)}, {_JSON}, union_by_name = true, sample_size = -1)")
    except duckdb.Error as error:
        raise failed(f"what was written can't be read: {of_duckdb(error).error.message}", code="no_output", hint=_HINT) from error
    columns = ", ".join(f"{literal(name)}: {literal(known.get(name.lower(), kind))}" for name, kind in results)
    return f"SELECT * FROM read_json({_list(paths)}, {_JSON}, columns = {{{columns}}})"


def _list(paths: Sequence[Path]) -> str:
    return f"[{', '.join(literal(str(path)) for path in paths)}]"


def _columns(session: DuckDBSession, select_sql: str) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[1])) for row in session.connection.execute(f"DESCRIBE {select_sql}").fetchall()]


def _named(paths: Sequence[Path]) -> str:
    names = sorted({path.name for path in paths})
    return ", ".join(f"`{name}`" for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
