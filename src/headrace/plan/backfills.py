"""A backfill as a value, with partitions as ranges; numbers of its attempts; pools."""

from __future__ import annotations

import enum

from headrace.model import Asset, Project, Source
from headrace.model.nodes import Value
from headrace.scheduler import AttemptId, Take
from headrace.scheduler.graph import OF_NODE, OF_OWNER


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


# Attempts of each plan have their own range of numbers, so an attempt's number tells its plan.

ATTEMPTS_PER_PLAN = 1_000_000_000
"""So many numbers belong to production, and to each plan after it."""
ERRANDS_FROM = 900_000_000
"""Of a plan's numbers those from here on are of errands: what has to be done for its publication, and is no attempt."""


def first_attempt_of(plan: int) -> int:
    """The number that a plan's own come after."""
    return plan * ATTEMPTS_PER_PLAN


def plan_of_attempt(attempt: AttemptId) -> int:
    """The plan that an attempt is of, 0 for production's."""
    return attempt.n // ATTEMPTS_PER_PLAN


def is_errand(attempt: AttemptId) -> bool:
    """Whether it is an errand of a plan."""
    return attempt.n % ATTEMPTS_PER_PLAN >= ERRANDS_FROM


# Pools of a project, which attempts of production and of backfills share: declared pools, and
# limits of nodes and owners.


def declared_pools(project: Project) -> dict[str, int]:
    """Name → slots. Limits are pools of which every attempt takes one slot."""
    nodes: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
    limits = {f"{OF_OWNER}{owner.name}": owner.concurrency for owner in project.owners.values()}
    limits |= {f"{OF_NODE}{node.name}": node.concurrency for node in nodes}
    return {**project.settings.pools, **{name: slots for name, slots in limits.items() if slots is not None}}


def declared_slots(project: Project, node: Source | Asset) -> tuple[Take, ...]:
    """What an attempt at a node takes."""
    takes = [Take(pool, slots) for pool, slots in sorted(node.pools.items())] if isinstance(node, Asset) else []
    owner = project.owners.get(node.owner)
    if owner is not None and owner.concurrency is not None:
        takes.append(Take(f"{OF_OWNER}{owner.name}"))
    if node.concurrency is not None:
        takes.append(Take(f"{OF_NODE}{node.name}"))
    return tuple(takes)
