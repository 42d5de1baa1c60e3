"""The places outside of the lake's tables that may have rows of a subject, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.connect import SourceSchema
from headrace.connect.raw_files import raw_path
from headrace.extension import Folders, Source
from headrace.lake import catalog
from headrace.lake.erased_files import ErasableFile, ErasedFile, ErasureScan, HashKey
from headrace.lake.tables import LakeTable
from headrace.model.erased_rows import ErasedRows
from headrace.runtime.overlays.partitions import staged_paths
from headrace.store import Transaction
from headrace.store.queries import ingestion
from headrace_erase.queries import erased_exports, quoted_texts
from headrace_erase.queries import erasures as stored
from headrace_erase.search import (
    BytesSearch,
    FileSearch,
    RawFile,
    RawSearch,
    erased_files,
    file_rows,
    files_with,
    raw_rows,
)

LITERAL_CHARACTERS_MIN = 4
"""Shorter values aren't searched in text: they occur in numbers and times by chance."""
_CHARACTERS_MIN = {False: 6, True: 9}
"""The same for files of any kind, by whether the value is a number."""
LAKE_FILES_MAX = 2_000
"""Maximum number of the lake's files that are searched byte by byte after an erasure."""


class Keys(msgspec.Struct, frozen=True):
    """By what the subject's rows are recognised in each node, and the key of these hashes."""

    by_node: Mapping[str, tuple[ErasedRows, ...]]
    key: HashKey


class TableFiles(msgspec.Struct, frozen=True):
    """A table's files with rows of the subject; `seen` is its newest file when it was searched.

    `loose` are files in the table's folder that no snapshot names, relative to the lake's folder,
    and `staged` are those that a backfill has staged.
    """

    files: tuple[ErasedFile, ...]
    paths: Mapping[str, frozenset[str]]
    """Path of each of them in the lake's folder → its partitions with rows of the subject."""
    seen: int
    loose: tuple[str, ...]
    staged: tuple[str, ...]


def table_files(
    tx: Transaction, folders: Folders, node: str, keys: Keys, *, rewrite: bool
) -> TableFiles | None:
    """Search a table; None if the node has none. Raise LakeError if it can't be searched."""
    table = None if catalog.missing(tx) else catalog.table(tx, node)
    if table is None:
        return None
    listed = catalog.erasable_files(tx, node)
    seen = catalog.newest_file(tx, node)
    rows = keys.by_node[node]
    scan = ErasureScan(str(folders.lake), table, listed, rows, keys.key, rewrite)
    files = erased_files(scan) if listed else ()
    unnamed = _unnamed_files(folders, table, listed, rows, keys.key)
    waiting = staged_paths(tx)
    names = {file.id: file.path for file in listed}
    return TableFiles(
        files,
        {names[file.id]: frozenset(file.matched) for file in files},
        seen,
        tuple(path for path in unnamed if path not in waiting),
        tuple(path for path in unnamed if path in waiting),
    )


def _unnamed_files(
    folders: Folders,
    table: LakeTable,
    listed: Sequence[ErasableFile],
    rows: tuple[ErasedRows, ...],
    key: HashKey,
) -> list[str]:
    """Return the files of a table's folder with rows of the subject that no snapshot names."""
    named = {path for file in listed for path in (file.path, *(d.path for d in file.deletes))}
    names = sorted(path.name for path in (folders.lake / table.folder).glob("*.parquet"))
    others = [path for name in names if (path := f"{table.folder}{name}") not in named]
    search = FileSearch(tuple(str(folders.lake / path) for path in others), rows, key, False, "")
    return [others[item.number] for item in file_rows(search) if item.rows]


class Copies(msgspec.Struct, frozen=True):
    """Files with the bytes of deliveries that have rows of the subject; absolute paths.

    `raw` are Headrace's own copies, `delivered` the files of the vendor, and `unread` those of both
    that can't be read, so that nobody can tell.
    """

    rows: int
    raw: tuple[str, ...]
    delivered: tuple[str, ...]
    unread: tuple[str, ...]
    texts: frozenset[str] = frozenset()
    """Texts in these rows."""


def copies(  # complexipy: ignore (what was found, by whose file it is)
    tx: Transaction, folders: Folders, source: Source, keys: Keys
) -> Copies:
    """Search the stored deliveries of a source, and the files that they were copied from."""
    pinned = ingestion.pinned_schema(tx, source.name)
    files = list(_delivered(tx, folders, source))
    search = RawSearch(
        source,
        msgspec.json.decode(pinned, type=SourceSchema) if pinned else None,
        tuple(RawFile(number, parts) for number, (parts, _) in enumerate(files)),
        keys.by_node[source.name],
        keys.key,
        str(folders.temporary),
    )
    searched = raw_rows(search)
    read = [(*files[item.number], item.rows) for item in searched]
    paths_with_rows = list(
        dict.fromkeys(path for parts, _, rows in read if rows for path, _ in parts)
    )
    unread = {path for parts, known, rows in read if rows is None and known for path, _ in parts}
    ours = [path for path in paths_with_rows if _is_ours(folders, path)]
    return Copies(
        sum(rows for parts, _, rows in read if rows and parts[0][0] in ours),
        tuple(ours),
        tuple(path for path in paths_with_rows if path not in ours),
        tuple(sorted(unread)),
        frozenset(text for item in searched for text in item.texts),
    )


