"""Looks at the lake's files: what each saw last, and where the rotation over all of them is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headrace.store.database import Transaction

BEGINNING = -1
"""Less than the id of every file."""


class FileLook(NamedTuple):
    """The newest look at a file. `wrong` None: it was as it was published. Times are microseconds of the store's clock."""

    file_id: int
    footer: str
    looked_at: int
    wrong: str | None
    wrong_since: int | None


def known(tx: Transaction, ids: Iterable[int]) -> dict[int, FileLook]:
    """File → what the newest look at it saw."""
    file_looks = {}
    for item in ids:
        row = tx.execute("select file_id, footer, looked_at, wrong, wrong_since from lake_file_look where file_id = ?", (item,)).fetchone()
        if row is not None:
            file_looks[item] = FileLook(*row)
    return file_looks


def damaged(tx: Transaction) -> list[FileLook]:
    """The files with which something is wrong, of whatever snapshot."""
    rows = tx.execute("select file_id, footer, looked_at, wrong, wrong_since from lake_file_look where wrong is not null order by file_id")
    return [FileLook(*row) for row in rows]


def looked_since(tx: Transaction, at: int) -> int:
    """At how many files of the newest snapshot somebody looked since then."""
    row = tx.execute(
        "select count(*) from lake_file_look l join ducklake_data_file f on f.data_file_id = l.file_id"
        " where l.looked_at >= ? and f.end_snapshot is null",
        (at,),
    ).fetchone()
    return int(row[0])


def note(tx: Transaction, looks: Iterable[FileLook]) -> None:
    """Keep what looks saw."""
    tx.executemany(
        "insert into lake_file_look (file_id, footer, looked_at, wrong, wrong_since) values (?, ?, ?, ?, ?)"
        " on conflict (file_id) do update set footer = excluded.footer, looked_at = excluded.looked_at, wrong = excluded.wrong,"
        " wrong_since = excluded.wrong_since",
        [tuple(file_look) for file_look in looks],
    )


def after(tx: Transaction) -> int:
    """The file after which the rotation goes on; `BEGINNING` at its beginning."""
    row = tx.execute("select after_file from lake_file_round where id = 1").fetchone()
    return BEGINNING if row is None else int(row[0])


def go_on_after(tx: Transaction, file_id: int, now: int) -> None:
    """The rotation goes on after this file; `BEGINNING`: with the first one, and files that aren't in the newest snapshot any more are
    forgotten."""
    tx.execute(
        "insert into lake_file_round (id, after_file, at) values (1, :after, :now)"
        " on conflict (id) do update set after_file = excluded.after_file, at = excluded.at",
        {"after": file_id, "now": now},
    )
    if file_id == BEGINNING:
        # asked first: the event log executes again what changes the state, beside a catalog that
        # DuckLake may have changed by itself
        gone = tx.execute(
            "select file_id from lake_file_look where not exists"
            " (select 1 from ducklake_data_file f where f.data_file_id = lake_file_look.file_id and f.end_snapshot is null)"
            " and not exists"
            " (select 1 from ducklake_delete_file d where d.delete_file_id = lake_file_look.file_id and d.end_snapshot is null)"
        ).fetchall()
        tx.executemany("delete from lake_file_look where file_id = ?", gone)
