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
    """`(epoch, n)`: grows with each taking of the lease and each attempt, so a later attempt fences an earlier one."""

    epoch: int
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.n}"


class LoadedPartition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A partition as the store has it. `published` says whether readers see a publication of it."""

    node: str
    key: str
    state: PartitionState
    stale: bool = False
    failures: int = 0
    not_before: int | None = None
    published: bool = False
    proposed: bool = False
    publication: int = 0
    """The id of the publication that first had the content that readers see; 0 where that isn't needed."""
    since: int = 0
    """Of one that waits: since when. What waits for a trigger waits for a firing after that; 0 where that isn't known."""
    reason: str = ""
    """Why it stands so, for whoever asks."""


class SavedPartition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A partition of a checkpoint that wasn't at rest."""

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


class KeptNode(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A node of a checkpoint: its partitions at rest, and what is known of it as a whole. `runs`: the data's key → where runs of
    intervals begin and have ended; `named`: partitions that have no number; `oldest` and `newest`: order and key."""

    runs: dict[str, tuple[int, ...]]
    named: tuple[str, ...]
    oldest: tuple[str, str] | None
    newest: tuple[str, str] | None
    publication: int
    expanded: str


Sizes = tuple[tuple[float, float], ...]
"""How many partitions attempts computed, and how many seconds they took, on average of those of about the same size."""


class SchedulerCheckpoint(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where all partitions stood. `complete`: also those that nothing was heard of but that inputs make expected; `durations`: node →
    how many attempts, and how long they took, in seconds."""

    form: int
    nodes: dict[str, KeptNode]
    tracked_partitions: tuple[SavedPartition, ...]
    durations: dict[str, tuple[int, float]]
    complete: bool
    paces: dict[str, Sizes] = {}
    """Node whose partitions may be computed together → what attempts at so many took."""


class LoadedRunning(msgspec.Struct, frozen=True, gc=False):
    """An attempt that runs while another version is applied: it goes on, for its node hasn't changed."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    expires_at: int
    dirty: tuple[str, ...] = ()
    """Of its partitions, those of which an input has changed since it was begun."""


class FailsAlike(msgspec.Struct, frozen=True, gc=False):
    """A node whose code can't work in any partition, and the one in which that was found."""

    node: str
    key: str
    reason: str
    until: int | None = None
    """When it is tried again, where it is about what is installed."""

    @property
    def text(self) -> str:
        """The reason of the partitions that aren't tried because of it."""
        return f"{_FAILS_LIKE}{self.key}: {self.reason}"


_FAILS_LIKE = "fails like "


def failed_like(reason: str) -> str | None:
    """The partition that another one fails like, by that one's reason; None where it has a reason of its own."""
    return reason.removeprefix(_FAILS_LIKE).partition(": ")[0] if reason.startswith(_FAILS_LIKE) else None


class Loaded(msgspec.Struct, frozen=True, gc=False, tag="loaded"):
    """The core starts from this: the applied graph and where each partition stands: as in the checkpoint, but for `tracked_partitions`."""

    graph: Graph
    tracked_partitions: tuple[LoadedPartition, ...] = ()
    running: tuple[LoadedRunning, ...] = ()
    fired: tuple[tuple[str, int], ...] = ()
    """Node → when its trigger fired last, as far as that was written down."""
    checkpoint: SchedulerCheckpoint | None = None
    alike: tuple[FailsAlike, ...] = ()
    """What was found to fail in every partition, and hasn't been tried anew since."""


class DeliveryArrived(msgspec.Struct, frozen=True, gc=False, tag="arrived"):
    """A look found a delivery of one interval of a source. It is admitted with the event after it, so that all that a look found has
    been heard of."""

    source: str
    key: str
    bundle: str = ""
    """Names the file that it came in with other intervals: those are ingested together."""


class Refreshed(msgspec.Struct, frozen=True, gc=False, tag="refreshed"):
    """Readers see another publication of a partition that isn't made here: in an environment, what is borrowed from production."""

    node: str
    key: str
    changed: bool = True
    """Whether its content is another than what readers saw before."""


class Promoted(msgspec.Struct, frozen=True, gc=False, tag="promoted"):
    """What a plan made beside production becomes visible at once: (node, key, whether its content is another than what readers saw
    before), inputs before what reads them. All of it is consistent in itself: nothing of it is stale because of another part."""

    contents: tuple[tuple[str, str, bool], ...]
    publications: tuple[int, ...] = ()
    """Their ids, in the order of `contents`."""


class Elsewhere(msgspec.Struct, frozen=True, gc=False, tag="elsewhere"):
    """What another core's attempts hold of the pools of this one now: pool and slots. A core that is loaded anew knows of nothing."""

    taken: tuple[tuple[str, int], ...] = ()


class PartitionOvertaken(msgspec.Struct, frozen=True, gc=False, tag="overtaken"):
    """Of a plan's core: production has published a partition that the plan makes as well. It is made again."""

    node: str
    key: str


class GivenUp(msgspec.Struct, frozen=True, gc=False, tag="given_up"):
    """Of a plan's core, at rest: what had been made of these partitions of the plan doesn't count any more, and they won't be made again
    by themselves. So nobody will ever see what other partitions were made of: those are stale."""

    partitions: tuple[tuple[str, str], ...]


class Target(msgspec.Struct, frozen=True, gc=False):
    """A node that is asked for: all its partitions, or those from `first` to `last` (both included, in the order of time).
    Where it is cut by time and key, a time alone means all its keys."""

    node: str
    first: str | None = None
    last: str | None = None


class Requested(msgspec.Struct, frozen=True, gc=False, tag="requested"):
    """Work is asked for, by a person or by a pass. What failed or was stopped is tried again for the nodes in `retry`,
    which a person named; publications of those in `again` are replaced although nothing has changed.

    It is wanted until `Settled(run)` answers, or `Cancelled(run)` takes it back; several are wanted at once. One that is asked for
    again under the same number takes the place of the earlier one."""

    targets: tuple[Target, ...]
    retry: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    run: int = 0
    """The run that it belongs to."""
    standing: bool = False
    """Wanted for as long as the leader runs (`serve`): never settled. Only what is triggered runs for it."""


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag="cancelled"):
    """A run isn't wanted any more: what it alone asked for isn't started, and its attempts that run are ended."""

    run: int


