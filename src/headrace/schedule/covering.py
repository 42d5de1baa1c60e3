"""Whether a partition lies in one of many ranges, by its place in the order of time: thousands of ranges are asked a million times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from headrace.schedule.partition_states import PartitionRange


class Covering:
    """Ranges of one node's partitions, those that meet as one."""

    def __init__(self, spans: Iterable[PartitionRange]) -> None:
        self._firsts: list[str] = []
        self._lasts: list[str | None] = []
        for span in sorted(spans, key=lambda partition_range: partition_range.first or ""):
            self._add(span)

    def _add(self, span: PartitionRange) -> None:
        first, last = span.first or "", span.last
        if not self._firsts or ((before := self._lasts[-1]) is not None and before < first):
            self._firsts.append(first)
            self._lasts.append(last)
        elif before is not None and (last is None or last > before):
            self._lasts[-1] = last

    @property
    def everything(self) -> bool:
        """Whether it has no bounds."""
        return self._firsts == [""] and self._lasts == [None]

    def covers(self, order: str) -> bool:
        """Whether a partition with that order is in one of them: costs as little as the logarithm of how many there are."""
        place = bisect_right(self._firsts, order) - 1
        if place < 0:
            return False
        last = self._lasts[place]
        return last is None or order <= last
