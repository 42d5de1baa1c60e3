"""What a merge is told: how changes meet the table, and what it starts from."""

from __future__ import annotations

import enum

import msgspec

from headrace.lake.tables import StateFile
from headrace.model.errors import LakeError


class KeyRefused(LakeError):
    """Changes that don't say which row is meant: a key that is null, or there twice."""

    code = "merge_key"


class Deletes(enum.StrEnum):
    """What a row means that the changes don't have any more."""

    IGNORE = "ignore"
    CLOSE = "close"


class SnapshotRule(msgspec.Struct, frozen=True):
    """`materialize: snapshot`: a changed row closes the version before it. `at` is the text of the instant (or, with `is_date`,
    of the date) that versions of this publication are valid from."""

    at: str
    is_date: bool
    columns: tuple[str, ...] = ()
    """Whose change makes a version; all but the keys if there are none."""
    deletes: Deletes = Deletes.IGNORE

    @property
    def type(self) -> str:
        """DuckDB's name for the type of `valid_from` and `valid_to`."""
        return "DATE" if self.is_date else "TIMESTAMP WITH TIME ZONE"


class MergeRule(msgspec.Struct, frozen=True):
    """How the changes meet the table. `delete` is the body's column that says that a row goes."""

    keys: tuple[str, ...]
    delete: str | None = None
    versions: SnapshotRule | None = None
    drop_same: bool = False
    """Leave rows alone that the changes only repeat: worth a look at them where the whole is delivered again and again."""


class MergeState(msgspec.Struct, frozen=True):
    """What a merge starts from: the files as they were after the publication before, what is current now, and the hash of the former."""

    files: tuple[StateFile, ...]
    seen: tuple[tuple[str, tuple[str, ...]], ...]
    content_hash: str = ""
