"""XML: each element at a path is a record. Its attributes and child elements are columns; elements
nested deeper stay nested, or are flattened into columns. Document types and entities are refused:
no record needs them, and they can read files and fill the memory (XXE, billion laughs).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import msgspec

from headrace.extension.formats import (
    INSTANT,
    CannotRead,
    Fields,
    JsonRecordReader,
    LakeError,
    Opened,
    PartitionSpec,
    SourceSchema,
    Type,
    UnpackLimits,
    parse,
    printable,
    shown,
    written,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


# The shape of a record's elements: which occur more than once, and which hold more than text.

TEXT = "text"
"""The field of an element's own text, if it also has attributes or children."""


_UNKNOWN: tuple[str, None] = ("", None)


class ElementShape:
    """The common shape of all elements with the same name at the same place.

    A shape only grows: a child that was a list once stays one.
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
        """Return a record that has only attributes and known children with text, as most have.

        None for any other record.
        """
        if not self.complex or (element.text and not element.text.isspace()):
            return None
        attributes = element.items()
        results: dict[str, str | None] = {local_name(name): value for name, value in attributes}
        if len(results) < len(attributes):
            return None
        by_tag = self.by_tag
        for child in element:
            name, shape = by_tag.get(child.tag, _UNKNOWN)
            if shape is None or shape.complex or shape.repeated or name in results:
                return None
            # `attrib` would make a dict for each element
            if len(child) or child.keys() or ((tail := child.tail) and not tail.isspace()):
                return None
            results[name] = (text.strip(BLANKS) or None) if (text := child.text) else None
        return results

    def value(self, element: Element) -> Any:
        """Return the element as JSON: text, or an object of its attributes, children and text.

        Raises CannotRead if two of them have the same name.
        """
        if not self.complex:
            return _text(element)
        results: dict[str, Any] = {}
        for name, part in _parts(element):
            if isinstance(part, list):
                values = [self.children[name].value(child) for child in part]
                _add(results, name, values if self.children[name].repeated else values[0])
            else:
                _add(results, name, part)
        if (text := _text(element)) is not None:
            _add(results, TEXT, text)
        return results

    def flat(self, element: Element) -> dict[str, Any]:
        """Return the element as one flat object: paths name nested values, lists stay lists.

        Raises CannotRead if two values have the same name.
        """
        results: dict[str, Any] = {}
        self._flatten(element, "", results)
        if (text := _text(element)) is not None:
            _add(results, TEXT, text)
        return results

    def _flatten(self, element: Element, prefix: str, results: dict[str, Any]) -> None:
        """Add all values inside an element but its own text."""
        for name, part in _parts(element):
            if not isinstance(part, list):
                _add(results, prefix + name, part)
            elif self.children[name].repeated:
                values = [self.children[name].value(child) for child in part]
                _add(results, prefix + name, values)
            else:
                self.children[name]._add_flat(part[0], prefix + name, results)

    def _add_flat(self, element: Element, path: str, results: dict[str, Any]) -> None:
        if (text := _text(element)) is not None or not self.complex:
            _add(results, path, text)
        if self.complex:
            self._flatten(element, f"{path}_", results)


def _parts(element: Element) -> Iterator[tuple[str, str | list[Element]]]:
    """Yield attributes as texts and children by their name.

    Children with the same name are a list, unless their namespaces differ.
    """
    for name, value in element.items():
        yield local_name(name), value
    children: dict[str, list[Element]] = {}
    for child in element:
        children.setdefault(child.tag, []).append(child)
    for tag, same in children.items():
        yield local_name(tag), same


def _add(results: dict[str, Any], name: str, value: Any) -> None:
    if name in results:
        raise CannotRead(
            f"two values called `{printable(name)}`: an attribute, an element, a path or a text, or"
            " elements of two namespaces"
        )
    results[name] = value


def shape_of(pinned: SourceSchema | None) -> ElementShape:
    """Return the shape of records: lists of the pinned schema stay lists, even of one element.

    A record is an object even if it has only text.
    """
    shape = ElementShape()
    shape.complex = True
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


BLANKS = " \t\r\n"
"""XML's white space; other blanks, such as U+00A0, belong to the text."""


