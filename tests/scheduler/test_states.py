"""The table of transitions, and that nothing gets around it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import headrace
from headrace.scheduler.states import (
    TRANSITIONS,
    PartitionState,
    PartitionTransition,
    TrackedPartition,
    next_state,
)

SOURCE = Path(headrace.__file__).parent


@pytest.mark.parametrize("state", PartitionState)
@pytest.mark.parametrize("change", PartitionTransition)
def test_every_pair_is_in_the_table_or_refused(
    state: PartitionState, change: PartitionTransition
) -> None:
    """Catches a transition that was added in the code and not in the table."""
    if (state, change) in TRANSITIONS:
        assert next_state(state, change) is TRANSITIONS[state, change]
    else:
        with pytest.raises(ValueError, match=state):
            next_state(state, change)


def test_a_refused_step_leaves_the_state() -> None:
    """Catches a partition that is published although no attempt ran at it."""
    tracked = TrackedPartition(PartitionState.WAITING)
    with pytest.raises(ValueError, match="waiting"):
        tracked.step(PartitionTransition.PUBLISHED)
    assert tracked.state is PartitionState.WAITING
    tracked.step(PartitionTransition.DISPATCHED)
    assert tracked.state is PartitionState.RUNNING


@pytest.mark.long
def test_only_steps_change_a_state() -> None:
    """Catches a change of a partition's state that passes the table by."""
    assigned = {
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "state"
        and not isinstance(node.ctx, ast.Load)
    }
    assert {place.partition(":")[0] for place in assigned} == {"scheduler/states.py"}, assigned


def test_an_attempt_that_runs_outlives_what_others_publish() -> None:
    """Catches a running attempt that ends in a state that the table refuses."""
    elsewhere = PartitionTransition.PUBLISHED_ELSEWHERE
    assert {state for state in PartitionState if (state, elsewhere) not in TRANSITIONS} == {
        PartitionState.RUNNING
    }


def test_only_running_partitions_end() -> None:
    """Catches a publication of something that no attempt was at."""
    ends = {
        PartitionTransition.PUBLISHED,
        PartitionTransition.HELD,
        PartitionTransition.REJECTED,
        PartitionTransition.FAILED,
    }
    assert {state for state, change in TRANSITIONS if change in ends} == {PartitionState.RUNNING}
