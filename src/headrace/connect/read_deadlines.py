"""A time by which an HTTP response has come, also from a server that sends a byte a second.

A timeout of httpx is one of each read, so that a server which trickles is never too late.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.connect.destinations import check_connections

if TYPE_CHECKING:
    import httpx

_OPENED = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")
"""Events of httpx at which a connection has a new stream, which `return_value` is."""


class ReadDeadline:
    """The time by which reads from a client's connections end with `httpx.ReadTimeout`.

    Pass `extensions` with each request; connections that are reused have the newest time.
    """

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        """A monotonic time in seconds."""

    @property
    def extensions(self) -> dict[str, Any]:
        """What a request of httpx takes as `extensions`."""
        return {"trace": self._limit_reads, "read_deadline": self}

    def restart(self, seconds: float) -> None:
        """Let reads end `seconds` from now."""
        self.until = time.monotonic() + seconds

    def _limit_reads(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(_OPENED):
            stream = info["return_value"]
            stream.read = self._limited(stream.read)

    def _limited(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        import httpcore

        def limited(max_bytes: int, timeout: float | None = None) -> bytes:
            seconds = self.until - time.monotonic()
            if seconds <= 0:
                raise httpcore.ReadTimeout("the answer wasn't complete in time")
            return read(max_bytes, seconds if timeout is None else min(timeout, seconds))

        return limited


def deadline_of(response: httpx.Response) -> ReadDeadline | None:
    """Return the deadline that a response's request was sent with, if any."""
    deadline: ReadDeadline | None = response.request.extensions.get("read_deadline")
    return deadline


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response: its status and its body."""

    status: int
    body: bytes


class AnswerTooLong(Exception):
    """A body that is larger than its limit."""


def whole_answer(
    method: str,
    url: str,
    *,
    seconds: float,
    bytes_max: int,
    private_addresses: Sequence[str],
    **options: Any,
) -> Answer:
    """Send a request and return the answer to it, within `seconds` of a connection.

    `options` are those of httpx. Redirects aren't followed. Raises `httpx` errors, AddressRefused,
    and AnswerTooLong for a body of more than `bytes_max`.
    """
    deadline = ReadDeadline(seconds)
    with (
        _client(seconds, private_addresses) as client,
        client.stream(method, url, extensions=deadline.extensions, **options) as response,
    ):
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > bytes_max:
                raise AnswerTooLong
        return Answer(response.status_code, bytes(body))


def http_status(
    url: str,
    *,
    seconds: float,
    headers: Mapping[str, str] | None,
    private_addresses: Sequence[str],
) -> int:
    """Return the status of a GET without reading its body.

    Raises `httpx` errors, and AddressRefused.
    """
    deadline = ReadDeadline(seconds)
    with (
        _client(seconds, private_addresses) as client,
        client.stream("GET", url, extensions=deadline.extensions, headers=headers) as response,
    ):
        return response.status_code


def _client(seconds: float, private_addresses: Sequence[str]) -> httpx.Client:
    import httpx

    client = httpx.Client(timeout=seconds)
    check_connections(client, private_addresses)
    return client
