"""A workbook's zip file: what the library that reads workbooks doesn't tell.

That is how large the workbook is, and which cells hold an error or a formula that wasn't computed.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import unescape

from headrace.extension.formats import CannotRead, UnpackLimits, printable

CHUNK_BYTES = 1 << 20
WORKBOOK_BYTES_MAX = 2 << 30
"""2 GiB: the maximum that a workbook may unpack to, because it is read into memory."""
OVERLAP_BYTES = 4_096
OVERLAP_ENTITY_BYTES = 64
ROWS_MAX = 1_048_576
COLUMNS_MAX = 16_384
PART_BYTES_MAX = 16 << 20
RANGE = re.compile(r"([A-Za-z]{1,3})([1-9][0-9]{0,6})?:([A-Za-z]{1,3})([1-9][0-9]{0,6})?")
_ERROR = re.compile(
    rb"<(?:\w+:)?c\b([^>]*\bt=[\"']e[\"'][^>]*)>(?:(?!</(?:\w+:)?c>).)*?<(?:\w+:)?v>([^<]{0,40})<",
    re.DOTALL,
)
_NO_VALUE = re.compile(
    rb"<(?:\w+:)?c\b([^>/]*)>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*(0?)\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
"""A cell with a formula and without its result, or with 0.

Empty text is a result: such a cell's type is text.
"""
_TO_COMPUTE = re.compile(r"<(?:\w+:)?calcPr\b[^>]*\bfullCalcOnLoad=[\"'](?:1|true)[\"']")
"""The workbook asks its reader to compute: xlsxwriter saves 0 as the result of each formula."""
_SUSPECT = (b't="e"', b"t='e'", b"<f", b":f")
"""Parts of each cell with an error or a formula."""
_TEXT = re.compile(rb"\bt=[\"']str[\"']")
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENTITY = re.compile(
    rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)[^;<\s]{0,30};"
)
_PLACE = re.compile(rb"\br=[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")


class CellRange(NamedTuple):
    """A range of cells; all bounds count from 0 and are included."""

    top: int = 0
    left: int = 0
    bottom: int = ROWS_MAX
    right: int = COLUMNS_MAX


class CellError(NamedTuple):
    """A selected cell with an error, or with a formula without a value."""

    cell: str
    row: int
    text: str


def cells_of(text: str | None) -> CellRange:
    """Parse `A3:F200`, or `A:F` for all rows."""
    if text is None:
        return CellRange()
    match = RANGE.fullmatch(text)
    assert match is not None, "validated with the declaration"
    columns = sorted((_column(match[1]), _column(match[3])))
    return CellRange(int(match[2] or 1) - 1, columns[0], int(match[4] or ROWS_MAX) - 1, columns[1])


def _column(name: str) -> int:
    number = 0
    for letter in name.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def suspects(path: Path, bounds: UnpackLimits) -> frozenset[str]:
    """Return the workbook's members that may hold errors or formulas without a value.

    Raises CannotRead for a workbook that unpacks to more than allowed (its declared sizes aren't
    trusted), and for document types and entities, which no workbook needs and which would be read
    as empty cells.
    """
    results: set[str] = set()
    if not zipfile.is_zipfile(path):
        return frozenset()
    packed, unpacked_bytes = path.stat().st_size, 0
    most = UnpackLimits(
        min(bounds.bytes_max, WORKBOOK_BYTES_MAX), bounds.ratio_max, bounds.free_bytes
    )
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            rest = b""
            for chunk in member_chunks(archive, member.filename):
                unpacked_bytes += len(chunk)
                most.check(unpacked_bytes, packed)
                data = rest + chunk
                if member.filename.endswith((".xml", ".rels")):
                    _refuse_entities(data, member.filename)
                if _is_suspect(data):
                    results.add(member.filename)
                rest = data[-OVERLAP_ENTITY_BYTES:]
    return frozenset(results)


def _is_suspect(data: bytes) -> bool:
    # from the end: a half to a quarter of the time that `in` takes for parts that are rare
    return any(data.rfind(part) >= 0 for part in _SUSPECT)


def _refuse_entities(data: bytes, member: str) -> None:
    wrong = _DOCTYPE.search(data) or (None if b"<![CDATA[" in data else _ENTITY.search(data))
    if wrong is not None:
        text = printable(wrong[0].decode(errors="replace"), 20)
        message = (
            f"the workbook's {printable(member)} holds `{text}`: document types and entities aren't"
            " read"
        )
        raise CannotRead(message, code="delivery_doctype")


def _errors(data: bytes, is_computed: bool) -> Iterator[tuple[bytes, str]]:
    """Yield the attributes of each cell with an error or a formula without a result, and which."""
    if b't="e"' in data or b"t='e'" in data:
        for match in _ERROR.finditer(data):
            yield match[1], printable(match[2].decode(errors="replace"), 20)
    for match in _NO_VALUE.finditer(data):
        if not (_TEXT.search(match[1]) or (match[2] and is_computed)):
            yield match[1], "a formula that wasn't computed"


def formula_error(
    path: Path, sheet: str, cells: CellRange, columns: Collection[int], among: Collection[str]
) -> CellError | None:
    """Return the first selected cell with an error (`#REF!`) or a formula without a result.

    Only `.xlsx` and `.xlsm` contain that information. `among` are the zip's members to search.
    """
    with zipfile.ZipFile(path) as archive:
        member = sheet_member(archive, sheet)
        if member is None or member not in among:
            return None
        is_computed = _TO_COMPUTE.search(part_text(archive, "xl/workbook.xml")) is None
        rest = b""
        for chunk in member_chunks(archive, member):
            data = rest + chunk
            for attributes, text in _errors(data, is_computed):
                place = located(attributes, cells)
                if place and place.column in columns:
                    return CellError(place.name, place.row, text)
            rest = data[-OVERLAP_BYTES:]
    return None


class Place(NamedTuple):
    """Where a cell is: `B3`, its row from 1 and its column from 0."""

    name: str
    row: int
    column: int


def located(attributes: bytes, cells: CellRange) -> Place | None:
    """Return the place of a cell inside of `cells`, by its attributes; None for other cells."""
    match = _PLACE.search(attributes)
    if match is None:
        return None
    name, row = match[1].decode(), int(match[2])
    place = Place(f"{name}{row}", row, _column(name))
    inside = cells.top <= row - 1 <= cells.bottom and cells.left <= place.column <= cells.right
    return place if inside else None


def sheet_member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the sheet's file in the zip; None for formats other than Office's XML."""
    book, links = (
        part_text(archive, "xl/workbook.xml"),
        part_text(archive, "xl/_rels/workbook.xml.rels"),
    )
    relationship_id, target = None, None
    for tag in re.findall(r"<(?:\w+:)?sheet\b[^>]*>", book):
        if attribute(tag, "name") == sheet:
            relationship_id = attribute(tag, r"(?:\w+:)id")
    for tag in re.findall(r"<(?:\w+:)?Relationship\b[^>]*>", links):
        if target is None and attribute(tag, "Id") == relationship_id:
            target = attribute(tag, "Target")
    if relationship_id is None or target is None:
        return None
    member = "xl/" + target.lstrip("/").removeprefix("xl/")
    return member if member in archive.namelist() else None


def attribute(tag: str, name: str) -> str | None:
    """Return an attribute of an XML tag; `name` is a pattern."""
    match = re.search(rf"\s{name}=(?:\"([^\"]*)\"|'([^']*)')", tag)
    return unescape(match[1] or match[2] or "", {"&quot;": '"', "&apos;": "'"}) if match else None


def part_text(archive: zipfile.ZipFile, name: str) -> str:
    """Return a member's text, at most PART_BYTES_MAX of it; empty if it can't be read."""
    try:
        with archive.open(name) as stream:
            return stream.read(PART_BYTES_MAX).decode("utf-8", errors="replace")
    except (KeyError, *_DAMAGED):
        return ""


_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


def member_chunks(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    """Yield a member's bytes. Raises CannotRead for a damaged one."""
    try:
        with archive.open(member) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except _DAMAGED as error:
        raise CannotRead("the workbook is damaged") from error
