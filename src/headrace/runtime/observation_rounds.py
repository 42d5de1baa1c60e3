"""The schedule of a server's observations.

A source is observed at once where a folder reports a change, again when a file has become quiet,
and in regular rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.connect.connectors import URL, connector_name
from headrace.model.times import parse_duration
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.folders import Folders
from headrace.runtime.leader import Leader
from headrace.runtime.source_watch import FolderWatcher, places

EVERY_SECONDS_MIN = 1.0
"""Shortest time between two rounds of observations, so that they don't take up the machine."""


class Rounds:
    """Schedules the observations of one leader until `close`.

    The standing run makes the first observation of all sources. `ring` wakes the leader's wait,
    from another thread.
    """

    def __init__(self, leader: Leader, folders: Folders, ring: Callable[[], object]) -> None:
        self._leader, self._folders = leader, folders
        self._watch = FolderWatcher(ring)
        self._wanted: set[str] = set()
        """Sources to observe that can't be observed just now."""
        self._rare: dict[str, float] = {}
        """Listed sources with an `every` → when they are due, by the monotonic clock in seconds."""
        self._round = 0.0
        """When the next round is due, by the monotonic clock in seconds."""
        self._adopt(leader.applied)

    def patience(self) -> float:
        """Return the seconds until the next observation is due, unless `ring` is called before."""
        _, settles = self._leader.settled()
        at = self._round - time.monotonic()
        return max(0.0, min(at, settles if settles is not None else at))

    def go(self) -> bool:
        """Observe the sources that are due; return whether a round was due."""
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
            self._watch.watch(
                places(self._folders.project, self._folders.data_path, self._sources.values())
            )
        return round_is_due

    def close(self) -> None:
        """Stop watching folders."""
        self._watch.close()

    def _adopt(self, applied: AppliedVersion) -> None:
        """Use this version's sources and its interval between rounds."""
        self._applied = applied
        project = applied.compiled.project
        self._sources = project.sources
        self._every = max(
            EVERY_SECONDS_MIN, parse_duration(project.settings.look_every).total_seconds()
        )
        self._round = time.monotonic() + self._every
        self._watch.watch(
            places(self._folders.project, self._folders.data_path, self._sources.values())
        )

    def _due(self) -> set[str]:
        """Return all sources, except those to list whose `every` hasn't passed yet.

        Other sources with an `every` stay in each round: missing intervals are asked for every
        time, and `every` only limits re-reading of what can't report a change.
        """
        now = time.monotonic()
        later = {name for name, at in self._rare.items() if at > now}
        for name, source in self._sources.items():
            if source.every is not None and connector_name(source) == URL and name not in later:
                self._rare[name] = now + parse_duration(source.every).total_seconds()
        return self._sources.keys() - later

    def _observe(self) -> None:
        """Observe the sources that are due and aren't being observed.

        Two observations at once would query a source twice.
        """
        now = self._wanted - self._leader.being_observed
        self._wanted -= now
        if now:
            self._leader.observe(now, finished=self._watch.finished(self._folders.project))
