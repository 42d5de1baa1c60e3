"""NAACCR: records of cancer registries, in lines of fixed width (14 to 18) or in XML.

A row is a tumor, or an item with its value. Values are codes and stay text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Fields,
    Opened,
    PartitionSpec,
    RecordFormat,
    SourceSchema,
    UnpackLimits,
    printable,
    shown,
)
from headrace_legacy.text_lines import KindsOfRows, lines_of
from headrace_legacy.xml import growing, local_name, refuse_document_type

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TUMORS, ITEMS = "tumors", "items"
NAMESPACE = "http://naaccr.org/naaccrxml"
TEXT, COUNT = "VARCHAR", "BIGINT"
_ROOT, _PATIENT, _TUMOR = "NaaccrData", "Patient", "Tumor"
_VERSIONS = ("140", "150", "160", "180")
_LENGTHS = {
    **{key: {"I": 3_339, "C": 5_564, "M": 22_824, "A": 22_824} for key in _VERSIONS[:3]},
    "180": {"I": 4_048, "C": 6_154, "M": 24_194, "A": 24_194},
}
"""Version → type of record → characters of a line."""
_TYPES = "IMCA"
_HEAD = {"record_type": TEXT, "version": TEXT, "patient": COUNT, "tumor": COUNT}
USUAL = (
    *("registryId", "reportingFacility", "patientIdNumber", "tumorRecordNumber"),
    *("dateOfBirth", "sex", "sexAssignedAtBirth", "race1", "spanishHispanicOrigin", "vitalStatus"),
    *("dateOfLastContact", "addrAtDxState", "addrAtDxPostalCode", "countyAtDx"),
    *("dateOfDiagnosis", "ageAtDiagnosis", "sequenceNumberCentral", "primarySite", "laterality"),
    *("histologicTypeIcdO3", "behaviorCodeIcdO3", "grade", "diagnosticConfirmation"),
    *("typeOfReportingSource", "summaryStage2018", "causeOfDeath"),
)
"""The items of `tumors` that a source has if it declares none."""
COLUMNS = {
    TUMORS: {**_HEAD, **dict.fromkeys(USUAL, TEXT)},
    ITEMS: {**_HEAD, "element": TEXT, "item": TEXT, "number": COUNT, "value": TEXT},
}


class Item(NamedTuple):
    """An item of the standard, with its place in the records of each version."""

    number: int
    id: str
    element: str
    places: Mapping[str, slice]


@cache
def known_items() -> dict[str, Item]:
    """Return the standard's items by id."""
    items = {}
    lines = (Path(__file__).parent / "naaccr_items.txt").read_text().splitlines()[1:]
    for number, name, element, *places in (line.split() for line in lines):
        by_version = {}
        for version, place in zip(_VERSIONS, places, strict=True):
            if place != "-":
                start, length = map(int, place.split("+"))
                by_version[version] = slice(start - 1, start - 1 + length)
        items[name] = Item(int(number), name, element, by_version)
    return items


@cache
def _of_numbers() -> dict[int, str]:
    """Return the ids of numbers that only one item ever had."""
    numbers = [item.number for item in known_items().values()]
    return {
        item.number: item.id for item in known_items().values() if numbers.count(item.number) == 1
    }


class Naaccr(KindsOfRows):
    """Tumors and items of cancer registries."""

    name = "naaccr"
    meaning = "which rows of a file of a cancer registry are read"
    endings = (".naaccr",)
    fields = (*KindsOfRows.fields, "items", "own_items")
    kinds_of_rows = COLUMNS

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `items` and `own_items`, too."""
        of_its_own = fields.texts("own_items")
        for name in fields.texts("items"):
            if name not in known_items() and name not in of_its_own:
                fields.refuse(
                    "items",
                    f"NAACCR has no item {shown(name)}",
                    "write its id, such as primarySite, or list an item of your own in own_items",
                )
        return super().read(fields, partition)

    def columns(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the columns of the rows that are read."""
        items = options.get("items")
        if items and self._read_kind(options) == TUMORS:
            return {**_HEAD, **dict.fromkeys([items] if isinstance(items, str) else items, TEXT)}
        return super().columns(options)

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Convert lines to UTF-8; XML names its own encoding."""
        if _is_xml(Path(opened.path)):
            return RecordFormat.unfold(self, opened, temporary, bounds, pinned)
        return super().unfold(opened, temporary, bounds, pinned)

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind."""
        kind = self._read_kind(options)
        columns = [name for name in self.columns(options) if name not in _HEAD]
        for record in _xml_records(path) if _is_xml(path) else _line_records(path):
            if kind == ITEMS:
                yield from record.items()
            elif record.is_tumor:
                yield {**record.head, **{name: record.value(name) for name in columns}}


