"""Sends OpenLineage events about attempts.

The events come from committed rows, in a thread that the leader never waits for.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from headrace.compiler.lineage import compile_lineage
from headrace.connect.destinations import AddressRefused, connect
from headrace.model import HeadraceError, Settings
from headrace.model.errors import message_of, words_of
from headrace.model.nodes import ALL_NETWORKS
from headrace.model.settings import PRODUCTION
from headrace.runtime.applied_versions import AppliedVersion
from headrace.security.secrets import Secrets
from headrace.security.state import open_state
from headrace.store import Store
from headrace.store.queries import telemetry
from headrace.store.queries.telemetry import LineageCursor
from headrace_observe import queries
from headrace_observe.lineage_events import OpenLineageNodes, end, start
from headrace_observe.queries import AttemptSummary, LineageAttempt

# Destinations of events: a file, or an endpoint of OpenLineage's HTTP API.

ANSWER_SECONDS_MAX = 5.0
"""Longest time for an endpoint's answer to one event."""
_REFUSED = frozenset({400, 413, 422})
"""Status codes after which an event is counted as refused and not sent again."""


class NotSent(HeadraceError):
    """An event couldn't be delivered; a later attempt may succeed."""


class Sink(Protocol):
    """Takes events in order."""

    def send(self, event: bytes) -> bool:
        """Return whether the event was accepted; False if it never will be. Raises NotSent."""

    def close(self) -> None:
        """Close the destination."""


def sink_of(settings: Settings, root: Path) -> Sink:
    """Return the destination in the settings.

    Raises SecretMissing, and NotSent for an invalid URL.
    """
    resolved = Secrets(root).resolved(settings.openlineage)
    if "file" in resolved:
        return JsonLinesSink(root / resolved["file"])
    try:
        return HttpSink(resolved["url"], resolved.get("token", ""), settings.private_addresses)
    except ValueError:
        raise NotSent(
            "the URL of [openlineage] can't be used",
            hint="write it like https://lineage.example.com/api/v1/lineage",
        ) from None


class JsonLinesSink:
    """A file of one event per line, opened for each event so that it may be moved at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, event: bytes) -> bool:
        """Append the event."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(event + b"\n")
        except OSError as error:
            raise NotSent(f"{self._path.name} can't be written: {error.strerror}") from error
        return True

    def close(self) -> None:
        """Do nothing: no file is open."""


class HttpSink:
    """An HTTP endpoint for events, such as `https://lineage.example.com/api/v1/lineage`.

    It doesn't follow redirects, which would disclose the token.
    """

    def __init__(
        self, url: str, token: str, private_addresses: tuple[str, ...] = ALL_NETWORKS
    ) -> None:
        at = urlsplit(url)
        self._path = (at.path or "/") + (f"?{at.query}" if at.query else "")
        self._headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        host = at.hostname or ""
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(
                host, at.port, timeout=ANSWER_SECONDS_MAX, context=ssl.create_default_context()
            )
            if at.scheme == "https"
            else http.client.HTTPConnection(host, at.port, timeout=ANSWER_SECONDS_MAX)
        )
        # the only way to give it a checked address and to keep the host's name for TLS
        self._connection._create_connection = (  # type: ignore[attr-defined]
            lambda address, timeout, _: connect(address[0], address[1], timeout, private_addresses)
        )

    def send(self, event: bytes) -> bool:
        """Post the event."""
        try:
            self._connection.request("POST", self._path, event, self._headers)
            answer = self._connection.getresponse()
            answer.read(65536)
        except AddressRefused as error:
            raise NotSent(f"no event is sent to the endpoint: {error}", hint=error.hint) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            # An error that isn't the network's may repeat a header, and with it the token.
            text = message_of(error) if isinstance(error, OSError) else words_of(error)
            raise NotSent(f"the endpoint didn't answer: {text}") from error
        if not answer.isclosed():
            self._connection.close()
        if answer.status in _REFUSED:
            return False
        if not 200 <= answer.status < 300:
            raise NotSent(f"the endpoint answered {answer.status}")
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


# The thread that sends. The store records the events sent, so that the next leader sends the
# missing ones: each event arrives at least once, and a repeated one has the same run id and type.

ROUND_SECONDS = 1.0
"""Interval at which the store is read."""
RETRY_SECONDS_MAX = 60.0
AT_ONCE = 100
"""Number of attempts whose events are sent before the progress is stored."""
RUNNING_MAX = 1_000
LAST_SECONDS = 3.0
"""Longest time that an ending leader sends remaining events; the next leader sends the others."""


class Leads(Protocol):
    """The leader, as far as the emitter needs it."""

    applied: AppliedVersion


def emitter_of(
    settings: Settings, root: Path, store: Store, epoch: int, leads: Leads, cache: Path
) -> Emitter | None:
    """Return the emitter of events; None without a destination, or in an environment."""
    if not settings.openlineage or settings.environment != PRODUCTION:
        return None
    with store.write(epoch) as tx:
        queries.begin_lineage(tx)
    return Emitter(settings, root, epoch, leads, cache)


