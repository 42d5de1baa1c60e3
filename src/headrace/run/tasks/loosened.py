"""Tasks by looser rules, for what somebody has accepted: what would block warns, and what can't be read at all still isn't."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from headrace.model import Source
from headrace.quality.facts import DriftKind, Policy
from headrace.run.messages import ComputeTask, IngestTask
from headrace.store import Transaction
from headrace.store.queries import exceptions

T = TypeVar("T", IngestTask, ComputeTask)

WITHOUT_ROWS = ("none", "files")
"""Materialisations of which nothing is held or rejected."""
_DRIFT = {kind.value: Policy.WARN.value for kind in DriftKind} | {
    DriftKind.ADDED.value: Policy.ALLOW.value,
    DriftKind.FORMAT.value: Policy.MAP.value,
}


def accepted(tx: Transaction, node: str, keys: tuple[str, ...], task: T) -> T:
    """The task, by looser rules where somebody has accepted what it will come to."""
    if getattr(task, "materialize", "") in WITHOUT_ROWS:
        return task  # nothing that it makes is judged
    if exceptions.expected_of(tx, node).isdisjoint(keys):
        return task
    around = msgspec.structs.replace(task.around, on_anomaly="warn", of_columns={})
    if isinstance(task, IngestTask):
        return msgspec.structs.replace(
            task, source=_source(task.source), history_has_rows=False, accepted=True, around=around, withdrawn=()
        )
    return msgspec.structs.replace(task, on_fail="warn", around=around)


def _source(source: Source) -> Source:
    expect = msgspec.structs.replace(source.expect, rows_min=None, rows_max=None)
    return msgspec.structs.replace(source, on_fail="warn", on_anomaly="warn", on_drift=_DRIFT, expect=expect)
