"""Whose a wait is, on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from headrace.cli.commands.why import _share_texts
from headrace.ledger.account import Ledger
from headrace.ledger.segments import Segment, SegmentKind
from headrace.responses.interventions import LedgerRow, ShareRow
from headrace.standing.delay_ledger import share_sentence


def row(owner: str, hours: float, kind: str | None = None) -> ShareRow:
    return ShareRow(owner=owner, kind=kind, seconds=hours * 3600, share=hours / 10)


def waited(*shares: ShareRow) -> LedgerRow:
    """A wait of ten hours."""
    now = datetime(2025, 1, 10, tzinfo=UTC)
    return LedgerRow(
        subject="report",
        interval="2025-01-09",
        from_=now,
        to=now,
        wait_seconds=36_000.0,
        open=False,
        rebuild=False,
        said="",
        segments=[],
        overhead={},
        overhead_seconds=0.0,
        shortest_possible_seconds=None,
        work_seconds=0.0,
        frozen=False,
        compared=None,
        read=None,
        shares=list(shares),
    )


def test_each_owner_is_named_once() -> None:
    """Would catch: an owner who is listed twice, once for what is theirs and once for what they
    could have decided.
    """
    told = waited(
        row("core", 4.0, "hold"), row("acme", 3.5), row("core", 2.0, "paused"), row("core", 0.5)
    )
    assert _share_texts(told) == [
        (
            "core 65.0 % (6 h 30 min, could have decided 4 h 00 min of it, could have resumed 2 h"
            " 00 min of it)"
        ),
        "acme 35.0 % (3 h 30 min)",
    ]


def test_the_queue_is_told_as_a_part_of_headraces_share() -> None:
    """Would catch: "headrace 15.0 %" beside "Headrace itself took 30 min", with no word on the
    difference."""
    told = waited(row("headrace", 1.0, "queue"), row("headrace", 0.5))
    assert _share_texts(told) == ["headrace 15.0 % (1 h 30 min, queued 1 h 00 min of it)"]


def test_what_was_delivered_and_rejected_isnt_told_as_absent() -> None:
    """Would catch: "orders wasn't there either" of a delivery that came in time, and that a check
    rejected."""
    hold = Segment(
        kind=SegmentKind.HOLD,
        node="prices",
        partition="2025-01-09",
        from_us=0,
        to_us=3_600_000_000,
        note="held",
        lacking="orders",
    )
    wait = Ledger(
        subject="report", interval="2025-01-09", from_us=0, to_us=3_600_000_000, open=True,
        segments=(hold,),
    )  # fmt: skip
    assert "orders kept it waiting as well for 1 h 00 min" in share_sentence(wait)
