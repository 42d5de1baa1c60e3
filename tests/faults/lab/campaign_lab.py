"""One process of the laboratory: the clean days of a seed, one scenario in a copy of them, or the
odd month.

python -m lab.campaign_lab SEED FOLDER SCENARIO…      a document a line

SCENARIO is a number, two with a way (`same:4+16`), `clean`, `odd`, `pairs`, or what the names of
some faults begin with (`distribution_shift`).
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec

from lab.driving import Driver, copied
from lab.faults import Unfit
from lab.findable import uncounted
from lab.month import MORNING, Lab, history
from lab.oddities import month
from lab.pairing import ALL, BELOW, SAME, drawn, pairs
from lab.scenario import Play, Played
from lab.truth import Published, published
from lab.verdict import Verdict, broken, verdict

Say = Callable[[str], None]


class Months(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents in months without a fault."""

    seed: int
    days: int
    false_alarms: list[str]
    not_served: list[str]
    """Consumers that weren't served at the end, or mornings on which one wasn't."""

    def line(self) -> str:
        """What came of them, in short."""
        return (
            f"{self.days} days: {len(self.false_alarms)} false alarms, {len(self.not_served)} times"
            " not served"
        )


class Campaign:
    """All of a seed, in a folder: `project` is where things happen, `clean` the weeks that they
    begin with.
    """

    def __init__(self, seed: int, folder: Path, say: Say) -> None:
        self.seed, self.folder, self.say = seed, folder, say
        self.project, self.clean = folder / "project", folder / "clean"
        self._sound: Published | None = None

    def prepare(self) -> None:
        """The clean weeks, unless there are any."""
        if self.clean.exists():
            return
        shutil.rmtree(self.project, ignore_errors=True)
        self.project.mkdir(parents=True)
        history(self.seed, self.project, self.say)
        self.project.rename(self.clean)

    def scenario(self, word: str) -> Verdict:
        """A fault, or two at once."""
        sound = self.sound()
        play = Play(self.seed, self.project, self.clean)
        together = word.startswith(SAME)
        noise = [
            uncounted(
                play.lab,
                item,
                [other for other in drawn(play.lab, word) if together and other.name != item.name],
            )
            for item in drawn(play.lab, word)
        ]
        played = play.play(drawn(play.lab, word), one_by_one=word.startswith(BELOW))
        return verdict(self.seed, play.lab.graph, played, sound, noise)

    def sound(self) -> Published:
        """What is published on the days of the fault where there is none."""
        if self._sound is None:
            kept = self.folder / "sound.json"
            if not kept.exists():
                Play(self.seed, self.project, self.clean).play(())
                result = [
                    (*key, content) for key, content in published(_Reading(self.project)).items()
                ]
                kept.write_bytes(msgspec.json.encode(result))
            self._sound = {
                (asset, key): content
                for asset, key, content in msgspec.json.decode(kept.read_bytes())
            }
        return self._sound

    def cleanly(self) -> Months:
        """What was opened in the clean weeks."""
        copied(self.clean, self.project)
        driver = Driver(self.project)
        try:
            return self._months(driver, Lab(self.seed, self.project).world.days, [])
        finally:
            driver.close()

    def oddly(self) -> Months:
        """A month with oddities."""
        copied(self.clean, self.project)
        lab, driver, unserved = Lab(self.seed, self.project), Driver(self.project), []
        try:
            for day, odd in month(lab).items():
                lab.deliver(day, odd.shaped, odd.factors)
                now = lab.moment(day + timedelta(1), MORNING)
                driver.tick(now)
                states = [
                    item
                    for item in driver.status(now + timedelta(hours=3))
                    if item.state not in ("served", "at_risk")
                ]
                unserved += [
                    f"{day} {state.consumer} {state.state} ({odd.what})" for state in states
                ]
            return self._months(driver, 30, unserved)
        finally:
            driver.close()

    def _months(self, driver: Driver, days: int, unserved: list[str]) -> Months:
        lab = Lab(self.seed, self.project)
        now = lab.moment(lab.day + timedelta(40), MORNING)
        opened = [
            f"{incident['cause']['kind']}"
            f" {incident['cause']['node']}@{incident['cause']['partition']}:"
            f" {incident['cause']['summary']}"
            for incident in driver.incidents(now)
        ]
        driver.check(driver.now)
        return Months(seed=self.seed, days=days, false_alarms=opened, not_served=unserved)


class _Reading(Driver):
    """Only asks the state."""

    def __init__(self, root: Path) -> None:
        self.root = root


def every(lab: Lab) -> list[str]:
    """All that a seed is put through."""
    return ["clean", *_names(lab), *pairs(lab), "odd"]


def _names(lab: Lab) -> dict[str, str]:
    """The name of each fault that can be played in a world, by its number."""
    names = {}
    for number in map(str, range(len(ALL))):
        with suppress(Unfit):
            names[number] = drawn(lab, number)[0].name
    return names


def chosen(seed: int, folder: Path, scenarios: Sequence[str]) -> Iterator[str]:
    """The scenarios that words stand for. Raises ValueError for a word that the name of no fault of
    this world begins with."""
    lab = Lab(seed, folder)
    named = _names(lab)
    for scenario in scenarios:
        if scenario == "pairs":
            yield from pairs(lab)
        elif scenario in ("clean", "odd") or scenario[0].isdecimal() or ":" in scenario:
            yield scenario
        elif not any(name.startswith(scenario) for name in named.values()):
            raise ValueError(
                f"no fault is called {scenario}; there are {', '.join(named.values())}"
            )
        else:
            yield from (number for number, name in named.items() if name.startswith(scenario))


def run(seed: int, folder: Path, scenarios: Sequence[str], say: Say) -> None:
    """Play scenarios one after the other; what came of each is a line on standard output, and how
    far it is is said."""
    campaign = Campaign(seed, folder, say)
    campaign.prepare()
    wanted = (
        list(chosen(seed, campaign.clean, scenarios))
        if scenarios
        else every(Lab(seed, campaign.clean))
    )
    for number, item in enumerate(wanted, 1):
        document = _played(campaign, item)
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()
        say(
            f"seed {seed} {number}/{len(wanted)} after {_processor_seconds():.0f} s of processor:"
            f" {document.line()}"
        )


def _played(campaign: Campaign, item: str) -> Verdict | Months:
    """One scenario. One that breaks is told of, and the others go on."""
    try:
        if item in ("clean", "odd"):
            return campaign.cleanly() if item == "clean" else campaign.oddly()
        return campaign.scenario(item)
    except Exception:  # noqa: BLE001
        return broken(campaign.seed, f"{item}: {traceback.format_exc()}")


def _processor_seconds() -> float:
    """What this process and all that it has started have taken."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:], _say)

__all__ = ["Campaign", "Played", "every", "run"]
