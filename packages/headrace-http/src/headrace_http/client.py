"""An HTTP client for one server: rate limit, body, retries and redirects."""

from __future__ import annotations

import email.utils
import fcntl
import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from headrace import __version__
from headrace.extension.requests import (
    AddressRefused,
    ReadDeadline,
    UnpackLimits,
    check_connections,
    deadline_of,
    this_process,
)
from headrace.extension.sources import (
    AWAY_SECONDS_MAX,
    Access,
    CannotRead,
    Unavailable,
    from_us,
    parse_duration,
    printable,
    words_of,
)
from headrace_http.fields import rate_of
from headrace_http.requests import HttpRequest, Spec, on_same_server

if TYPE_CHECKING:
    import httpx


# The rate of requests to a server: one limiter per server, in a file, so that all workers share it.

WAIT_SECONDS_MAX = 30.0
"""30 s: a worker's longest wait for the rate limit, plus four gaps of a slow rate.

A longer wait is left to another attempt.
"""


def utc_after(now_us: int, seconds: float) -> str:
    """Return the time `seconds` after the store's now, as text.

    Stored messages need a time, because "in 5 s" would soon be false.
    """
    return f"{from_us(now_us + int(seconds * 1_000_000), 'UTC'):%Y-%m-%d %H:%M:%S} UTC"


class NotYet(Unavailable):
    """The rate limit requires a wait that is too long.

    `by_declared_rate`: caused by the declared rate, as far as that is known.
    """

    by_declared_rate = False


class RateLimiter:
    """A limit on the rate of requests to one server, shared by all workers.

    `folder` is the same for all workers. `rate` is the declared rate (`5/s`), None for no limit.
    `time_after` formats the time a number of seconds from now, like `utc_after`. `patience` is the
    longest wait in seconds, None for the limit of a fetch.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        rate: str | None,
        time_after: Callable[[float], str],
        patience: float | None = None,
    ) -> None:
        server = urlsplit(url)
        name = hashlib.sha256(
            f"{server.scheme}://{server.hostname}:{server.port}".encode()
        ).hexdigest()[:32]
        self._path = folder / name
        parsed = rate_of(rate) if rate else None
        self._time_after = time_after
        self._gap = parsed[1] / parsed[0] if parsed else 0.0
        self._patience = (
            min(AWAY_SECONDS_MAX, WAIT_SECONDS_MAX + 4 * self._gap)
            if patience is None
            else patience
        )

    def wait(self) -> None:
        """Wait for the next slot. Raises NotYet if it is too far away."""
        if not self._gap and not self._path.exists():
            return
        wait = self._reserve()
        if wait > self._patience:
            text = (
                f"the server may be asked again from {self._time_after(wait)} on (it said so, or"
                " `rate_limit` does)"
            )
            refusal = NotYet(text, retry_after=wait, throttled=True)
            refusal.by_declared_rate = bool(self._gap)
            raise refusal
        time.sleep(wait)

    def close(self, seconds: float) -> None:
        """Block all workers' requests for `seconds`, because the server asked for it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _Locked(self._path) as held:
            held.write(max(held.seconds_left(), min(seconds, AWAY_SECONDS_MAX)))

    def _reserve(self) -> float:
        """Reserve the next slot, unless it is too far away, and return the seconds until then."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _Locked(self._path) as held:
            wait = min(max(held.seconds_left(), 0.0), AWAY_SECONDS_MAX)
            if wait <= self._patience:
                held.write(wait + self._gap)
            return wait


class _Locked:
    """The locked file: a time as text, by the machine's monotonic clock and by the wall clock.

    The wall clock counts if another machine wrote the time, or this one before a restart.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def seconds_left(self) -> float:
        """Seconds until the time; negative once it has passed."""
        try:
            steady, wall, machine = os.pread(self._fd, 400, 0).decode().split(" ", 2)
            if machine and machine == this_process().machine:
                return float(steady) - time.monotonic()
            return float(wall) - time.time()
        except ValueError:
            return 0.0

    def write(self, seconds: float) -> None:
        """Store the time `seconds` from now."""
        text = (
            f"{time.monotonic() + seconds:.6f} {time.time() + seconds:.6f} {this_process().machine}"
        )
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)


