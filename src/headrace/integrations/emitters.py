"""The emitters of OpenLineage events and of traces that accompany a leader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.integrations.traces import tracer_of
from headrace.runtime.leadership import Emitter, Leadership

if TYPE_CHECKING:
    from headrace.runtime.leader import Leader


def start_emitters(held: Leadership, leader: Leader) -> Iterator[Emitter]:
    """Start the emitters that the project's settings and the environment variables ask for."""
    settings = leader.applied.compiled.project.settings
    root, epoch = held.folders.project, held.lease.epoch
    if settings.openlineage:
        # imported here: it loads HTTP and TLS, which few projects need
        from headrace.integrations.openlineage import emitter_of

        cache = held.folders.data_path / "cache"
        emitter = emitter_of(settings, root, held.store, epoch, leader, cache)
        if emitter is not None:
            yield emitter
    tracer = tracer_of(settings, root, held.store, epoch)
    if tracer is not None:
        yield tracer
