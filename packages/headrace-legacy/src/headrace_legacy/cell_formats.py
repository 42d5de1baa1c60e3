"""How a workbook writes and shows its cells, as far as that changes their values.

A cell holds a number; its format alone says that it is a time of the day or a date, and shows the
leading zeros of a code. Some programs write more digits than a number keeps. The library that reads
workbooks tells none of it. Only `.xlsx` and `.xlsm` are looked into.
"""

from __future__ import annotations

import math
import operator
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
_SECTION = re.compile(r'((?:"[^"]*"|\\.|[_*].|[^;])*);?')
_DIGITS = re.compile(
    r"(?:\[(?:([<>=]+)(-?[0-9]+(?:[.][0-9]+)?)|[A-Za-z]+[0-9]*|\$[^\]]*)\])*"
    r'((?:[0#?]|"[^"]*"|\\.|[_*].|[^0-9#?.,%@*_\[\]/\\";A-Za-z])*)'
)
"""A format of digits and fixed characters, after a condition, a colour or a language."""
_PIECE = re.compile(r'([0#?])|[_*].|"([^"]*)"|\\?(.)')
_CONDITIONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}


class Section(NamedTuple):
    """One of the forms of a number format, and the numbers that it is for."""

    condition: str
    limit: float
    pieces: tuple[str | None, ...] = (None,)
    """None for each digit, and the texts between."""
    digits: int = 1
    """The number of digits that are shown at least."""

    def is_for(self, number: float) -> bool:
        """Return whether numbers like this one are shown in this form."""
        return _CONDITIONS[self.condition](number, self.limit)


_BY_SIGN = {
    1: (("<>", math.inf),),
    2: ((">=", 0.0), ("<", 0.0)),
    3: ((">", 0.0), ("<", 0.0), ("=", 0.0)),
}
"""What the sections of a format without conditions are for, by their number."""
_OTHERS = Section("<>", math.inf)


class _Styles(NamedTuple):
    """The styles that matter, by their numbers."""

    kinds: dict[int, str]
    """What the numbers are shown as."""
    codes: dict[int, tuple[Section, ...]]
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
            number = float(text)
            if place and number.is_integer():
                marks.setdefault(place.column, {})[place.row] = style
                if abs(number) < 10 ** (_section_for(number, forms[style]).digits - 1):
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

    forms: Mapping[int, Sequence[Section]]
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


def _section_for(number: float, sections: Sequence[Section]) -> Section:
    return next((section for section in sections if section.is_for(number)), _OTHERS)


def _as_shown(number: int, sections: Sequence[Section]) -> str:
    section = _section_for(number, sections)
    digits, places = str(abs(number)).zfill(section.digits), section.pieces.count(None)
    # the section for negative numbers has its own sign
    results = ["-" if number < 0 and (section.condition, section.limit) != ("<", 0) else ""]
    for piece in section.pieces:
        if piece is None:
            here = max(0, len(digits) - places + 1)
            results.append(digits[:here])
            digits, places = digits[here:], places - 1
        else:
            results.append(piece)
    return "".join(results)


def _styles_of(text: str) -> _Styles:
    """Parse `xl/styles.xml`: formats by their numbers, and each style's format."""
    kinds, codes = dict(_BUILT_IN), dict[int, tuple[Section, ...]]()
    for tag in re.findall(r"<(?:\w+:)?numFmt\b[^>]*>", text):
        texts = _SECTION.findall(attribute(tag, "formatCode") or "")[:-1]
        sections = _sections_of(texts[:3])
        if any(section.digits > 1 for section in sections):
            codes[_format_number(tag)] = sections
        elif kind := _kind_of(texts[0] if texts else ""):
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


def _sections_of(texts: Sequence[str]) -> tuple[Section, ...]:
    matches = [_DIGITS.fullmatch(text) for text in texts]
    given = any(match is not None and match[1] in _CONDITIONS for match in matches)
    results = []
    for number, match in enumerate(matches):
        condition, limit = ("<>", math.inf) if given else _BY_SIGN[len(texts)][number]
        if match is not None and match[1] in _CONDITIONS:
            condition, limit = match[1], float(match[2])
        results.append(_section_of(condition, limit, match[3] if match is not None else ""))
    return tuple(results)


def _section_of(condition: str, limit: float, text: str) -> Section:
    """Return a section; one without digits, or of more than digits, shows a number as it is."""
    matches = list(_PIECE.finditer(text))
    digits = "".join(piece[1] or "" for piece in matches)
    if not digits:
        return Section(condition, limit)
    pieces = tuple(None if piece[1] else piece[2] or piece[3] or "" for piece in matches)
    return Section(condition, limit, pieces, len(digits.lstrip("#?")))


def _kind_of(form: str) -> str | None:
    if _ELAPSED.search(form):
        return _DURATION
    letters = set(_FIXED.sub("", form).lower())
    if letters & set("yd") or ("m" in letters and not letters & set("hs")):
        return _DATE
    return _TIME if letters & set("hs") else None
