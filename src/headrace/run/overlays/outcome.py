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
            one = msgspec.json.decode(row.changed, type=RowChangeCounts) if row.changed is not None else RowChangeCounts()
            if one != RowChangeCounts():
                changed.setdefault(row.node, Counter()).update({0: 1, 1: one.added, 2: one.removed, 3: one.changed})
        told = {node: (figures[0], figures[1], figures[2], figures[3]) for node, figures in changed.items()}
        return msgspec.structs.replace(self, published=self.published + count, changed=told)

    def with_failures(self, ended: Iterable[UnsuccessfulPartition]) -> PlanOutcome:
        """These couldn't be made as well."""
        found = sorted(ended, key=lambda one: (one.state is PartitionState.WAITING, one.node, one.key))  # causes first
        told = (*self.failures, *((one.node, one.key, one.state.value, one.reason) for one in found))
        kept = {f"{node}@{key}" for node, key, *_ in told[:FAILURES_TOLD_MAX]}
        evidence = {**self.evidence, **{f"{one.node}@{one.key}": _evidence(one) for one in found if one.attempt is not None}}
        evidence = {name: one for name, one in evidence.items() if name in kept}
        return msgspec.structs.replace(self, failed=self.failed + len(found), failures=told[:FAILURES_TOLD_MAX], evidence=evidence)

    def tried_again(self, *, allow_partial: bool) -> PlanOutcome:
        """What couldn't be made is made after all, unless the plan went on without it."""
        return self if allow_partial else msgspec.structs.replace(self, failed=0, failures=(), evidence={})

    def with_redone(self, count: int) -> PlanOutcome:
        """So many more were made again."""
        return msgspec.structs.replace(self, redone=self.redone + count)


def _evidence(one: UnsuccessfulPartition) -> FailingSample:
    assert one.attempt is not None
    return FailingSample(one.attempt, msgspec.json.decode(one.sample)[:ROWS_TOLD_MAX] if one.sample else [])
