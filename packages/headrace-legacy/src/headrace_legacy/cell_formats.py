"""How a workbook writes and shows its cells, as far as that changes their values.

A cell holds a number; its format alone says that it is a time of the day or a date, and shows the
leading zeros of a code. Some programs write more digits than a number keeps. The library that reads
workbooks tells none of it. Only `.xlsx` and `.xlsm` are looked into.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from headrace.extension.formats import CannotRead
from headrace_legacy.workbook_files import (
    OVERLAP_BYTES,
    CellRange,
    attribute,
    located,
    member_chunks,
    part_text,
    sheet_member,
)

DAYS_MAX = 366
"""A number that is shown as a time of the day is a duration up to here, and a date above."""
DAYS_END = 2_958_466
"""The day after 9999-12-31."""
NO_DAY = 60
"""1900-02-29, which Excel has and the calendar hasn't."""
_MIDNIGHT = 1 - 0.5 / 86_400_000
"""From here on a time of the day in milliseconds would be 24:00."""
_TIME = "a time of the day; give a duration the format [h]:mm"
_DATE = "a date that can be read"
_DURATION = "a duration from 0 on"
_LONG = rb"-?[0-9]+[0-9.]{14,}"
_DIGITS_MAX = 17
"""Digits with which programs write numbers, so that none is lost."""
_BUILT_IN = {
    **dict.fromkeys((14, 15, 16, 17, 22), _DATE),
    **dict.fromkeys((18, 19, 20, 21, 45, 47), _TIME),
    46: _DURATION,
}
"""Formats that no workbook writes out, by their numbers."""
_ELAPSED = re.compile(r"\[[hms]+\]", re.IGNORECASE)
_FIXED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|[_*].')
_DIGITS = re.compile(r'(?:\[(?:[A-Za-z]+[0-9]*|\$[^\]]*)\])?((?:0|"[^"]*"|\\.|[-() +])*)')
"""A format of digits and fixed characters, after a colour or a language."""
_PIECE = re.compile(r'(0)|"([^"]*)"|\\?(.)')

Pieces = tuple[str | None, ...]
"""A format of digits: None for each of them, and the texts between."""


class _Styles(NamedTuple):
    """The styles that matter, by their numbers."""

    kinds: dict[int, str]
    """What the numbers are shown as."""
    codes: dict[int, Pieces]
    """The digits that numbers are shown with, at least."""


class CellFormats:
    """The formats of the cells of one sheet."""

    def __init__(self, path: Path, sheet: str) -> None:
        self._path, self._member = path, None
        self._styles, self._from_1904 = _Styles({}, {}), False
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                self._member = sheet_member(archive, sheet)
                self._styles = _styles_of(part_text(archive, "xl/styles.xml"))
                book = part_text(archive, "xl/workbook.xml")
                self._from_1904 = bool(re.search(r"\bdate1904=[\"'](?:1|true)[\"']", book))

    @property
    def known(self) -> bool:
        """Whether the workbook is of a kind whose formats can be read."""
        return self._member is not None

    def refuse_impossible(self, cells: CellRange) -> None:
        """Raise CannotRead for the first cell that is shown as what it can't be.

        That is a time of the day, a date, or a duration.
        """
        kinds = self._styles.kinds
        for attributes, style, text in self._numbers(kinds):
            kind = kinds[style]
            if not self._possible(float(text), kind) and (place := located(attributes, cells)):
                raise CannotRead(
                    f"cell {place.name} holds the number {text}, which isn't {kind}",
                    line=place.row,
                    code="delivery_cell_error",
                )

    def refuse_long(self, cells: CellRange) -> None:
        """Raise CannotRead for the first cell with a number whose last digits would be lost."""
        for attributes, _, text in self._numbers(None, _LONG):
            place = located(attributes, cells)
            if place and _loses_digits(text):
                raise CannotRead(
                    f"cell {place.name} holds {text}, which has more digits than a number keeps;"
                    " have it written as text",
                    line=place.row,
                    code="delivery_cell_error",
                )

    def _possible(self, number: float, kind: str) -> bool:
        if not 0 <= number < DAYS_END:
            return False
        if kind == _TIME:
            return number < _MIDNIGHT or number >= DAYS_MAX
        no_day = number < 1 or (int(number) == NO_DAY and not self._from_1904)
        return kind == _DURATION or not no_day

    def codes(self) -> Codes:
        """Return the cells of columns in which at least one number is shown with leading zeros."""
        forms = self._styles.codes
        marks: dict[int, dict[int, int]] = {}
        padded: set[int] = set()
        for attributes, style, text in self._numbers(forms):
            place = located(attributes, CellRange())
            if place and float(text).is_integer():
                marks.setdefault(place.column, {})[place.row] = style
                if abs(float(text)) < 10 ** (forms[style].count(None) - 1):
                    padded.add(place.column)
        return Codes(forms, {column: marks[column] for column in padded})

    def _numbers(
        self, styles: Collection[int] | None, number: bytes = rb"[-+.0-9eE]+"
    ) -> Iterator[tuple[bytes, int, str]]:
        """Yield attributes, style and text of each number in one of these styles; None for any."""
        if self._member is None or (styles is not None and not styles):
            return
        styled = rb"()"
        if styles is not None:
            listed = b"|".join(b"%d" % style for style in styles)
            styled = rb"(?=[^>]*\bs=[\"'](" + listed + rb")[\"'])"
        pattern = re.compile(
            rb"<(?:\w+:)?c\b" + styled + rb"([^>]*[^/>])>\s*"
            rb"(?:<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*)?"
            rb"<(?:\w+:)?v>(" + number + rb")</"
        )
        rest = b""
        with zipfile.ZipFile(self._path) as archive:
            for chunk in member_chunks(archive, self._member):
                data = rest + chunk
                for match in pattern.finditer(data):
                    if not re.search(rb"\bt=[\"'](?!n[\"'])", match[2]):
                        yield match[2], int(match[1] or 0), match[3].decode()
                rest = data[-OVERLAP_BYTES:]


