"""The emitters that accompany a leader: functions of packages, in the group `headrace.emitters`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.model.plugins import EMITTERS, functions, missing_package
from headrace.runtime.leadership import Emitter, Leadership

if TYPE_CHECKING:
    from headrace.runtime.leader import Leader

COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The standard variables of OpenTelemetry that name a collector of traces."""
_log = logging.getLogger(__name__)


def start_emitters(held: Leadership, leader: Leader) -> Iterator[Emitter]:
    """Start the emitters that the project's settings and the environment variables ask for.

    Packages are looked for only then, which takes 10 ms.
    """
    traced = any(os.environ.get(name) for name in COLLECTORS)
    if not leader.applied.compiled.project.settings.openlineage and not traced:
        return
    if traced and (package := missing_package(EMITTERS, "traces")):
        _log.warning("traces are asked for, and are in another package: pip install %s", package)
    for start in functions(EMITTERS):
        if (emitter := start(held, leader)) is not None:
            yield emitter
