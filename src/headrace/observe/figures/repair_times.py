"""How long it took to notice causes, and to serve again who was affected. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

REPORTED = "reported"
"""The kind of a cause that a person found."""


class Occurred(msgspec.Struct, frozen=True):
    """An incident of the window. Times in microseconds; `restored_us` None: still open."""

    number: int
    kind: str
    node: str
    owner: str
    began_us: int
    opened_us: int
    restored_us: int | None
    recurrence_of: int | None

    @property
    def detect_us(self) -> int:
        """From when it was so to when it was known."""
        return max(0, self.opened_us - self.began_us)

    def restore_us(self, now_us: int) -> int:
        """From when it was so to when all were served again; of an open one its present age."""
        return max(0, (now_us if self.restored_us is None else self.restored_us) - self.began_us)


class Times(msgspec.Struct, frozen=True):
    """Of all incidents of a window; None where there was none."""

    incidents: int
    open: int
    found_by_people: int
    recurrences: int
    detect_median_us: int | None
    detect_worst_us: int | None
    restore_median_us: int | None
    restore_worst_us: int | None


def times(occurred: Sequence[Occurred], now_us: int) -> Times:
    """Medians lie with the larger of the two in the middle: towards the bad side."""
    detect = sorted(item.detect_us for item in occurred)
    restore = sorted(item.restore_us(now_us) for item in occurred)
    return Times(
        incidents=len(occurred),
        open=sum(item.restored_us is None for item in occurred),
        found_by_people=sum(item.kind == REPORTED for item in occurred),
        recurrences=sum(item.recurrence_of is not None for item in occurred),
        detect_median_us=_median(detect),
        detect_worst_us=detect[-1] if detect else None,
        restore_median_us=_median(restore),
        restore_worst_us=restore[-1] if restore else None,
    )


def _median(ordered: Sequence[int]) -> int | None:
    return ordered[len(ordered) // 2] if ordered else None
