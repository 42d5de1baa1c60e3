"""XML: each element at a path is a record. Attributes and child elements are its columns; what is nested in them stays so, or is
flattened. Document types and entities are refused: no record needs them, and they read files and fill memory (XXE, billion laughs).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import msgspec

from headrace.connect.deliveries import CannotRead, SourceSchema
from headrace.connect.formats.records import JsonRecordReader
from headrace.connect.formats.registry import reads
from headrace.connect.formats.shapes import ElementShape, local, shape_of
from headrace.connect.learn import INSTANT
from headrace.connect.shown import shown
from headrace.connect.unpack import Opened, UnpackLimits, written

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CHUNK_BYTES = 1 << 18
RECORD_BYTES_MAX = 64 << 20
"""A record, or what lies between two, is never larger."""
DEPTH_MAX = 200
RECORDS_PER_BATCH = 500
_ENDS_EARLY = (
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
)


@reads
class Xml(JsonRecordReader):
    """`xml: {records: "//row"}` says which elements are records: `//row` at any depth, `/feed/entry` from the root."""

    kind = "xml"
    endings: tuple[str, ...] = (".xml",)
    among: tuple[str, ...] = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", INSTANT)
    textual = True

    def unfold(self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None) -> Opened:
        """One record a line, as JSON. An element that comes twice in one record is a list in all of them: where that shows up late,
        the file is read once more."""
        path, said = Path(opened.path), opened.options.get(self.kind) or {}
        if "records" not in said:
            raise CannotRead('the source doesn\'t say which elements are records; add xml: {records: "//row"}', code="delivery_records")
        if not path.stat().st_size:
            raise CannotRead("the file is empty", code="delivery_empty")
        encoding = "utf-8" if opened.encoding == "utf-16" else None  # as it was turned into, whatever it says of itself
        _refuse_document_type(path, encoding)
        shape, flat = shape_of(pinned), bool(said.get("flatten"))
        try:
            return written(opened, temporary, bounds, _lines(_records(path, said["records"], encoding), shape, flat=flat))
        except _Reshaped:
            for record in _records(path, said["records"], encoding):
                shape.learn(record)
            return written(opened, temporary, bounds, _lines(_records(path, said["records"], encoding), shape, flat=flat))


class _Reshaped(Exception):
    """A later record has another shape than what is written already."""


def _lines(records: Iterator[Element], shape: ElementShape, *, flat: bool) -> Iterator[bytes]:
    batch: list[bytes] = []
    written_any = False
    for record in records:
        value: Any = shape.plain(record)
        if value is None:
            if shape.learn(record) and written_any:
                raise _Reshaped
            value = shape.flat(record) if flat else shape.value(record)
        written_any = True
        batch.append(msgspec.json.encode(value))
        if len(batch) == RECORDS_PER_BATCH:
            yield b"\n".join(batch) + b"\n"
            batch.clear()
    if batch:
        yield b"\n".join(batch) + b"\n"


def _refuse_document_type(path: Path, encoding: str | None) -> None:
    """Raise CannotRead for `<!DOCTYPE`, which can only stand before the first element; nothing behind that is parsed here."""
    parser = expat.ParserCreate(encoding)
    results: list[str] = []

    def doctype(*_: Any) -> None:
        results.append("doctype")

    def element(*_: Any) -> None:
        results.append("element")

    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler, parser.StartElementHandler = doctype, doctype, element
    try:
        with path.open("rb") as file:
            while not results and (chunk := file.read(4096)):
                for at in range(0, len(chunk), 64):
                    parser.Parse(chunk[at : at + 64], False)
                    if results:
                        break
    except expat.ExpatError as error:
        if not results:
            raise _broken(error) from error
    except (LookupError, ValueError) as error:
        raise _unknown_encoding(error) from error
    if results[:1] == ["doctype"]:
        raise CannotRead(
            f"line {parser.CurrentLineNumber}: a document type (`<!DOCTYPE`), which isn't read", line=parser.CurrentLineNumber,
            code="delivery_doctype",
        )  # fmt: skip


def _records(path: Path, where: str, encoding: str | None = None) -> Iterator[Element]:
    """Each record's element, complete; all others are dropped as they come."""
    from xml.etree.ElementTree import ParseError, XMLParser, XMLPullParser

    parser = XMLPullParser(("start", "end"), _parser=XMLParser(encoding=encoding))  # noqa: S314 - document types are refused before
    walk = _Walk(where)
    waiting = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                waiting += len(chunk)
                parser.feed(chunk)
                for record in walk.records(parser.read_events()):
                    waiting = 0
                    yield record
                    walk.drop(record)
                if waiting > RECORD_BYTES_MAX:
                    raise CannotRead(
                        f"no record ends within {RECORD_BYTES_MAX:,} bytes; do `records` and the file fit?", code="delivery_records"
                    )
            parser.close()
    except ParseError as error:
        line = error.position[0]
        if error.code in _ENDS_EARLY:
            raise _cut_off(line) from error
        raise CannotRead(f"line {line}: isn't well-formed XML ({shown(str(error).partition(':')[0])})", line=line) from error
    except (LookupError, ValueError) as error:
        raise _unknown_encoding(error) from error


class _Walk:
    """Where in the document the parser is."""

    def __init__(self, where: str) -> None:
        self._anywhere = where.startswith("//")
        self._wanted = tuple(part for part in where.split("/") if part)
        self._open: list[Element] = []
        """The elements that are open, down to the record."""
        self._depth = 0
        self._record = 0
        """The depth of the record that is open, 0 where none is."""

    def records(self, events: Iterator[Any]) -> Iterator[Element]:
        """Follow events; the records that end. Inside a record only its depth is counted: that is most of a document."""
        depth, record = self._depth, self._record
        for event, element in events:
            if event == "start":
                depth += 1
                if depth > DEPTH_MAX:
                    raise CannotRead(f"elements are nested more than {DEPTH_MAX} deep")
                if not record:
                    self._open.append(element)
                    record = depth if self._is_record() else 0
            elif record and depth > record:
                depth -= 1
            else:
                self._open.pop()
                depth -= 1
                if record:
                    record = 0
                    yield element
                else:
                    self.drop(element)
        self._depth, self._record = depth, record

    def drop(self, element: Element) -> None:
        """Forget an element that isn't needed any more; its parent is the one that is open."""
        if self._open:
            self._open[-1].remove(element)
        else:
            element.clear()

    def _is_record(self) -> bool:
        names = tuple(local(element.tag) for element in self._open)
        return names[-len(self._wanted) :] == self._wanted if self._anywhere else names == self._wanted


def _unknown_encoding(error: Exception) -> CannotRead:
    return CannotRead(f"can't be read in the encoding that it names ({shown(error)})", code="delivery_encoding")


def _cut_off(line: int) -> CannotRead:
    reason = f"the file is cut off: it ends in line {line}, before its elements do"
    return CannotRead(reason, line=line, code="delivery_truncated")


def _broken(error: expat.ExpatError) -> CannotRead:
    if error.code in _ENDS_EARLY:
        return _cut_off(error.lineno)
    return CannotRead(f"line {error.lineno}: isn't well-formed XML ({shown(expat.ErrorString(error.code))})", line=error.lineno)
