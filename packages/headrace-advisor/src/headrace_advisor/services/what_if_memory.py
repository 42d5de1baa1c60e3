"""Memory in `what-if`: how much an attempt may use, now and then, and what isn't known of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headrace.extension import ProjectSession, few
from headrace.model import Project
from headrace.model.fields import bytes_as_text, memory_in_bytes
from headrace.model.nodes import ExecutorKind
from headrace.runtime.leadership import worker_settings
from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.history import History

ADMISSION = (
    "attempts start by workers and pools, not by memory: deliveries are simulated without it"
)


class AttemptMemory(NamedTuple):
    """The bytes that an attempt may use as things are and with the change.

    `now` is None if workers run elsewhere and nothing is declared. `binary`: the change is given
    in MiB or GiB.
    """

    now: int | None
    then: int
    is_declared: bool
    binary: bool

    def text(self, size: int) -> str:
        """Return a size in the units of the change."""
        return bytes_as_text(size, binary=self.binary)


def attempt_memory(session: ProjectSession, changes: Changes) -> AttemptMemory | None:
    """Return what an attempt may use; None if the changes don't say it, or change nothing.

    Without `memory_max` of [run], local workers share the machine's memory.
    """
    settings = session.settings
    if changes.memory is None:
        return None
    then, now = memory_in_bytes(changes.memory), None
    if settings.memory_max:
        now = memory_in_bytes(settings.memory_max)
    elif settings.executor == ExecutorKind.LOCAL:
        now = worker_settings(session.folders, settings.workers).memory_max_bytes
    if now == then:
        return None
    return AttemptMemory(now, then, bool(settings.memory_max), "i" in changes.memory)


def memory_words(memory: AttemptMemory | None) -> Iterable[str]:
    """Yield what changes."""
    if memory is None:
        return
    text = f"an attempt may use {memory.text(memory.then)} of memory"
    if memory.now is None:
        yield f"{text}; how much it may use now isn't known here, as workers run elsewhere"
    else:
        here = "" if memory.is_declared else " on this machine"
        yield f"{text} instead of {memory.text(memory.now)}{here}"


def memory_notes(project: Project, history: History, memory: AttemptMemory | None) -> list[str]:
    """Return what isn't known of the effect; assets with a `memory_max` of their own keep theirs.

    Peaks are those of the worker's process in the last 90 days.
    """
    if memory is None:
        return []
    if memory.now is not None and memory.then > memory.now:
        return [ADMISSION, "how much faster attempts are with more memory was never measured"]
    peaks = _peaks(project, history)
    above = sorted(name for name, peak in peaks.items() if peak > memory.then)
    unknown = sorted(name for name, peak in peaks.items() if not peak)
    notes = [ADMISSION]
    if above:
        most = memory.text(max(peaks.values()))
        notes.append(
            f"attempts at {few(above)} used more in the last 90 days, at most {most}: whether"
            " they take longer or fail with less isn't known, and they are simulated as they were"
        )
    elif len(unknown) < len(peaks):
        notes.append("no measured attempt of the last 90 days used more")
    if unknown:
        notes.append(f"how much memory attempts at {few(unknown)} use isn't known")
    return notes


def _peaks(project: Project, history: History) -> dict[str, int]:
    """Return node → the most bytes that an attempt used; not of assets with a `memory_max`."""
    results = {}
    for name, past in history.nodes.items():
        asset = project.assets.get(name)
        if asset is None or asset.memory_max is None:
            results[name] = past.peak_memory_bytes
    return results
