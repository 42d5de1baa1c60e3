"""Which addresses HTTP requests may be sent to, checked against changing DNS answers, too.

A name is resolved once. Its addresses are checked, and the connection goes to a checked one: a name
that has another address a moment later (DNS rebinding) isn't asked again. TRUST B11.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headrace.model.errors import HeadraceError

if TYPE_CHECKING:
    import httpx
    from httpcore import NetworkStream

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")
)
"""Cloud metadata services whose addresses aren't link-local: AWS by IPv6, Alibaba, Oracle."""


class AddressRefused(HeadraceError):
    """A host has an address that requests may not be sent to."""


def check_address(text: str, networks: Sequence[str]) -> None:
    """Raise AddressRefused for an address that requests may not be sent to.

    Link-local addresses, those of metadata services and multicast are always refused. Other
    addresses that aren't public are allowed if they are in one of the `networks`.
    """
    address = _effective(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_link_local or address in _METADATA or address.is_multicast:
        raise AddressRefused(
            f"its address {address} is link-local, multicast or a cloud's metadata service:"
            " requests are never sent there",
            hint="write the URL of another server",
        )
    if address.is_global or any(address in ipaddress.ip_network(network) for network in networks):
        return
    raise AddressRefused(
        f"its address {address} is private, which `private_addresses` in headrace.toml refuses",
        hint=f'private_addresses = ["{address}/{address.max_prefixlen}"] in [http] allows it',
    )


def check_literal(host: str, networks: Sequence[str]) -> None:
    """Check a host that is an address, not a name. Raise AddressRefused."""
    with suppress(OSError):
        # resolvers take 2130706433, 0x7f000001 and 127.1 for 127.0.0.1
        host = socket.inet_ntoa(socket.inet_aton(host))
    with suppress(ValueError):
        check_address(host.strip("[]"), networks)


def checked_addresses(host: str, port: int, networks: Sequence[str]) -> list[str]:
    """Resolve a host once and return its addresses, all of them checked.

    Raise AddressRefused if any of them is refused, and OSError for an unknown host.
    """
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise OSError(f"no host can have this name: {host}") from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in resolved))
    for address in addresses:
        check_address(address, networks)
    return addresses


def connect(host: str, port: int, timeout: float, networks: Sequence[str]) -> socket.socket:
    """Return a connection to the first checked address of a host that answers.

    Raise AddressRefused, and OSError without a connection.
    """
    failure = OSError(f"{host} has no address")
    for address in checked_addresses(host, port, networks):
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure


def check_connections(client: httpx.Client, networks: Sequence[str]) -> None:
    """Let a client connect to checked addresses only.

    A proxy resolves names itself: of requests over one, only addresses in URLs are checked.
    """
    import httpcore

    class CheckedBackend(httpcore.SyncBackend):
        def connect_tcp(self, host: str, port: int, *rest: Any, **options: Any) -> NetworkStream:
            failure = httpcore.ConnectError(f"{host} has no address")
            try:
                addresses = checked_addresses(host, port, networks)
            except OSError as error:
                raise httpcore.ConnectError(str(error)) from error
            for address in addresses:
                try:
                    return super().connect_tcp(address, port, *rest, **options)
                except httpcore.ConnectError as error:
                    failure = error
            raise failure

    proxies = [item for item in client._mounts.values() if item is not None]

    def check_proxied(request: httpx.Request) -> None:
        if client._transport_for_url(request.url) in proxies:
            check_literal(request.url.host, networks)

    client.event_hooks["request"].append(check_proxied)
    transport: Any = client._transport
    transport._pool._network_backend = CheckedBackend()


def _effective(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
