"""What a source says about data that isn't plain files: where it comes from and how it is read. One function a field.

A field is kept as written (`Source.connector`), once its function found nothing wrong with it; what uses it knows that it is valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from headrace.model.database_fields import is_database, read_connection, read_cursor, read_query, read_table
from headrace.model.documents import plain
from headrace.model.fields import Fields
from headrace.model.file_fields import read_csv, read_excel, read_fixed_width, read_json, read_xml
from headrace.model.http_field import read_http
from headrace.model.nodes import PartitionSpec, Source
from headrace.model.reporting import shown

Reader = Callable[[Fields, PartitionSpec], None]
"""Reports what is wrong with one field of a source that is cut like this. The field is there."""

ORIGINS = ("files", "http", "connection")
"""Fields that say where data comes from: a source has one of them."""


READERS: dict[str, Reader] = {
    "http": read_http,
    "connection": read_connection,
    "query": read_query,
    "table": read_table,
    "cursor": read_cursor,
    "fixed_width": read_fixed_width,
    "excel": read_excel,
    "json": read_json,
    "xml": read_xml,
    "csv": read_csv,
}
"""Field → what validates it."""
READING = frozenset({"csv", "excel", "fixed_width", "json", "jsonl", "parquet", "xml"})
"""Fields of a source that say how its files are read."""


def place_of(source: Source) -> str:
    """Where a source's deliveries are looked for: the pattern of its files, or a hash of what is declared
    of its server. A look in one place doesn't see what is in another."""
    if source.files is not None:
        return source.files
    origin = {key: value for key, value in source.connector.items() if key not in READING}
    declared = msgspec.json.encode(origin, order="sorted")
    return hashlib.sha256(declared).hexdigest()[:32]


def read_connectors(fields: Fields, partition: PartitionSpec) -> dict[str, Any]:
    """All such fields of a source, as written; exactly one place has to be named where data comes from."""
    _one_origin(fields)
    for name in ("query", "table"):
        if name in fields and "connection" not in fields:
            fields.refuse(
                name, f"{shown(name)} needs a `connection`", "add connection: with a name from [connections]", code="conflicting_fields"
            )
    results = {}
    for name, read in READERS.items():
        if name in fields:
            read(fields, partition)
            results[name] = plain(fields.raw(name))
    return results


def _one_origin(fields: Fields) -> None:
    origins = [name for name in ORIGINS if name in fields and (name != "connection" or is_database(fields))]
    if not origins:
        fields.report.error(
            "missing_field",
            fields.block.line,
            f"{fields.what} doesn't say where data comes from",
            "add files: landing/name_{date:%Y-%m-%d}.csv",
        )
    elif len(origins) > 1:
        fields.refuse(origins[1], f"{fields.what} names {' and '.join(map(shown, origins))}", "keep one of them", code="conflicting_fields")
