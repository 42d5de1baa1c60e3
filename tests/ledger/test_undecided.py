"""Who could have ended a wait, and when: nobody while something was missing that no
command brings."""

from __future__ import annotations

import msgspec

from headrace.ledger.account import Ledger, Share, without_others_decider
from headrace.ledger.segments import Segment, SegmentKind
from headrace.slo.declared_promises import NodeTraits

OWNERS = {
    "flights": NodeTraits("vendor", "desk"),
    "weather": NodeTraits("bureau"),
    "clean": NodeTraits("core", "core"),
}


def unrelated(_node: str, _other: str) -> bool:
    """No node reads another."""
    return False


def segment(
    kind: SegmentKind, node: str, from_us: int, to_us: int, decider: str = "", incident: int = 0
) -> Segment:
    return Segment(
        kind=kind,
        node=node,
        partition="d",
        from_us=from_us,
        to_us=to_us,
        decider=decider,
        incident=incident,
    )


def shares(*segments: Segment) -> dict[Share, int]:
    ledger = Ledger(
        subject="report",
        interval="d",
        from_us=0,
        to_us=segments[-1].to_us,
        open=False,
        segments=segments,
    )
    return ledger.shares(OWNERS, {1: "vendor"})


def test_nobody_decides_before_everything_has_come() -> None:
    """Would catch: a person booked the hours in which another file wasn't there."""
    held = segment(SegmentKind.HOLD, "flights", 0, 100, "desk", 1)
    absent = segment(SegmentKind.SOURCE, "weather", 0, 60)
    result = without_others_decider([held], [held, absent], unrelated)
    assert [(item.kind, item.us, item.decider, item.lacking) for item in result] == [
        ("hold", 60, "", "weather"),
        ("hold", 40, "desk", ""),
    ]
    assert shares(*result) == {Share("bureau"): 60, Share("desk", SegmentKind.HOLD): 40}


def test_what_has_to_be_mended_first_is_ended_by_no_command() -> None:
    """Would catch: somebody who could have released a file while the code that reads it failed."""
    held = segment(SegmentKind.HOLD, "flights", 0, 100, "desk", 1)
    failing, paused = (
        segment(SegmentKind.HOLD, "clean", 20, 50),
        segment(SegmentKind.PAUSED, "clean", 50, 90, "core"),
    )
    result = without_others_decider([held], [held, failing, paused], unrelated)
    assert [(item.us, item.decider, item.lacking) for item in result] == [
        (20, "desk", ""),
        (30, "", "clean"),
        (50, "desk", ""),
    ]


def test_what_has_no_decider_stays_as_it_is() -> None:
    mended = segment(SegmentKind.HOLD, "clean", 0, 100)
    assert without_others_decider(
        [mended], [mended, segment(SegmentKind.SOURCE, "weather", 0, 60)], unrelated
    ) == [mended]


def test_the_queue_is_headraces_and_not_the_vendors() -> None:
    """Would catch: a vendor who is charged the time in which its file had come and all workers were
    busy."""
    queued = segment(SegmentKind.QUEUE, "flights", 60, 90)
    free = msgspec.structs.replace(queued, from_us=90, to_us=100, free=True)
    result = shares(segment(SegmentKind.SOURCE, "flights", 0, 60), queued, free)
    assert result == {
        Share("vendor"): 60,
        Share("headrace", SegmentKind.QUEUE): 30,
        Share("headrace"): 10,
    }


def test_equal_shares_are_in_a_fixed_order() -> None:
    """Catches a report whose lines change places from one call to the next."""
    result = shares(
        segment(SegmentKind.PAUSED, "clean", 0, 10, "core"),
        segment(SegmentKind.HOLD, "clean", 10, 20, "core"),
        segment(SegmentKind.RUN, "clean", 20, 30),
        segment(SegmentKind.SOURCE, "weather", 30, 40),
        segment(SegmentKind.SOURCE, "flights", 40, 51),
    )
    assert list(result) == [
        Share("vendor"),
        Share("bureau"),
        Share("core"),
        Share("core", SegmentKind.HOLD),
        Share("core", SegmentKind.PAUSED),
    ]


def test_an_incident_is_charged_to_its_owner() -> None:
    """Catches an incident's owner who is charged what a person could have ended, what Headrace
    took or what a run took, and an incident without an owner that is nobody's."""
    result = shares(
        segment(SegmentKind.HOLD, "clean", 0, 1, incident=1),
        segment(SegmentKind.SOURCE, "weather", 1, 3, incident=1),
        segment(SegmentKind.RETRY, "clean", 3, 7, incident=1),
        segment(SegmentKind.RUN, "weather", 7, 15, incident=1),
        segment(SegmentKind.HOLD, "clean", 15, 31, "core", incident=1),
        segment(SegmentKind.SCHEDULE, "clean", 31, 63, incident=1),
        segment(SegmentKind.SOURCE, "unknown", 63, 127, incident=2),
    )
    assert result == {
        Share("vendor"): 1 + 2 + 4,
        Share("bureau"): 8,
        Share("core", SegmentKind.HOLD): 16,
        Share("headrace"): 32,
        Share(""): 64,
    }