# The bytes of one response: unpacked within limits, refused if they break off.

CHUNK_BYTES = 1 << 18
FETCH_SECONDS_MAX = 3600.0
"""1 hour: a body that is still incomplete then is given up."""
_GZIP = 16 + zlib.MAX_WBITS


def body_of(response: httpx.Response, bytes_max: int, *, deadline: float) -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES, until `deadline` (a monotonic time).

    Raises CannotRead for more than `bytes_max`, Unavailable for a truncated body, and `httpx`
    errors.
    """
    packed, unpacked_bytes, began = 0, 0, time.monotonic()
    limit = deadline_of(response)
    if limit is not None:
        limit.until = deadline
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    for chunk in _unpacked(_pieces(response, began, deadline), encoding):
        packed, unpacked_bytes = response.num_bytes_downloaded, unpacked_bytes + len(chunk)
        UnpackLimits(bytes_max=bytes_max).check(unpacked_bytes, packed)
        yield chunk


def _pieces(response: httpx.Response, began: float, deadline: float) -> Iterator[bytes]:
    """Yield what arrives, in pieces of at most CHUNK_BYTES, a trickling server's too."""
    for piece in response.iter_raw():
        if time.monotonic() > deadline:
            raise Unavailable(f"the answer wasn't complete after {deadline - began:.0f} s")
        yield from (
            piece[start : start + CHUNK_BYTES] for start in range(0, len(piece), CHUNK_BYTES)
        )


def _unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if encoding in ("identity", ""):
        yield from chunks
    elif encoding in ("gzip", "x-gzip"):
        yield from _gunzipped(chunks)
    else:
        raise CannotRead(
            f"the answer is encoded as {printable(encoding)}, which wasn't asked for; gzip and"
            " plain can be read"
        )


def _inflated(stream: zlib._Decompress, data: bytes) -> bytes:
    try:
        return stream.decompress(data, CHUNK_BYTES)
    except zlib.error as error:
        raise CannotRead(
            f"the answer says that it is packed by gzip, and isn't ({printable(error)})"
        ) from error


def _gunzipped(  # complexipy: ignore (a state machine over chunks and gzip members)
    chunks: Iterable[bytes],
) -> Iterator[bytes]:
    """Unpack gzip piece by piece, because a few packed bytes may be gigabytes."""
    stream = zlib.decompressobj(_GZIP)
    begun = False
    for chunk in chunks:
        data = chunk
        while data:
            begun = True
            if piece := _inflated(stream, data):
                yield piece
            data = stream.unconsumed_tail
            if stream.eof:
                data = stream.unused_data
                stream = zlib.decompressobj(_GZIP) if data else stream
    while begun and not stream.eof:  # output that the last call held back
        piece = stream.decompress(stream.unconsumed_tail, CHUNK_BYTES)
        if piece:
            yield piece
        elif not stream.eof:
            raise Unavailable("the answer breaks off in the middle of what gzip packed")


# The meaning of a server's responses, and the requests and redirects that may be repeated or
# followed.

REDIRECTS_MAX = 5
BACKOFF_SECONDS = 0.5
"""0.5 s: the wait before the second attempt; it doubles for each further one."""
SMALL_BYTES = 1 << 16
"""64 KiB: an unread body up to this size is read, so that its connection can be reused."""
TOO_MANY = 429
THROTTLED_SECONDS, THROTTLED_SECONDS_MIN = 5.0, 0.1
"""Wait after a 429 without a time, and the minimum counted for each pause, in seconds."""
WAITED_SECONDS_MAX = 60.0
"""60 s: maximum sum of the pauses that a server asks for without an answer in between."""
MISSING = frozenset((404, 410))
_DENIED = frozenset((401, 403, 407))
_PATIENCE = frozenset((408, 425, 429))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_REFUSED = frozenset((400, 405, 406, 411, 413, 414, 415, 422, 426, 428, 431, 501))
"""Responses to a wrong request, which a retry doesn't fix."""
_Result = TypeVar("_Result")


class HttpNotFound(Exception):
    """404 or 410: the resource doesn't exist (yet)."""


