"""Looser rules for a delivery that a person accepts: the failures that they were shown only warn.

Blocking checks that hadn't failed before, because its rows were never read, block as ever.
Unreadable files still fail. The leader gives such a task to a worker; a worker that holds a
delivery tries by them whether accepting it can publish it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from headrace.checks.anomalies.metric_anomalies import ACCEPTED
from headrace.checks.facts import DriftKind, Policy
from headrace.model import CheckSpec, Severity
from headrace.model.check_kinds import CommonCheck
from headrace.runtime.messages import IngestTask

_DRIFT = {kind.value: Policy.WARN.value for kind in DriftKind} | {
    DriftKind.ADDED.value: Policy.ALLOW.value,
    DriftKind.FORMAT.value: Policy.MAP.value,
}


def as_accepted(task: IngestTask) -> IngestTask:
    """Return the task that ingests an accepted delivery."""
    source = task.source
    source = msgspec.structs.replace(
        source,
        on_anomaly="warn",
        on_drift=source.on_drift | _DRIFT,
        expect=msgspec.structs.replace(source.expect, rows_min=None, rows_max=None),
    )
    return msgspec.structs.replace(
        task,
        source=source,
        history_has_rows=False,
        accepted=True,
        around=msgspec.structs.replace(task.around, on_anomaly=ACCEPTED, of_columns={}),
        known=msgspec.structs.replace(task.known, withdrawn=()),
    )


def without_emptied(checks: Sequence[CheckSpec], emptied: Collection[str]) -> list[CheckSpec]:
    """Return the checks; those for nulls don't block because of columns accepted to be null."""
    return [
        _without(check, emptied) if check.kind == CommonCheck.NOT_NULL else check
        for check in checks
    ]


def _without(check: CheckSpec, emptied: Collection[str]) -> CheckSpec:
    columns = check.arguments["columns"]
    left = [column for column in columns if column.lower() not in emptied]
    if not left:
        return msgspec.structs.replace(check, severity=Severity.WARNING)
    return msgspec.structs.replace(check, arguments=check.arguments | {"columns": left})
