"""Kinds of causes (INTERFACE §3), and a cause with the evidence that it explains.

`headrace.incidents.diagnosis` finds causes. The vocabulary is defined here because packages below
and above that one use it too: evaluation, commands and views.
"""

from __future__ import annotations

import enum

import msgspec

HEADRACE = "headrace"
"""The `node` of causes within Headrace itself."""


class CauseKind(enum.StrEnum):
    """Kind of a cause (INTERFACE §3). `docs/how-to/incidents.md` lists the repairs of each."""

    LATE_SOURCE = "late_source"
    MISSING_SOURCE = "missing_source"
    SOURCE_UNAVAILABLE = "source_unavailable"
    ACCESS_DENIED = "access_denied"
    SCHEMA_CHANGE = "schema_change"
    TYPE_CHANGE = "type_change"
    FORMAT_CHANGE = "format_change"
    POISON_DELIVERY = "poison_delivery"
    STALE_DATA = "stale_data"
    RESTATEMENT = "restatement"
    DUPLICATE_ROWS = "duplicate_rows"
    VOLUME_ANOMALY = "volume_anomaly"
    NULL_SPIKE = "null_spike"
    DISTRIBUTION_SHIFT = "distribution_shift"
    REFERENCE_BROKEN = "reference_broken"
    CODE_ERROR = "code_error"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    WORKER_LOST = "worker_lost"
    SLOW_RUN = "slow_run"
    DEADLINE_INFEASIBLE = "deadline_infeasible"
    DESTINATION_UNAVAILABLE = "destination_unavailable"
    CONFIGURATION_ERROR = "configuration_error"
    PAUSED = "paused"
    APPROVAL_PENDING = "approval_pending"
    RUNTIME_DOWN = "runtime_down"
    REPORTED = "reported"
    DATA_CORRUPTED = "data_corrupted"
    UNKNOWN = "unknown"


DATA_CAUSES = frozenset(
    {
        CauseKind.SCHEMA_CHANGE,
        CauseKind.TYPE_CHANGE,
        CauseKind.FORMAT_CHANGE,
        CauseKind.STALE_DATA,
        CauseKind.RESTATEMENT,
        CauseKind.DUPLICATE_ROWS,
        CauseKind.VOLUME_ANOMALY,
        CauseKind.NULL_SPIKE,
        CauseKind.DISTRIBUTION_SHIFT,
        CauseKind.REFERENCE_BROKEN,
        CauseKind.REPORTED,
        CauseKind.DATA_CORRUPTED,
    }
)
"""Causes that make the named publications wrong (SEMANTICS §7); `code_error` also does."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A cause found by diagnosis.

    `own` is the evidence at its node that establishes it, strongest first. `explains` is all
    evidence attributed to it, including `own`.
    """

    kind: CauseKind
    node: str
    nodes: tuple[str, ...] = ()
    """Other nodes with the same cause, through a shared machine, host or vendor.

    Their downstream nodes are affected too.
    """
    partitions: tuple[str, ...] = ()
    """Affected partitions, in partition order; empty: the whole node."""
    columns: tuple[str, ...] = ()
    detail: str = ""
    """Details of the kind: a factor (`x100`) or its sign, a failed check's name, an error's class.

    Part of the fingerprint, so it must not change from day to day.
    """
    summary: str = ""
    """One clause for display: `2 columns renamed`."""
    began_us: int
    confidence: float
    own: tuple[str, ...] = ()
    """Ids of evidence."""
    explains: tuple[str, ...] = ()
