"""Tables by byte: characters of a code page, digits and signs of zoned and packed numbers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headrace_legacy.code_pages import EBCDIC, NO_LINE_BREAKS, OVERPUNCH

MINUS = (0xB, 0xD)
"""Signs of packed and zoned numbers that are minus; A, C, E and F are plus."""
PLUS = (0xA, 0xC, 0xE, 0xF)
NOT_A_DIGIT = 255
NOT_ASCII = 255

Bytes = npt.NDArray[np.uint8]
Whole = npt.NDArray[np.int64]
_ASCII_MINUS = "pqrstuvwxy"
"""The last digit of a negative number as compilers on other computers write it: -0 to -9."""


class CodePage(NamedTuple):
    """Tables by byte."""

    name: str
    is_ebcdic: bool
    points: npt.NDArray[np.uint32]
    """Code points of characters."""
    ascii: Bytes
    """The same, NOT_ASCII for others than ASCII."""
    digits: Bytes
    """0 to 9 for plain digits, else NOT_A_DIGIT."""
    signed_digits: Bytes
    """0 to 9 for digits that may carry a sign."""
    negative: npt.NDArray[np.bool_]
    """Whether a digit carries a minus."""
    line_ends: tuple[bytes, ...]

    def encoded(self, character: str) -> int:
        """Return the byte of an ASCII character, the last one of several."""
        return int(np.flatnonzero(self.points == ord(character))[-1])


@cache
def code_page(name: str) -> CodePage:
    """Return the tables of an encoding with one byte per character."""
    text = bytes(range(256)).decode(name, errors="replace").translate(NO_LINE_BREAKS)
    points = np.array([ord(character) for character in text], np.uint32)
    is_ebcdic = name in EBCDIC
    signed: list[tuple[Iterable[int], bool]]
    if is_ebcdic:
        plain: Iterable[int] = range(0xF0, 0xFA)
        signed = [(range(zone << 4, (zone << 4) + 10), zone in MINUS) for zone in (*PLUS, *MINUS)]
        line_ends: tuple[bytes, ...] = (b"\x25", b"\x15")
    else:
        plain = range(0x30, 0x3A)
        signed = [
            (plain, False),
            (map(ord, OVERPUNCH[:10]), False),
            (map(ord, OVERPUNCH[10:]), True),
            (map(ord, _ASCII_MINUS), True),
        ]
        line_ends = (b"\n",)
    signed_digits = np.full(256, NOT_A_DIGIT, np.uint8)
    negative = np.zeros(256, np.bool_)
    for places, minus in signed:
        for digit, byte in enumerate(places):
            signed_digits[byte], negative[byte] = digit, minus
    return CodePage(
        name,
        is_ebcdic,
        points,
        np.where(points < 128, points, NOT_ASCII).astype(np.uint8),
        _digits(plain),
        signed_digits,
        negative,
        line_ends,
    )


def _digits(places: Iterable[int]) -> Bytes:
    table = np.full(256, NOT_A_DIGIT, np.uint8)
    for digit, byte in enumerate(places):
        table[byte] = digit
    return table


NIBBLES_PLUS = np.isin(np.arange(16), PLUS)
NIBBLES_MINUS = np.isin(np.arange(16), MINUS)
