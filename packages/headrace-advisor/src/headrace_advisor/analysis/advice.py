"""What the advisor says about SQL: findings with their premises, as values."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import NamedTuple


class Verdict(enum.StrEnum):
    """How sure a finding is."""

    PROVEN = "proven"
    """A rule proves it, and each of its premises is guarded."""
    MEASURED_EQUAL = "measured_equal"
    REFUTED = "refuted"
    """The finding doesn't hold here, for the reasons in its premises."""
    UNKNOWN = "unknown"


class Premise(NamedTuple):
    """A statement that a finding depends on, and what enforces it (None: nothing does)."""

    text: str
    guard: str | None


Premises = frozenset[Premise]
NO_PREMISES: Premises = frozenset()


def unguarded(premises: Iterable[Premise]) -> int:
    """Return how many premises nothing enforces."""
    return sum(premise.guard is None for premise in premises)


class JoinedTable(NamedTuple):
    """The table that a finding about a join is about, and the columns that it is joined on."""

    table: str
    columns: tuple[str, ...]


class Edit(NamedTuple):
    """A replacement of `text[start:end]` of a file."""

    start: int
    end: int
    replacement: str


class Finding(NamedTuple):
    """What a rule says about one place of a statement."""

    rule: str
    kind: str
    position: int
    """Offset in the text of the file."""
    message: str
    premises: Premises = NO_PREMISES
    edits: tuple[Edit, ...] = ()
    columns: tuple[str, ...] = ()
    join: JoinedTable | None = None
    refuted: bool = False
    provable: bool = True
    """False for findings that no premise makes certain: whether it matters depends on the data."""

    removes: frozenset[int] = frozenset()
    """The ids of queries and aggregates whose DISTINCT or UNION it takes out."""
    relies_on: frozenset[int] = frozenset()
    """The ids of queries and aggregates whose DISTINCT or UNION must stay for it to hold."""

    @property
    def verdict(self) -> Verdict:
        """The verdict before anything is measured."""
        if self.refuted:
            return Verdict.REFUTED
        if not self.provable or unguarded(self.premises):
            return Verdict.UNKNOWN
        return Verdict.PROVEN


def finding_id(place: str, rule: str, text: str, number: int) -> str:
    """Return an id that stays the same while the text that a finding is about does.

    `number` tells findings with the same text apart.
    """
    words = " ".join(text.split())
    hashed = hashlib.sha256(f"{place}\0{rule}\0{words}\0{number}".encode()).hexdigest()
    return f"o-{hashed[:10]}"
