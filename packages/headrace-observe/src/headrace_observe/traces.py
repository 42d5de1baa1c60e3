"""The thread that sends OpenTelemetry traces (extra `otel`).

It is configured by the standard variables of OpenTelemetry's exporter:
`OTEL_EXPORTER_OTLP_ENDPOINT` and related ones. The thread reads committed rows and waits for the
network itself, so a collector that hangs or is down delays nothing. Attempts of this leader are
sent once the collector answers again, as long as this leader leads; afterwards they are no longer
sent, but remain in the store.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.integrations.emitters import COLLECTORS
from headrace.ledger.stored_records import try_of
from headrace.model import HeadraceError, Settings
from headrace.model.settings import PRODUCTION
from headrace.security.state import open_state
from headrace.store import Store
from headrace_observe import queries

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from headrace_observe.trace_spans import Spans


ROUND_SECONDS = 1.0
RETRY_SECONDS_MAX = 60.0
AT_ONCE = 200
"""Most attempts that one request sends."""
LAST_SECONDS = 3.0
"""Longest time that an ending leader sends the remaining spans."""
_log = logging.getLogger(__name__)


class _Cursor(NamedTuple):
    """The end time and number of the last attempt sent, and runs to send when they end."""

    attempt: tuple[int, int]
    runs: frozenset[int] = frozenset()


def tracer_of(settings: Settings, root: Path, store: Store, epoch: int) -> Tracer | None:
    """Return the sender of traces; None if no collector is configured.

    An environment sends none.
    """
    environment = os.environ
    named = (
        any(environment.get(name) for name in COLLECTORS)
        and environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )
    if (
        not named
        or environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or settings.environment != PRODUCTION
    ):
        return None
    with store.read() as tx:
        begun = queries.newest_end(tx)
    return Tracer(settings, root, epoch, begun)


class Tracer:
    """Sends traces, created by `tracer_of`; `close` it while the lease is still held."""

    def __init__(self, settings: Settings, root: Path, epoch: int, begun: int) -> None:
        self._settings, self._root, self._epoch = settings, root, epoch
        self._sent = _Cursor((begun, 0))
        self._last = threading.Event()
        self._until = float("inf")
        self._thread = threading.Thread(target=self._run, name="headrace traces", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send the remaining spans, for at most LAST_SECONDS."""
        self._until = time.monotonic() + LAST_SECONDS
        self._last.set()
        self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            from headrace_observe.trace_spans import Spans
        except ImportError:
            _log.warning("traces are asked for, and `headrace-observe[otel]` isn't installed")
            return
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        # its message of each failed try is logged once, below
        logging.getLogger("opentelemetry").propagate = False
        exporter = OTLPSpanExporter()
        try:
            with open_state(self._root, self._settings) as store:
                self._rounds(store, exporter, Spans(self._settings.name, _resource()))
        except (HeadraceError, OSError):
            return  # the state is unreachable: the next leader sends its own traces
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]

    def _rounds(self, store: Store, exporter: SpanExporter, spans: Spans) -> None:
        failures = 0
        while not (ending := self._last.is_set()) or time.monotonic() < self._until:
            ended_spans, after = self._next(store, spans)
            failures = _export(exporter, ended_spans, failures) if ended_spans else 0
            if not failures:
                self._sent = after
            if ended_spans and not failures:
                continue  # there may be more
            if ending:
                return
            self._last.wait(min(RETRY_SECONDS_MAX, ROUND_SECONDS * 2**failures))

    def _next(self, store: Store, spans: Spans) -> tuple[list[ReadableSpan], _Cursor]:
        """Return the spans ended since the last call, and the new cursor."""
        with store.read() as tx:
            attempts = queries.ended_of_epoch(tx, self._epoch, self._sent.attempt, AT_ONCE)
            numbers = self._sent.runs | {row.run_id for _, row in attempts}
            runs = {
                ran.id: ran
                for ran in (queries.traced_run(tx, number) for number in numbers)
                if ran is not None
            }
        after = _Cursor(
            self._sent.attempt,
            frozenset(run.id for run in runs.values() if run.finished_at is None),
        )
        results = [
            spans.of_run(run, run.finished_at)
            for run in runs.values()
            if run.finished_at is not None
        ]
        for node, row in attempts:
            if (run := runs.get(row.run_id)) is not None and row.finished_at is not None:
                results += spans.of_attempt(
                    run, try_of(node, row, row.finished_at, self._epoch), row.partitions
                )
                after = after._replace(attempt=(row.finished_at, row.n))
        return results, after


def _export(exporter: SpanExporter, spans: Sequence[ReadableSpan], failures: int) -> int:
    """Send spans and return the number of failures in a row, of which there were `failures` before.

    Only the first failure is logged.
    """
    if exporter.export(spans).name == "SUCCESS":
        return 0
    if not failures:
        _log.warning("traces can't be sent: the collector doesn't take them")
    return failures + 1


def _resource() -> Resource:
    """Return the resource in OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES, else `headrace`."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    is_named = "OTEL_SERVICE_NAME" in os.environ or f"{SERVICE_NAME}=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if is_named else {SERVICE_NAME: "headrace"})
