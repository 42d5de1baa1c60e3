"""CSV files that are read exactly like another one, so that one statement can read all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from headrace.connect.deliveries import CSV_ENDINGS, CannotRead
from headrace.connect.formats.csv import Csv
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import RawCopy


class AlikeFile(NamedTuple):
    """A file that is read like the first one.

    `rows` is None if only reading it gives their number; `open_end` says that its last line has no
    end.
    """

    rows: int | None
    open_end: bool


class AlikeFiles:
    """Compares files with the first one, whose `prepared` delivery is read as it was stored."""

    def __init__(self, prepared: PreparedDelivery, header: bytes) -> None:
        self._prepared, self._header = prepared, header
        self._reader = Csv()

    @classmethod
    def begin(cls, prepared: PreparedDelivery, copy: RawCopy) -> AlikeFiles | None:
        """Return the comparison with a first file; None if that has anything unusual.

        It has another encoding or compression, both kinds of line ends, blank lines before its
        header, no header, or quotes in it.
        """
        opened, form = prepared.opened, prepared.schema.format
        declared = opened.options.get("csv") or {}
        if form.kind != "csv" or prepared.parts or opened.path != copy.path:
            return None
        if form.header or form.recode or form.lenient or not declared.get("header", True):
            return None
        header, end, _ = Path(copy.path).read_bytes().partition(b"\n")
        if not end or form.quote.encode() in header or prepared.header.skip:
            return None
        return cls(prepared, header)

    def compare(self, copy: RawCopy, name: str) -> AlikeFile | None:
        """Return how to read a stored file that was delivered as `name`; None if it is unlike."""
        if copy.parts or PurePosixPath(name).suffix.lower() not in CSV_ENDINGS:
            return None
        data = Path(copy.path).read_bytes()
        header, _, _ = data.partition(b"\n")
        if header != self._header or not _has_one_line_end(data, header):
            return None
        opened = msgspec.structs.replace(self._prepared.opened, path=copy.path, name=name)
        try:
            rows = self._reader.inspect(opened, known=True)
        except CannotRead:
            return None
        return None if rows == 0 else AlikeFile(rows, data[-1:] not in (b"\n", b"\r"))

    def select_sql(self, keys: Mapping[str, str], key_column: str) -> str:
        """Select the rows of all files: path → key, which `key_column` has."""
        prepared = self._prepared
        return self._reader.select_each_sql(
            prepared.opened,
            prepared.schema.format,
            prepared.header,
            prepared.schema.columns,
            keys,
            key_column,
        )


def _has_one_line_end(data: bytes, header: bytes) -> bool:
    """Whether all lines end like the header: in CRLF, or in LF without any CR."""
    if not header.endswith(b"\r"):
        return b"\r" not in data
    return data.count(b"\r") == data.count(b"\r\n") == data.count(b"\n")
