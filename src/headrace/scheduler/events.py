"""Events that the core handles, and the commands that it returns.

Times are integer microseconds of the store's clock.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.scheduler.graph import Graph
from headrace.scheduler.states import FailureKind, PartitionState

# Events.


class AttemptId(NamedTuple):
    """The id `(epoch, n)` of an attempt, which grows with each lease and each attempt.

    A later attempt therefore fences an earlier one.
    """

    epoch: int
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.n}"


class LoadedPartition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A partition as stored; `published` says whether readers see a publication of it."""

    node: str
    key: str
    state: PartitionState
    stale: bool = False
    failures: int = 0
    not_before: int | None = None
    published: bool = False
    proposed: bool = False
    publication: int = 0
    """Id of the publication that first had the content that readers see; 0 where not needed."""
    since: int = 0
    """When a waiting partition began to wait; it waits for a firing of its trigger after that. 0
    where unknown."""
    reason: str = ""
    """Explanation of the state, for users."""


class SavedPartition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A partition of a checkpoint that wasn't terminal."""

    node: str
    key: str
    state: PartitionState
    stale: bool
    proposed: bool
    late: bool
    published: bool
    failures: int
    not_before: int | None
    reason: str
    since: int
    cap: int = 0


class SavedGroup(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Partitions of a node that aren't terminal, and of which the core knows the same.

    `like` is any of them, without its key. `runs` are those of `KeptNode`.
    """

    like: SavedPartition
    runs: dict[str, tuple[int, ...]]


class KeptNode(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A node of a checkpoint: its terminal partitions, and facts about the node as a whole.

    `runs` maps the data's key to the beginnings and ends of ranges of intervals. `named` lists
    partitions without a number. `oldest` and `newest` are (order, key). `groups` are partitions
    that aren't terminal.
    """

    runs: dict[str, tuple[int, ...]]
    named: tuple[str, ...]
    oldest: tuple[str, str] | None
    newest: tuple[str, str] | None
    publication: int
    expanded: str
    groups: tuple[SavedGroup, ...] = ()


Sizes = tuple[tuple[float, float], ...]
"""(partitions per attempt, seconds), each averaged over attempts of about the same size."""


class SchedulerCheckpoint(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state of all partitions at one point in time.

    `tracked_partitions` are those that are neither terminal nor in a group of their node.
    `complete` says that it includes partitions that are only expected because of their inputs.
    `durations` maps a node to its number of attempts and their mean in seconds.
    """

    form: int
    nodes: dict[str, KeptNode]
    tracked_partitions: tuple[SavedPartition, ...]
    durations: dict[str, tuple[int, float]]
    complete: bool
    paces: dict[str, Sizes] = {}
    """Node that computes partitions in batches → the duration of its attempts by batch size."""


class LoadedRunning(msgspec.Struct, frozen=True, gc=False):
    """An attempt that continues under a newly applied version, because its node hasn't changed."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    expires_at: int
    dirty: tuple[str, ...] = ()
    """The partitions of the attempt that had an input change since it began."""


class FailsAlike(msgspec.Struct, frozen=True, gc=False):
    """A node whose code fails in every partition, and the partition in which it first failed."""

    node: str
    key: str
    reason: str
    until: int | None = None
    """When to retry, if the failure is about installed packages."""

    @property
    def text(self) -> str:
        """The reason given for the partitions that fail without an attempt because of it."""
        return f"{_FAILS_LIKE}{self.key}: {self.reason}"


_FAILS_LIKE = "fails like "


def failed_like(reason: str) -> str | None:
    """Return the key of the partition that `reason` refers to; None for a reason of its own."""
    return (
        reason.removeprefix(_FAILS_LIKE).partition(": ")[0]
        if reason.startswith(_FAILS_LIKE)
        else None
    )


class Loaded(msgspec.Struct, frozen=True, gc=False, tag="loaded"):
    """The first event of a core: the applied graph and the partition states.

    States are those of the checkpoint, except for the partitions in `tracked_partitions`.
    """

    graph: Graph
    tracked_partitions: tuple[LoadedPartition, ...] = ()
    running: tuple[LoadedRunning, ...] = ()
    fired: tuple[tuple[str, int], ...] = ()
    """Node → last recorded firing of its trigger."""
    checkpoint: SchedulerCheckpoint | None = None
    alike: tuple[FailsAlike, ...] = ()
    """Nodes whose code fails in every partition and hasn't been retried since."""


class DeliveryArrived(msgspec.Struct, frozen=True, gc=False, tag="arrived"):
    """An observation found a delivery of one interval of a source.

    The core admits it with the next event, when it knows all deliveries of the observation.
    """

    source: str
    key: str
    bundle: str = ""
    """Name of the file that holds this and other intervals, which are ingested together."""


class Refreshed(msgspec.Struct, frozen=True, gc=False, tag="refreshed"):
    """Readers see another publication of a partition that isn't computed here.

    In an environment, this is a partition borrowed from production.
    """

    node: str
    key: str
    changed: bool = True
    """Whether its content differs from what readers saw before."""


class Promoted(msgspec.Struct, frozen=True, gc=False, tag="promoted"):
    """A plan's results become visible at once.

    Each of `contents` is (node, key, whether the content differs), inputs first.
    The results are consistent: no part becomes stale because of another part.
    """

    contents: tuple[tuple[str, str, bool], ...]
    publications: tuple[int, ...] = ()
    """Ids of the publications, in the order of `contents`."""


class Elsewhere(msgspec.Struct, frozen=True, gc=False, tag="elsewhere"):
    """The slots of this core's pools that attempts of other cores hold now: pool and slots.

    A newly loaded core assumes none.
    """

    taken: tuple[tuple[str, int], ...] = ()


class PartitionOvertaken(msgspec.Struct, frozen=True, gc=False, tag="overtaken"):
    """For the core of a plan: production published a partition of the plan, which is recomputed."""

    node: str
    key: str


class GivenUp(msgspec.Struct, frozen=True, gc=False, tag="given_up"):
    """For the core of a plan without work: the plan discards the results of these partitions.

    They aren't recomputed by themselves. Nobody will see what other partitions were computed from,
    so those become stale.
    """

    partitions: tuple[tuple[str, str], ...]


class Target(msgspec.Struct, frozen=True, gc=False):
    """A requested node: all its partitions, or those from `first` to `last`.

    Both are included; the order is that of time.
    For a node partitioned by time and key, a time alone means all its keys.
    """

    node: str
    first: str | None = None
    last: str | None = None


class Requested(msgspec.Struct, frozen=True, gc=False, tag="requested"):
    """A person or a pass requests work.

    The core retries failed or stopped partitions of the nodes in `retry`, which a person named, and
    replaces publications of the nodes in `again` although nothing has changed.

    The request lasts until `Settled(run)` or `Cancelled(run)`. Several requests may be open at
    once; one with the number of an earlier one replaces it.
    """

    targets: tuple[Target, ...]
    retry: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    run: int = 0
    """The run that it belongs to."""
    standing: bool = False
    """A request that lasts as long as the leader (`serve`): never settled, and only triggered
    partitions run for it."""


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag="cancelled"):
    """A run is cancelled.

    Work that only this run requested isn't started, and its running attempts are ended.
    """

    run: int


class Paused(msgspec.Struct, frozen=True, gc=False, tag="paused"):
    """These nodes are paused: nothing is started, running attempts go on.

    The pause ends by itself at `until`, in microseconds; None for no end.
    """

    nodes: tuple[str, ...]
    reason: str
    until: int | None = None


class Resumed(msgspec.Struct, frozen=True, gc=False, tag="resumed"):
    """These nodes may run again."""

    nodes: tuple[str, ...]


class Fired(msgspec.Struct, frozen=True, gc=False, tag="fired"):
    """A webhook fired a node's trigger.

    Times, arrivals and publications fire triggers without this event.
    """

    node: str


class TakenBack(msgspec.Struct, frozen=True, gc=False, tag="taken_back"):
    """A person withdrew a publication.

    Readers see no data of the partition, and everything derived from it is stale.
    """

    node: str
    key: str
    reason: str


class AttemptPublished(msgspec.Struct, frozen=True, gc=False, tag="published"):
    """An attempt's partitions are about to become visible.

    Each of `contents` is (key, whether the content differs). True also stands for an unknown
    difference. The others of a batch of deliveries wait again: the first of them has to be ingested
    alone.
    """

    attempt: AttemptId
    contents: tuple[tuple[str, bool], ...]
    seconds: float | None = None
    """How long the worker took."""
    publications: tuple[int, ...] = ()
    """Ids of the publications, in the order of `contents`."""


class AttemptUnsuccessful(msgspec.Struct, frozen=True, gc=False, tag="ended"):
    """An attempt ended without publishing.

    `state` is held, rejected or failed, `kind` why it failed.
    """

    attempt: AttemptId
    state: PartitionState
    reason: str
    kind: FailureKind | None = None
    after_us: int | None = None
    """For a failure that waits: the minimum wait in microseconds."""
    everywhere: bool = False
    """Whether the code fails like this in every partition: SQL that can't be bound, a module that
    can't be imported."""
    machine: bool = False
    """Whether that is because of installed packages, and may pass by itself."""


class WorkerLost(msgspec.Struct, frozen=True, gc=False, tag="worker_lost"):
    """A worker died while it executed `running`; the attempts in `queued` hadn't started."""

    running: AttemptId | None
    queued: tuple[AttemptId, ...]
    reason: str


class ClockAdvanced(msgspec.Struct, frozen=True, gc=False, tag="clock"):
    """Time has passed: the core checks for time-outs and for partitions whose retry is due."""


Event = (
    Loaded
    | DeliveryArrived
    | Refreshed
    | Promoted
    | PartitionOvertaken
    | GivenUp
    | Elsewhere
    | Requested
    | Cancelled
    | Paused
    | Resumed
    | Fired
    | TakenBack
    | AttemptPublished
    | AttemptUnsuccessful
    | WorkerLost
    | ClockAdvanced
)


# Commands to the runtime, which commits them before it acts on them.

WAITING_SHOWN_MAX = 20


class Dispatch(msgspec.Struct, frozen=True, gc=False, tag="dispatch"):
    """Start an attempt at these partitions of a node.

    The claim on each partition passes to the attempt.
    """

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    queued_at: int
    without: tuple[tuple[str, str], ...] = ()
    """Optional inputs that it no longer waits for: (node, partition)."""
    runs: tuple[int, ...] = ()
    """The runs that want it, newest first. It belongs to the newest, so the latest requester gets
    the report."""


class PartitionUpdate(msgspec.Struct, frozen=True, gc=False, tag="mark"):
    """A partition has a new state."""

    node: str
    key: str
    state: PartitionState
    stale: bool
    failures: int
    not_before: int | None
    reason: str
    proposed: bool = False
    """It is stale and recomputed only on request."""


CANCELLED = "was cancelled"
"""The reason for ending attempts that nobody wants any more."""


class Kill(msgspec.Struct, frozen=True, gc=False, tag="kill"):
    """End an attempt's worker: the attempt timed out or isn't wanted any more."""

    attempt: AttemptId
    reason: str


class AwaitedPartition(NamedTuple):
    """Another partition that a partition waits for, with its state.

    `until` is when time alone ends the wait, in microseconds.
    """

    node: str
    key: str
    state: PartitionState
    reason: str
    until: int | None = None


class Settled(msgspec.Struct, frozen=True, gc=False, tag="settled"):
    """A run has ended: nothing of it runs, and nothing will without another event."""

    run: int
    waiting: tuple[tuple[str, str, str], ...] = ()
    """The first WAITING_SHOWN_MAX wanted partitions that couldn't run: (node, key, reason). See
    `scheduler.requests`."""


class FiredAt(msgspec.Struct, frozen=True, gc=False, tag="fired_at"):
    """A node's trigger fired at `at`: partitions that waited for it may run.

    The next leader needn't fire it again for that time.
    """

    node: str
    at: int


Command = Dispatch | PartitionUpdate | Kill | Settled | FiredAt