def _text(element: Element) -> str | None:
    """Return the element's own text without surrounding blanks; None if it is empty."""
    parts = [element.text or "", *(child.tail or "" for child in element)]
    return "".join(parts).strip(BLANKS) or None


@lru_cache(4_096)
def local_name(tag: str) -> str:
    """Return a name without its namespace."""
    return tag.rpartition("}")[2]


_PATH = re.compile(r"/{0,2}[\w.-]+(/[\w.-]+)*")
CHUNK_BYTES = 1 << 18
RECORD_BYTES_MAX = 64 << 20
"""64 MiB: maximum size of a record, or of the text between two records."""
DEPTH_MAX = 200
RECORDS_PER_BATCH = 500
_ENDS_EARLY = (
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
)


class Xml(JsonRecordReader):
    """Elements as records: `xml: {records: "//row"}`.

    `//row` finds them at any depth, `/feed/entry` from the root.
    """

    name = "xml"
    meaning = "which elements are records, and whether nested values become columns"
    fields = ("records", "flatten")
    unmistakable = True
    endings: tuple[str, ...] = (".xml",)
    among: tuple[str, ...] = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", INSTANT)
    textual = True

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `xml: {records: "//row", flatten: true}`."""
        records = fields.text("records")
        if records is not None and not _PATH.fullmatch(records):
            fields.refuse(
                "records",
                f"{shown(records)} isn't a path to records that is understood",
                'write records: "//row" or "/feed/entry"',
            )
        fields.flag("flatten")
        fields.required("records", 'add records: "//row", the elements that are rows')
        return super().read(fields, partition)

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Write one record per line, as JSON.

        An element that occurs twice in one record is a list in all records. If earlier records were
        written without the list, the file is read again.
        """
        path, settings = Path(opened.path), opened.options.get(self.name) or {}
        if "records" not in settings:
            name = _likely_records(path, "utf-8" if opened.encoding == "utf-16" else None)
            raise CannotRead(
                "the source doesn't say which elements are records; declare"
                f' xml: {{records: "//{name}"}}',
                code="delivery_records",
            )
        if not path.stat().st_size:
            raise CannotRead("the file is empty", code="delivery_empty")
        encoding = "utf-8" if opened.encoding == "utf-16" else None  # `open_readable` made it UTF-8
        refuse_document_type(path, encoding)
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
    encode = msgspec.json.Encoder().encode_lines
    batch: list[Any] = []
    written_any = False
    for number, record in enumerate(records, 1):
        value: Any = shape.plain(record)
        if value is None:
            if shape.learn(record) and written_any:
                raise _Reshaped
            value = _object(record, number, shape, flat=flat)
        written_any = True
        batch.append(value)
        if len(batch) == RECORDS_PER_BATCH:
            yield encode(batch)
            batch.clear()
    yield encode(batch)


def _object(record: Element, number: int, shape: ElementShape, *, flat: bool) -> dict[str, Any]:
    try:
        return shape.flat(record) if flat else shape.value(record)
    except CannotRead as error:
        raise CannotRead(f"record {number:,} has {error}") from None


def refuse_document_type(path: Path, encoding: str | None) -> None:
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
            raise _broken(error.code, error.lineno) from error
    except (LookupError, ValueError) as error:
        raise _unknown_encoding() from error
    if results[:1] == ["doctype"]:
        raise CannotRead(
            f"line {parser.CurrentLineNumber}: a document type (`<!DOCTYPE`), which isn't read",
            line=parser.CurrentLineNumber,
            code="delivery_doctype",
        )


