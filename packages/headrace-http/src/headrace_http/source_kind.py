"""Sources behind HTTP: JSON APIs, whose pages become one file of JSON lines, and files that a
server gives as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.extension import Source
from headrace.extension.sources import (
    Access,
    DetectedDelivery,
    Fetched,
    Fields,
    Observation,
    PartitionSpec,
    SourceKind,
)
from headrace_http.fields import read_http, request_dates


class Http(SourceKind):
    """`http: https://api.example.com/orders?day={date:%Y-%m-%d}`, or a mapping with its `url`."""

    name = "http"
    meaning = (
        "an address, or a mapping with `url`, `records`, `headers`, `page` …; see"
        " how-to/http-api.md"
    )

    def read_value(self, fields: Fields, partition: PartitionSpec) -> Any:
        """Return the field as written; report its problems."""
        read_http(fields, partition)
        return fields.raw("http")

    def value_schema(self) -> dict[str, Any]:
        """Return what editors take."""
        return {"type": ["object", "string"]}

    def dates(self, source: Source) -> Sequence[str]:
        """Return the formats of the dates in the request."""
        return request_dates(source.connector["http"])

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Request each interval without reading the body."""
        from headrace_http import deliveries  # what reads declarations needs no client

        return deliveries.observe(access, wanted, known)

    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Fetch all pages of one interval as one file."""
        from headrace_http import deliveries

        return deliveries.fetch(access, found)
