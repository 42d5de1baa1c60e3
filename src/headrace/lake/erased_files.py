"""The rows of a subject in the lake's files: how they are recognised, and what a search finds.

A subject is known by keyed hashes of its keys (`ErasedRows`), so that neither a plan, nor the
state, nor a later delivery needs the value itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

import msgspec

from headrace.lake.sqltext import literal, quote
from headrace.lake.tables import LakeColumn, LakeTable, StagedFile
from headrace.model.erased_rows import ErasedRows

_BLOCK_BYTES = 64
"""Block of SHA-256, to which HMAC (RFC 2104) pads its key."""
_INNER, _OUTER = 0x36, 0x5C


class HashKey(msgspec.Struct, frozen=True):
    """The key of the hashes, padded as HMAC does it: two blocks in hexadecimal digits."""

    inner: str
    outer: str

    @classmethod
    def of(cls, secret: bytes) -> HashKey:
        """Return the padded key of a secret of at most 64 bytes."""
        block = secret.ljust(_BLOCK_BYTES, b"\0")
        assert len(block) == _BLOCK_BYTES
        return cls(
            bytes(byte ^ _INNER for byte in block).hex(),
            bytes(byte ^ _OUTER for byte in block).hex(),
        )


def token_of(secret: bytes, text: str) -> str:
    """Return the keyed hash (HMAC-SHA-256) of a value's text, in hexadecimal digits."""
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def recognised(erased: Sequence[ErasedRows], names: Iterable[str]) -> tuple[ErasedRows, ...]:
    """Return those by which rows with columns of these names can be recognised."""
    present = {name.lower() for name in names}
    return tuple(rows for rows in erased if all(key.column.lower() in present for key in rows.keys))


def matches_sql(erased: Sequence[ErasedRows], key: HashKey) -> str:
    """Return the SQL condition that holds for the rows of any of these, and never is NULL."""
    alternatives = [
        " AND ".join(
            f"{_hash_sql(item.column, key)} IN ({_list(item.tokens)})" for item in rows.keys
        )
        for rows in erased
    ]
    return f"coalesce({' OR '.join(f'({text})' for text in alternatives) or 'false'}, false)"


TEXT_CHARACTERS_MIN, NUMBER_CHARACTERS_MIN, TEXTS_MAX = 6, 9, 10_000
"""Lengths from which a text and a number of a row are searched, and how many of a file."""
_COMMON = rf"[a-z_]+|[-+.\d]{{1,{NUMBER_CHARACTERS_MIN - 1}}}|\d{{4}}-\d\d-\d\d.*"


def texts_sql(source: str, condition: str) -> str:
    """Return a query of the texts and whole numbers in rows, also of those in nested columns.

    Dates, short numbers and single words in lower case aren't among them: logs have such anyway.
    """
    return (
        f"SELECT DISTINCT atom ->> '$' AS found FROM (SELECT to_json(document) AS document FROM"
        f" {source} AS document WHERE {condition}) AS rows, json_tree(document) WHERE type IN"
        f" ('VARCHAR', 'UBIGINT', 'BIGINT') AND length(found) >= {TEXT_CHARACTERS_MIN} AND NOT"
        f" regexp_full_match(found, {literal(_COMMON)}) LIMIT {TEXTS_MAX}"
    )


def _hash_sql(column: str, key: HashKey) -> str:
    value = f"encode(CAST({quote(column)} AS VARCHAR))"
    inner = f"sha256(unhex({literal(key.inner)}) || {value})"
    return f"sha256(unhex({literal(key.outer)}) || unhex({inner}))"


def _list(tokens: Sequence[str]) -> str:
    return ", ".join(literal(token) for token in tokens)


class ErasableDeletes(msgspec.Struct, frozen=True):
    """A positional delete file of a data file; `current` if the newest snapshot uses it."""

    id: int
    path: str
    current: bool


class ErasableFile(msgspec.Struct, frozen=True):
    """A data file of any snapshot. Paths are relative to the lake's folder.

    It is in the snapshots from `begins` to the one before `ends`; None: in the newest, too. Its
    rows are numbered from `first_row`; None if each row carries its own number and snapshot, as in
    merged files.
    """

    id: int
    path: str
    begins: int
    ends: int | None
    first_row: int | None
    columns: tuple[LakeColumn, ...]
    deletes: tuple[ErasableDeletes, ...] = ()

    @property
    def current(self) -> bool:
        """Whether the newest snapshot has it."""
        return self.ends is None

    def shown_at(self, snapshot: int) -> bool:
        """Whether a snapshot has it."""
        return self.begins <= snapshot and (self.ends is None or snapshot < self.ends)


class StagedPositions(msgspec.Struct, frozen=True):
    """A positional delete file for the rewritten data file, instead of the one with this id."""

    id: int
    path: str
    rows: int
    size_bytes: int
    footer_bytes: int


class ErasedFile(msgspec.Struct, frozen=True):
    """A file with rows of the subject.

    `matched` are all such rows by partition, `visible` those that the newest snapshot shows.
    `staged` is the file without them: None if no row is left, or if files were only counted.
    """

    id: int
    matched: dict[str, int]
    visible: dict[str, int]
    staged: StagedFile | None = None
    deletes: tuple[StagedPositions, ...] = ()
    texts: tuple[str, ...] = ()
    """Texts in the rows, if they were only counted."""


class ErasureScan(msgspec.Struct, frozen=True):
    """A table, its files, and the rows to erase in it; `rewrite` False only counts.

    These are the rows of subjects, those of all partitions before a key, or of some partitions.
    """

    lake: str
    table: LakeTable
    files: tuple[ErasableFile, ...]
    erased: tuple[ErasedRows, ...]
    key: HashKey | None
    rewrite: bool
    before: str | None = None
    partitions: tuple[str, ...] = ()
    """Erase the rows of these partitions instead."""