class Paused(msgspec.Struct, frozen=True, gc=False, tag="paused"):
    """Nothing of these nodes is started; attempts that run go on. `until` ends it by itself, in microseconds."""

    nodes: tuple[str, ...]
    reason: str
    until: int | None = None


class Resumed(msgspec.Struct, frozen=True, gc=False, tag="resumed"):
    """These nodes may run again."""

    nodes: tuple[str, ...]


class Fired(msgspec.Struct, frozen=True, gc=False, tag="fired"):
    """A trigger that isn't a time fired from outside: a webhook. Times, arrivals and publications fire by themselves."""

    node: str


class TakenBack(msgspec.Struct, frozen=True, gc=False, tag="taken_back"):
    """A person withdrew a publication: readers see nothing of the partition any more, and what was made of it is stale."""

    node: str
    key: str
    reason: str


class AttemptPublished(msgspec.Struct, frozen=True, gc=False, tag="published"):
    """An attempt's partitions are about to become visible: key → whether its content is another than what readers saw before (true
    where that isn't known)."""

    attempt: AttemptId
    contents: tuple[tuple[str, bool], ...]
    seconds: float | None = None
    """How long the worker was at it."""
    publications: tuple[int, ...] = ()
    """Their ids, in the order of `contents`."""


class AttemptUnsuccessful(msgspec.Struct, frozen=True, gc=False, tag="ended"):
    """An attempt ended without publishing: `state` is held, rejected or failed; `kind` says why it failed."""

    attempt: AttemptId
    state: PartitionState
    reason: str
    kind: FailureKind | None = None
    after_us: int | None = None
    """Of what waits: not before so many microseconds have passed."""
    everywhere: bool = False
    """Whether the code fails so in every partition: SQL that can't be bound, a module that can't be imported."""
    machine: bool = False
    """Whether that is about what is installed, and may pass by itself."""


class WorkerLost(msgspec.Struct, frozen=True, gc=False, tag="worker_lost"):
    """A worker died. `running` was being worked on, `queued` hadn't been started."""

    running: AttemptId | None
    queued: tuple[AttemptId, ...]
    reason: str


class ClockAdvanced(msgspec.Struct, frozen=True, gc=False, tag="clock"):
    """Time has passed: look for time-outs and for partitions whose next try has come."""


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
    """Start an attempt at one node and these partitions. The claim on each of them passes to it."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    queued_at: int
    without: tuple[tuple[str, str], ...] = ()
    """Optional inputs that it doesn't wait for any longer: node and partition."""
    runs: tuple[int, ...] = ()
    """The runs that want it, newest first: it belongs to the newest, for whoever asks for something gets it told."""


class PartitionUpdate(msgspec.Struct, frozen=True, gc=False, tag="mark"):
    """A partition stands elsewhere now."""

    node: str
    key: str
    state: PartitionState
    stale: bool
    failures: int
    not_before: int | None
    reason: str
    proposed: bool = False
    """It is stale, and isn't computed again before somebody asks."""


CANCELLED = "was cancelled"
"""Why attempts that nobody wants any more are ended."""


class Kill(msgspec.Struct, frozen=True, gc=False, tag="kill"):
    """End an attempt's worker: it ran past its time-out, or isn't wanted any more."""

    attempt: AttemptId
    reason: str


class AwaitedPartition(NamedTuple):
    """What a partition waits for: another partition, and where that stands. `until`: when time alone ends the wait."""

    node: str
    key: str
    state: PartitionState
    reason: str
    until: int | None = None


class Settled(msgspec.Struct, frozen=True, gc=False, tag="settled"):
    """Nothing that a run asked for runs, and nothing of it will before something happens: it has ended."""

    run: int
    waiting: tuple[tuple[str, str, str], ...] = ()
    """Of what it wanted and couldn't run, the first WAITING_SHOWN_MAX partitions, each with why (`scheduler.requests`)."""


class FiredAt(msgspec.Struct, frozen=True, gc=False, tag="fired_at"):
    """A node's trigger fired: what waited for it may run, and the next leader needn't fire it again for that time."""

    node: str
    at: int


Command = Dispatch | PartitionUpdate | Kill | Settled | FiredAt