def _is_ours(folders: Folders, path: str) -> bool:
    place = Path(path)
    return place.is_relative_to(folders.raw) or place.is_relative_to(folders.received)


def _delivered(  # complexipy: ignore (each place with copies, in order)
    tx: Transaction, folders: Folders, source: Source
) -> Iterator[tuple[tuple[tuple[str, str], ...], bool]]:
    """Yield the files of each delivery with their names, and whether a delivery names them.

    Copies that no delivery names may be parts of one, or of an attempt that was lost.
    """
    named, places, last = set[str](), dict[str, None](), source.name
    for last, parts, sha256 in stored.delivered(tx, source.name):
        copy = raw_path(folders.raw, sha256) if sha256 is not None else None
        if copy is not None:
            named.add(copy.path)
            yield ((copy.path, last),), True
        decoded = msgspec.json.decode(parts) if parts else [{"path": last}]
        places.update(dict.fromkeys(str(part["path"]) for part in decoded))
    for place in places:
        if (folders.project / place).is_file():
            yield ((str(folders.project / place), place),), True
    every = stored.raw_hashes(tx)
    for file in sorted(folders.raw.glob("??/*")):
        if file.name not in every and str(file) not in named:
            yield ((str(file), last),), False


def tables_that_still_have(tx: Transaction, values: Sequence[str]) -> list[str]:
    """Return tables of state and catalog with a value that isn't there by chance."""
    return quoted_texts.tables_with(tx, _unmistakable(values))


class QuarantinedFile(msgspec.Struct, frozen=True):
    """A file of quarantined rows with rows of the subject; `number` is the row of the state."""

    number: int
    node: str
    path: str
    rows: int | None


def quarantined(
    tx: Transaction, folders: Folders, nodes: Collection[str], keys: Keys
) -> list[QuarantinedFile]:
    """Search the rows in quarantine, whatever was decided about them."""
    results = []
    for node in nodes:
        entries = [
            (number, path)
            for number, path in stored.quarantined(tx, node)
            if path.endswith(".parquet") and (folders.data_path / path).is_file()
        ]
        search = FileSearch(
            tuple(str(folders.data_path / path) for _, path in entries),
            keys.by_node[node],
            keys.key,
            False,
            "",
        )
        results += [
            QuarantinedFile(*entries[item.number][:1], node, entries[item.number][1], item.rows)
            for item in file_rows(search)
            if item.rows or item.rows is None
        ]
    return results


def files_that_still_have(
    tx: Transaction, folders: Folders, consumers: Collection[str], values: Sequence[str]
) -> list[str]:
    """Return files of the data folder and of exports with a value that isn't there by chance.

    Of the lake, the newest are searched. Raise LakeError if the search ends without an answer.
    """
    files = [path for path in folders.data_path.rglob("*") if path.is_file()]
    lake = sorted(
        (path for path in files if path.is_relative_to(folders.lake)),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    others = [path for path in files if not path.is_relative_to(folders.lake)]
    exported = [
        path
        for consumer in consumers
        for target in sorted(erased_exports.every_target(tx, consumer))
        if (path := folders.project / target).is_file()
    ]
    paths = [str(path) for path in (*others, *lake[:LAKE_FILES_MAX], *exported)]
    return sorted(files_with(BytesSearch(tuple(paths), _unmistakable(values))))


def _unmistakable(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for value in values if len(value) >= _CHARACTERS_MIN[value.isdigit()])


def texts_of(values: Sequence[str]) -> list[bytes]:
    """Return the values that are long enough to be searched in text."""
    return sorted({value.encode() for value in values if len(value) >= LITERAL_CHARACTERS_MIN})


def logs_with(
    tx: Transaction, folders: Folders, nodes: Collection[str], values: Sequence[str]
) -> dict[str, list[Path]]:
    """Return the logs of attempts that contain a value, by node."""
    texts = texts_of(values)
    results: dict[str, list[Path]] = {}
    for node in nodes if texts else ():
        paths = [folders.log(epoch, n) for epoch, n in stored.attempts_of(tx, node)]
        matching = [path for path in paths if _contains(path, texts)]
        if matching:
            results[node] = matching
    return results


def _contains(path: Path, texts: Sequence[bytes]) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return any(text in content for text in texts)


def cleaned_log(path: Path, keys: Sequence[str], values: Sequence[str]) -> None:
    """Overwrite the lines with a key, and other values, in a log by `*`, atomically."""
    lines = b"|".join(b"[^\\n]*%s[^\\n]*" % re.escape(text) for text in texts_of(keys))
    others = b"|".join(re.escape(text) for text in reversed(texts_of(values)))
    content = path.read_bytes()
    for pattern in filter(None, (lines, others)):
        content = re.sub(pattern, lambda match: b"*" * len(match[0]), content)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
