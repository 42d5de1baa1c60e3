"""Outcomes of tasks that stores of earlier versions hold."""

from __future__ import annotations

import msgspec
import pytest

from headrace.checks import Verdict
from headrace.engine import Measures
from headrace.lake import LakeTable
from headrace.runtime.messages import (
    FailedOutcome,
    HeldOutcome,
    RejectedOutcome,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.runs import withheld

STORED = {
    "type": "outcome",
    "attempt": "3.7",
    "measures": msgspec.to_builtins(Measures(rows_out=4)),
    "reason": "3 rows fail",
    "quarantined": "quarantine/3-7.parquet",
    "table": msgspec.to_builtins(LakeTable("orders", ())),
}
"""An outcome as 1.0 stored it: one structure for all states, and `type` as its tag."""


@pytest.mark.parametrize(
    ("state", "kind"),
    [("staged", StagedOutcome), ("held", HeldOutcome), ("rejected", RejectedOutcome)],
)
def test_an_outcome_of_an_older_store_is_read(state: str, kind: type[TaskOutcome]) -> None:
    """Would catch: a renamed field or tag, by which an upgrade loses a backfill's staged partitions
    and held data that waits for a decision."""
    old = msgspec.msgpack.encode(STORED | {"state": state})
    outcome = msgspec.msgpack.decode(old, type=TaskOutcome)
    assert type(outcome) is kind
    assert not isinstance(outcome, FailedOutcome)
    assert (outcome.state, outcome.attempt, outcome.reason) == (state, "3.7", "3 rows fail")
    assert (outcome.quarantined, outcome.table) == (
        "quarantine/3-7.parquet",
        LakeTable("orders", ()),
    )


@pytest.mark.parametrize("verdict", [Verdict.HELD, Verdict.REJECTED])
def test_withheld_data_is_stored_with_its_state(verdict: Verdict) -> None:
    """Would catch: withheld data that comes back as data to publish, or without its table."""
    staged = StagedOutcome(
        attempt="3.7", measures=Measures(), table=LakeTable("orders", ()), log_lines=2
    )
    outcome = staged.withheld(verdict, reason="3 rows fail", quarantined="3-7.parquet")
    again = msgspec.msgpack.decode(withheld(outcome), type=WithheldOutcome)
    assert (again.state, outcome.reason, outcome.log_lines) == (verdict, "3 rows fail", 2)
    assert (again.table, again.quarantined) == (staged.table, "3-7.parquet")
