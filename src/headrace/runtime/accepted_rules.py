"""Looser rules for a delivery that a person accepts: the failures that they were shown only warn.

Blocking checks and anomalies that hadn't been found before, because its rows were never read, hold
it as ever.
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


def as_accepted(
    task: IngestTask, *, read: bool = True, emptied: Collection[str] = ()
) -> IngestTask:
    """Return the task that ingests an accepted delivery.

    `read`: its rows were read before, so that its anomalies are known. `emptied` are the columns
    that it lacks, as was known.
    """
    replace = msgspec.structs.replace
    source = replace(task.source, on_drift=task.source.on_drift | _DRIFT)
    of_columns = task.around.of_columns | dict.fromkeys(emptied, ACCEPTED)
    around = replace(task.around, of_columns=of_columns)
    if read:
        expect = replace(source.expect, rows_min=None, rows_max=None)
        source = replace(source, on_anomaly="warn", expect=expect)
        around = replace(task.around, on_anomaly=ACCEPTED, of_columns={})
    return replace(
        task,
        source=source,
        history_has_rows=task.history_has_rows and not read,
        accepted=True,
        around=around,
        known=replace(task.known, withdrawn=()),
        emptied=tuple(emptied),
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
