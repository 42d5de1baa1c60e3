"""A scenario: everything that happens for one seed; and the coverage of many scenarios.

A scenario is data, so a failing one is shrunk by removing parts. The duration and the end of an
attempt aren't in it: both are drawn from the partition's name and the number of its tries, so the
remaining parts behave as before.
"""

from __future__ import annotations

import enum
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.states import PartitionState

# The exception for a broken invariant.


class Violation(AssertionError):
    """A violated invariant, by name, with the observed facts."""

    def __init__(self, name: str, result: str) -> None:
        super().__init__(f"{name}: {result}")
        self.name = name


# Random numbers from a seed (SplitMix64), and numbers that depend on names alone.

T = TypeVar("T")
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def scramble(value: int) -> int:
    """Return a pseudo-random 64-bit number."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def drawn(seed: int, *names: object) -> float:
    """Return a number in [0, 1) that depends on names alone.

    Removing other things from a scenario doesn't change it.
    """
    return scramble(seed * _GOLDEN + zlib.crc32(repr(names).encode()) & _MASK) / 2**64


class Generator:
    """A sequence of numbers determined by the seed."""

    def __init__(self, seed: int) -> None:
        self._state = scramble(seed & _MASK)

    def number(self) -> int:
        """Return the next 64 bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        return scramble(self._state)

    def below(self, bound: int) -> int:
        """Return a number from 0 to `bound` - 1."""
        return self.number() % bound

    def between(self, first: int, last: int) -> int:
        """Return a number from `first` to `last`, both included."""
        return first + self.below(last - first + 1)

    def chance(self, probability: float) -> bool:
        """Return True with that probability."""
        return self.number() < probability * 2**64

    def choice(self, among: Sequence[T]) -> T:
        """Return one of the items."""
        return among[self.below(len(among))]

    def sample(self, among: Sequence[T], count: int) -> list[T]:
        """Return at most that many distinct items, in input order."""
        left = list(range(len(among)))
        while len(left) > count:
            left.pop(self.below(len(left)))
        return [among[index] for index in left]


# Graph, deliveries, actions of operators, and faults.

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LASTS = 7 * DAY
"""The time span of a scenario after its beginning."""


class SimulatedDelivery(msgspec.Struct, frozen=True):
    """A vendor's file: one interval of a source, or several in a bundle.

    `content` is its content.
    """

    at: int
    source: str
    keys: tuple[str, ...]
    content: int


class DeedKind(enum.StrEnum):
    """The kind of an action by people."""

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
    """An action by people.

    `nodes` are its targets. `pick` chooses what isn't known before: a run, a publication.
    """

    at: int
    kind: DeedKind
    nodes: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    pick: int = 0


class FaultKind(enum.StrEnum):
    """The kind of a fault; crashes and stalls of a leader happen at a named point of its loop."""

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
    """A point of the leader loop where the leader can crash or stall, in order.

    Names are those of `headrace.faults` where it has the point.
    """

    LEASE_TAKEN = "lease.taken"
    """A new leader has the lease and hasn't loaded anything."""
    TURN_BEGUN = "turn.begun"
    """Before anything else."""
    TURN_SYNCED = "turn.synced"
    """Workers' files are on the disk, no transaction names them."""
    PUBLISH_REGISTERED = "publish.registered"
    """Results are written, the core doesn't know them."""
    TURN_DECIDED = "turn.decided"
    """The core has decided, nothing of it is written."""
    TURN_COMMITTING = "turn.committing"
    """Everything is written but not committed."""
    TURN_COMMITTED = "turn.committed"
    """Everything is committed, nothing was acted on."""
    TASK_SENDING = "task.sending"
    """Before each task that is sent to a worker; earlier ones are sent."""
    TURN_DONE = "turn.done"
    """Everything was sent."""


class SimulatedFault(msgspec.Struct, frozen=True):
    """A fault that strikes at its next opportunity from `at` on.

    `size` is a number of microseconds, of commits, or the index of the target.
    """

    at: int
    kind: FaultKind
    point: SimulatedFaultPoint = SimulatedFaultPoint.TURN_BEGUN
    size: int = 0


class SimulatedProjectChange(msgspec.Struct, frozen=True):
    """A new version of the project: changed and removed nodes."""

    changed: tuple[GraphNode, ...] = ()
    removed: frozenset[str] = frozenset()


