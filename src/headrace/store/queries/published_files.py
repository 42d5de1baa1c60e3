"""Looks at what `materialize: files` published: which publications are to be looked at next, and what each look saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from headrace.store.database import Transaction


class PublishedFiles(NamedTuple):
    """The files of a publication that readers see, each an entry with `path`, `size` and `sha256`; `before` is the newest look."""

    publication: int
    files: tuple[Mapping[str, Any], ...]
    before: FilesLook | None


class FilesLook(NamedTuple):
    """The newest look at a publication's files. `path` and `wrong` are of the first that isn't as it was published, None where all
    are. Times are microseconds of the store's clock."""

    publication: int
    looked_at: int
    path: str | None = None
    size_bytes: int | None = None
    wrong: str | None = None
    wrong_since: int | None = None


class DamagedPublication(NamedTuple):
    """A publication of which a file isn't there as it was published."""

    publication: int
    node: str
    partition: str
    rows: int
    look: FilesLook


def next_ones(tx: Transaction, limit: int) -> list[PublishedFiles]:
    """Those that nobody looked at for longest, new ones first."""
    rows = tx.execute(
        "select p.id, p.manifest, l.publication_id, l.looked_at, l.path, l.size_bytes, l.wrong, l.wrong_since from publication p"
        " left join published_file_look l on l.publication_id = p.id where p.manifest is not null and p.ended_snapshot is null"
        " order by coalesce(l.looked_at, 0), p.id desc limit :limit",
        {"limit": limit},
    ).fetchall()
    published_files = []
    for number, manifest, *look in rows:
        # what was exported is listed as well, by its target: that isn't ours to look at
        files = tuple(entry for entry in msgspec.json.decode(manifest) if "path" in entry)
        published_files.append(PublishedFiles(number, files, None if look[0] is None else FilesLook(*look)))
    return published_files


def note(tx: Transaction, looks: Iterable[FilesLook]) -> None:
    """Keep what looks saw, and forget those at what readers don't see any more."""
    tx.executemany(
        "insert into published_file_look (publication_id, looked_at, path, size_bytes, wrong, wrong_since) values (?, ?, ?, ?, ?, ?)"
        " on conflict (publication_id) do update set looked_at = excluded.looked_at, path = excluded.path,"
        " size_bytes = excluded.size_bytes, wrong = excluded.wrong, wrong_since = excluded.wrong_since",
        [tuple(files_look) for files_look in looks],
    )
    gone = tx.execute(
        "select publication_id from published_file_look where not exists"
        " (select 1 from publication p where p.id = published_file_look.publication_id and p.ended_snapshot is null)"
    ).fetchall()
    tx.executemany("delete from published_file_look where publication_id = ?", gone)


def damaged(tx: Transaction) -> list[DamagedPublication]:
    """The publications that readers see of which a file is damaged."""
    rows = tx.execute(
        "select p.id, p.node, p.partition, p.rows, l.publication_id, l.looked_at, l.path, l.size_bytes, l.wrong, l.wrong_since"
        " from published_file_look l join publication p on p.id = l.publication_id"
        " where l.wrong is not null and p.ended_snapshot is null order by p.id"
    ).fetchall()
    return [DamagedPublication(number, node, partition, count, FilesLook(*look)) for number, node, partition, count, *look in rows]
