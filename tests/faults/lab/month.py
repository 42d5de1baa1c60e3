"""The clean days of a world, driven day by day once and kept, so that each fault begins with a copy
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from lab.declarations import declare
from lab.deliveries import Days, Delivery, path_of, write
from lab.driving import Driver
from lab.graph import Builder, Graph
from lab.shapes import Source, World, world

MORNING = time(5, 30)
"""When the clean days are looked at: after all that is declared to be there is there, before
anything is due."""
Shaped = Callable[[Delivery, Source | None], None]
"""What is done to a delivery that isn't a fault: of whom, None for the reference data."""


class Lab:
    """A world, its project in a folder, and the days that pass in it."""

    def __init__(self, seed: int, root: Path) -> None:
        self.world: World = world(seed)
        self.graph: Graph = Builder(self.world).build()
        self.days = Days(self.world)
        self.root = root
        self.aimed: frozenset[str] = frozenset()
        """Where a fault that is drawn has to be; empty: anywhere."""

    @property
    def day(self) -> date:
        """The day of the fault."""
        return self.world.day

    @property
    def morning(self) -> date:
        """When its deliveries come."""
        return self.day + timedelta(1)

    def moment(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, ZoneInfo(self.world.zone))

    def deliver(
        self,
        day: date,
        shaped: dict[str, Shaped] | None = None,
        factors: dict[str, float] | None = None,
    ) -> dict[str, datetime]:
        """What is sent for a day, and when each of it comes; what `shaped` names is changed before,
        or doesn't come."""
        came: dict[str, datetime] = {}
        for source in self.world.events:
            made = self.days.events(source, day, factor=(factors or {}).get(source.name, 1.0))
            came |= self._write(made, source, day, shaped or {})
        known = self.world.reference
        if known.daily or day == self.world.first or known.name in (shaped or {}):
            came |= self._write(self.days.reference(day), None, day, shaped or {})
        return came

    def _write(
        self, made: Delivery, source: Source | None, day: date, shaped: dict[str, Shaped]
    ) -> dict[str, datetime]:
        if made.source in shaped:
            shaped[made.source](made, source)
        if made.missing:
            return {}
        node = source or self.world.reference
        at = self.days.arrival(node, day) + made.delay
        write(path_of(self.root, node, day), made, at)
        return {made.source: at}


def history(seed: int, root: Path, said: Callable[[str], None]) -> None:
    """Make the project and let its clean days pass."""
    lab = Lab(seed, root)
    declare(root, lab.world, lab.graph)
    driver = Driver(root)
    try:
        for number in range(lab.world.days):
            day = lab.world.first + timedelta(number)
            lab.deliver(day)
            document = driver.tick(lab.moment(day + timedelta(1), MORNING))
            odd = [
                f"{attempt.asset} {attempt.state}"
                for attempt in document.attempts
                if attempt.state != "published"
            ]
            said(f"seed {seed} day {number}: {document.state} {', '.join(odd)}")
    finally:
        driver.close()
