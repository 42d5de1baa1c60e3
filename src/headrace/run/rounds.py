"""When a server looks at its sources: at once where a folder tells of a change, again when a file has become quiet, and in rounds."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.connect.kinds import name_of
from headrace.model.times import parse_duration
from headrace.run.applying import AppliedVersion
from headrace.run.folders import Folders
from headrace.run.leader import Leader
from headrace.run.watching import FolderWatcher, places

EVERY_SECONDS_MIN = 1.0
"""A round is never nearer to the last one: looking isn't all that a machine does."""
_LISTED = "url"


class Rounds:
    """Looks of one leader until `close`; the first at all sources is its standing run's. `ring` wakes the leader's wait, from
    another thread."""

    def __init__(self, leader: Leader, folders: Folders, ring: Callable[[], object]) -> None:
        self._leader, self._folders = leader, folders
        self._watch = FolderWatcher(ring)
        self._wanted: set[str] = set()
        """Sources that are worth a look, and can't be looked at just now."""
        self._rare: dict[str, float] = {}
        """Sources with an `every` of their own that have to be listed to be known → when they are due, by the monotonic clock."""
        self._round = 0.0
        """When the next round is due, by the monotonic clock."""
        self._adopt(leader.applied)

    def patience(self) -> float:
        """For how many seconds nothing is to be looked at, if nobody rings."""
        _, settles = self._leader.settled()
        at = self._round - time.monotonic()
        return max(0.0, min(at, settles if settles is not None else at))

    def go(self) -> bool:
        """Look at what is due; whether it was time for a round."""
        round_is_due = time.monotonic() >= self._round
        if self._leader.applied is not self._applied:
            self._adopt(self._leader.applied)
            self._wanted |= self._sources.keys()
        elif round_is_due:
            self._wanted |= self._due()
        quiet, _ = self._leader.settled()
        self._wanted |= quiet | self._watch.changed()
        self._observe()
        if round_is_due:
            self._round = time.monotonic() + self._every
            self._watch.watch(places(self._folders.project, self._folders.data_path, self._sources.values()))
        return round_is_due

    def close(self) -> None:
        """Watch nothing any more."""
        self._watch.close()

    def _adopt(self, applied: AppliedVersion) -> None:
        """This version's sources, and what it says about rounds."""
        self._applied = applied
        project = applied.compiled.project
        self._sources = project.sources
        self._every = max(EVERY_SECONDS_MIN, parse_duration(project.settings.look_every).total_seconds())
        self._round = time.monotonic() + self._every
        self._watch.watch(places(self._folders.project, self._folders.data_path, self._sources.values()))

    def _due(self) -> set[str]:
        """All sources, but those that are listed as seldom as their `every` says. (Others with an `every` are asked by it for what
        can't say whether it has changed, and in each round for what is missing.)"""
        now = time.monotonic()
        later = {name for name, at in self._rare.items() if at > now}
        for name, source in self._sources.items():
            if source.every is not None and name_of(source) == _LISTED and name not in later:
                self._rare[name] = now + parse_duration(source.every).total_seconds()
        return self._sources.keys() - later

    def _observe(self) -> None:
        """Look at what is wanted and isn't being looked at: two looks at once at one source would ask it twice."""
        now = self._wanted - self._leader.looked_at
        self._wanted -= now
        if now:
            self._leader.observe(now)
