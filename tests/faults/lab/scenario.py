"""Plays faults in a copy of the clean days, and keeps all that was said meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from lab.deliveries import Delivery, path_of, write
from lab.driving import Driver, Seen, copied
from lab.faults import Fault, Stage
from lab.month import Lab, Shaped
from lab.shapes import Source
from lab.truth import Published, published

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


class Play:
    """One scenario in one folder, which is the project's own: the clean weeks are
    copied over it.
    """

    def __init__(self, seed: int, root: Path, clean: Path) -> None:
        copied(clean, root)
        self.lab = Lab(seed, root)
        self.driver = Driver(root)

    def play(self, faults: Sequence[Fault], *, one_by_one: bool = False) -> Played:
        """The morning of the fault, and the next; `one_by_one`: each fault is mended on a morning
        of its own.
        """
        skipped = max((fault.skipped for fault in faults), default=0)
        morning = self.lab.day + timedelta(1 + skipped)
        played = Played(
            faults, self.lab.moment(self.lab.day, time(12)), self.lab.moment(morning, LOOKS[0])
        )
        stage = Stage(self.lab, self.driver, random.Random(0), morning + timedelta(1))
        try:
            self._first(stage, played, morning, skipped)
            for mended in [[fault] for fault in faults] if one_by_one else [faults]:
                self._next(stage, played, mended)
                stage.mended += timedelta(1)
            played.last = self.driver.status(self.driver.now)
            played.incidents = self.driver.incidents(self.driver.now)
            self.driver.check(self.driver.now)
        finally:
            self.driver.close()
        return played

    def _first(self, stage: Stage, played: Played, morning: date, skipped: int) -> None:
        shaped: dict[str, Shaped] = {}
        for name, change in [each for fault in played.faults for each in fault.shaped.items()]:
            shaped[name] = _both(shaped[name], change) if name in shaped else change
        for number in range(skipped):
            self.lab.deliver(self.lab.day + timedelta(number))
        came = self.lab.deliver(morning - timedelta(1), shaped)
        self._hold_back(came)
        for fault in played.faults:
            fault.strike(stage)
        observations = (
            LOOKS
            if any(fault.observed_between for fault in played.faults)
            else (LOOKS[0], LOOKS[-1])
        )
        for at in observations:
            self._arrive(self.lab.moment(morning, at))
            if at == LOOKS[-1]:
                for item in played.faults:
                    item.late(stage)
            self.driver.tick(self.lab.moment(morning, at))
            self._status(played, morning, at, observations)

    def _next(self, stage: Stage, played: Played, mended: Sequence[Fault]) -> None:
        morning = stage.mended
        for item in mended:
            item.mend(stage)
        for name in {name for item in mended if item.resent for name in item.shaped}:
            self._resend(name, morning)
        self.lab.deliver(morning - timedelta(1), {})
        self.driver.tick(self.lab.moment(morning, LOOKS[0]))
        self._status(played, morning, LOOKS[0], LOOKS[:1])

    def _hold_back(self, came: dict[str, datetime]) -> None:
        """What comes after the first look isn't there yet at it."""
        self._waiting: list[tuple[datetime, Path, Path]] = []
        for source in self.lab.world.events:
            at = came.get(source.name)
            if at is not None and at > self.lab.moment(self.lab.day + timedelta(1), LOOKS[0]):
                path = path_of(self.lab.root, source, self.lab.day)
                aside = self.lab.root / path.name
                path.rename(aside)
                self._waiting.append((at, aside, path))

    def _arrive(self, now: datetime) -> None:
        for item in [one for one in self._waiting if one[0] <= now]:
            item[1].rename(item[2])
            self._waiting.remove(item)

    def _resend(self, name: str, morning: date) -> None:
        """The delivery of the day as it should have been, on the next morning."""
        source = next((event for event in self.lab.world.events if event.name == name), None)
        at = self.lab.moment(morning, time(0, 50))
        if source is None:
            known = self.lab.world.reference
            write(
                path_of(self.lab.root, known, self.lab.day),
                self.lab.days.reference(self.lab.day),
                at,
            )
        else:
            write(
                path_of(self.lab.root, source, self.lab.day),
                self.lab.days.events(source, self.lab.day),
                at,
            )

    def _status(self, played: Played, day: date, after: time, observations: Sequence[time]) -> None:
        """What `status` says until the next look, beside what readers get at that moment."""
        until = next((at for at in observations if at > after), time(23, 59))
        for at in STATUS:
            if after < at < until and self.lab.moment(day, at) > self.driver.now:
                result = published(self.driver)
                played.seen += [
                    (item, result) for item in self.driver.status(self.lab.moment(day, at))
                ]


def _both(first: Shaped, second: Shaped) -> Shaped:
    def shaped(made: Delivery, source: Source | None) -> None:
        first(made, source)
        second(made, source)

    return shaped
