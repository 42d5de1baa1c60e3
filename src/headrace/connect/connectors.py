"""Source connectors: the kinds of sources that aren't local folders.

URLs of files are `connect.filesystems`. Any other one is a `SourceKind`, in the folder
`source_kinds` or with an entry point in the group `headrace.sources`; its name is the field of
sources that it reads. Both methods of a connector run in a worker: `observe` lists the available
deliveries without reading them, `fetch` downloads the bytes of one delivery, which are then stored
by content and read like any file.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.connect.deliveries import (
    DELIVERY_BYTES_MAX,
    CannotRead,
    DetectedDelivery,
    Observation,
)
from headrace.model import Source
from headrace.model.connectors import origin_field
from headrace.model.nodes import ALL_NETWORKS
from headrace.model.plugin_fields import SourceDeclaration
from headrace.model.plugins import SOURCES, BrokenPlugin, load_plugin, missing_package, running
from headrace.model.texts import of_error
from headrace.security.secrets import Secrets

AWAY_SECONDS_MAX = 86_400.0
"""1 day: the longest pause that a server (or a clock that was set back) can cause."""
THROTTLED_SECONDS_MAX = 3600.0
"""1 hour: a server that asks for a longer pause counts as unavailable."""
PAGES_SECONDS_MAX = 86_400.0
"""1 day: how long a source keeps an unfinished fetch, in `pages` beside `Access.temporary`."""


class Access(msgspec.Struct, frozen=True):
    """The inputs of a connector's `observe` and `fetch`."""

    source: Source
    connection: Mapping[str, Any]
    """`[connections.X]` as declared, or empty; `secrets.resolved` replaces its references."""
    secrets: Secrets
    project: Path
    """The project's folder, which relative paths of a declaration begin at."""
    temporary: Path
    """A folder for the files of this task only."""
    now_us: int
    """The store's current time, in microseconds since 1970 UTC."""
    private_addresses: tuple[str, ...] = ALL_NETWORKS
    """Networks of private addresses that requests may be sent to."""
    bytes_max: int = DELIVERY_BYTES_MAX
    """Of one delivery, by the source's history; a larger one is refused while it is fetched."""
    published: bool = True
    """Whether the newest delivery of a source with a partition for each is published."""


class Fetched(msgspec.Struct, frozen=True):
    """The bytes of one fetched delivery.

    `path` is a file below `temporary`; `name` has the ending of its format (`x.jsonl`,
    `x.parquet`).
    """

    path: Path
    name: str
    modified_us: int | None = None
    version: str | None = None
    """Replaces the delivery's version in the transaction that publishes or withholds it."""


class Unavailable(Exception):
    """A source that can't be observed or fetched. The message holds no secret.

    `code` is `access_denied`, `source_unavailable` or `configuration_error`. The caller may retry a
    transient error, but not before `retry_after` seconds. `throttled` means that the server itself
    asked for that wait, which doesn't count as a failure.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "source_unavailable",
        transient: bool = True,
        retry_after: float | None = None,
        throttled: bool = False,
    ) -> None:
        super().__init__(message)
        self.code, self.transient, self.retry_after, self.throttled = (
            code,
            transient,
            retry_after,
            throttled,
        )


class SourceConnector(Protocol):
    """The interface of a connector."""

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Return the intervals in `wanted` that are new or have another version than in `known`.

        `known` maps an interval to its path and version. Raises Unavailable.
        """

    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Fetch one delivery into a file below `access.temporary`.

        Raises Unavailable, and CannotRead if the source's answer isn't a delivery.
        """


class SourceKind(SourceDeclaration):
    """A source of an installed package: its field, and its connector.

    Its instances have no state; the methods run in workers.
    """

    @abstractmethod
    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Return the intervals in `wanted` that are new or have another version than in `known`.

        `known` maps an interval to its path and version. Raises Unavailable.
        """

    @abstractmethod
    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Fetch one delivery into a file below `access.temporary`.

        Raises Unavailable, and CannotRead if the source's answer isn't a delivery.
        """


URL = "url"
"""Connector of `files:` with a URL."""


def connector_name(source: Source) -> str | None:
    """Return the name of a source's connector; None for files of a local folder.

    It is `URL`, or the field of an installed package's source.
    """
    if source.files is not None:
        return URL if "://" in source.files else None
    return origin_field(source)


def is_routed_by_rows(source: Source) -> bool:
    """Whether the partition of each row comes from its columns, not from the file's name."""
    if connector_name(source) is not None or source.files is None or source.partition.whole:
        return False
    named = ("{date:" in source.files or source.partition.grain is None) and (
        "{key}" in source.files or source.partition.key is None
    )
    return not named


def connector_of(source: Source) -> SourceConnector:
    """Return the connector that observes and fetches a source. Raises Unavailable."""
    name = connector_name(source)
    assert name is not None, "files of a local folder are looked at by `connect.files`"
    if name == URL:
        urls: SourceConnector = import_module("headrace.connect.filesystems").Filesystems()
        return urls
    try:
        kind = load_plugin(SOURCES, name, SourceKind)  # type: ignore[type-abstract]
    except BrokenPlugin as error:
        raise unusable(str(error)) from error
    if kind is None:
        package = missing_package(SOURCES, name)
        hint = f": pip install {package}" if package else ""
        raise unusable(f"no installed package has the source `{name}`{hint}")
    return _Added(kind)


def unusable(message: str) -> Unavailable:
    """Return the error for a source or connection that can't work as declared or installed."""
    return Unavailable(message, code="configuration_error", transient=False)


class _Added:
    """A package's connector: what it raises unexpectedly is the source's error, not Headrace's."""

    def __init__(self, kind: SourceKind) -> None:
        self._kind = kind

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Observe, and name the package in errors."""
        with self._named():
            return self._kind.observe(access, wanted, known)

    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Fetch, and name the package in errors."""
        with self._named():
            return self._kind.fetch(access, found)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            with running(
                SOURCES, self._kind.name, (Unavailable, CannotRead, MemoryError), of_error
            ):
                yield
        except BrokenPlugin as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
                raise cause from None  # the machine's fault, not the source's
            raise Unavailable(str(error)) from error
