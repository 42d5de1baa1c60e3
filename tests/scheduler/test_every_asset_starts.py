"""An asset starts once its inputs are published: all combinations of how it is partitioned, whether
it builds on itself and declares a start, and of what it reads and how.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from driver import DAY, MONTH, WHOLE, Driver, asset, reads, source

from headrace.model import Grain, InputMode, PartitionSpec
from headrace.scheduler import Graph, GraphNode, Loaded, Target
from headrace.scheduler.requests import WaitKind

DELIVERIES = PartitionSpec(by_delivery=True)
GROWING = PartitionSpec(key="region")
LISTED = PartitionSpec(key="region", values=("a", "b"))
DAYS = ("2013-01-29", "2013-01-30", "2013-01-31")
INPUTS: dict[str, tuple[PartitionSpec, tuple[str, ...]]] = {
    "whole": (WHOLE, ("*",)),
    "days": (DAY, DAYS),
    "months": (MONTH, ("2013-01",)),
    "growing": (GROWING, ("a", "b")),
    "listed": (LISTED, ("a", "b")),
    "day_keys": (
        PartitionSpec(grain=Grain.DAY, key="region"),
        tuple(f"{day}/{key}" for day in DAYS for key in "ab"),
    ),
    "deliveries": (DELIVERIES, ("000000000001", "000000000002")),
}
OUTPUTS = {
    "whole": WHOLE,
    "day": DAY,
    "month": MONTH,
    "listed": LISTED,
    "day_listed": PartitionSpec(grain=Grain.DAY, key="region", values=("a", "b")),
}
GROWING_OUTPUTS = {
    "growing": (GROWING, ("growing", "listed", "day_keys")),
    "day_growing": (PartitionSpec(grain=Grain.DAY, key="region"), ("day_keys",)),
}
MODES: tuple[dict[str, Any], ...] = (
    *({"mode": mode} for mode in InputMode),
    {"optional": True},
    {"mode": InputMode.PREVIOUS, "optional": True},
    {"lookback": "2d"},
)
STARTS = {"day": "2013-01-30", "month": "2013-01", "day_listed": "2013-01-30"}


def every_asset() -> Iterator[GraphNode]:
    """All assets over one input that are valid."""
    for (out, spec), into, (number, how) in product(OUTPUTS.items(), INPUTS, enumerate(MODES)):
        name, read = f"{out}_of_{into}_{number}", reads(into, **how)
        yield asset(name, read, partition=spec)
        starts = [None, STARTS[out]] if out in STARTS else []
        for start in starts:
            yield asset(f"{name}_from_{start}", read, partition=spec, start=start)
            if spec.key is None:
                chain = f"{name}_chained_from_{start}"
                yield asset(chain, read, partition=spec, start=start, chained=True)
    for out, (spec, inputs) in GROWING_OUTPUTS.items():
        for into, mode in product(inputs, set(InputMode) - {InputMode.ALL}):
            yield asset(f"{out}_of_{into}_{mode}", reads(into, mode=mode), partition=spec)
    for into in ("whole", "deliveries"):
        yield asset(f"appended_of_{into}", into, partition=DELIVERIES)
    for into in ("days", "day_keys", "months"):
        both = (reads(into), reads("days", mode=InputMode.PREVIOUS))
        yield asset(f"both_of_{into}", *both, chained=True)


def test_each_starts_once_its_input_is_published() -> None:
    """Would catch keys of an input that make days wait for ever, a day that waits for the day
    before the first, and references that nothing but a person's request begins."""
    assets = list({node.name: node for node in every_asset()}.values())
    sources = [source(name, partition) for name, (partition, _) in INPUTS.items()]
    driver = Driver(*sources, *assets, slots=50)
    driver.at("2013-02-02 12:00")
    driver.ask()
    for name, (_, keys) in INPUTS.items():
        driver.arrive(name, *keys)
    driver.work()
    begun = {name for name, _ in driver.shown}
    assert [node.name for node in assets if node.name not in begun] == []


def test_time_alone_goes_on_from_the_first_interval() -> None:
    """Nothing declares a start: the newest interval is the first one, and none is left out."""
    driver = Driver(source("rates", WHOLE), asset("days", "rates"))
    driver.at("2013-02-01 12:00")
    driver.ask()
    driver.arrive("rates", "*")
    assert driver.work()[1:] == [("days", "2013-01-31")]
    stored = (driver.published("rates", "*"), driver.published("days", "2013-01-31"))
    driver.give(Loaded(Graph(driver.nodes), stored))
    driver.at("2013-02-03 12:00")
    driver.ask(Target("days"))
    assert driver.work() == [("days", "2013-02-01"), ("days", "2013-02-02")]


def test_nothing_waits_for_an_interval_before_the_first() -> None:
    """`yesterday` has no partition of the source's first day, so nobody that reads it may wait for
    one, over any number of assets, nor expect one."""
    before = asset("yesterday", reads("days", mode=InputMode.PREVIOUS))
    again = asset("again", reads("yesterday", mode=InputMode.PREVIOUS))
    readers = (
        asset("copy", "yesterday"),
        asset("both", "copy", "days"),
        asset("all", "again", "both"),
    )
    driver = Driver(source("days"), before, again, *readers)
    driver.at("2013-02-01 12:00")
    driver.ask()
    driver.arrive("days", *DAYS)
    begun = driver.work()
    assert [key for name, key in begun if name == "yesterday"] == [*DAYS[1:], "2013-02-01"]
    assert [key for name, key in begun if name == "again"] == [DAYS[2], "2013-02-01", "2013-02-02"]
    assert [key for name, key in begun if name == "both"] == list(DAYS[1:])
    assert [key for name, key in begun if name == "all"] == [DAYS[2]]
    for name in ("yesterday", "again", "copy", "both", "all"):
        assert [why.kind for why in driver.core.why(name, DAYS[0])] == [WaitKind.NOT_DUE], name


def test_an_optional_input_without_columns_is_waited_for() -> None:
    """An attempt fails for good at a table whose columns nobody knows yet."""
    late = GraphNode("late", True, DAY, "America/New_York", untyped=True)
    reader = asset("reader", "days", reads("late", optional=True))
    driver = Driver(source("days"), late, reader)
    driver.at("2013-02-01 12:00")
    driver.ask()
    driver.arrive("days", DAYS[0])
    assert driver.work() == [("days", DAYS[0])]
    assert [reason.text for reason in driver.core.why("reader", DAYS[0])] == [
        f"waits for late {DAYS[0]}, which hasn't arrived"
    ]
    driver.arrive("late", DAYS[0])
    assert driver.work() == [("late", DAYS[0]), ("reader", DAYS[0])]
