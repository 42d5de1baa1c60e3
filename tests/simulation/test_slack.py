"""A backfill gets what production leaves: production does the same at the same time, with and
without one beside it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.scheduler.events import Dispatch
from headrace.scheduler.graph import Graph
from simulation.backfills import SimulatedBackfill
from simulation.leader import SimulatedLeader
from simulation.random_scenarios import scenario
from simulation.scenario import LASTS, DeedKind, Scenario
from simulation.simulator import NoRest, Simulation

SEEDS = 12
Begun = list[tuple[int, str, tuple[str, ...]]]


def played(item: Scenario) -> tuple[Begun, int]:
    """When production began which attempts, and how many the plans had."""
    begun: Begun = []

    class Noting(SimulatedLeader):
        def _start(self, tx: Any, preparing: Any, command: Dispatch) -> Any:
            if self.now < item.began + LASTS:
                begun.append((self.now, command.node, command.keys))
            return super()._start(tx, preparing, command)

    world = Simulation(item, leader_type=Noting)
    world.run()
    return begun, world.coverage.batches["attempts of plans"]


def undisturbed(seed: int) -> Scenario:
    """A seed in which nothing strikes at a point of a turn, for a plan's turns come by there as
    well, and plans share no pools: what they do there is given way to, which takes a moment."""
    item = scenario(seed)
    nodes = tuple(msgspec.structs.replace(node, takes=()) for node in item.graph.nodes)
    return msgspec.structs.replace(
        item, graph=Graph(nodes), faults=(), endless=True, change=type(item.change)()
    )


@pytest.mark.long
@pytest.mark.parametrize("part", range(2))
def test_production_does_the_same_beside_a_backfill(part: int) -> None:
    """Catches a plan that takes a slot, a claim or a turn that production needs. The plans'
    attempts hang until they are out of time."""
    tried = 0
    for seed in range(part, SEEDS, 2):
        beside = undisturbed(seed)
        alone = msgspec.structs.replace(
            beside, deeds=tuple(deed for deed in beside.deeds if deed.kind is not DeedKind.BACKFILL)
        )
        with_plans, attempts = played(beside)
        tried += attempts
        assert with_plans == played(alone)[0], f"seed {seed}"
    assert tried > 10


@pytest.mark.long
def test_a_plan_that_takes_slots_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a comparison that compares nothing: here the plan's attempts go to production's
    workers."""
    begin = SimulatedBackfill.begin

    def on_production_s(self: Any, tx: Any) -> None:
        self.workers = self._leader.workers
        begin(self, tx)

    monkeypatch.setattr(SimulatedBackfill, "begin", on_production_s)
    ones = [undisturbed(seed) for seed in range(6)]
    alone = [
        msgspec.structs.replace(
            item, deeds=tuple(deed for deed in item.deeds if deed.kind is not DeedKind.BACKFILL)
        )
        for item in ones
    ]
    assert any(_differ(item, other) for item, other in zip(ones, alone, strict=True))


def _differ(item: Scenario, other: Scenario) -> bool:
    try:
        return played(item)[0] != played(other)[0]
    except (NoRest, KeyError):
        return True  # answers that reach the wrong one