@dataclass
class Record:
    """A tumor with its patient, a patient without tumors, or the items of a file."""

    head: dict[str, Any]
    values: Mapping[str, str]
    """Id → value, of all elements around it, too."""
    own: Mapping[str, list[str]] = field(default_factory=dict)
    """Element → the ids whose rows are this record's."""
    is_tumor: bool = True

    def value(self, name: str) -> str | None:
        """Return an item's value; None without one."""
        return self.values.get(name) or None

    def items(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each of its own items."""
        known = known_items()
        for element, names in self.own.items():
            for name in names:
                number = str(known[name].number) if name in known else None
                row = {"element": element, "item": name, "number": number}
                yield {**self.head, **row, "value": self.values[name] or None}


def _is_xml(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1_000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


# Lines of fixed width.


def _line_records(path: Path) -> Iterator[Record]:
    for number, line in lines_of(path):
        if not line.strip(" \x1a"):
            continue
        kind, version = line[:1], line[16:19]
        length = _LENGTHS.get(version, {}).get(kind)
        if length is None:
            raise CannotRead(
                f"line {number:,}: type {marked(printable(kind))} and version"
                f" {marked(printable(version))} (columns 1, and 17 to 19) aren't those of records"
                " of NAACCR 14 to 18",
                line=number,
            )
        if len(line) != length:
            raise CannotRead(
                f"line {number:,}: it has {len(line):,} characters, and a record of type {kind} of"
                f" version {version} has {length:,}",
                line=number,
            )
        values = {}
        own: dict[str, list[str]] = {_ROOT: [], _PATIENT: [], _TUMOR: []}
        for item, place in _places(version):
            if value := line[place].strip():
                values[item.id] = value
                own[item.element].append(item.id)
        head = {"record_type": kind, "version": version, "patient": None, "tumor": str(number)}
        yield Record(head, values, own)


@cache
def _places(version: str) -> list[tuple[Item, slice]]:
    items = known_items().values()
    return [(item, item.places[version]) for item in items if version in item.places]


# XML.


def _xml_records(path: Path) -> Iterator[Record]:
    refuse_document_type(path, None)
    reading = _Reading()
    for event, element, around in growing(path, (_ROOT, _PATIENT, _TUMOR, "Item")):
        if element.tag.rpartition("}")[0].lstrip("{") == reading.namespace:
            yield from reading.take(event, element, around)
        elif not reading.open:
            break
    if not reading.open:
        raise not_naaccr()


def not_naaccr() -> CannotRead:
    """Return the error of another document."""
    return CannotRead("it isn't NAACCR: its first element is no NaaccrData")


@dataclass
class _Reading:
    """Turns elements into records."""

    namespace: str = NAMESPACE
    open: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The elements that are open, outermost first, each with its items."""
    head: dict[str, Any] = field(default_factory=dict)
    patients: int = 0
    tumors: int = 0
    has_tumors: bool = False
    """Whether a tumor of the open patient, or a patient of the file, has begun."""

    def take(self, event: str, element: Element, around: Element | None) -> Iterator[Record]:
        """Yield the record that is complete once an element begins or ends."""
        name = local_name(element.tag)
        if not self.open and name != _ROOT:
            raise not_naaccr()
        if event == "start":
            if name != "Item":
                yield from self._begin(name, element, around)
        elif name == "Item":
            self._item(element, around)
        else:
            self._require_known(element)
            yield from self._end(name)

    def _end(self, name: str) -> Iterator[Record]:
        if name == _TUMOR or (name == _PATIENT and not self.has_tumors):
            yield self._record(name, is_tumor=True)
            self.open.pop()
        elif name == _PATIENT:
            self.open.pop()
        elif not self.patients:
            yield self._record(_ROOT, is_tumor=False)

    def _begin(self, name: str, element: Element, around: Element | None) -> Iterator[Record]:
        expected = {_ROOT: None, _PATIENT: _ROOT, _TUMOR: _PATIENT}[name]
        if (around is not None and local_name(around.tag)) != (expected or False):
            raise CannotRead(f"a {name} can't stand there")
        if name == _ROOT:
            self._file(element)
        elif name == _PATIENT:
            if not self.patients:
                yield self._record(_ROOT, is_tumor=False)
            self.patients += 1
            self.head |= {"patient": str(self.patients), "tumor": None}
        else:
            if not self.has_tumors:
                yield self._record(_PATIENT, is_tumor=False)
            self.tumors += 1
            self.head["tumor"] = str(self.tumors)
        self.has_tumors = name == _TUMOR
        self.open.append((name, {}))

    def _require_known(self, element: Element) -> None:
        """Raise CannotRead for an element of the standard's namespace that it hasn't."""
        for child in element:
            if child.tag.startswith("{" + self.namespace + "}"):
                raise CannotRead(f"NAACCR has no element {shown(local_name(child.tag))}")

    def _file(self, element: Element) -> None:
        kind = element.get("recordType", "")
        if len(kind) != 1 or kind not in _TYPES:
            raise CannotRead(f"there is no recordType {marked(printable(kind))}")
        dictionary = element.get("baseDictionaryUri", "").rpartition("-")[2].removesuffix(".xml")
        self.head = {"record_type": kind, "version": dictionary, "patient": None, "tumor": None}

    def _item(self, element: Element, around: Element | None) -> None:
        name, items = self.open[-1]
        if around is None or local_name(around.tag) != name or (self.has_tumors and name != _TUMOR):
            raise CannotRead("an Item stands after, or outside of, the items of its element")
        item = self._id(element)
        if len(element):
            raise CannotRead(f"{self._place()}: the item {shown(item)} has elements inside")
        if any(item in others for _, others in self.open):
            raise CannotRead(f"{self._place()}: the item {shown(item)} is there twice")
        items[item] = element.text or ""

    def _id(self, element: Element) -> str:
        name, number = element.get("naaccrId"), element.get("naaccrNum")
        named = _of_numbers().get(int(number)) if number and number.isdecimal() else None
        item = name or named
        if item is None:
            raise CannotRead(f"{self._place()}: an Item without naaccrId, or a known naaccrNum")
        known = known_items().get(item)
        if number and known is not None and number != str(known.number):
            raise CannotRead(
                f"{self._place()}: the item {shown(item)} has the number {known.number}, and the"
                f" file writes {marked(printable(number))}"
            )
        return item

    def _place(self) -> str:
        return f"patient {self.patients:,}, tumor {self.tumors:,} of the file"

    def _record(self, element: str, *, is_tumor: bool) -> Record:
        values = {name: value for _, items in self.open for name, value in items.items()}
        return Record({**self.head}, values, {element: [*self.open[-1][1]]}, is_tumor)
