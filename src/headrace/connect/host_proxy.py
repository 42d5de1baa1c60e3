"""An HTTP proxy on the loopback address through which one attempt reaches its declared hosts.

It opens tunnels (CONNECT) and forwards plain HTTP to declared hosts, refuses others, and counts
both. The proxy knows names of hosts as the client asks for them; it doesn't look into tunnels.
What this can't prevent is in docs/how-to/sandbox.md.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from headrace.connect.destinations import AddressRefused, checked_addresses

HEAD_BYTES_MAX = 64 * 1024
"""64 KiB: the size of a request's first line and headers."""
CONNECTIONS_MAX = 200
"""Connections of one attempt at a time; more get status 503."""
HOSTS_MAX = 200
"""Different hosts that are counted; requests to others are answered, but not recorded."""
CONNECT_SECONDS_MAX, HEAD_SECONDS_MAX = 30.0, 30.0
READ_BYTES = 64 * 1024
USUAL_PORTS = (80, 443)
"""Ports of a declared host without a port: HTTP and HTTPS."""
HOST_NOT_DECLARED = "the host isn't declared"
PORT_NOT_DECLARED = "the host is declared without this port"
_TARGET = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})", re.ASCII)


class Endpoint(NamedTuple):
    """A host and a port that an attempt asked for."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HostProxy:
    """The proxy of one attempt, which serves in a thread of its own.

    `hosts` are names or addresses, `*.` for all names below one, each with or without a port.
    `networks` are those of private addresses that may be connected to. `refused` is called with the
    first refusal of each endpoint, and its reason.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        networks: Sequence[str],
        refused: Callable[[Endpoint, str], None],
    ) -> None:
        self._allowed = [_declared(host) for host in hosts]
        self._networks, self._on_refused = tuple(networks), refused
        self._password = secrets.token_urlsafe(24)
        expected = base64.b64encode(f"headrace:{self._password}".encode()).decode()
        self._authorization = f"basic {expected}".encode()
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self.connected: dict[Endpoint, int] = {}
        """Endpoints with the number of connections."""
        self.refusals: dict[Endpoint, str] = {}
        """Refused endpoints with the reason."""
        self.port = 0
        self._ended = False

    @contextlib.contextmanager
    def serving(self) -> Iterator[HostProxy]:
        """Serve inside the context. Raises OSError if no port can be opened."""
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        )
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever, name="headrace-hosts", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which HTTP clients use the proxy."""
        url = f"http://headrace:{self._password}@127.0.0.1:{self.port}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return {
            **dict.fromkeys(names, url),
            **{name.lower(): url for name in names},
            "NO_PROXY": "",
            "no_proxy": "",
        }

    async def _end(self, server: asyncio.Server) -> None:
        self._ended = True
        for task in self._open:
            task.cancel()
        # A connection that was accepted just before becomes a task only now, and ends by itself;
        # asyncio loses it if the server is closed first.
        await asyncio.sleep(0)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.gather(*others, return_exceptions=True)
        server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if self._ended:
                return
            if len(self._open) > CONNECTIONS_MAX:
                await _answer(writer, "503 Too many connections")
            else:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the client is gone, or sends no HTTP
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_SECONDS_MAX):
            head = await reader.readuntil(b"\r\n\r\n")
        request = _request(head)
        if request is None:
            await _answer(writer, "400 Not a request to a proxy")
            return
        if not hmac.compare_digest(request.authorization.encode(), self._authorization):
            await _answer(writer, "407 Of another attempt", 'Proxy-Authenticate: Basic realm="x"')
            return
        reason = self._reason_to_refuse(request.endpoint)
        if reason:
            await self._refuse(writer, request.endpoint, reason)
            return
        try:
            upstream = await self._connected(request.endpoint)
        except AddressRefused as error:
            await self._refuse(writer, request.endpoint, str(error))
            return
        except (OSError, TimeoutError) as error:
            await _answer(writer, "502 Can't connect", text=f"{request.endpoint}: {error}\n")
            return
        self._count(request.endpoint)
        await _relayed(reader, writer, upstream, request.forwarded)

    def _reason_to_refuse(self, endpoint: Endpoint) -> str:
        if any(_matches(endpoint, host, ports) for host, ports in self._allowed):
            return ""
        if any(_matches(endpoint, host, (endpoint.port,)) for host, _ in self._allowed):
            return PORT_NOT_DECLARED
        return HOST_NOT_DECLARED

    async def _refuse(self, writer: asyncio.StreamWriter, endpoint: Endpoint, reason: str) -> None:
        if endpoint not in self.refusals and len(self.refusals) < HOSTS_MAX:
            self.refusals[endpoint] = reason
            self._on_refused(endpoint, reason)
        text = f"Headrace: {endpoint} is out of this asset's reach: {reason}\n"
        await _answer(writer, "403 Host refused by Headrace", text=text)

    async def _connected(
        self, endpoint: Endpoint
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first checked address that answers; the name is resolved once."""
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            addresses = await asyncio.to_thread(
                checked_addresses, endpoint.host, endpoint.port, self._networks
            )
            failure = OSError("it has no address")
            for address in addresses:
                try:
                    return await asyncio.open_connection(address, endpoint.port)
                except OSError as error:
                    failure = error
            raise failure

    def _count(self, endpoint: Endpoint) -> None:
        if endpoint in self.connected or len(self.connected) < HOSTS_MAX:
            self.connected[endpoint] = self.connected.get(endpoint, 0) + 1


