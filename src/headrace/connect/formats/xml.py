"""XML: each element at a path is a record. Attributes and child elements are its columns; what is
nested in them stays so, or is flattened. Document types and entities are refused: no record needs
them, and they read files and fill memory (XXE, billion laughs).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import msgspec

from headrace.connect.deliveries import CannotRead, SourceSchema, printable
from headrace.connect.formats.json import JsonRecordReader
from headrace.connect.formats.registry import reads
from headrace.connect.formats.type_inference import INSTANT
from headrace.connect.raw_files import Opened, UnpackLimits, written
from headrace.lake.types import Type, parse
from headrace.model.errors import LakeError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


# The shape of a record's elements: which occur more than once, and which hold more than text.

TEXT = "text"
"""The field of an element's own text, if it also has attributes or children."""


_UNKNOWN: tuple[str, None] = ("", None)


class ElementShape:
    """The shape of all elements with one name at one place.

    It only grows: once a list, always a list.
    """

    __slots__ = ("by_tag", "children", "complex", "repeated")

    def __init__(self) -> None:
        self.by_tag: dict[str, tuple[str, ElementShape]] = {}
        """The children by their names with namespaces."""
        self.repeated = False
        self.complex = False
        self.children: dict[str, ElementShape] = {}

    def learn(self, element: Element) -> bool:
        """Learn from one element; return whether earlier ones should now be written differently."""
        changed = False
        if (element.attrib or len(element)) and not self.complex:
            self.complex = changed = True
        seen: set[str] = set()
        for child in element:
            name = local_name(child.tag)
            shape = self.children.get(name)
            if shape is None:
                shape = self.children[name] = ElementShape()
                shape.learn(child)
            elif shape.learn(child):
                changed = True
            if name in seen and not shape.repeated:
                shape.repeated = changed = True
            seen.add(name)
            self.by_tag[child.tag] = name, shape
        return changed

    def plain(  # complexipy: ignore (what makes an element not plain, in order)
        self, element: Element
    ) -> dict[str, str | None] | None:
        """Return a record of only attributes and known text children, as most are.

        None for others.
        """
        if not self.complex or (element.text and not element.text.isspace()):
            return None
        results: dict[str, str | None] = {
            local_name(name): value for name, value in element.attrib.items()
        }
        for child in element:
            name, shape = self.by_tag.get(child.tag, _UNKNOWN)
            if shape is None or shape.complex or shape.repeated or name in results:
                return None
            if child.attrib or len(child) or (child.tail and not child.tail.isspace()):
                return None
            results[name] = (child.text.strip() or None) if child.text else None
        return results

    def value(self, element: Element) -> Any:
        """Return the element as JSON: text, or an object of its attributes, children and text."""
        if not self.complex:
            return _text(element)
        results: dict[str, Any] = {
            local_name(name): value for name, value in element.attrib.items()
        }
        for child in element:
            name = local_name(child.tag)
            shape = self.children[name]
            if shape.repeated:
                results.setdefault(name, [])
                if not isinstance(results[name], list):
                    results[name] = [results[name]]
                results[name].append(shape.value(child))
            else:
                results[name] = shape.value(child)
        if (text := _text(element)) is not None:
            results[TEXT] = text
        return results

    def flat(self, element: Element, prefix: str = "") -> dict[str, Any]:
        """Return the element as one flat object: paths name nested values, lists stay lists."""
        results: dict[str, Any] = {
            prefix + local_name(name): value for name, value in element.attrib.items()
        }
        for child in element:
            name = local_name(child.tag)
            shape = self.children[name]
            if shape.repeated:
                results.setdefault(prefix + name, []).append(shape.value(child))
                continue
            if (text := _text(child)) is not None or not shape.complex:
                results[prefix + name] = text
            if shape.complex:
                results |= shape.flat(child, f"{prefix}{name}_")
        return results


def shape_of(pinned: SourceSchema | None) -> ElementShape:
    """Return the shape in a pinned schema: its lists stay lists, even for single elements."""
    shape = ElementShape()
    for column in pinned.columns if pinned else ():
        try:
            _pin(shape.children.setdefault(column.name, ElementShape()), parse(column.type))
        except LakeError:
            continue
    return shape


def _pin(shape: ElementShape, kind: Type) -> None:
    if kind.name == "LIST":
        shape.repeated = True
        kind = kind.fields[0][1]
    if kind.name == "STRUCT":
        shape.complex = True
        for name, inner in kind.fields:
            _pin(shape.children.setdefault(name, ElementShape()), inner)


def _text(element: Element) -> str | None:
    """Return the element's own text without surrounding blanks; None if it is empty."""
    parts = [element.text or "", *(child.tail or "" for child in element)]
    return "".join(parts).strip() or None


def local_name(tag: str) -> str:
    """Return a name without its namespace."""
    return tag.rpartition("}")[2]


