"""The emitters that accompany a leader: functions of packages, in the group `headrace.emitters`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from headrace.model.plugins import (
    EMITTERS,
    Plugin,
    function_of,
    logged,
    missing_package,
    plugins,
)
from headrace.runtime.leadership import Emitter, Leadership

if TYPE_CHECKING:
    from headrace.runtime.leader import Leader

COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The standard variables of OpenTelemetry that name a collector of traces."""
_log = logging.getLogger(__name__)


def start_emitters(held: Leadership, leader: Leader) -> Iterator[Callable[[], None]]:
    """Start the emitters that the settings and environment variables ask for; yield what ends each.

    Packages are looked for only then, which takes 10 ms. What an emitter raises is logged with its
    package, and the leader goes on.
    """
    asked = {
        "openlineage": leader.applied.compiled.project.settings.openlineage,
        "traces": any(os.environ.get(name) for name in COLLECTORS),
    }
    names = [name for name in asked if asked[name]]
    for name in names:
        if package := missing_package(EMITTERS, name):
            _log.warning("%s: asked for, but in another package: pip install %s", name, package)
    for plugin in plugins(EMITTERS) if names else ():
        emitter: Emitter | None = None
        with logged(plugin, _log):
            emitter = function_of(plugin)(held, leader)
        if emitter is not None:
            yield partial(_close, plugin, emitter)


def _close(plugin: Plugin, emitter: Emitter) -> None:
    with logged(plugin, _log):
        emitter.close()