def _loses_digits(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    digits = (whole + fraction).lstrip("-0").rstrip("0")
    if fraction.strip("0") and len(digits) <= _DIGITS_MAX:
        return False
    return Decimal(text) != Decimal(repr(float(text)))


class Codes(NamedTuple):
    """Whole numbers that are shown with leading zeros: postal codes, account numbers."""

    forms: Mapping[int, Pieces]
    by_column: Mapping[int, Mapping[int, int]]
    """Column, from 0 → row, from 1 → the number of its format in `forms`."""

    def as_text(self, row: int, values: Sequence[Any], left: int) -> Sequence[Any]:
        """Return a row's values, the first of which is in column `left`, with codes as text."""
        results = list(values)
        for column, styles in self.by_column.items():
            at = column - left
            if row in styles and 0 <= at < len(results):
                results[at] = _as_shown(int(results[at]), self.forms[styles[row]])
        return results


def _as_shown(number: int, form: Pieces) -> str:
    width = form.count(None)
    digits = str(abs(number)).zfill(width)
    results, ahead = ["-" if number < 0 else ""], len(digits) - width + 1
    for piece in form:
        if piece is None:
            results.append(digits[:ahead])
            digits, ahead = digits[ahead:], 1
        else:
            results.append(piece)
    return "".join(results)


def _styles_of(text: str) -> _Styles:
    """Parse `xl/styles.xml`: formats by their numbers, and each style's format."""
    kinds, codes = dict(_BUILT_IN), dict[int, Pieces]()
    for tag in re.findall(r"<(?:\w+:)?numFmt\b[^>]*>", text):
        form = (attribute(tag, "formatCode") or "").split(";")[0]
        if pieces := _pieces_of(form):
            codes[_format_number(tag)] = pieces
        elif kind := _kind_of(form):
            kinds[_format_number(tag)] = kind
    cells = re.search(r"<(?:\w+:)?cellXfs\b.*?</(?:\w+:)?cellXfs>", text, re.DOTALL)
    tags = re.findall(r"<(?:\w+:)?xf\b[^>]*>", cells[0] if cells else "")
    styles = list(enumerate(map(_format_number, tags)))
    return _Styles(
        {style: kinds[number] for style, number in styles if number in kinds},
        {style: codes[number] for style, number in styles if number in codes},
    )


def _format_number(tag: str) -> int:
    text = attribute(tag, "numFmtId") or ""
    return int(text) if text.isdecimal() else 0


def _pieces_of(form: str) -> Pieces:
    match = _DIGITS.fullmatch(form)
    matches = _PIECE.finditer(match[1]) if match else ()
    pieces = tuple(None if piece[1] else piece[2] or piece[3] or "" for piece in matches)
    return pieces if pieces.count(None) > 1 else ()  # one digit has no leading zero


def _kind_of(form: str) -> str | None:
    if _ELAPSED.search(form):
        return _DURATION
    letters = set(_FIXED.sub("", form).lower())
    if letters & set("yd") or ("m" in letters and not letters & set("hs")):
        return _DATE
    return _TIME if letters & set("hs") else None
