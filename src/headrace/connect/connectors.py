"""Source connectors: kinds of sources that aren't local folders, each one class in one file.

A class registers itself by `@connects`. Both of its methods run in a worker: `observe` says what there is without reading
it, `fetch` brings the bytes of one delivery, which are then stored by content and read like any file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.connect.deliveries import DetectedDelivery, Observation
from headrace.model import Source
from headrace.security.secrets import Secrets

MODULES = {"http": "http", "connection": "databases", "url": "filesystems"}
"""What a source says → the module of this room that knows it; loaded when it is first needed."""


class Access(msgspec.Struct, frozen=True):
    """What a kind works with."""

    source: Source
    connection: Mapping[str, Any]
    """[connections.X] as declared, empty where the source names none; references become values by `secrets.resolved`."""
    secrets: Secrets
    temporary: Path
    """A folder for what only this task needs."""
    now_us: int
    """The store's now."""


class Fetched(msgspec.Struct, frozen=True):
    """One delivery's bytes. `path` is a file below `temporary`, `name` ends as its format is called (`x.jsonl`, `x.parquet`)."""

    path: Path
    name: str
    modified_us: int | None = None


class Unavailable(Exception):
    """A source that can't be looked at or fetched. `code` is `access_denied`, `source_unavailable` or `configuration_error`;
    transient ones may be tried again, not before `retry_after` seconds. `throttled`: the server itself asked for that wait, which is no
    failure. The message holds no secret."""

    def __init__(
        self, message: str, *, code: str = "source_unavailable", transient: bool = True, retry_after: float | None = None,
        throttled: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.code, self.transient, self.retry_after, self.throttled = code, transient, retry_after, throttled


class SourceConnector(Protocol):
    """A kind of source."""

    def observe(self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]) -> Observation:
        """Which of the intervals in `wanted` are there, or have another version than `known` (interval → path, version).
        Raises Unavailable."""

    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Bring one delivery, into a file below `access.temporary`. Raises Unavailable, and CannotRead for what is no answer."""


_KINDS: dict[str, SourceConnector] = {}


def connects(name: str) -> Callable[[type[SourceConnector]], type[SourceConnector]]:
    """Register a kind under the field of `sources/*.yaml` that means it."""

    def register(kind: type[SourceConnector]) -> type[SourceConnector]:
        _KINDS[name] = kind()
        return kind

    return register


def connector_name(source: Source) -> str | None:
    """The kind of a source; None for files of a local folder."""
    if source.files is not None:
        return "url" if "://" in source.files else None
    return next((name for name in MODULES if name in source.connector), None)


def is_routed_by_rows(source: Source) -> bool:
    """Whether a source's rows, and not the name of its file, say which partition they belong to."""
    if connector_name(source) is not None or source.files is None or source.partition.whole:
        return False
    named = ("{date:" in source.files or source.partition.grain is None) and ("{key}" in source.files or source.partition.key is None)
    return not named


def connector_of(source: Source) -> SourceConnector:
    """The kind that looks at a source and fetches from it."""
    name = connector_name(source)
    assert name is not None, "files of a local folder are looked at by `connect.files`"
    if name not in _KINDS:
        import_module(f"headrace.connect.{MODULES[name]}")
    return _KINDS[name]
