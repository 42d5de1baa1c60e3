"""What was held, or failed, over what it refers to, once that is corrected."""

from __future__ import annotations

import pytest
from driver import WHOLE, Driver, asset, source

from headrace.scheduler import FailureKind, PartitionState

DAY = "2013-02-11"


def stopped(state: PartitionState) -> Driver:
    """orders × airlines → named; a day is published, the next one is stopped."""
    driver = Driver(
        source("orders"),
        source("airlines", partition=WHOLE),
        asset("named", "orders", "airlines"),
        slots=4,
    )
    driver.arrive("airlines", "*")
    driver.arrive("orders", "2013-02-10")
    driver.ask()
    driver.work()
    driver.arrive("orders", DAY)
    while driver.running:
        attempt, dispatch = next(iter(driver.running.items()))
        if dispatch.node == "named":
            driver.end(
                attempt,
                state,
                FailureKind.DETERMINISTIC if state is PartitionState.FAILED else None,
            )
        else:
            driver.publish(attempt)
    return driver


@pytest.mark.parametrize(
    "state", [PartitionState.HELD, PartitionState.FAILED, PartitionState.REJECTED]
)
def test_what_was_stopped_is_made_again_with_another_reference(state: PartitionState) -> None:
    """Would catch: a day that stays in quarantine for keys that nobody knew, after those who know
    them have sent them; all other days made again as well."""
    driver = stopped(state)
    driver.arrive("airlines", "*", content="corrected")
    assert driver.work() == [("airlines", "*"), ("named", DAY)]


def test_a_reference_that_came_to_the_same_asks_for_nothing() -> None:
    """Would catch: what is held tried again with each delivery of a file that didn't change."""
    driver = stopped(PartitionState.HELD)
    driver.arrive("airlines", "*")
    assert driver.work() == [("airlines", "*")]
    assert driver.state("named", DAY) is PartitionState.HELD