class Emitter:
    """Sends events, created by `emitter_of`; `close` it while the lease is still held."""

    def __init__(
        self, settings: Settings, root: Path, epoch: int, leads: Leads, cache: Path
    ) -> None:
        self._settings, self._root, self._epoch, self._leads, self._cache = (
            settings,
            root,
            epoch,
            leads,
            cache,
        )
        self._last = threading.Event()
        self._until = float("inf")
        self._described: OpenLineageNodes | None = None
        self._thread = threading.Thread(target=self._run, name="headrace openlineage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send the remaining events, for at most LAST_SECONDS."""
        self._until = time.monotonic() + LAST_SECONDS
        self._last.set()
        self._thread.join(LAST_SECONDS + 1)

    def _run(self) -> None:
        try:
            with open_state(self._root, self._settings) as store:
                if (sink := self._sink(store)) is not None:
                    self._rounds(store, sink)
                    sink.close()
        except (HeadraceError, OSError):
            return  # the lease is lost or the state is unreachable: the next leader continues

    def _sink(self, store: Store) -> Sink | None:
        """Return the destination; None if it can't be used.

        The error is stored, and the next leader tries again.
        """
        try:
            return sink_of(self._settings, self._root)
        except HeadraceError as error:
            with store.read() as tx:
                before = telemetry.lineage_cursor(tx) or LineageCursor(0)
            self._keep(store, before, before, str(error))
            return None

    def _rounds(self, store: Store, sink: Sink) -> None:
        failures = 0
        while not (ending := self._last.is_set()) or time.monotonic() < self._until:
            sent, error = self._round(store, sink)
            if sent and not error:
                failures = 0
                continue
            if ending:
                return
            failures = failures + 1 if error else 0
            self._last.wait(min(RETRY_SECONDS_MAX, ROUND_SECONDS * 2**failures))

    def _round(self, store: Store, sink: Sink) -> tuple[int, str]:
        """Send one round; return the number of events handled and the error that stopped it."""
        with store.read() as tx:
            before = telemetry.lineage_cursor(tx) or LineageCursor(0)
            ended = queries.ended_attempts(tx, before, AT_ONCE)
            running = queries.attempts_under_way(tx, RUNNING_MAX) if len(ended) < AT_ONCE else []
            summaries = {attempt.id: queries.attempt_summary(tx, attempt) for attempt in ended}
        started = [attempt for attempt in running if attempt.id not in before.begun]
        described = self._describe() if ended or started else None
        sending = _Sending(sink, before, lambda: time.monotonic() < self._until)
        try:
            if described is not None:
                sending.attempts(described, ended, summaries, started)
        except Enough:
            pass  # the next leader sends the rest
        except NotSent as failed:
            sending.error = str(failed)
        now = msgspec.structs.replace(
            sending.cursor,
            sent=before.sent + sending.sent,
            refused=before.refused + sending.refused,
        )
        self._keep(store, before, now, sending.error)
        return sending.sent + sending.refused, sending.error

    def _describe(self) -> OpenLineageNodes:
        applied = self._leads.applied
        if self._described is None or self._described.version != applied.id:
            self._described = OpenLineageNodes(
                applied.id, applied.compiled, compile_lineage(applied.compiled, self._cache).of
            )
        return self._described

    def _keep(self, store: Store, before: LineageCursor, now: LineageCursor, error: str) -> None:
        since = (before.failing_since or time.time_ns() // 1000) if error else None
        now = msgspec.structs.replace(now, error=error, failing_since=since)
        if now != before:
            with store.write(self._epoch) as tx:
                telemetry.save_lineage_cursor(tx, now)


class Enough(HeadraceError):
    """The leader is about to end."""


class _Sending:
    """Sends events and counts the accepted and refused ones.

    `cursor` points behind the last attempt whose events were all sent.
    """

    def __init__(self, sink: Sink, cursor: LineageCursor, going_on: Callable[[], bool]) -> None:
        self._sink, self.cursor, self._going_on = sink, cursor, going_on
        self.sent = self.refused = 0
        self.error = ""

    def attempts(
        self,
        described: OpenLineageNodes,
        ended: Sequence[LineageAttempt],
        summaries: Mapping[tuple[int, int], AttemptSummary],
        started: Sequence[LineageAttempt],
    ) -> None:
        """Send the events of attempts. Raises NotSent, and Enough if no time is left."""
        for attempt in ended:
            events = [] if attempt.id in self.cursor.begun else [start(described, attempt)]
            self._all([*events, *end(described, attempt, summaries[attempt.id])])
            self.cursor = _ended(self.cursor, attempt)
        for attempt in started:
            self._all([start(described, attempt)])
            begun = self.cursor.begun | {attempt.id}
            self.cursor = msgspec.structs.replace(self.cursor, begun=begun)

    def _all(self, events: list[bytes]) -> None:
        for event in events:
            if not self._going_on():
                raise Enough("there was no time for more")
            if self._sink.send(event):
                self.sent += 1
            else:
                self.refused += 1


def _ended(now: LineageCursor, attempt: LineageAttempt) -> LineageCursor:
    assert attempt.finished_at is not None
    return msgspec.structs.replace(
        now,
        at=attempt.finished_at,
        epoch=attempt.epoch,
        n=attempt.n,
        begun=now.begun - {attempt.id},
    )