class HttpClient:
    """A client of one server with persistent connections; use it as a context manager.

    `patience` limits each wait in seconds, for callers with less time than a fetch. The start of an
    answer has as long, up to the last byte of its headers; its body has the time of `body_of`.
    """

    def __init__(
        self, access: Access, spec: Spec, request: HttpRequest, patience: float | None = None
    ) -> None:
        import httpx

        for name in ("httpx", "httpcore"):  # their log lines contain URLs and headers
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.shown = printable(spec.url, 300)
        self._waited = 0.0
        """Sum of the pauses in seconds that the server asked for since its last answer."""
        self._retries, self._secrets = spec.retries, access.secrets
        self._now_us, self._began = access.now_us, time.monotonic()
        self._gate = RateLimiter(
            access.temporary.with_name("rates"),
            request.url,
            spec.rate_limit,
            self._time_after,
            patience,
        )
        self.timeout = min(
            parse_duration(spec.timeout).total_seconds(),
            FETCH_SECONDS_MAX if patience is None else patience,
        )
        self._reads = ReadDeadline(self.timeout)
        self._client = httpx.Client(
            timeout=self.timeout,
            headers={
                "User-Agent": f"headrace/{__version__}",
                "Accept-Encoding": "gzip",
                "Accept": "*/*",
            },
        )
        check_connections(self._client, access.private_addresses)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @contextmanager
    def send(
        self, request: HttpRequest, conditions: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Send a request and yield its response, 2xx or 304, with the body unread.

        Raises HttpNotFound, and Unavailable for any other response, also if the body breaks off
        while the caller reads it inside the `with`.
        """
        import httpx

        try:
            response = self._answer(request, conditions or {})
            try:
                self._raise_for_status(response)
                yield response
                self._reads.restart(self.timeout)
                _read_small(response)
            finally:
                response.close()
        except AddressRefused as error:
            raise Unavailable(
                f"{self.shown} isn't asked: {error} ({error.hint})",
                code="configuration_error",
                transient=False,
            ) from None
        except httpx.TimeoutException as error:
            raise Unavailable(f"{self.shown} didn't answer in time ({words_of(error)})") from None
        except httpx.TransportError as error:
            raise Unavailable(f"{self.shown} can't be read: {self._words(error)}") from None
        except (httpx.InvalidURL, httpx.HTTPError, UnicodeError) as error:
            raise Unavailable(
                f"{self.shown} can't be asked ({words_of(error)})",
                code="configuration_error",
                transient=False,
            ) from None

    def with_retries(  # complexipy: ignore (which errors are retried, in a row)
        self, work: Callable[[], _Result]
    ) -> _Result:
        """Return the result of `work`, retried after transient errors and requested pauses."""
        tried = 0
        while True:
            try:
                return work()
            except Unavailable as error:
                wait = (
                    BACKOFF_SECONDS * 2**tried if error.retry_after is None else error.retry_after
                )
                if error.throttled and self.may_wait(wait):
                    time.sleep(wait)
                    continue
                if error.throttled or not error.transient:
                    raise
                if tried >= self._retries or wait > WAIT_SECONDS_MAX:
                    raise
            tried += 1
            time.sleep(wait)

    def may_wait(self, seconds: float) -> bool:
        """Whether to wait here for a pause that the server asks for.

        Such waits don't count as retries. But a server that only asks for pauses is left alone
        after a while, so that the worker can do other work.
        """
        self._waited += max(seconds, THROTTLED_SECONDS_MIN)
        return seconds <= WAIT_SECONDS_MAX and self._waited <= WAITED_SECONDS_MAX

    def _answer(self, request: HttpRequest, conditions: Mapping[str, str]) -> httpx.Response:
        """Send a request, and follow redirects only on the same server.

        Other servers mustn't see the request's secrets.
        """
        for _ in range(REDIRECTS_MAX + 1):
            self._gate.wait()
            self._reads.restart(self.timeout)
            response = self._client.send(self._built(request, conditions), stream=True)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            request = self._redirected(request, response)
        raise Unavailable(
            f"{self.shown} redirects more than {REDIRECTS_MAX} times", transient=False
        )

    def _built(self, request: HttpRequest, conditions: Mapping[str, str]) -> httpx.Request:
        headers = [
            (name.encode("ascii"), _encoded(value))
            for name, value in (*request.headers, *conditions.items())
        ]
        body: dict[str, Any] = {"extensions": self._reads.extensions}
        if isinstance(request.body, str):
            body["content"] = request.body
        elif request.body is not None:
            body["content"] = msgspec.json.encode(request.body)
            if not any(name.lower() == "content-type" for name, _ in request.headers):
                headers.append((b"Content-Type", b"application/json"))
        return self._client.build_request(request.method, request.url, headers=headers, **body)

    def _redirected(self, request: HttpRequest, response: httpx.Response) -> HttpRequest:
        location = response.headers.get("location", "")
        target = on_same_server(request.url, location)
        if target is None:
            elsewhere = self._scrubbed(urlsplit(location).netloc.rpartition("@")[2]) or "nowhere"
            raise Unavailable(
                f"{self.shown} redirects to another server ({elsewhere}), which isn't followed; if"
                " that is right, name it in `url`",
                code="configuration_error",
                transient=False,
            )
        if request.method != "GET" and response.status_code not in (307, 308):
            raise Unavailable(
                f"{self.shown} redirects a POST ({response.status_code})",
                code="configuration_error",
                transient=False,
            )
        return msgspec.structs.replace(request, url=target)

    def _raise_for_status(self, response: httpx.Response) -> None:
        """Raise an error for every status but 2xx and 304."""
        status = response.status_code
        if 200 <= status < 300 or status == 304:
            self._waited = 0.0
            return
        if status in MISSING:
            _read_small(response)
            raise HttpNotFound
        text = f"{self.shown} answers {status} {self._scrubbed(response.reason_phrase)}".rstrip()
        if status in _DENIED:
            raise Unavailable(
                f"{text}: check the secret and the rights", code="access_denied", transient=False
            )
        if status in _REFUSED:
            raise Unavailable(
                f"{text}: the request isn't as the server wants it",
                code="configuration_error",
                transient=False,
            )
        wait = _retry_after(response) if status in (*_PATIENCE, 503) else None
        if status == TOO_MANY and wait is None:
            wait = THROTTLED_SECONDS
        if wait is not None:
            self._gate.close(wait)
        throttled = wait is not None and status in (TOO_MANY, 503)
        raise Unavailable(
            (
                f"{text}, and allows no request until {self._time_after(wait)}"
                if throttled and wait is not None
                else text
            ),
            transient=status in _PATIENCE or status >= 500,
            retry_after=wait,
            throttled=throttled,
        )

    def _time_after(self, seconds: float) -> str:
        """Return the time `seconds` from now by the store's clock, which differs in a replay."""
        return utc_after(self._now_us, time.monotonic() - self._began + seconds)

    def _words(self, error: httpx.TransportError) -> str:
        """Describe the error, in our own words where the library's are vague."""
        import httpx

        if isinstance(error, httpx.ConnectError):
            return f"no connection ({self._scrubbed(error)})"
        if isinstance(error, httpx.RemoteProtocolError):
            return f"the answer breaks off or isn't HTTP ({self._scrubbed(error)})"
        return f"the connection broke ({words_of(error)})"

    def _scrubbed(self, text: object) -> str:
        """Return text from elsewhere without secrets; they go before the text is cut.

        A server may repeat parts of the request.
        """
        return printable(self._secrets.scrubbed(str(text)), 120)


def _read_small(response: httpx.Response) -> None:
    """Read the rest of a short body; the connection of a long one is dropped."""
    length = response.headers.get("content-length", "")
    if not response.is_stream_consumed and length.isdigit() and int(length) <= SMALL_BYTES:
        for _ in response.iter_raw():
            pass


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asks to wait, given as a number or a date.

    A date is compared with the server's own clock, if it sends one. None for missing or invalid
    values.
    """
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until, now = _date(value), _date(response.headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until is not None else None


def _date(text: str) -> datetime | None:
    """Parse an HTTP date; None if it is invalid. A date without a zone is in UTC, as in HTTP."""
    try:
        result = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return result if result.tzinfo is not None else result.replace(tzinfo=UTC)


def _encoded(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()
