"""What was applied of one file: in which versions, and its text."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.database import Transaction


class FileVersion(NamedTuple):
    """A version, with the hash of the file's content in it; None where it had no such file."""

    version: int
    applied_at: int
    actor: str
    hash: str | None


def of_file(tx: Transaction, path: str, limit: int) -> list[FileVersion]:
    """The newest versions, newest first."""
    rows = tx.execute("select id, applied_at, actor, manifest from version order by id desc limit ?", (limit,))
    return [
        FileVersion(number, at, actor, msgspec.json.decode(manifest, type=dict[str, str]).get(path)) for number, at, actor, manifest in rows
    ]


def text(tx: Transaction, digest: str) -> str | None:
    """A content that is kept, as text; None where it isn't there or is none."""
    row = tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()
    try:
        return None if row is None else bytes(row[0]).decode()
    except UnicodeDecodeError:
        return None