class Scenario(msgspec.Struct, frozen=True):
    """Everything determined by a seed."""

    seed: int
    graph: Graph
    slots: int
    began: int
    middle: int
    """The middle of all delivered days; the same for many seeds."""
    deliveries: tuple[SimulatedDelivery, ...]
    deeds: tuple[Deed, ...]
    faults: tuple[SimulatedFault, ...]
    change: SimulatedProjectChange = SimulatedProjectChange()
    coarse: dict[str, int] = {}
    """Node → number of different contents of its partitions: a restatement often changes nothing
    there."""
    hashless: frozenset[str] = frozenset()
    """Nodes whose contents aren't hashed."""
    brief: frozenset[str] = frozenset()
    """Nodes whose attempts take milliseconds."""
    borrowed: frozenset[str] = frozenset()
    """Sources that are published elsewhere."""
    together: bool = True
    """Whether the core gets the events of a loop iteration at once, or one by one."""
    unserved: frozenset[str] = frozenset()
    """Nodes that run only for runs that request them."""
    poison: frozenset[tuple[str, str]] = frozenset()
    """Partitions that kill each worker."""
    lying: frozenset[str] = frozenset()
    """Nodes that are wrongly assumed to be separable."""
    heavy: dict[str, int] = {}
    """Node → maximum number of its partitions that fit into memory together."""
    endless: bool = False
    """Whether attempts of backfills never end by themselves."""

    @property
    def size(self) -> tuple[int, int, int]:
        """The number of assets, events and faults."""
        assets = sum(1 for node in self.graph.nodes if not node.is_source)
        return assets, len(self.deliveries) + len(self.deeds), len(self.faults)


# Coverage of a number of seeds: transitions by partition state, and points where faults struck.

AT_POINTS = (FaultKind.CRASH, FaultKind.STALL, FaultKind.POWER_LOSS)
_STATES = {
    "arrived": "missing waiting running published held rejected failed withdrawn",
    "loaded": "waiting published held rejected failed withdrawn",
    "dispatched": "waiting",
    "published": "running",
    "given back": "running",
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
"""Transition → partition states in which it is possible."""
PAIRS = frozenset((state, change) for change, states in _STATES.items() for state in states.split())
POINTS = frozenset((kind, point) for kind in AT_POINTS for point in SimulatedFaultPoint) | {
    (k, None) for k in FaultKind if k not in AT_POINTS
}


class Coverage:
    """Counts, which add up over many seeds."""

    def __init__(self) -> None:
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[tuple[FaultKind, SimulatedFaultPoint | None]] = Counter()
        self.batches: Counter[str] = Counter()
        """Results of attempts at several partitions."""

    def happened(self, state: PartitionState, change: str) -> None:
        """Count a transition of a partition in that state."""
        self.pairs[state.value, change] += 1

    def batch(self, what: str) -> None:
        """Count the result of an attempt at several partitions."""
        self.batches[what] += 1

    def struck(self, kind: FaultKind, point: SimulatedFaultPoint | None = None) -> None:
        """Count a fault."""
        self.faults[kind, point] += 1

    def add(self, other: Coverage) -> None:
        """Add the coverage of another seed."""
        self.pairs += other.pairs
        self.faults += other.faults
        self.batches += other.batches

    def said(self) -> Iterator[str]:
        """Yield the coverage as lines, with what is missing."""
        for what, wanted, results in (
            ("state × event", PAIRS, set(self.pairs)),
            ("fault points", POINTS, set(self.faults)),
        ):
            missing = sorted(
                " of ".join(str(part) for part in reversed(item) if part)
                for item in wanted - results
            )
            share = 100 * (len(wanted) - len(missing)) / len(wanted)
            yield f"{what}: {len(wanted) - len(missing)} of {len(wanted)} ({share:.1f} %)" + (
                ": not " + ", ".join(missing) if missing else ""
            )

        yield "batches: " + ", ".join(
            f"{count} {what}" for what, count in sorted(self.batches.items())
        )

    @property
    def share(self) -> float:
        """The smaller of both shares, from 0 to 1."""
        return min(
            len(PAIRS & set(self.pairs)) / len(PAIRS), len(POINTS & set(self.faults)) / len(POINTS)
        )
