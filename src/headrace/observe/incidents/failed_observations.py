"""Evidence of looks that failed: nobody answered, or we weren't let in."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from headrace.model import Project, Source
from headrace.model.secrets import is_reference
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.store.database import Transaction
from headrace.store.queries import failed_observations

SELDOM_US = 10 * 60 * 1_000_000
"""Of a source that is looked at less often, one look that failed is enough; else two in a row."""
EXACT_NATS = 12.0
_KINDS = {
    "access_denied": CauseKind.ACCESS_DENIED,
    "configuration_error": CauseKind.CONFIGURATION_ERROR,
}


def gather(tx: Transaction, project: Project, overdue: Container[str] = ()) -> Iterator[Evidence]:
    """The sources whose newest looks failed. A pause that a server asked for is waited for; of `overdue` sources, whose data is late
    meanwhile, it is why."""
    sources = project.sources
    for result in failed_observations.failing(tx):
        source = sources.get(result.source)
        if source is None or (result.code == "source_throttled" and result.source not in overdue):
            continue
        kind = _KINDS.get(result.code or "", CauseKind.SOURCE_UNAVAILABLE)
        if kind is CauseKind.SOURCE_UNAVAILABLE and result.times < 2 and (result.gap or SELDOM_US) < SELDOM_US:
            continue
        yield Evidence(
            id=f"look:{result.source}", node=result.source, family=Family.ACCESS, kind=kind.value, expected="an answer",
            observed=result.error, strength=EXACT_NATS, at_us=result.at, began_us=result.since, detail=result.code or "",
            error_kind="transient", host=host_of(source, project),
        )  # fmt: skip


def host_of(source: Source, project: Project) -> str:
    """What several sources may have in common: a server, else a connection, a folder; never with credentials."""
    connector: dict[str, Any] = source.connector
    if connector.get("connection"):
        name = str(connector["connection"])
        return _server(project.settings.connections.get(name, {})) or name
    http = connector.get("http")
    url = http.get("url") if isinstance(http, dict) else http
    if isinstance(url, str):
        return urlsplit(url).hostname or ""
    return (source.files or "").rpartition("/")[0]


def host_at(project: Project, node: str) -> str:
    """The same of a node by its name; empty for one that isn't a source."""
    source = project.sources.get(node)
    return "" if source is None else host_of(source, project)


def _server(connection: Mapping[str, Any]) -> str:
    """The server that a connection leads to; empty where only a secret says it."""
    host, url = connection.get("host"), connection.get("url")
    if isinstance(host, str) and not is_reference(host):
        return host
    return "" if not isinstance(url, str) or is_reference(url) else urlsplit(url).hostname or ""
