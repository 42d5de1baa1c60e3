"""Plays faults in a copy of the clean weeks, and keeps all that was said meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from lab.delivered import DELIVERED, Make
from lab.deliveries import path_of, write
from lab.driving import Driver, Seen, copied
from lab.faults import DAY, Fault, Stage
from lab.made import MADE
from lab.month import Lab, Shaped
from lab.truth import Published, published

ALL: tuple[Make, ...] = (*DELIVERED, *MADE)
LOOKS = (time(5, 30), time(6, 45), time(9, 15))
"""The second only where something comes between the first and a deadline."""
STATUS = (time(5, 40), time(7, 15), time(8, 20), time(10, 0), time(20, 0))
"""When somebody looks at `status` as well."""


@dataclass
class Played:
    """What came of it."""

    faults: Sequence[Fault]
    since: datetime
    """What was opened before is of the clean weeks."""
    began: datetime
    """The first look that could have shown it."""
    incidents: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[Seen, Published]] = field(default_factory=list)
    last: list[Seen] = field(default_factory=list)


def drawn(lab: Lab, makes: Sequence[Make], scenario: str) -> list[Fault]:
    """The faults of a scenario, with their parameters."""
    return [make(lab, random.Random(f"{lab.world.seed} {scenario} {number}")) for number, make in enumerate(makes)]


class Play:
    """One scenario in one folder, which is the project's own: the clean weeks are copied over it."""

    def __init__(self, seed: int, root: Path, clean: Path) -> None:
        copied(clean, root)
        self.lab = Lab(seed, root)
        self.driver = Driver(root)

    def play(self, faults: Sequence[Fault]) -> Played:
        """The morning of the fault, and the next."""
        skipped = max((one.skipped for one in faults), default=0)
        morning = DAY + timedelta(1 + skipped)
        played = Played(faults, self.lab.moment(DAY, time(12)), self.lab.moment(morning, LOOKS[0]))
        stage = Stage(self.lab, self.driver, random.Random(0))
        try:
            self._first(stage, played, morning, skipped)
            self._next(stage, played, morning + timedelta(1))
        finally:
            self.driver.close()
        return played

    def _first(self, stage: Stage, played: Played, morning: date, skipped: int) -> None:
        shaped: dict[str, Shaped] = {name: change for one in played.faults for name, change in one.shaped.items()}
        for number in range(skipped):
            self.lab.deliver(DAY + timedelta(number))
        came = self.lab.deliver(morning - timedelta(1), shaped)
        self._hold_back(came)
        for one in played.faults:
            one.strike(stage)
        looks = LOOKS if any(one.looked_between for one in played.faults) else (LOOKS[0], LOOKS[-1])
        for at in looks:
            self._arrive(self.lab.moment(morning, at))
            if at == LOOKS[-1]:
                for one in played.faults:
                    one.late(stage)
            self.driver.tick(self.lab.moment(morning, at))
            self._status(played, morning, at, looks)

    def _next(self, stage: Stage, played: Played, morning: date) -> None:
        for one in played.faults:
            one.mend(stage)
            for name in one.shaped if one.resent else ():
                self._resend(name, morning)
        self.lab.deliver(morning - timedelta(1), {})
        self.driver.tick(self.lab.moment(morning, LOOKS[0]))
        self._status(played, morning, LOOKS[0], LOOKS[:1])
        played.last = self.driver.status(self.driver.now)
        played.incidents = self.driver.incidents(self.driver.now)
        self.driver.check(self.driver.now)

    def _hold_back(self, came: dict[str, datetime]) -> None:
        """What comes after the first look isn't there yet at it."""
        self._waiting: list[tuple[datetime, Path, Path]] = []
        for source in self.lab.world.events:
            at = came.get(source.name)
            if at is not None and at > self.lab.moment(DAY + timedelta(1), LOOKS[0]):
                path = path_of(self.lab.root, source, DAY)
                aside = self.lab.root / path.name
                path.rename(aside)
                self._waiting.append((at, aside, path))

    def _arrive(self, now: datetime) -> None:
        for one in [one for one in self._waiting if one[0] <= now]:
            one[1].rename(one[2])
            self._waiting.remove(one)

    def _resend(self, name: str, morning: date) -> None:
        """The delivery of the day as it should have been, on the next morning."""
        source = next((one for one in self.lab.world.events if one.name == name), None)
        at = self.lab.moment(morning, time(0, 50))
        if source is None:
            known = self.lab.world.reference
            write(path_of(self.lab.root, known, DAY), self.lab.days.reference(DAY), at)
        else:
            write(path_of(self.lab.root, source, DAY), self.lab.days.events(source, DAY), at)

    def _status(self, played: Played, day: date, after: time, looks: Sequence[time]) -> None:
        """What `status` says until the next look, beside what readers get at that moment."""
        until = next((at for at in looks if at > after), time(23, 59))
        for at in STATUS:
            if after < at < until and self.lab.moment(day, at) > self.driver.now:
                found = published(self.driver)
                played.seen += [(one, found) for one in self.driver.status(self.lab.moment(day, at))]
