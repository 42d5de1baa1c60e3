"""How often something alike was observed, on an incident's page."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.cli.commands.incidents import _grouped_evidence
from headrace.responses.incidents import CauseRow, EvidenceRow

FAILED = EvidenceRow(
    what="failed", expected="", observed="division by zero", at=datetime(2025, 1, 10, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("limited", "told"), [(False, "(40 times)"), (True, "(at least 40 times)")]
)
def test_evidence_that_is_kept_in_part_is_not_counted_as_all(limited: bool, told: str) -> None:
    """Would catch: "40 times" above 41 partitions that failed, because an incident keeps 40 pieces
    of evidence."""
    cause = CauseRow(
        kind="code_error",
        detail="",
        node="a",
        partition=None,
        columns=[],
        summary="",
        confidence=0.95,
        evidence=[FAILED] * 40,
        evidence_limited=limited,
    )
    assert _grouped_evidence(cast("Any", SimpleNamespace(cause=cause))) == [
        (FAILED, f"division by zero {told}")
    ]
