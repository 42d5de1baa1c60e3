"""What is odd about a delivery or a partition, as values: what was expected, what was observed. Causes are found from these."""

from __future__ import annotations

import enum

import msgspec

from headrace.quality.agreement import RenameCandidate
from headrace.quality.value_changes import Differs


class DriftKind(enum.StrEnum):
    """How a delivery's schema differs from what is expected of its interval. Another order of the columns is no difference."""

    RENAMED = "renamed"
    DROPPED = "dropped"
    ADDED = "added"
    TYPE = "type"
    NULLABILITY = "nullability"
    FORMAT = "format"
    KEYS = "keys"
    NESTED = "nested"


class Policy(enum.StrEnum):
    """What is done about a change of a delivery's schema (`on_drift`)."""

    BLOCK = "block"
    MAP = "map"
    ALLOW = "allow"
    WARN = "warn"


class DriftChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `column` is the expected one (of one that was added: its own name), `to` what stands in its place."""

    kind: DriftKind
    column: str
    to: str | None = None
    score: float | None = None
    """Of a rename: how sure it is, from 0 to 1."""
    evidence: tuple[str, ...] = ()
    """One clause each, for people: names, types, overlap of values."""
    policy: Policy = Policy.BLOCK
    used_by: tuple[str, ...] = ()
    """The assets and consumers that use the column."""
    candidates: tuple[RenameCandidate, ...] = ()
    """Of a rename: what the column may be called now, the most probable first."""
    differs: tuple[Differs, ...] = ()
    """Of a rename: how the values are other than they were."""
    was: str = ""
    """Of a type: the one that values had to be of."""
    declared: str = ""
    """Of a type: where the contract says it (`contracts/orders.odcs.yaml:11`), if the delivery is as it
    was expected before that was declared: then the declaration holds it."""


class RenameFindings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found out about a rename, as it is kept."""

    candidates: tuple[RenameCandidate, ...] = ()
    differs: tuple[Differs, ...] = ()


class FactSeverity(enum.StrEnum):
    """How far a fact is from what was ever seen."""

    HOLD = "hold"
    WARN = "warn"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is odd. `kind` is of INTERFACE's causes (`stale_data`, `null_spike`, …); `strength` is in nats: what it would cost
    to explain it by chance. Values of classified columns never stand in it."""

    kind: str
    column: str = ""
    severity: FactSeverity
    expected: str
    observed: str
    strength: float
    detail: str = ""
    partition: str = ""
    """Of several that were judged together: which it is about."""
    of: str = ""
    """The attempt whose publication it is about (`3.17`), where that isn't the one that found it:
    what readers saw
    until now turns out to have been wrong."""
