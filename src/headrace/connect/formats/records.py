"""Formats whose reader only turns a file into records, as those of installed packages do."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.connect.deliveries import EMPTY, CannotRead, SourceSchema
from headrace.connect.formats.json import JsonRecordReader
from headrace.connect.formats.type_inference import INSTANT
from headrace.connect.raw_files import Opened, UnpackLimits, written
from headrace.model.errors import HeadraceError
from headrace.model.plugins import FORMATS, running


class RecordFormat(JsonRecordReader):
    """A format of an installed package: entry point in the group `headrace.formats`.

    The class turns a file into records. Schema, drift, types and values are then those of JSON
    lines: numbers, booleans, texts, nulls, lists and objects keep their types, dates and times are
    found in texts.
    """

    among = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", INSTANT)

    @abstractmethod
    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the records of a file as JSON values, with texts as keys.

        `options` are those of the source. Raises CannotRead for a file that isn't of this format;
        any other exception rejects the delivery, too, with the package's name.
        """

    def unfold(
        self,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,
    ) -> Opened:
        """Write one record per line, as JSON."""
        del pinned
        path, options = Path(opened.path), opened.options.get(self.name) or {}
        if not path.stat().st_size:
            raise CannotRead("the file is empty", code=EMPTY)
        return written(opened, temporary, bounds, self._lines(path, options))

    def _lines(self, path: Path, options: Mapping[str, Any]) -> Iterator[bytes]:
        try:
            with running(FORMATS, self.name):
                for record in self.records(path, options):
                    yield json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except HeadraceError as error:
            raise CannotRead(str(error)) from error
