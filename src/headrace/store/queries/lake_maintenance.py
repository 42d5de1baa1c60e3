"""Records of the lake's maintenance: its runs, its problems, and checks of files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from headrace.store.transaction import Transaction

WORKERS = "workers_broken"
"""The problem that no worker starts."""
LAKE = "lake_closed"
"""The problem that the lake's folders aren't writable."""


class OngoingProblem(NamedTuple):
    """A problem with workers or the lake: start, last observation (microseconds), and reason."""

    since: int
    seen: int
    why: str


def problem(tx: Transaction, kind: str) -> OngoingProblem | None:
    """Return a problem of the kind `WORKERS` or `LAKE`; None if it is over."""
    row = tx.execute("select value from meta where key = ?", (kind,)).fetchone()
    return None if row is None else OngoingProblem(*json.loads(row[0]))


def record_problem(tx: Transaction, kind: str, why: str, now: int) -> None:
    """Record that a problem goes on."""
    before = problem(tx, kind)
    value = json.dumps([now if before is None else before.since, now, why])
    tx.execute(
        "insert into meta (key, value) values (?, ?) on conflict (key) do update set value ="
        " excluded.value",
        (kind, value),
    )


def clear_problem(tx: Transaction, kind: str) -> None:
    """Record that a problem is over."""
    tx.execute("delete from meta where key = ?", (kind,))


def maintained_at(tx: Transaction) -> int | None:
    """Return the time of the lake's last maintenance."""
    row = tx.execute("select value from meta where key = 'upkeep_at'").fetchone()
    return int(row[0]) if row else None


def maintenance_done(tx: Transaction, now: int) -> None:
    """Record a maintenance of the lake."""
    tx.execute(
        "insert into meta (key, value) values ('upkeep_at', ?) on conflict (key) do update set"
        " value = excluded.value",
        (str(now),),
    )


def reclaimed_at(tx: Transaction) -> int | None:
    """Return when space was last freed because the disk was full."""
    row = tx.execute("select value from meta where key = 'reclaimed_at'").fetchone()
    return int(row[0]) if row else None


def reclaimed(tx: Transaction, now: int) -> None:
    """Record that space is being freed because the disk is full."""
    tx.execute(
        "insert into meta (key, value) values ('reclaimed_at', ?) on conflict (key) do update set"
        " value = excluded.value",
        (str(now),),
    )


# Checks of the lake's files: the newest result for each file, and where the rotation over all
# files continues.

BEGINNING = -1
"""Below all file ids."""


class FileLook(NamedTuple):
    """The newest check of a file; `wrong` is None if it is intact. Times are microseconds."""

    file_id: int
    footer: str
    looked_at: int
    wrong: str | None
    wrong_since: int | None


def known_checks(tx: Transaction, ids: Iterable[int]) -> dict[int, FileLook]:
    """Return the newest checks by file."""
    file_looks = {}
    for item in ids:
        row = tx.execute(
            "select file_id, footer, looked_at, wrong, wrong_since from lake_file_look where"
            " file_id = ?",
            (item,),
        ).fetchone()
        if row is not None:
            file_looks[item] = FileLook(*row)
    return file_looks


def damaged_files(tx: Transaction) -> list[FileLook]:
    """Return the damaged files of all snapshots."""
    rows = tx.execute(
        "select file_id, footer, looked_at, wrong, wrong_since from lake_file_look where wrong is"
        " not null order by file_id"
    )
    return [FileLook(*row) for row in rows]


def checked_since(tx: Transaction, at: int) -> int:
    """Return the number of the newest snapshot's files checked since a time."""
    row = tx.execute(
        "select count(*) from lake_file_look l join ducklake_data_file f on f.data_file_id ="
        " l.file_id where l.looked_at >= ? and f.end_snapshot is null",
        (at,),
    ).fetchone()
    return int(row[0])


def record_file_checks(tx: Transaction, checks: Iterable[FileLook]) -> None:
    """Keep what looks saw."""
    tx.executemany(
        "insert into lake_file_look (file_id, footer, looked_at, wrong, wrong_since) values (?, ?,"
        " ?, ?, ?) on conflict (file_id) do update set footer = excluded.footer, looked_at ="
        " excluded.looked_at, wrong = excluded.wrong, wrong_since = excluded.wrong_since",
        [tuple(file_look) for file_look in checks],
    )


def rotation_position(tx: Transaction) -> int:
    """Return the file after which the rotation continues; `BEGINNING` at its start."""
    row = tx.execute("select after_file from lake_file_round where id = 1").fetchone()
    return BEGINNING if row is None else int(row[0])


