"""What a run is asked to do, what is known of it while it goes on, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.govern.audit import Actor
from headrace.run.news import Reporter, silent
from headrace.schedule import DeliveryArrived, Requested, Settled, Target
from headrace.schedule.commands import WAITING_SHOWN_MAX

STANDING = -1
"""The number of the run that stands, of which there is one at most: what a server does by itself."""
TICK = "tick"
"""The kind of a run that is one pass over everything."""
PROPOSED = "is stale, and is recomputed only if somebody asks"


class RunRequest(msgspec.Struct, frozen=True):
    """What one run is asked to do, by whom. `kind` is `run`, `tick`, `receive` or `serve`, `request` what was typed."""

    kind: str
    targets: tuple[Target, ...]
    actor: Actor
    request: dict[str, object] = {}
    reason: str = ""
    retry: frozenset[str] = frozenset()
    """Nodes that a person asked for: what failed is tried again."""
    again: frozenset[str] = frozenset()
    """Those of them whose publications are replaced."""
    received: tuple[DeliveryArrived, ...] = ()
    """What was handed in by hand; at those sources nobody looks."""
    together: tuple[DeliveryArrived, ...] = ()
    """Deliveries that are ingested `again`, of several partitions each: these are ingested together."""
    standing: bool = False
    """For as long as the leader runs: what a server does by itself."""
    plan: int | None = None
    """The backfill that it works at: `targets` are the sources that are ingested before anything of the plan is computed."""


class RunResult(msgspec.Struct, frozen=True):
    """What a run came to. `waiting` names up to WAITING_SHOWN_MAX partitions that were asked for and couldn't run, with the reason."""

    run_id: int
    state: str
    waiting: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    partitions: int = 0
    """How many came to something."""


class ActiveRun:
    """A run that goes on. `standing` ones are never settled: what a server does by itself."""

    def __init__(self, number: int, order: RunRequest, report: Reporter = silent) -> None:
        self.id, self.order, self.report = number, order, report
        self.row: int | None = number
        """Its row in the store. One that stands has a row only while some of its work is under way."""
        self.notes: tuple[str, ...] = ()
        self.looking = 0
        """Looks at sources that it waits for."""
        self.results: dict[tuple[str, str], str] = {}
        """What each partition came to."""

    def request(self, borrowed: frozenset[str]) -> Requested:
        """What the core is asked for."""
        targets = tuple(target for target in self.order.targets if target.node not in borrowed)
        return Requested(targets, self.order.retry, self.order.again, self.id, self.order.standing)

    @property
    def state(self) -> str:
        """`nothing_due`, `succeeded`, `failed` or `partial`, from what each partition came to in the end. What waits for a disk or a
        server hasn't failed: where nothing else was due, nothing was."""
        if all(state == "waiting" for state in self.results.values()):
            return "nothing_due"
        good = sum(1 for state in self.results.values() if state == "published")
        return "succeeded" if good == len(self.results) else "partial" if good else "failed"


def cancelled_by(actor: str, reason: str) -> str:
    """Who took a run back, and why, in one clause."""
    return f"cancelled by {actor}" + (f": {reason}" if reason else "")


def waiting(settled: Settled, proposed: Sequence[tuple[str, str]]) -> tuple[tuple[str, str, str], ...]:
    """Partitions that were asked for and couldn't run, with the reason of each."""
    return (*settled.waiting, *((node, key, PROPOSED) for node, key in proposed))[:WAITING_SHOWN_MAX]
