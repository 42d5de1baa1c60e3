"""Where events go: a file, or an endpoint of OpenLineage's HTTP API."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from headrace.govern.secrets import Secrets
from headrace.model import HeadraceError, Settings
from headrace.model.errors import told_by, words_of

ANSWER_SECONDS_MAX = 5.0
"""How long an endpoint may take for one event."""
_REFUSED = frozenset({400, 413, 422})
"""An event that this is answered to will never be taken: it is counted, and left behind."""


class NotSent(HeadraceError):
    """An event couldn't be handed over; it may work later."""


class Sink(Protocol):
    """Takes events in their order."""

    def send(self, event: bytes) -> bool:
        """Whether the event was taken; False where it never will be. Raises NotSent."""

    def close(self) -> None:
        """No more comes."""


def sink_of(settings: Settings, root: Path) -> Sink:
    """Where the settings say. Raises SecretMissing, and NotSent for a URL that is none."""
    said = Secrets(root).resolved(settings.openlineage)
    if "file" in said:
        return JsonLinesSink(root / said["file"])
    try:
        return HttpSink(said["url"], said.get("token", ""))
    except ValueError:
        raise NotSent("the URL of [openlineage] can't be used", hint="write it like https://lineage.example.com/api/v1/lineage") from None


class JsonLinesSink:
    """A file of one event a line. It is opened for each event, so that it may be moved away at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, event: bytes) -> bool:
        """Append it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(event + b"\n")
        except OSError as error:
            raise NotSent(f"{self._path.name} can't be written: {error.strerror}") from error
        return True

    def close(self) -> None:
        """Nothing is open."""


class HttpSink:
    """A URL that takes events, such as `https://lineage.example.com/api/v1/lineage`. It isn't left by redirects, with a token."""

    def __init__(self, url: str, token: str) -> None:
        at = urlsplit(url)
        self._path = (at.path or "/") + (f"?{at.query}" if at.query else "")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        host = at.hostname or ""
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(host, at.port, timeout=ANSWER_SECONDS_MAX, context=ssl.create_default_context())
            if at.scheme == "https"
            else http.client.HTTPConnection(host, at.port, timeout=ANSWER_SECONDS_MAX)
        )

    def send(self, event: bytes) -> bool:
        """Post it."""
        try:
            self._connection.request("POST", self._path, event, self._headers)
            answer = self._connection.getresponse()
            answer.read(65536)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            # What isn't the network's may repeat a header, and with it the token.
            text = told_by(error) if isinstance(error, OSError) else words_of(error)
            raise NotSent(f"the endpoint didn't answer: {text}") from error
        if not answer.isclosed():
            self._connection.close()
        if answer.status in _REFUSED:
            return False
        if not 200 <= answer.status < 300:
            raise NotSent(f"the endpoint answered {answer.status}")
        return True

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
