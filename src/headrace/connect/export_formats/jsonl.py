"""JSON lines: one object per line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.connect.export_formats.json import AS_IT_IS, write_objects
from headrace.connect.exports.registry import ExportKind, Portion

if TYPE_CHECKING:
    import duckdb


class JsonLines(ExportKind):
    """One object per line."""

    name = "jsonl"
    endings = ("jsonl", "ndjson")

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write one portion."""
        del options
        write_objects(connection, portion, path, AS_IT_IS)
