"""Read the lake's files, and compare them with what was published.

Bytes are compared with the digest in the file's name, rows with the content hash of their
publication; that is computed in a process of its own: one that has the state database open loads no
DuckDB.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.lake import catalog
from headrace.lake.catalog import Registered
from headrace.lake.files import MAGIC, has_its_digest, read_tail
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import ALGORITHM, hash_text, sum_hashes
from headrace.lake.tables import ColumnLookup, FileRef, LakeColumn, digest_in, lost_with
from headrace.model.errors import LakeError, first_line
from headrace.store import Store, Transaction
from headrace.store.queries import audit_trail
from headrace.store.queries.audit_trail import PublishedRows


class ComparedPartition(msgspec.Struct, frozen=True):
    """A partition, and the hash that its publication recorded.

    `rewritten` means that its files are younger, and may have been cast to other types.
    """

    key: str
    content_hash: str
    rewritten: bool = False


class ComparedTable(msgspec.Struct, frozen=True):
    """Partitions of a node whose hashes were computed over the same columns, and their files."""

    node: str
    columns: tuple[LakeColumn, ...]
    partitions: tuple[ComparedPartition, ...]
    files: tuple[FileRef, ...]


class ContentRequest(msgspec.Struct, frozen=True):
    """What to compare, in which lake."""

    lake: str
    tables: tuple[ComparedTable, ...]

    @property
    def paths(self) -> set[str]:
        """The files whose rows are compared."""
        return {file.path for table in self.tables for file in table.files}


class OtherContent(msgspec.Struct, frozen=True):
    """A partition whose rows aren't those that were published, and the files that hold it."""

    node: str
    partition: str
    content_hash: str
    paths: tuple[str, ...]


class ContentResult(msgspec.Struct, frozen=True):
    """Partitions that were compared, those that differ, and unreadable files with the reason."""

    compared: int = 0
    unclear: int = 0
    """Partitions that were written again in other types, in which their hash is another."""
    rows: int = 0
    differences: tuple[OtherContent, ...] = ()
    unreadable: dict[str, str] = {}


def published_contents(tx: Transaction, lake: Path) -> ContentRequest:
    """Return all partitions that readers see now and whose rows have a hash, with their files."""
    tables: list[ComparedTable] = []
    for node, publications in audit_trail.published_rows(tx).items():
        hashed = [item for item in publications if _has_hash(item)]
        tables += _tables(tx, node, hashed) if hashed else ()
    return ContentRequest(str(lake), tuple(tables))


def _has_hash(publication: PublishedRows) -> bool:
    """Whether the hash is one of rows: an erasure leaves that of the file it wrote."""
    recorded = publication.content_hash or ""
    return recorded.startswith(f"{ALGORITHM}:{publication.rows:x}:")


def _tables(
    tx: Transaction, node: str, publications: Sequence[PublishedRows]
) -> Iterator[ComparedTable]:
    versions = catalog.column_versions(tx, node)
    files = catalog.files_of(tx, node)
    if not versions or any(file.keys is None for file in files):
        return  # no table, or another writer's files
    holding: dict[str, list[catalog.FileRow]] = defaultdict(list)
    for file in files:
        for key in file.keys or ():
            holding[key].append(file)
    starts = [snapshot for snapshot, _ in versions]
    by_version: dict[int, list[PublishedRows]] = defaultdict(list)
    for item in publications:
        by_version[max(bisect_right(starts, item.snapshot) - 1, 0)].append(item)
    for version, items in by_version.items():
        keys = {item.partition for item in items}
        yield ComparedTable(
            node,
            versions[version][1],
            tuple(
                ComparedPartition(
                    item.partition,
                    item.content_hash or "",
                    any(file.snapshots[0] > item.snapshot for file in holding[item.partition]),
                )
                for item in items
            ),
            tuple(
                _compared(file, keys, newest=version == len(versions) - 1)
                for file in files
                if file.lost is None and file.may_hold_any(keys)
            ),
        )


def _compared(file: catalog.FileRow, keys: set[str], *, newest: bool) -> FileRef:
    """Return the file with the keys to read, and columns by id if they are earlier ones."""
    ref = file.ref
    same = ref.lookup is ColumnLookup.SAME and not newest
    return msgspec.structs.replace(
        ref,
        partitions=tuple(sorted(keys & (file.keys or frozenset()))),
        lookup=ColumnLookup.ID if same else ref.lookup,
    )


def compare_contents(request: ContentRequest) -> ContentResult:
    """Compute the hashes again in another process. Raises LakeError if that ends without them."""
    if not request.tables:
        return ContentResult()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "headrace.runtime.content_check"],
        input=msgspec.msgpack.encode(request),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LakeError(f"published rows can't be compared: {last or f'exit {done.returncode}'}")
    return msgspec.msgpack.decode(done.stdout, type=ContentResult)


SAMPLE_BYTES = 64 * 2**20
"""64 MiB of files, drawn anew each time, are read if not all are to be read."""


class FilesRead(NamedTuple):
    """What was read: `damaged` has what is wrong, by path.

    `unread` files weren't read; for `unproved` ones, nothing says what was in them.
    """

    damaged: Mapping[str, str]
    contents: ContentResult
    files: int
    size_bytes: int
    unread: int
    unproved: int


