"""The rules, in order of precedence: of two that explain the same at one place, the first does.

What was done on purpose comes before what went wrong; that something can't be had before what it looks like; its form before its
content; `restatement` after all that may be wrong with new content; code after data, since it is told apart by having been changed.
"""

from __future__ import annotations

from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.rules import (
    access_denied,
    approval_pending,
    code_error,
    configuration_error,
    data_corrupted,
    deadline_infeasible,
    destination_unavailable,
    distribution_shift,
    duplicate_rows,
    format_change,
    late_source,
    missing_source,
    null_spike,
    paused,
    poison_delivery,
    reference_broken,
    reported,
    resource_exhausted,
    restatement,
    runtime_down,
    schema_change,
    slow_run,
    source_unavailable,
    stale_data,
    type_change,
    volume_anomaly,
    worker_lost,
)
from headrace.observe.diagnosis.rules.rule import Covers, NodeEvidence, Rule

RULES: tuple[Rule, ...] = tuple(
    item.RULE
    for item in (
        runtime_down, paused, approval_pending, data_corrupted, reported, configuration_error, access_denied,
        source_unavailable, missing_source, late_source, stale_data, poison_delivery, format_change, schema_change, type_change,
        duplicate_rows, volume_anomaly, null_spike,
        reference_broken, distribution_shift, restatement, resource_exhausted, code_error, worker_lost, destination_unavailable,
        slow_run, deadline_infeasible,
    )
)  # fmt: skip
BY_KIND: dict[CauseKind, Rule] = {rule.kind: rule for rule in RULES}

__all__ = ["BY_KIND", "RULES", "Covers", "NodeEvidence", "Rule"]
