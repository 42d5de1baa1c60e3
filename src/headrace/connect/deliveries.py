"""What a look at a source finds, and what reading a delivery needs, as values."""

from __future__ import annotations

import msgspec

from headrace.lake import Column


class Found(msgspec.Struct, frozen=True):
    """A file that matches a source's pattern, as one look saw it. Times are integer microseconds since 1970 UTC."""

    source: str
    partition: str
    path: str
    """Relative to the project, `/` between its parts."""
    size_bytes: int
    modified_us: int


class Format(msgspec.Struct, frozen=True):
    """How to read a file without detecting anything: what was learnt from the first delivery, or from the contract."""

    kind: str
    """`csv`, `jsonl` or `parquet`."""
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    encoding: str = "utf-8"
    null: tuple[str, ...] = ("",)
    date_format: str | None = None
    timestamp_format: str | None = None


class SourceSchema(msgspec.Struct, frozen=True):
    """The pinned schema of a source: columns in the file's order (ids are not used here) and how it is read."""

    columns: tuple[Column, ...]
    format: Format
    pinned_by: str = ""
    """`contract`, or the path of the delivery that it was learnt from."""


class Drift(msgspec.Struct, frozen=True):
    """How a delivery's header differs from the pinned one. Reordering alone is no drift."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    detail: str = ""
