"""What `why` names as the cause of a consumer's wait isn't over."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta

import pytest
from clilab import Project

from headrace.project.session import ProjectSession
from headrace.responses.interventions import SegmentRow
from headrace.standing.why_consumers import _cause

AT = datetime.fromisoformat("2025-03-06T06:00+01:00")


def segment(kind: str, begins: int, ends: int, incident: str | None) -> SegmentRow:
    return SegmentRow(
        kind=kind,
        node="orders",
        partition="2025-03-04",
        from_=AT + timedelta(minutes=begins),
        to=AT + timedelta(minutes=ends),
        seconds=60.0 * (ends - begins),
        note=f"{kind} of {begins}",
        incident=incident,
        awaits_trigger=False,
    )


@pytest.mark.parametrize(
    ("segments", "named"),
    [
        ([("retry", 0, 9, "INC-1"), ("run", 9, 10, None)], None),
        ([("run", 0, 1, None), ("retry", 1, 10, "INC-1")], "retry of 1"),
        ([("retry", 0, 8, "INC-1"), ("hold", 8, 9, "INC-1")], "hold of 8"),
        ([("hold", 0, 8, "INC-1"), ("run", 8, 9, None)], "hold of 0"),
    ],
)
def test_an_attempt_that_another_followed_is_no_cause(
    shop: Project, segments: list[tuple[str, int, int, str | None]], named: str | None
) -> None:
    """Would catch: a skipped batch named as what a consumer waits for, with its vendor, although
    its deliveries have been ingested since."""
    with closing(ProjectSession.open(shop.root, "prod", None, "t")) as session:
        assert session.store is not None and session.compiled is not None
        with session.store.read() as tx:
            cause = _cause(tx, session.compiled, [segment(*item) for item in segments])
    if named is None:
        assert cause is None
    else:
        assert cause is not None and named in cause.text
        assert (
            cause.began_us
            == round(AT.timestamp() * 1_000_000)
            + segments[[item[3] for item in segments].index("INC-1")][1] * 60_000_000
        )