CHUNK_BYTES = 1 << 18
RECORD_BYTES_MAX = 64 << 20
"""64 MiB: maximum size of a record, or of the text between two records."""
DEPTH_MAX = 200
RECORDS_PER_BATCH = 500
_ENDS_EARLY = (
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
)


@reads
class Xml(JsonRecordReader):
    """Elements as records: `xml: {records: "//row"}`.

    `//row` finds them at any depth, `/feed/entry` from the root.
    """

    kind = "xml"
    endings: tuple[str, ...] = (".xml",)
    among: tuple[str, ...] = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", INSTANT)
    textual = True

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Write one record per line, as JSON.

        An element that occurs twice in one record is a list in all of them; if that shows up late,
        the file is read again.
        """
        path, settings = Path(opened.path), opened.options.get(self.kind) or {}
        if "records" not in settings:
            raise CannotRead(
                'the source doesn\'t say which elements are records; add xml: {records: "//row"}',
                code="delivery_records",
            )
        if not path.stat().st_size:
            raise CannotRead("the file is empty", code="delivery_empty")
        encoding = "utf-8" if opened.encoding == "utf-16" else None  # `open_readable` made it UTF-8
        _refuse_document_type(path, encoding)
        shape, flat = shape_of(pinned), bool(settings.get("flatten"))
        try:
            return written(
                opened,
                temporary,
                bounds,
                _lines(_records(path, settings["records"], encoding), shape, flat=flat),
            )
        except _Reshaped:
            for record in _records(path, settings["records"], encoding):
                shape.learn(record)
            return written(
                opened,
                temporary,
                bounds,
                _lines(_records(path, settings["records"], encoding), shape, flat=flat),
            )


class _Reshaped(Exception):
    """A later record has another shape than the records already written."""


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
        batch.append(msgspec.json.encode(value) + b"\n")
        if len(batch) == RECORDS_PER_BATCH:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)


def _refuse_document_type(path: Path, encoding: str | None) -> None:
    """Raise CannotRead for `<!DOCTYPE`, which can only come before the first element.

    Nothing after the first element is parsed here.
    """
    parser = expat.ParserCreate(encoding)
    results: list[str] = []

    def doctype(*_: Any) -> None:
        results.append("doctype")

    def element(*_: Any) -> None:
        results.append("element")

    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler, parser.StartElementHandler = (
        doctype,
        doctype,
        element,
    )
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
            f"line {parser.CurrentLineNumber}: a document type (`<!DOCTYPE`), which isn't read",
            line=parser.CurrentLineNumber,
            code="delivery_doctype",
        )


def _records(path: Path, where: str, encoding: str | None = None) -> Iterator[Element]:
    """Yield each record's complete element; all other elements are dropped at once."""
    from xml.etree.ElementTree import ParseError, XMLParser, XMLPullParser

    # document types were already refused
    parser = XMLPullParser(("start", "end"), _parser=XMLParser(encoding=encoding))  # noqa: S314
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
                        f"no record ends within {RECORD_BYTES_MAX:,} bytes; do `records` and the"
                        " file fit?",
                        code="delivery_records",
                    )
            parser.close()
    except ParseError as error:
        line = error.position[0]
        if error.code in _ENDS_EARLY:
            raise _cut_off(line) from error
        raise CannotRead(
            f"line {line}: isn't well-formed XML ({printable(str(error).partition(':')[0])})",
            line=line,
        ) from error
    except (LookupError, ValueError) as error:
        raise _unknown_encoding(error) from error


class _Walk:
    """The parser's position in the document."""

    def __init__(self, where: str) -> None:
        self._anywhere = where.startswith("//")
        self._wanted = tuple(part for part in where.split("/") if part)
        self._open: list[Element] = []
        """The open elements, down to the record."""
        self._depth = 0
        self._record = 0
        """The depth of the open record, 0 without one."""

    def records(  # complexipy: ignore (a state machine)
        self, events: Iterator[Any]
    ) -> Iterator[Element]:
        """Follow events and yield the records that end.

        Inside a record, which is most of a document, only its depth is counted.
        """
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
        """Drop an element that isn't needed any more; its parent is the innermost open element."""
        if self._open:
            self._open[-1].remove(element)
        else:
            element.clear()

    def _is_record(self) -> bool:
        names = tuple(local_name(element.tag) for element in self._open)
        return (
            names[-len(self._wanted) :] == self._wanted if self._anywhere else names == self._wanted
        )


def _unknown_encoding(error: Exception) -> CannotRead:
    return CannotRead(
        f"can't be read in the encoding that it names ({printable(error)})",
        code="delivery_encoding",
    )


def _cut_off(line: int) -> CannotRead:
    reason = f"the file is cut off: it ends in line {line}, before its elements do"
    return CannotRead(reason, line=line, code="delivery_truncated")


def _broken(error: expat.ExpatError) -> CannotRead:
    if error.code in _ENDS_EARLY:
        return _cut_off(error.lineno)
    return CannotRead(
        f"line {error.lineno}: isn't well-formed XML ({printable(expat.ErrorString(error.code))})",
        line=error.lineno,
    )
