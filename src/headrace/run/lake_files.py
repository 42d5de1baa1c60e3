"""Looks whether the lake's files are there as they were published, before a reader finds out that one isn't.

The files of the newest publication that consumers read, and those that an attempt couldn't read, are looked at each time; all others in
rotation, as many as a time allows. Where the rotation stopped is kept in the store. A lake that isn't a local folder is left alone.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping
from pathlib import Path

from headrace.govern.identity import refuse_empty
from headrace.lake import catalog
from headrace.lake.intact import look
from headrace.model.clauses import LAKE_FILE
from headrace.plan import Compiled
from headrace.plan.views import expanded_names
from headrace.store import Clock, Store, Transaction
from headrace.store.queries import lake_files, partitions, publications, published_files
from headrace.store.queries.lake_files import FileLook
from headrace.store.queries.published_files import FilesLook, PublishedFiles

ROTATION_SECONDS = 0.05
"""For so long, at most, files are looked at in rotation by one pass."""
SERVER_EVERY_SECONDS = 5.0
"""How often a server makes such a pass: with `ROTATION_SECONDS` that is 1 % of a core."""
CHUNK = 500
PUBLICATIONS = 100
"""Of `materialize: files`, at most so many publications are looked at by one pass."""


def look_at_files(store: Store, epoch: int, lake: Path, compiled: Compiled, clock: Clock, *, seconds: float = ROTATION_SECONDS) -> bool:
    """One pass; whether anything is wrong, or right again, that wasn't at the look before.

    StoreError where the lake is empty although the state has files in it: it was mounted when this leader began."""
    with store.read() as tx:
        refuse_empty(tx, lake, store.engine.where)
        if not lake.is_dir():
            return False  # there is no lake yet
        read = catalog.current(tx, [*_read_by_consumers(tx, compiled), *_met(tx)])
        before = lake_files.known(tx, (file.id for file in read))
    now = clock.now_us()
    looks = {file.id: _look(lake, file, before, now) for file in read}
    published = _look_at_published(store, lake.parent, now)
    after = _rotate(store, lake, looks, before, now, time.monotonic() + seconds)
    changed = [
        file_look
        for file_look in looks.values()
        if file_look.wrong != (before[file_look.file_id].wrong if file_look.file_id in before else None)
    ]
    with store.write(epoch) as tx:
        lake_files.note(tx, looks.values())
        lake_files.go_on_after(tx, after, clock.mark(tx))
        if published:
            published_files.note(tx, [look for _, look in published])
    return bool(changed) or any(look.wrong != (None if before is None else before.wrong) for before, look in published)


def _look_at_published(store: Store, data: Path, now: int) -> list[tuple[FilesLook | None, FilesLook]]:
    """The next publications of `materialize: files`: what the look before saw, and this one."""
    with store.read() as tx:
        chosen = published_files.next_ones(tx, PUBLICATIONS)
    return [(files.before, _published(data, files, now)) for files in chosen if files.files]


def _published(data: Path, files: PublishedFiles, now: int) -> FilesLook:
    for entry in files.files:
        wrong = _wrong_of(data / entry["path"], int(entry["size"]))
        if wrong:
            was = files.before
            since = was.wrong_since if was is not None and was.wrong_since is not None else now
            return FilesLook(files.publication, now, str(entry["path"]), int(entry["size"]), wrong, since)
    return FilesLook(files.publication, now)


def _wrong_of(path: Path, size_bytes: int) -> str:
    """What is wrong with a file of whatever kind, without reading it: a clause that follows its path."""
    try:
        results = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is gone"
    except OSError as error:
        return f"can't be looked at ({(error.strerror or 'unknown error').lower()})"
    if not stat.S_ISREG(results.st_mode):
        return "is no file"
    return "" if results.st_size == size_bytes else f"has {results.st_size:,} bytes and not {size_bytes:,}"


def _read_by_consumers(tx: Transaction, compiled: Compiled) -> list[int]:
    """The files of the newest publication of each node that a consumer reads."""
    reads = dict.fromkeys(name for consumer in compiled.project.consumers.values() for name in consumer.reads)
    results: dict[int, None] = {}
    for name in expanded_names(compiled, [name for name in reads if name in compiled.nodes]):
        newest = publications.newest(tx, name)
        if newest is not None:
            results |= dict.fromkeys(catalog.ids_holding(tx, name, [newest.partition]))
    return list(results)


def _met(tx: Transaction) -> list[int]:
    """The files that attempts couldn't read, of what still waits for their repair."""
    results = []
    for reason in sorted(partitions.waiting_reasons(tx, LAKE_FILE)):
        path = reason.removeprefix(LAKE_FILE)
        table = path.rpartition("/")[0].rpartition("/")[2]
        results += [row.id for row in catalog.files_of(tx, table) if path.startswith(f"{row.ref.path} ")]
    return results


def _rotate(store: Store, lake: Path, looks: dict[int, FileLook], before: dict[int, FileLook], now: int, until: float) -> int:
    """Look at others until the time is over or all were looked at; after which the next pass goes on."""
    with store.read() as tx:
        began = after = lake_files.after(tx)
    wrapped = began == lake_files.BEGINNING
    while time.monotonic() < until:
        with store.read() as tx:
            chunk = catalog.current_after(tx, after, CHUNK)
            before |= lake_files.known(tx, (file.id for file in chunk if file.id not in before))
        for file in chunk:
            if wrapped and lake_files.BEGINNING < began < file.id:
                return after
            if file.id not in looks:
                looks[file.id] = _look(lake, file, before, now)
            after = file.id
            if time.monotonic() >= until:
                return after
        if len(chunk) < CHUNK:
            if wrapped:
                return lake_files.BEGINNING
            after, wrapped = lake_files.BEGINNING, True
    return after


def _look(lake: Path, file: catalog.CurrentFile, before: Mapping[int, FileLook], now: int) -> FileLook:
    last = before.get(file.id)
    seen = look(lake / file.path, file.size_bytes, file.footer_bytes, last.footer if last is not None else "")
    footer = (last.footer if last is not None else "") or ("" if seen.wrong else seen.footer)
    if not seen.wrong:
        return FileLook(file.id, footer, now, None, None)
    since = last.wrong_since if last is not None and last.wrong_since is not None else now
    return FileLook(file.id, footer, now, seen.wrong, since)
