"""What a number of seeds came through: states of partitions with what happened to them, and where faults struck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from headrace.schedule.simulation.scenario import FaultKind, SimulatedFaultPoint
from headrace.schedule.states import PartitionState

AT_POINTS = (FaultKind.CRASH, FaultKind.STALL, FaultKind.POWER_LOSS)
_STATES = {
    "arrived": "missing waiting running published held rejected failed withdrawn",
    "loaded": "waiting published held rejected failed withdrawn",
    "dispatched": "waiting",
    "published": "running",
    "held": "running",
    "rejected": "running",
    "failed: transient": "running",
    "failed: deterministic": "running",
    "failed: resources": "running",
    "lost": "running",
    "lost before it began": "running",
    "wanted": "published held rejected failed withdrawn waiting",
    "asked": "waiting running published held rejected failed withdrawn",
    "retried": "waiting running published held rejected failed withdrawn",
    "again": "waiting running published held rejected failed withdrawn",
    "cancelled": "waiting running",
    "paused": "waiting running published held failed",
    "resumed": "waiting published",
    "taken back": "published waiting running held rejected failed",
    "refreshed": "missing published",
    "proposed": "published",
    "waived": "waiting",
    "promoted": "published waiting",
}
"""What can happen → the states of partitions to which it can."""
PAIRS = frozenset((state, change) for change, states in _STATES.items() for state in states.split())
POINTS = frozenset((kind, point) for kind in AT_POINTS for point in SimulatedFaultPoint) | {
    (k, None) for k in FaultKind if k not in AT_POINTS
}


class Coverage:
    """Counts; those of many seeds add up."""

    def __init__(self) -> None:
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[tuple[FaultKind, SimulatedFaultPoint | None]] = Counter()
        self.batches: Counter[str] = Counter()
        """What attempts at several partitions came to."""

    def happened(self, state: PartitionState, change: str) -> None:
        """Something happened to a partition that stood there."""
        self.pairs[state.value, change] += 1

    def batch(self, what: str) -> None:
        """An attempt at several partitions came to something."""
        self.batches[what] += 1

    def struck(self, kind: FaultKind, point: SimulatedFaultPoint | None = None) -> None:
        """Something went wrong."""
        self.faults[kind, point] += 1

    def add(self, other: Coverage) -> None:
        """What another seed came through as well."""
        self.pairs += other.pairs
        self.faults += other.faults
        self.batches += other.batches

    def said(self) -> Iterator[str]:
        """The coverage in lines, with what is missing."""
        for what, wanted, results in (("state × event", PAIRS, set(self.pairs)), ("fault points", POINTS, set(self.faults))):
            missing = sorted(" of ".join(str(part) for part in reversed(item) if part) for item in wanted - results)
            share = 100 * (len(wanted) - len(missing)) / len(wanted)
            yield f"{what}: {len(wanted) - len(missing)} of {len(wanted)} ({share:.1f} %)" + (
                ": not " + ", ".join(missing) if missing else ""
            )

        yield "batches: " + ", ".join(f"{count} {what}" for what, count in sorted(self.batches.items()))

    @property
    def share(self) -> float:
        """The smaller of both shares, from 0 to 1."""
        return min(len(PAIRS & set(self.pairs)) / len(PAIRS), len(POINTS & set(self.faults)) / len(POINTS))
