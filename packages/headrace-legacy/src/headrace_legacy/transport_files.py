"""Transport files of SAS (XPORT): what pyreadstat leaves unsaid of them.

Headers are records of 80 bytes. Rows of one width follow, and blanks fill the last 80 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

from headrace.extension.formats import CannotRead

_RECORD = 80
_HEADER = re.compile(rb"HEADER RECORD\*{7}(MEM|OBS)")
_LETTERS = re.compile(rb"[A-Z_]\0+")
_ROWS = slice(48, 63)
"""Where the header of the rows states how many there are, since version 8."""


class Transport:
    """The rows of a transport file.

    Raises CannotRead for several data sets, and for a file that is cut off within a row.
    """

    def __init__(self, path: Path, widths: Mapping[str, int]) -> None:
        self._path, self._widths = path, widths
        self._starts = dict(zip(widths, accumulate(widths.values(), initial=0), strict=False))
        self._width = sum(widths.values())
        self._first, self._rows = 0, b""
        self.stated_rows: int | None = None
        """The number of rows that its header states."""
        self._read_headers()
        self._require_whole()

    def _read_headers(self) -> None:
        sets = 0
        with self._path.open("rb") as file:
            while record := file.read(_RECORD):
                header = _HEADER.match(record)
                sets += header is not None and header[1] == b"MEM"
                if sets > 1:
                    raise CannotRead("it has several data sets; write each to a file of its own")
                if header is not None and header[1] == b"OBS" and not self._first:
                    self._first = file.tell()
                    stated = record[_ROWS].strip()
                    self.stated_rows = int(stated) or None if stated.isdigit() else None

    def _require_whole(self) -> None:
        size = self._path.stat().st_size
        rest = (size - self._first) % self._width
        with self._path.open("rb") as file:
            file.seek(size - rest)
            is_filling = rest < _RECORD and not file.read().strip(b" ")
        if size % _RECORD or not is_filling:
            raise CannotRead("it is cut off within a row", code="delivery_truncated")

    def load(self, first: int, count: int) -> None:
        """Read rows, numbered from 0, for `letter`."""
        with self._path.open("rb") as file:
            file.seek(self._first + first * self._width)
            self._rows = file.read(count * self._width)

    def letter(self, row: int, name: str) -> str | None:
        """Return the letter, or `_`, of a missing number in a loaded row; None for a plain one."""
        start = row * self._width + self._starts[name]
        value = self._rows[start : start + self._widths[name]]
        return chr(value[0]) if _LETTERS.fullmatch(value) else None
