"""What is seen below each place, as far as causes tell apart what they show themselves in: what nothing below looks like needn't be carried
there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from headrace.observe.diagnosis.details import times_of
from headrace.observe.diagnosis.evidence import Evidence

_Look = tuple[str, str, bool]


class SeenBelow:
    """One piece of evidence of each look, by the rank of the node that it is seen at; data flows from lower ranks to higher ones."""

    def __init__(self, seen: Iterable[tuple[int, Sequence[Evidence]]]) -> None:
        known: dict[_Look, Evidence] = {}
        every: list[Evidence] = []
        self._ranks: list[int] = []
        self._from: list[list[Evidence]] = []
        for rank, evidence in sorted(seen, key=lambda item: item[0], reverse=True):
            new = {look: item for item in evidence if (look := _look(item)) not in known}
            if new:
                known |= new
                every = [*every, *new.values()]
            self._ranks.append(rank)
            self._from.append(every)
        self._ranks.reverse()
        self._from.reverse()

    def below(self, rank: int) -> Sequence[Evidence]:
        """What is seen at nodes of higher ranks."""
        at = bisect_right(self._ranks, rank)
        return self._from[at] if at < len(self._from) else ()


def _look(evidence: Evidence) -> _Look:
    return evidence.family, evidence.kind, times_of([evidence]) > 1
