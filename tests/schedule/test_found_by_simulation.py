"""Defects of the core that the simulator found, each as small as it gets; the seeds are in tests/simulation/seeds.txt."""

from __future__ import annotations

import msgspec
from driver import Driver, asset, reads, source

from headrace.model import InputMode

D = [f"2013-02-{d:02}" for d in range(1, 29)]


def test_what_was_delivered_of_before_the_start_blocks_nothing() -> None:
    """SEMANTICS §2: partitions before an input's start count as present and empty, delivered or not. It is never taken in, so
    what was made of the day before waited for it for ever."""
    prices = msgspec.structs.replace(source("prices"), start=D[1])
    d = Driver(prices, source("flights"), asset("a", "flights", reads("prices", mode=InputMode.PREVIOUS)))
    d.ask()
    d.arrive("prices", D[0], D[1])
    d.arrive("flights", D[1])
    assert d.work() == [("prices", D[1]), ("flights", D[1]), ("a", D[1])]