def read_files(store: Store, lake: Path, *, deep: bool) -> FilesRead:
    """Read a sample of the files, or if `deep` all of them, and compare all rows.

    No transaction is open meanwhile. Raises LakeError if the rows can't be compared.
    """
    with store.read() as tx:
        registered = catalog.registered(tx)
        sizes = {item.path: item.size_bytes for item in registered}
        sizes |= {item.path: item.size_bytes for item in catalog.current_deletes(tx)}
        request = published_contents(tx, lake) if deep else ContentRequest(str(lake), ())
    chosen = list(sizes) if deep else _sample(sizes)
    damaged = {path: why for path in chosen if (why := _other_bytes(lake / path))}
    contents = compare_contents(request)
    damaged |= {path: f"can't be read ({why[:200]})" for path, why in contents.unreadable.items()}
    unproved = _unproved(registered, request.paths) if deep else []
    damaged |= {item.path: why for item in unproved if (why := _damaged(lake / item.path, item))}
    size_bytes = sum(sizes[path] for path in chosen)
    unread = len(sizes) - len(chosen)
    return FilesRead(damaged, contents, len(chosen), size_bytes, unread, len(unproved))


def _sample(sizes: Mapping[str, int]) -> list[str]:
    """Draw files with a digest, in any order, until they have `SAMPLE_BYTES`."""
    drawn = [path for path in sizes if digest_in(Path(path).name)]
    random.shuffle(drawn)
    before = itertools.accumulate((sizes[path] for path in drawn), initial=0)
    return [path for path, read in zip(drawn, before, strict=False) if read < SAMPLE_BYTES]


def _other_bytes(path: Path) -> str:
    """Return what is wrong with a file's bytes; a missing file is found by its size."""
    try:
        same = has_its_digest(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return "isn't what was published: its bytes differ" if same is False else ""


def _unproved(registered: Sequence[Registered], compared: set[str]) -> list[Registered]:
    """Return the files with neither a digest nor a hash of their rows."""
    return [
        item
        for item in registered
        if not digest_in(Path(item.path).name)
        and item.path not in compared
        and not lost_with(Path(item.path).name)
    ]


def _damaged(path: Path, item: Registered) -> str:
    """Return how a file's footer or rows differ from the catalog; reads every page."""
    from pyarrow import parquet

    try:
        tail = read_tail(path, 0)
        if tail[4:] != MAGIC or int.from_bytes(tail[:4], "little") != item.footer_bytes:
            return "isn't the Parquet file that was registered"
        with parquet.ParquetFile(path) as opened:
            rows = sum(batch.num_rows for batch in opened.iter_batches())
    except FileNotFoundError:
        return ""
    except Exception as error:  # noqa: BLE001 - a damaged file may make the reader fail in any way
        return f"can't be read ({first_line(error)[:200]})"
    return "" if rows == item.rows else f"has {rows:,} rows and not {item.rows:,}"


def main() -> None:
    """Process the request on standard input."""
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ContentRequest)
    outside = [Path(path) for path in request.paths if path.startswith("/")]
    with DuckDBSession(Path(request.lake), readable=outside) as session:
        results = [_result(session, table) for table in request.tables]
    total = ContentResult(
        sum(result.compared for result in results),
        sum(result.unclear for result in results),
        sum(result.rows for result in results),
        tuple(item for result in results for item in result.differences),
        {path: why for result in results for path, why in result.unreadable.items()},
    )
    sys.stdout.buffer.write(msgspec.msgpack.encode(total))


def _result(session: DuckDBSession, table: ComparedTable) -> ContentResult:
    sums = _Sums(session, table)
    readable = [item for item in table.partitions if not sums.is_unreadable(item.key)]
    differing = [
        (item, now)
        for item in readable
        if (now := hash_text(*sums.of(item.key), table.columns)) != item.content_hash
    ]
    differences = [item for item, now in differing if _is_certain(item, now)]
    unclear = len(differing) - len(differences)
    return ContentResult(
        len(readable) - unclear,
        unclear,
        sums.rows,
        tuple(
            OtherContent(table.node, item.key, item.content_hash, tuple(sums.paths[item.key]))
            for item in differences
        ),
        sums.unreadable,
    )


def _is_certain(item: ComparedPartition, now: str) -> bool:
    """Whether both hashes are of the same columns and types."""
    same_columns = now.rpartition(":")[2] == item.content_hash.rpartition(":")[2]
    return same_columns and not item.rewritten


class _Sums:
    """Rows and sums of hashes by partition, over all files: a hash doesn't depend on their number.

    `paths` are the files of each partition, `unreadable` those that failed, with the reason.
    """

    def __init__(self, session: DuckDBSession, table: ComparedTable) -> None:
        import duckdb

        self.paths: dict[str, list[str]] = defaultdict(list)
        self.unreadable: dict[str, str] = {}
        self._rows: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        for file in table.files:
            for key in file.partitions or ():
                self.paths[key].append(file.path)
            try:
                hashed = sum_hashes(session, [file], table.columns, hashed=True)
            except duckdb.Error as error:
                self.unreadable[file.path] = first_line(error)
                continue
            for key, rows, total in hashed:
                self._rows[key] += rows
                self._totals[key] += total

    @property
    def rows(self) -> int:
        return self._rows.total()

    def of(self, key: str) -> tuple[int, int]:
        return self._rows[key], self._totals[key]

    def is_unreadable(self, key: str) -> bool:
        return not self.unreadable.keys().isdisjoint(self.paths[key])


if __name__ == "__main__":
    main()
