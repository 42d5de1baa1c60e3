"""What a plan has come to, as it is kept and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.run.messages import RowChangeCounts
from headrace.run.overlays.beginning import UnsuccessfulPartition
from headrace.schedule import AttemptId, PartitionState
from headrace.store.queries.plans import OverlayRow

FAILURES_TOLD_MAX = 20
ROWS_TOLD_MAX = 5


class FailingSample(msgspec.Struct, frozen=True):
    """The attempt that found something wrong, and some rows that are."""

    attempt: AttemptId
    sample: list[dict[str, Any]] = []


class PlanOutcome(msgspec.Struct, frozen=True):
    """Kept as JSON in `plan.outcome`. `failures` are (node, key, state, reason) of the first FAILURES_TOLD_MAX; `changed`: node →
    partitions that differ from what readers saw, rows added, removed and changed."""

    published: int = 0
    failed: int = 0
    failures: tuple[tuple[str, str, str, str], ...] = ()
    changed: dict[str, tuple[int, int, int, int]] = {}
    evidence: dict[str, FailingSample] = {}
    """`node@key` of a failure → what there is to be looked at of it."""
    redone: int = 0
    """Partitions that had been made and were made again, because something that they read was published meanwhile."""

    @classmethod
    def read(cls, text: str | None) -> PlanOutcome:
        """As it was kept; of a plan that hasn't come to anything, nothing."""
        return cls() if text is None else msgspec.json.decode(text, type=cls)

    def kept(self) -> str:
        """As it is kept."""
        return msgspec.json.encode(self).decode()

    def with_published(self, rows: Iterable[OverlayRow]) -> PlanOutcome:
        """These have become visible as well."""
        changed = {node: Counter(dict(enumerate(figures))) for node, figures in self.changed.items()}
        count = 0
        for row in rows:
            count += 1
            counts = msgspec.json.decode(row.changed, type=RowChangeCounts) if row.changed is not None else RowChangeCounts()
            if counts != RowChangeCounts():
                changed.setdefault(row.node, Counter()).update({0: 1, 1: counts.added, 2: counts.removed, 3: counts.changed})
        told = {node: (figures[0], figures[1], figures[2], figures[3]) for node, figures in changed.items()}
        return msgspec.structs.replace(self, published=self.published + count, changed=told)

    def with_failures(self, ended: Iterable[UnsuccessfulPartition]) -> PlanOutcome:
        """These couldn't be made as well."""
        partitions = sorted(
            ended, key=lambda partition: (partition.state is PartitionState.WAITING, partition.node, partition.key)
        )  # causes first
        told = (*self.failures, *((partition.node, partition.key, partition.state.value, partition.reason) for partition in partitions))
        kept = {f"{node}@{key}" for node, key, *_ in told[:FAILURES_TOLD_MAX]}
        evidence = {
            **self.evidence,
            **{f"{partition.node}@{partition.key}": _evidence(partition) for partition in partitions if partition.attempt is not None},
        }
        evidence = {name: sample for name, sample in evidence.items() if name in kept}
        return msgspec.structs.replace(self, failed=self.failed + len(partitions), failures=told[:FAILURES_TOLD_MAX], evidence=evidence)

    def tried_again(self, *, allow_partial: bool) -> PlanOutcome:
        """What couldn't be made is made after all, unless the plan went on without it."""
        return self if allow_partial else msgspec.structs.replace(self, failed=0, failures=(), evidence={})

    def with_redone(self, count: int) -> PlanOutcome:
        """So many more were made again."""
        return msgspec.structs.replace(self, redone=self.redone + count)


def _evidence(partition: UnsuccessfulPartition) -> FailingSample:
    assert partition.attempt is not None
    return FailingSample(partition.attempt, msgspec.json.decode(partition.sample)[:ROWS_TOLD_MAX] if partition.sample else [])
