"""The table of transitions, and that nothing gets around it."""

from __future__ import annotations

import pytest

from headrace.scheduler.states import TRANSITIONS, PartitionState, PartitionTransition, next_state


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


def test_only_running_partitions_end() -> None:
    """Catches a publication of something that no attempt was at."""
    ends = {
        PartitionTransition.PUBLISHED,
        PartitionTransition.HELD,
        PartitionTransition.REJECTED,
        PartitionTransition.FAILED,
    }
    assert {state for state, change in TRANSITIONS if change in ends} == {PartitionState.RUNNING}