def _likely_records(path: Path, encoding: str | None) -> str:
    """Return the name of the elements that are likely records, by the begin of a file.

    Those have attributes or elements, and are the most frequent ones of the first level below the
    root on which such an element comes twice.
    """
    parser = expat.ParserCreate(encoding)
    around: list[str] = []
    counts, with_parts = Counter[tuple[int, str]](), set[tuple[int, str]]()

    def start(name: str, attributes: dict[str, str]) -> None:
        with_parts.add((len(around), around[-1] if around else ""))
        around.append(name.rpartition(":")[2])
        counts[len(around), around[-1]] += 1
        if attributes:
            with_parts.add((len(around), around[-1]))

    parser.StartElementHandler, parser.EndElementHandler = start, lambda _: around.pop()
    with path.open("rb") as file, suppress(expat.ExpatError, LookupError, ValueError):
        parser.Parse(file.read(4 * CHUNK_BYTES), False)
    below = [key for key in with_parts if key[0] > 1]
    first = min(below, key=lambda key: (counts[key] < 2, key[0], -counts[key]), default=(0, "row"))
    return first[1]


def _records(path: Path, where: str, encoding: str | None = None) -> Iterator[Element]:
    """Yield the complete element of each record; others are dropped soon after their end."""
    from xml.etree.ElementTree import ParseError, TreeBuilder, XMLParser

    # The document becomes the only child of an element that was there before, so that the tree can
    # be looked at while it grows: events for each element's start and end take twice the time.
    builder = TreeBuilder()
    walk = _Walk(builder.start("document", {}), where)
    # document types were already refused
    parser = XMLParser(target=builder, encoding=encoding)  # noqa: S314
    waiting = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                waiting += len(chunk)
                parser.feed(chunk)
                for record in walk.records():
                    waiting = 0
                    yield record
                # a record shows as complete when its next sibling begins, maybe a chunk later
                if waiting > RECORD_BYTES_MAX + CHUNK_BYTES:
                    raise CannotRead(
                        f"no record ends within {RECORD_BYTES_MAX:,} bytes; do `records` and the"
                        " file fit?",
                        code="delivery_records",
                    )
            parser.close()
            yield from walk.records(ended=True)
    except ParseError as error:
        raise _broken(error.code, error.position[0]) from error
    except (LookupError, ValueError) as error:
        raise _unknown_encoding() from error


def growing(path: Path, names: Collection[str]) -> Iterator[tuple[str, Element, Element | None]]:
    """Yield "start" and "end" of the elements with these names, each with the one around it.

    At its start, an element has its attributes; after its end, it is dropped. Raises CannotRead.
    """
    from xml.etree.ElementTree import ParseError

    growth = _Growth(names)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                growth.feed(chunk)
                yield from growth.events()
            growth.parser.close()
    except ParseError as error:
        raise _broken(error.code, error.position[0]) from error
    except (LookupError, ValueError) as error:
        raise _unknown_encoding() from error


class _Growth:
    """The elements of a document that comes in pieces."""

    def __init__(self, names: Collection[str]) -> None:
        from xml.etree.ElementTree import XMLPullParser

        self.parser: Any = XMLPullParser(("start", "end"))
        self._names = names
        self._open: list[Element] = []
        self._waiting = 0
        """Bytes since an element was dropped."""

    def feed(self, chunk: bytes) -> None:
        """Parse a piece. Raises CannotRead for an element that would fill the memory."""
        self._waiting += len(chunk)
        if self._waiting > RECORD_BYTES_MAX + CHUNK_BYTES:
            raise CannotRead(f"no element ends within {RECORD_BYTES_MAX:,} bytes")
        self.parser.feed(chunk)

    def events(self) -> Iterator[tuple[str, Element, Element | None]]:
        """Yield what is new."""
        for event, element in self.parser.read_events():
            around = self._around(event, element)
            if local_name(element.tag) in self._names:
                yield event, element, around
                if event == "end" and around is not None:
                    around.remove(element)
                    self._waiting = 0

    def _around(self, event: str, element: Element) -> Element | None:
        """Return the element around one that begins or ends."""
        if event == "end":
            self._open.pop()
        around = self._open[-1] if self._open else None
        if event == "start":
            self._open.append(element)
            if len(self._open) > DEPTH_MAX:
                raise _too_deep()
        return around