class _Request(NamedTuple):
    """A request to the proxy; `forwarded` is its head for the host, empty for a tunnel."""

    endpoint: Endpoint
    authorization: str
    forwarded: bytes


def _request(head: bytes) -> _Request | None:
    """Return the request; None if it isn't one to a proxy."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.rpartition(" ")
    if method != "CONNECT":
        return _plain_request(method, target, version, lines)
    endpoint = _endpoint(target)
    return None if endpoint is None else _Request(endpoint, _authorization(lines), b"")


def _plain_request(method: str, target: str, version: str, lines: list[str]) -> _Request | None:
    """Return a request in plain HTTP, which names the whole address; None for another one."""
    try:
        url = urlsplit(target)
        endpoint = _endpoint(f"{_bracketed(url.hostname or '')}:{url.port or 80}")
    except ValueError:
        return None
    if url.scheme != "http" or endpoint is None or "@" in url.netloc:
        return None
    path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
    forwarded = [line for line in lines if line and _name(line) not in _OWN_HEADERS]
    sent = [f"{method} {path} {version}", "Connection: close", *forwarded, "", ""]
    return _Request(endpoint, _authorization(lines), "\r\n".join(sent).encode("latin-1"))


_OWN_HEADERS = ("connection", "proxy-connection", "proxy-authorization")
"""Headers for the proxy, which the host doesn't get."""


def _authorization(lines: Sequence[str]) -> str:
    """Return the credentials for the proxy, with their kind in lower case; empty for none."""
    line = next((line for line in lines if _name(line) == "proxy-authorization"), "")
    kind, _, credentials = line.partition(":")[2].strip().partition(" ")
    return f"{kind.lower()} {credentials.strip()}"


def _name(line: str) -> str:
    return line.partition(":")[0].strip().lower()


def _endpoint(text: str) -> Endpoint | None:
    match = _TARGET.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65_536:
        return None
    host = match[1].strip("[]").lower().rstrip(".")
    return Endpoint(host, int(match[2])) if host else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _declared(text: str) -> tuple[str, tuple[int, ...]]:
    """Return a declared host, and the ports that it may be connected to."""
    endpoint = _endpoint(text.removeprefix("*."))
    if endpoint is None:
        return text.lower().strip("[]").rstrip("."), USUAL_PORTS
    prefix = "*." if text.startswith("*.") else ""
    return f"{prefix}{endpoint.host}", (endpoint.port,)


def _matches(endpoint: Endpoint, host: str, ports: Sequence[int]) -> bool:
    if endpoint.port not in ports:
        return False
    if host.startswith("*."):
        return endpoint.host.endswith(host[1:]) and len(endpoint.host) > len(host) - 1
    return endpoint.host == host


async def _answer(
    writer: asyncio.StreamWriter, status: str, header: str = "", *, text: str = ""
) -> None:
    body = text.encode("utf-8", "replace")
    lines = [f"HTTP/1.1 {status}", *([header] if header else []), "Connection: close"]
    lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    await writer.drain()


async def _relayed(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    forwarded: bytes,
) -> None:
    """Copy bytes in both directions until both have ended."""
    there, sink = upstream
    try:
        if forwarded:
            sink.write(forwarded)
        else:
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(_copied(reader, sink))
            group.create_task(_copied(there, writer))
    except* OSError:
        pass  # one side is gone
    finally:
        sink.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
