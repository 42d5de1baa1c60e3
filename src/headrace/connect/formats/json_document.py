"""JSON documents: an array of objects, or records anywhere inside an object (`json: {records: "$.data.items"}`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.connect.deliveries import SourceSchema
from headrace.connect.formats.json_records import records, steps_of
from headrace.connect.formats.records import ONE_LINE, JsonRecordReader
from headrace.connect.formats.registry import reads
from headrace.connect.text import require_text
from headrace.connect.unpack import Opened, UnpackLimits, written

BATCH = 1_000
CHUNK_BYTES = 1 << 20
_LONG_NUMBER = re.compile(rb"[0-9.]{18}")


@reads
class Json(JsonRecordReader):
    """One document a delivery."""

    kind = "json"

    def unfold(self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None) -> Opened:  # noqa: ARG002
        """One record a line; an array of records is read as it stands, unless it has numbers that need care."""
        path = Path(opened.path)
        require_text(path, line_bytes_max=ONE_LINE)
        steps = steps_of((opened.options.get(self.kind) or {}).get("records"))
        if not steps and _is_array(path) and not _has_long_numbers(path):
            return msgspec.structs.replace(opened, array=True)
        return written(opened, temporary, bounds, _lines(path, steps))


def _lines(path: Path, steps: tuple[str, ...]) -> Iterator[bytes]:
    batch: list[str] = []
    for _, text in records(path, steps):
        batch.append(text)
        if len(batch) == BATCH:
            yield ("\n".join(batch) + "\n").encode()
            batch.clear()
    if batch:
        yield ("\n".join(batch) + "\n").encode()


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES).lstrip():
            return chunk.startswith(b"[")
    return False


def _has_long_numbers(path: Path) -> bool:
    last = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if _LONG_NUMBER.search(last + chunk):
                return True
            last = chunk[-18:]
    return False