class _Walk:
    """The records in a tree that grows."""

    def __init__(self, document: Element, where: str) -> None:
        self._document = document
        self._anywhere = where.startswith("//")
        self._wanted = tuple(part for part in where.split("/") if part)

    def records(self, *, ended: bool = False) -> Iterator[Element]:
        """Yield and drop the records that are complete since the last call.

        The last element of each level may still be open, unless the document has `ended`.
        """
        yield from self._below(self._document, (), ended=ended)

    def _below(self, parent: Element, names: tuple[str, ...], *, ended: bool) -> Iterator[Element]:
        """Yield the complete records below `parent`, whose path is `names`, and drop the rest.

        Its last child stays if `parent` may still be open.
        """
        if len(names) > DEPTH_MAX:
            raise _too_deep()
        children = list(parent)
        last = None if ended or not children else children.pop()
        yield from self._complete(children, names)
        if children:
            del parent[: len(children)]
        if last is None:
            return
        inside = (*names, local_name(last.tag))
        if self._is_record(inside):
            _require_shallow_end(last, len(inside))
        else:
            yield from self._below(last, inside, ended=False)

    def _complete(self, children: list[Element], names: tuple[str, ...]) -> Iterator[Element]:
        """Yield the records among complete elements with the same parent, and below them."""
        are_records: dict[str, bool] = {}
        for child in children:
            tag = child.tag
            is_record = are_records.get(tag)
            if is_record is None:
                is_record = are_records[tag] = self._is_record((*names, local_name(tag)))
            if is_record:
                _require_shallow(child, len(names) + 1)
                yield child
            else:
                yield from self._below(child, (*names, local_name(tag)), ended=True)

    def _is_record(self, names: tuple[str, ...]) -> bool:
        return (
            names[-len(self._wanted) :] == self._wanted if self._anywhere else names == self._wanted
        )


def _require_shallow(record: Element, depth: int) -> None:
    """Raise CannotRead if a record that is `depth` deep has elements below DEPTH_MAX."""
    level: list[Element] = [record]
    while level := [inner for element in level if len(element) for inner in element]:
        depth += 1
        if depth > DEPTH_MAX:
            raise _too_deep()


def _require_shallow_end(record: Element, depth: int) -> None:
    """Like `_require_shallow`, for the elements that are still open, in a record that grows."""
    while len(record):
        record, depth = record[-1], depth + 1
        if depth > DEPTH_MAX:
            raise _too_deep()


def _too_deep() -> CannotRead:
    return CannotRead(f"elements are nested more than {DEPTH_MAX} deep")


def _unknown_encoding() -> CannotRead:
    return CannotRead(
        "can't be read in the encoding that its first line names: deliver it in UTF-8",
        code="delivery_encoding",
    )


_FAULTS = {
    4: "a character that may not stand there, such as a bare `&` or `<`, or a byte in another"
    " encoding",
    7: "an element ends with the tag of another",
    8: "an element has an attribute twice",
    9: "more comes after the end of the outermost element",
    11: "an entity that XML doesn't define; it has `&amp;`, `&lt;`, `&gt;`, `&quot;`, `&apos;`",
    14: "a reference to a character that XML doesn't have",
    17: "`<?xml …?>` isn't at the very beginning",
    19: "the file isn't in the encoding that `<?xml …?>` names",
    27: "a prefix of a name that no `xmlns:` declares",
    30: "`<?xml …?>` isn't complete",
}
"""Expat's error code → what is wrong, in words."""


def _broken(code: int, line: int) -> CannotRead:
    """Return the error of a document that isn't well-formed, by Expat's code."""
    if code in _ENDS_EARLY:
        return CannotRead(
            f"the file is cut off: it ends in line {line}, before its elements do",
            line=line,
            code="delivery_truncated",
        )
    fault = f" ({_FAULTS[code]})" if code in _FAULTS else ""
    return CannotRead(f"line {line}: isn't well-formed XML{fault}", line=line)
