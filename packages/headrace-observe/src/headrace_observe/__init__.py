"""What a leader reports to other systems: OpenLineage events, and traces of attempts.

The entry points in the group `headrace.emitters` are the functions below. Each returns what sends,
or None if its system isn't configured; only then is its module imported, with HTTP and TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.extension import Emitter, Leader, Leadership


def start_openlineage(held: Leadership, leader: Leader) -> Emitter | None:
    """Return the emitter of events; None without `[openlineage]`, or in an environment."""
    settings = leader.applied.compiled.project.settings
    if not settings.openlineage:
        return None
    from headrace_observe.openlineage import emitter_of

    cache = held.folders.data_path / "cache"
    return emitter_of(settings, held.folders.project, held.store, held.lease.epoch, leader, cache)


def start_traces(held: Leadership, leader: Leader) -> Emitter | None:
    """Return the sender of traces; None if no collector is configured, or in an environment."""
    from headrace_observe.traces import tracer_of

    settings = leader.applied.compiled.project.settings
    return tracer_of(settings, held.folders.project, held.store, held.lease.epoch)
