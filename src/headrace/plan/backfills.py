"""A backfill as it is planned, kept and shown: which partitions are made again, in ranges, never one by one."""

from __future__ import annotations

import enum

from headrace.model.nodes import Value


class Mode(enum.StrEnum):
    """Which partitions of the range are made."""

    MISSING = "missing"
    """Those that nobody published, or that are stale."""
    FAILED = "failed"
    """Those whose last attempt failed or was rejected, and what waits for them."""
    ALL = "all"
    """All, whatever they are."""


class Publishes(enum.StrEnum):
    """How what was made becomes visible."""

    ATOMICALLY = "atomically"
    IN_STEPS = "in_steps"
    """Some intervals at a time, each with all assets of the plan, consistent in itself."""
    PER_PARTITION = "per_partition"
    """One after the other, where rows build on what is published before (`merge`, `snapshot`)."""


class BackfillSpan(Value):
    """Partitions of one node from `first` to `last`, both included, in the order of time. Where data is cut by time and key, a time alone
    means all its keys."""

    first: str
    last: str


class Chosen(Value):
    """A node with the partitions of it that are made."""

    node: str
    spans: tuple[BackfillSpan, ...]
    partitions: int
    why: str
    how: str = "staged"
    """`taken_in`: a source's deliveries, ingested first, as always; `staged`: beside production; `afterwards`: by production, in order,
    once the rest is published, since each of its partitions changes what the one before left."""


class Skipped(Value):
    """Partitions that lie in what was asked for and aren't made."""

    node: str
    partitions: int
    why: str


class BackfillStep(Value):
    """What is published at once: per node the spans of it."""

    spans: dict[str, tuple[BackfillSpan, ...]]


class Backfill(Value):
    """What a backfill does. `chosen` is in topological order, `steps` in the order of time."""

    mode: Mode
    chosen: tuple[Chosen, ...]
    skipped: tuple[Skipped, ...]
    steps: tuple[BackfillStep, ...]
    publishes: Publishes
    only: bool = False
    """Nothing downstream of what was named."""
    allow_partial: bool = False
    """What could be made is published although some of it failed."""

    @property
    def partitions(self) -> int:
        """How many are made in all."""
        return sum(item.partitions for item in self.chosen)