def move_rotation(tx: Transaction, file_id: int, now: int) -> None:
    """Set the file after which the rotation continues.

    `BEGINNING` restarts it, and deletes checks of files that the newest snapshot doesn't contain.
    """
    tx.execute(
        "insert into lake_file_round (id, after_file, at) values (1, :after, :now)"
        " on conflict (id) do update set after_file = excluded.after_file, at = excluded.at",
        {"after": file_id, "now": now},
    )
    if file_id == BEGINNING:
        # a separate query, because a replay of the event log repeats the change with a catalog that
        # DuckLake may have changed itself
        orphaned = tx.execute(
            "select file_id from lake_file_look where not exists (select 1 from ducklake_data_file"
            " f where f.data_file_id = lake_file_look.file_id and f.end_snapshot is null) and not"
            " exists (select 1 from ducklake_delete_file d where d.delete_file_id ="
            " lake_file_look.file_id and d.end_snapshot is null)"
        ).fetchall()
        tx.executemany("delete from lake_file_look where file_id = ?", orphaned)


# Checks of what `materialize: files` published: the publications to check next, and the result of
# each check.


class PublishedFiles(NamedTuple):
    """Files of a visible publication: `path`, `size`, `sha256`; `before` is the newest check."""

    publication: int
    files: tuple[Mapping[str, Any], ...]
    before: FilesLook | None


class FilesLook(NamedTuple):
    """The newest check of a publication's files. Times are microseconds of the store's clock.

    `path` and `wrong` are those of the first damaged file; None if all are intact.
    """

    publication: int
    looked_at: int
    path: str | None = None
    size_bytes: int | None = None
    wrong: str | None = None
    wrong_since: int | None = None


class DamagedPublication(NamedTuple):
    """A publication with a missing or damaged file."""

    publication: int
    node: str
    partition: str
    rows: int
    file_check: FilesLook


def next_published_files(tx: Transaction, limit: int) -> list[PublishedFiles]:
    """Return the publications with the oldest checks; unchecked ones come first."""
    rows = tx.execute(
        "select p.id, p.manifest, l.publication_id, l.looked_at, l.path, l.size_bytes, l.wrong,"
        " l.wrong_since from publication p left join published_file_look l on l.publication_id ="
        " p.id where p.manifest is not null and p.ended_snapshot is null order by"
        " coalesce(l.looked_at, 0), p.id desc limit :limit",
        {"limit": limit},
    ).fetchall()
    published_files = []
    for number, manifest, *check in rows:
        # manifests of exports list their targets too, which Headrace doesn't check
        files = tuple(entry for entry in msgspec.json.decode(manifest) if "path" in entry)
        published_files.append(
            PublishedFiles(number, files, None if check[0] is None else FilesLook(*check))
        )
    return published_files


def record_published_checks(tx: Transaction, checks: Iterable[FilesLook]) -> None:
    """Store checks, and delete those of publications that aren't visible any more."""
    tx.executemany(
        "insert into published_file_look (publication_id, looked_at, path, size_bytes, wrong,"
        " wrong_since) values (?, ?, ?, ?, ?, ?) on conflict (publication_id) do update set"
        " looked_at = excluded.looked_at, path = excluded.path, size_bytes = excluded.size_bytes,"
        " wrong = excluded.wrong, wrong_since = excluded.wrong_since",
        [tuple(files_look) for files_look in checks],
    )
    orphaned = tx.execute(
        "select publication_id from published_file_look where not exists (select 1 from publication"
        " p where p.id = published_file_look.publication_id and p.ended_snapshot is null)"
    ).fetchall()
    tx.executemany("delete from published_file_look where publication_id = ?", orphaned)


def damaged_publications(tx: Transaction) -> list[DamagedPublication]:
    """Return the visible publications with damaged files."""
    rows = tx.execute(
        "select p.id, p.node, p.partition, p.rows, l.publication_id, l.looked_at, l.path,"
        " l.size_bytes, l.wrong, l.wrong_since from published_file_look l join publication p on"
        # Without the plus, or ordered by p.id, SQLite would read all publications.
        " p.id = +l.publication_id where l.wrong is not null and p.ended_snapshot is null order by"
        " l.publication_id"
    ).fetchall()
    return [
        DamagedPublication(number, node, partition, count, FilesLook(*check))
        for number, node, partition, count, *check in rows
    ]
