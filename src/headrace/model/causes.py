"""Kinds of causes (INTERFACE §3), and one cause with the evidence that it explains.

`headrace.incidents.diagnosis` finds causes. The vocabulary is defined here because evaluation, commands and views, below and above that
package, use it too.
"""

from __future__ import annotations

import enum

import msgspec

HEADRACE = "headrace"
"""The node of causes that are Headrace's own."""


class CauseKind(enum.StrEnum):
    """Why something isn't right, in the words of INTERFACE §3; `docs/how-to/incidents.md` says what to do about each."""

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
        CauseKind.SCHEMA_CHANGE, CauseKind.TYPE_CHANGE, CauseKind.FORMAT_CHANGE, CauseKind.STALE_DATA, CauseKind.RESTATEMENT,
        CauseKind.DUPLICATE_ROWS, CauseKind.VOLUME_ANOMALY, CauseKind.NULL_SPIKE, CauseKind.DISTRIBUTION_SHIFT,
        CauseKind.REFERENCE_BROKEN, CauseKind.REPORTED, CauseKind.DATA_CORRUPTED,
    }
)  # fmt: skip
"""What makes a publication wrong that it names (SEMANTICS §7); `code_error` does as well."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One cause, as `attribution.diagnose` finds it. `own` is the evidence at its node that makes it one, the strongest first;
    `explains` all evidence that is put down to it, its own included."""

    kind: CauseKind
    node: str
    nodes: tuple[str, ...] = ()
    """The others, where several have it from something that they share (a machine, a host, a vendor): what lies below them is
    affected, too."""
    partitions: tuple[str, ...] = ()
    """Where it is seen, in the order of the partitions; empty: at the node as a whole."""
    columns: tuple[str, ...] = ()
    detail: str = ""
    """What of the kind: a factor (`x100`), a factor's sign, a failed check's name, an error's class. Part of the fingerprint: nothing
    that differs from day to day."""
    summary: str = ""
    """One clause for people: `2 columns renamed`."""
    began_us: int
    confidence: float
    own: tuple[str, ...] = ()
    """Ids of evidence."""
    explains: tuple[str, ...] = ()
