"""Which of several obstacles is told of a wait."""

from __future__ import annotations

from headrace.ledger.account import with_last_obstacle
from headrace.ledger.inputs import PartitionRef
from headrace.ledger.segments import Segment, SegmentKind

RELEASED, MISSING = PartitionRef("orders", "2025-01-06"), PartitionRef("rates", "2025-01-06")
NOW = 100


def obstacle(place: PartitionRef, kind: SegmentKind) -> list[Segment]:
    return [
        Segment(kind=kind, node=place.node, partition=place.partition, from_us=10, to_us=NOW),
    ]


class OnePath:
    """Each place has one obstacle until now."""

    def alone(self, place: PartitionRef, from_us: int, to_us: int, *, there: bool) -> list[Segment]:
        return obstacle(place, SegmentKind.HOLD if place == RELEASED else SegmentKind.SOURCE)

    def back(self, place: PartitionRef, from_us: int, to_us: int, *, there: bool) -> list[Segment]:
        return self.alone(place, from_us, to_us, there=there)


def test_what_is_there_by_now_holds_nothing_back() -> None:
    """Would catch: what was released in the moment in which it is asked, told of a wait for
    something else that goes on."""
    told = with_last_obstacle(
        obstacle(MISSING, SegmentKind.SOURCE),
        OnePath(),  # type: ignore[arg-type]
        [RELEASED, MISSING],
        {RELEASED: NOW, MISSING: None}.get,
        0,
        NOW,
        reads=lambda _node, _other: False,
    )
    assert [(item.node, item.kind) for item in told] == [("rates", SegmentKind.SOURCE)]
