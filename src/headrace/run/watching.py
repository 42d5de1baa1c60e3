"""Folders of sources on this machine are watched: a file that lands is looked at within a moment, not with the next round.

An event is a hint and carries nothing: it says which sources are worth a look. One that is lost (a network drive tells of none)
costs the time until the next round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from headrace.connect.kinds import name_of
from headrace.connect.pattern import compile_pattern
from headrace.model import HeadraceError, Source

DEBOUNCE_MS = 250
"""So long events are gathered: a copy of a thousand files is one look."""
STEP_MS = 100
"""How often the watching thread asks whether there is anything; it also bounds how late an event is told."""
STOP_MS = 2_000


class WatchedFolder:
    """A folder that is watched: `deep` with all that lies below it."""

    def __init__(self, folder: Path, *, deep: bool) -> None:
        self.folder, self.deep = folder, deep

    def holds(self, folder: Path) -> bool:
        """Whether what happens in this folder is the place's."""
        return folder == self.folder or (self.deep and folder.is_relative_to(self.folder))


def place_of(root: Path, source: Source) -> WatchedFolder | None:
    """Where files of a source land; None where nothing can be watched: it lies elsewhere, or its folder isn't there (yet)."""
    if source.files is None or name_of(source) is not None:
        return None
    try:
        pattern = compile_pattern(source.files, source.partition.grain, rows_tell=source.partition.column is not None)
    except HeadraceError:
        return None  # a look says what is wrong with it
    folder, rest = root, list(pattern.components)
    while len(rest) > 1 and rest[0].fixed is not None:
        folder /= rest.pop(0).fixed or ""
    return WatchedFolder(folder, deep=len(rest) > 1) if folder.is_dir() else None


def places(root: Path, data: Path, sources: Iterable[Source]) -> dict[str, WatchedFolder]:
    """Source → where its files land. A place that holds the data folder would tell of Headrace's own files without end: those sources
    are left to the rounds."""
    folders = {source.name: place for source in sources if (place := place_of(root, source)) is not None}
    return {name: place for name, place in folders.items() if not (place.deep and data.is_relative_to(place.folder))}


class FolderWatcher:
    """Watches places in threads of its own, from `watch` to `close`. `ring` is called from there when there is something new."""

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._declared_promises: frozenset[tuple[str, Path, bool]] = frozenset()

    def watch(self, folders: Mapping[str, WatchedFolder]) -> bool:
        """Watch these places from now on; whether that is a change."""
        declared_promises = frozenset((name, place.folder, place.deep) for name, place in folders.items())
        if declared_promises == self._declared_promises:
            return False
        self.close()
        self._declared_promises, self._stop = declared_promises, threading.Event()
        for deep in (False, True):
            chosen = {name: place for name, place in folders.items() if place.deep is deep}
            if chosen:
                thread = threading.Thread(target=self._follow, args=(chosen, deep, self._stop), name="headrace watch", daemon=True)
                self._threads.append(thread)
                thread.start()
        return True

    def changed(self) -> set[str]:
        """The names of places at which something happened since this was asked last."""
        with self._lock:
            results, self._changed = self._changed, set()
        return results

    def close(self) -> None:
        """Watch nothing any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_MS / 1000)
        self._threads.clear()
        self._declared_promises = frozenset()

    def _follow(self, chosen: Mapping[str, WatchedFolder], deep: bool, stop: threading.Event) -> None:
        from watchfiles import watch  # with asyncio: only who serves pays for it

        folders = sorted({str(place.folder) for place in chosen.values()})
        known = False
        try:
            for changes in watch(
                *folders, watch_filter=None, recursive=deep, debounce=DEBOUNCE_MS, step=STEP_MS, rust_timeout=STOP_MS, stop_event=stop,
                raise_interrupt=False, yield_on_timeout=True,
            ):  # fmt: skip
                touched = {Path(path).parent for _, path in changes}
                # What happened before the folders were watched is known to nobody: all are worth a look, once.
                self._tell({name for name, place in chosen.items() if not known or any(map(place.holds, touched))})
                known = True
        except (OSError, RuntimeError):
            return  # a folder that has gone, or no watches left: the rounds go on

    def _tell(self, names: set[str]) -> None:
        if names:
            with self._lock:
                self._changed |= names
            self._ring()
