"""Connections whose requests a package knows, found by their kind: databases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from headrace.connect.connectors import unusable
from headrace.connect.exports.registry import (
    Assignment,
    ExportFailed,
    Portion,
    Surroundings,
    Written,
)
from headrace.model.connections import EXPORT_DATABASES, connection_kind
from headrace.model.plugins import CONNECTIONS, BrokenPlugin, load_plugin, missing_package
from headrace.security.secrets import Secrets


class ConnectionKind(ABC):
    """A kind of connection: `type` in `[connections.X]`, or the scheme of its `url`.

    Its instances have no state. `secrets` resolves the references of a `connection`.
    """

    name: ClassVar[str]
    """The kind, equal to the name of the entry point."""

    @abstractmethod
    def test(self, connection: Mapping[str, Any], secrets: Secrets, temporary: Path) -> None:
        """Connect, and send a trivial request. Raises Unavailable and SecretMissing.

        `temporary` is a folder that belongs to Headrace.
        """

    def export(
        self, assignment: Assignment, portions: Sequence[Portion], around: Surroundings
    ) -> tuple[Written, ...]:
        """Replace an interval's rows in tables, in one transaction; by default, refuse it.

        Raises ExportFailed, WriterFenced.
        """
        del assignment, portions, around
        raise ExportFailed(
            f"tables can't be exported to {self.name}",
            hint=f"they can to {', '.join(EXPORT_DATABASES)}",
        )


def resolved_kind(connection: Mapping[str, Any], secrets: Secrets) -> tuple[str | None, str]:
    """Return a connection's kind and its URL, resolved if all of it is a reference.

    The kind is None, the URL empty without one. Raises SecretMissing.
    """
    url = connection.get("url", "")
    if url and connection_kind(connection) is None:
        url = secrets.resolved(url)
    return connection_kind({**connection, "url": url}), str(url)


def connection_kind_named(kind: str | None) -> ConnectionKind:
    """Return the client of a kind of connections. Raises Unavailable."""
    try:
        loaded = load_plugin(CONNECTIONS, kind or "", ConnectionKind)  # type: ignore[type-abstract]
    except BrokenPlugin as error:
        raise unusable(str(error)) from error
    if loaded is None:
        package = missing_package(CONNECTIONS, kind or "")
        raise unusable(
            f"connections of the kind {kind} are in another package: pip install {package}"
            if package
            else "this connection is no database"
        )
    return loaded
