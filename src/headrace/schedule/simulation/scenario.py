"""What one seed makes happen: a graph, deliveries, deeds of operators and faults, each at its time.

A scenario is data: what fails is made smaller by taking parts out of it. How long an attempt takes and how it ends isn't in
it; that is drawn by the partition's name and the count of its tries, so that what is left behaves as before.
"""

from __future__ import annotations

import enum

import msgspec

from headrace.schedule.graph import Graph, GraphNode

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LASTS = 7 * DAY
"""In what time everything happens, once it has begun."""


class SimulatedDelivery(msgspec.Struct, frozen=True):
    """A vendor's file: one interval of a source, or several in a bundle. `content` is what is in it."""

    at: int
    source: str
    keys: tuple[str, ...]
    content: int


class DeedKind(enum.StrEnum):
    """What people do."""

    RUN = "run"
    RETRY = "retry"
    AGAIN = "again"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    WITHDRAW = "withdraw"
    APPLY = "apply"
    REFRESH = "refresh"
    FIRE = "fire"
    BACKFILL = "backfill"


class Deed(msgspec.Struct, frozen=True):
    """`nodes` are what it is about, `pick` chooses what isn't known before: a run, a publication."""

    at: int
    kind: DeedKind
    nodes: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    pick: int = 0


class FaultKind(enum.StrEnum):
    """What goes wrong in the world; crashes and stalls of a leader happen at a named point of its turn."""

    CRASH = "crash"
    STALL = "stall"
    COMMIT_FAILS = "commit_fails"
    POWER_LOSS = "power_loss"
    WORKER_DIES = "worker_dies"
    WORKERS_DIE = "workers_die"
    MESSAGE_LOST = "message_lost"
    MESSAGE_DELAYED = "message_delayed"
    MESSAGE_REPEATED = "message_repeated"
    DISK_FULL = "disk_full"
    CLOCK_FORWARD = "clock_forward"
    CLOCK_BACK = "clock_back"
    SLOW = "slow"


class SimulatedFaultPoint(enum.StrEnum):
    """Where a leader can end or stand still, in the order of its turn; named as in `headrace.faults`, where that has it."""

    LEASE_TAKEN = "lease.taken"
    """A new leader has the lease and hasn't loaded anything."""
    TURN_BEGUN = "turn.begun"
    """Before anything."""
    TURN_SYNCED = "turn.synced"
    """What workers wrote is on the disk, no transaction names it."""
    PUBLISH_REGISTERED = "publish.registered"
    """Results are written, the core knows nothing of them."""
    TURN_DECIDED = "turn.decided"
    """The core has decided, nothing of it is written."""
    TURN_COMMITTING = "turn.committing"
    """Everything is written but the commit."""
    TURN_COMMITTED = "turn.committed"
    """Nothing was acted on."""
    TASK_SENDING = "task.sending"
    """Before each task that is sent to a worker; those before it are sent."""
    TURN_DONE = "turn.done"
    """Everything was sent."""


class SimulatedFault(msgspec.Struct, frozen=True):
    """From `at` on, the next time that it fits. `size`: microseconds, commits, or which one."""

    at: int
    kind: FaultKind
    point: SimulatedFaultPoint = SimulatedFaultPoint.TURN_BEGUN
    size: int = 0


class SimulatedProjectChange(msgspec.Struct, frozen=True):
    """What another version of the project has that the first hasn't: nodes that were changed, or taken out."""

    changed: tuple[GraphNode, ...] = ()
    removed: frozenset[str] = frozenset()


class Scenario(msgspec.Struct, frozen=True):
    """All that a seed says."""

    seed: int
    graph: Graph
    slots: int
    began: int
    middle: int
    """Of all the days that are delivered; the same for many seeds."""
    deliveries: tuple[SimulatedDelivery, ...]
    deeds: tuple[Deed, ...]
    faults: tuple[SimulatedFault, ...]
    change: SimulatedProjectChange = SimulatedProjectChange()
    coarse: dict[str, int] = {}
    """Node → how many different contents its partitions can have: a restatement often changes nothing there."""
    hashless: frozenset[str] = frozenset()
    """Nodes whose contents aren't hashed."""
    brief: frozenset[str] = frozenset()
    """Nodes whose attempts take milliseconds."""
    borrowed: frozenset[str] = frozenset()
    """Sources that are published elsewhere."""
    together: bool = True
    """Whether the events of a turn are handed to the core at once, or one after the other."""
    unserved: frozenset[str] = frozenset()
    """Nodes that run only for runs that ask for them."""
    poison: frozenset[tuple[str, str]] = frozenset()
    """Partitions over which each worker dies."""
    lying: frozenset[str] = frozenset()
    """Nodes that were taken to be separable and aren't."""
    heavy: dict[str, int] = {}
    """Node → how many of its partitions at once fit into memory."""
    endless: bool = False
    """Attempts of backfills never come to an end by themselves."""

    @property
    def size(self) -> tuple[int, int, int]:
        """Assets, happenings, faults."""
        assets = sum(1 for node in self.graph.nodes if not node.is_source)
        return assets, len(self.deliveries) + len(self.deeds), len(self.faults)
