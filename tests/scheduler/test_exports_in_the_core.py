"""Exports in the core: nodes that refer to whole data, and show it beside what an interval
requires.
"""

from __future__ import annotations

from driver import WHOLE, Driver, asset, source

from headrace.scheduler import FailureKind, PartitionState


def exporting() -> Driver:
    """orders → clean → sums → totals (whole); the export reads clean by day, and totals."""
    return Driver(
        source("orders"),
        asset("clean", "orders"),
        asset("sums", "clean"),
        asset("totals", "sums", partition=WHOLE),
        asset("extract", "clean", "totals", settled=True),
        slots=4,
    )


def started() -> Driver:
    driver = exporting()
    driver.arrive("orders", "2013-02-11")
    driver.ask()
    driver.work()
    return driver


def test_an_export_waits_for_the_whole_that_knows_its_day() -> None:
    """Catches a day's export with a summary that doesn't know the day: the summary comes two steps
    after what the day requires.
    """
    driver = started()
    driver.arrive("orders", "2013-02-12", "2013-02-13")
    done = driver.work()
    assert done.index(("totals", "*")) < done.index(("extract", "2013-02-12"))
    assert sorted(item for item in done if item[0] == "extract") == [
        ("extract", "2013-02-12"),
        ("extract", "2013-02-13"),
    ]


def test_an_export_waits_for_a_whole_that_failed() -> None:
    """Catches a day that is sent with the summary of the day before, because today's went wrong."""
    driver = started()
    driver.arrive("orders", "2013-02-12")
    while driver.running:
        attempt, dispatch = next(iter(driver.running.items()))
        if dispatch.node == "totals":
            driver.end(attempt, PartitionState.FAILED, FailureKind.DETERMINISTIC)
        else:
            driver.publish(attempt)
    assert driver.state("extract", "2013-02-12") is PartitionState.WAITING
    driver.ask(retry=frozenset({"totals"}))
    assert driver.work() == [("totals", "*"), ("extract", "2013-02-12")]


def test_a_summary_that_changed_sends_no_old_day_again() -> None:
    """Catches all of history exported each day, because a summary of it has changed."""
    driver = started()
    driver.content["totals", "*"] = "another"
    driver.arrive("orders", "2013-02-12")
    assert ("extract", "2013-02-11") not in driver.work()
