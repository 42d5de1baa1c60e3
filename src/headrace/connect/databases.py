"""Rows of a database as a source: `connection:` with `table:` or `query:`, by interval, by a growing cursor, or whole.

A look says which intervals there are (with `cursor:`, also which have changed); a fetch writes one Parquet file from one snapshot.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.connect.deliveries import DetectedDelivery, Observation
from headrace.connect.engines.address import wrong
from headrace.connect.engines.engine import connected
from headrace.connect.kinds import Access, Fetched, connects
from headrace.connect.rows_wanted import SourceRows
from headrace.model import Source

WHOLE = "*"


@connects("connection")
class Databases:
    """The kind of source."""

    def observe(self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]) -> Observation:
        """See `Kind.look`."""
        if not wanted:
            return Observation()
        with connected(access) as engine:
            rows = SourceRows(access.source, engine)
            versions = _versions(rows, wanted, known)
        path = path_of(access.source)
        deliveries = [
            DetectedDelivery(source=access.source.name, partition=key, path=path, size_bytes=-1, modified_us=access.now_us, version=version)
            for key, version in versions.items()
            if key not in known or known[key][1] != version or (not version and key == WHOLE)
        ]
        return Observation(found=tuple(deliveries), seen=len(versions))

    def fetch(self, access: Access, delivery: DetectedDelivery) -> Fetched:
        """See `Kind.fetch`."""
        target = access.temporary / f"{uuid.uuid4().hex}.parquet"
        with connected(access) as engine:
            rows = SourceRows(access.source, engine)
            if access.source.partition.by_delivery:
                after, until = _bounds(delivery.version)
                sql, values = rows.between(after, until)
            else:
                sql, values = rows.of(delivery.partition)
            engine.copy(sql, values, target)
        return Fetched(path=target, name=f"{access.source.name}.parquet", modified_us=delivery.modified_us)


def path_of(source: Source) -> str:
    """How a delivery's origin is shown: the connection and the table."""
    return f"{source.connector.get('connection')}/{source.connector.get('table', 'query')}"


def _versions(rows: SourceRows, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Interval → version of what there is now."""
    source = rows.source
    if source.partition.by_delivery:
        last = _bounds(known[WHOLE][1])[1] if WHOLE in known and known[WHOLE][1] else None
        newest = rows.newest(last)
        return {} if newest is None else {WHOLE: _written([last, newest])}
    if rows.cursor is None:
        rows.check(wanted[0])
        return dict.fromkeys(wanted, "")
    return {key: _written(list(version)) for key, version in rows.summaries(wanted).items()}


def _bounds(version: str) -> tuple[Any, Any]:
    try:
        after, until = msgspec.json.decode(version)
    except (msgspec.DecodeError, ValueError, TypeError):
        raise wrong(f"the delivery's bounds can't be read: {version[:60]!r}") from None
    return after, until


def _written(version: list[Any]) -> str:
    """As JSON; what JSON doesn't have (dates, decimals) is text, which databases read back."""
    plain = [value if isinstance(value, int | float | str | None) and not isinstance(value, bool) else str(value) for value in version]
    return msgspec.json.encode(plain).decode()
