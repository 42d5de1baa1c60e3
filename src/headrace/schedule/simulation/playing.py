"""Play a scenario from beginning to end, and tell what went wrong."""

from __future__ import annotations

import msgspec

from headrace.schedule.simulation.coverage import Coverage
from headrace.schedule.simulation.leader import SimulatedLeader
from headrace.schedule.simulation.scenario import Scenario
from headrace.schedule.simulation.violation import Violation
from headrace.schedule.simulation.world import NoRest, Simulation


class SimulationFailure(msgspec.Struct, frozen=True):
    """An invariant that doesn't hold, or an error of the core."""

    invariant: str
    found: str


class SimulationResult(msgspec.Struct, frozen=True):
    """What came of a scenario."""

    events: int
    faults: int
    coverage: Coverage
    failure: SimulationFailure | None = None


def play(scenario: Scenario, leader_type: type[SimulatedLeader] = SimulatedLeader) -> SimulationResult:
    """Play it once; never raises for what the scenario shows."""
    world = Simulation(scenario, leader_type=leader_type)
    failure = None
    try:
        world.run()
        world.watch.resting.at_rest()
        world.heal()
        world.watch.resting.at_the_end()
    except Violation as error:
        failure = SimulationFailure(error.name, str(error))
    except NoRest as error:
        failure = SimulationFailure("it_comes_to_rest", str(error))
    except Exception as error:  # noqa: BLE001 - whatever the core raises is a finding
        failure = SimulationFailure(_name(error), f"{type(error).__name__}: {error}")
    return SimulationResult(world.told, sum(world.coverage.faults.values()), world.coverage, failure)


def _name(error: Exception) -> str:
    """Where an error was raised: what is made smaller must fail in the same place."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{type(error).__name__} in {place.tb_frame.f_code.co_name}" if place is not None else type(error).__name__
