"""The simulator itself: the same seed is the same everywhere, failures are made smaller, and a seed
is as large as promised."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from headrace.faults import FaultPoint as Real
from headrace.scheduler.core import LeaderHistory, replay
from headrace.scheduler.events import Event, LoadedRunning
from simulation.leader import SimulatedLeader
from simulation.planted import PLANTED
from simulation.play import many, play, shrink, shrunk_failure
from simulation.random_scenarios import scenario
from simulation.scenario import FaultKind, SimulatedFault, SimulatedFaultPoint
from simulation.simulator import LEASE_US, Simulation

SOURCE = Path(__file__).parents[2] / "src"


def told(seed: int) -> str:
    """All that a seed's cores were told and decided, as a digest."""
    world = Simulation(scenario(seed), journalled=True)
    world.run()
    world.heal()
    turns = [
        (turn.now, repr(turn.events), turn.digest)
        for leader in world.histories
        for turn in leader.turns
    ]
    return hashlib.sha256(repr([(now, digest) for now, _, digest in turns]).encode()).hexdigest()


@pytest.mark.long
def test_a_seed_is_the_same_in_every_process() -> None:
    """Catches the order of sets: a failing seed that can't be played again is worth nothing."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; from test_simulated_world import told;"
        " print(told(3), told(4))"
    )
    folder = Path(__file__).parent
    said = set()
    for order in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": order, "PYTHONPATH": str(SOURCE)}
        ran = subprocess.run(
            [sys.executable, "-c", program, str(folder), str(folder.parent)],
            env=environment,
            capture_output=True,
            check=True,
        )
        said.add(ran.stdout)
    assert len(said) == 1


@pytest.mark.parametrize("seed", [5, 6])
def test_what_cores_were_told_replays_to_the_same_decisions(seed: int) -> None:
    """Catches a core that decides by something else than its events: a clock, the order of a set,
    another core.
    """
    world = Simulation(scenario(seed), journalled=True)
    world.run()
    for leader in world.histories:
        if (
            leader.turns and leader.alive
        ):  # what a leader that ended decided last may never have been committed
            assert (
                replay(LeaderHistory(leader.epoch, world.scenario.slots, tuple(leader.turns))) == []
            )


@pytest.mark.slow
def test_a_seed_is_as_large_as_promised() -> None:
    result, _ = many(range(40))
    assert result.fewest[0] >= 300, "events"
    assert result.fewest[1] >= 3, "faults"
    assert all(scenario(seed).size[0] >= 20 for seed in range(40)), "assets"


@pytest.mark.slow
def test_what_fails_is_made_smaller_and_still_fails_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader = PLANTED["wrong_edge_of_a_lookback"](monkeypatch)
    seed, failure = next(
        (seed, result)
        for seed in range(50)
        if (result := play(scenario(seed), leader).failure) is not None
    )

    def fails(item: object) -> bool:
        again = play(item, leader).failure  # type: ignore[arg-type]
        return again is not None and again.invariant == failure.invariant

    small = shrink(scenario(seed), fails)
    assert fails(small)
    assert small.size < (4, 6, 1) < scenario(seed).size
    assert small == shrink(scenario(seed), fails), "it isn't made smaller the same way twice"
    lines = list(shrunk_failure(seed, failure, lambda item: play(item, leader)))
    assert f"--seed {seed}" in lines[1]


def test_a_power_cut_ends_leaders_that_stand_still() -> None:
    """Catches a process that goes on after the power was cut: the lease that it took never
    happened, so that its epoch is another leader's now, and both publish."""
    loaded = []

    class Told(SimulatedLeader):
        def load(self, going: Sequence[LoadedRunning] = ()) -> list[Event]:
            loaded.append(self.alive)
            return super().load(going)

    item = scenario(5)
    stall = SimulatedFault(
        item.began, FaultKind.STALL, SimulatedFaultPoint.LEASE_TAKEN, 3 * LEASE_US
    )
    cut = SimulatedFault(item.began, FaultKind.POWER_LOSS, SimulatedFaultPoint.TURN_COMMITTED, 2)
    played = play(msgspec.structs.replace(item, faults=(stall, cut)), Told)
    assert (played.faults, played.failure) == (2, None)
    assert len(loaded) >= 2
    assert all(loaded)


def test_points_that_production_has_too_have_its_names() -> None:
    """A fault that the simulator finds is to be tried with real processes by the same name."""
    assert {point.value for point in SimulatedFaultPoint} - {point.value for point in Real} == {
        "turn.decided"
    }
