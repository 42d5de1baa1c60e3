"""Looser rules for a delivery that a person accepts: blocking faults only warn.

Unreadable files still fail. The leader gives such a task to a worker; a worker that holds a
delivery tries by them whether accepting it can publish it.
"""

from __future__ import annotations

import msgspec

from headrace.checks.anomalies.metric_anomalies import ACCEPTED
from headrace.checks.facts import DriftKind, Policy
from headrace.runtime.messages import IngestTask

_DRIFT = {kind.value: Policy.WARN.value for kind in DriftKind} | {
    DriftKind.ADDED.value: Policy.ALLOW.value,
    DriftKind.FORMAT.value: Policy.MAP.value,
}


def as_accepted(task: IngestTask) -> IngestTask:
    """Return the task that ingests an accepted delivery."""
    expect = msgspec.structs.replace(task.source.expect, rows_min=None, rows_max=None)
    source = msgspec.structs.replace(
        task.source, on_fail="warn", on_anomaly="warn", on_drift=_DRIFT, expect=expect
    )
    return msgspec.structs.replace(
        task,
        source=source,
        history_has_rows=False,
        accepted=True,
        around=msgspec.structs.replace(task.around, on_anomaly=ACCEPTED, of_columns={}),
        known=msgspec.structs.replace(task.known, withdrawn=()),
    )
