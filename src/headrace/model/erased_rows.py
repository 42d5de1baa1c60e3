"""By what the rows of an erased subject are recognised: keyed hashes of the values of its keys."""

from __future__ import annotations

import msgspec


class ErasedKey(msgspec.Struct, frozen=True):
    """A column of one table, and the hashes of the values in it that are the subject's."""

    column: str
    tokens: tuple[str, ...]


class ErasedRows(msgspec.Struct, frozen=True):
    """The subject's rows of one table: those that match all of these keys."""

    keys: tuple[ErasedKey, ...]
