"""Code pages of mainframes, and how their numbers are written as text."""

from __future__ import annotations

import ebcdic  # registers the code pages that Python lacks

assert ebcdic.__version__

EBCDIC = (
    *("cp037", "cp273", "cp500", "cp1047"),
    *(f"cp{number}" for number in range(1140, 1150)),
    *("cp277", "cp278", "cp280", "cp284", "cp285", "cp297", "cp871"),
)
OVERPUNCH = "{ABCDEFGHI}JKLMNOPQR"
"""The last digit of a signed number in mainframe notation: 0 to 9, then -0 to -9."""
NO_LINE_BREAKS: dict[int, str] = dict.fromkeys(
    (*range(1, 32), *range(127, 160), 0x2028, 0x2029), "\N{REPLACEMENT CHARACTER}"
) | {0: " "}
"""Translation of records: NUL becomes a blank, other control characters and line separators U+FFFD.
"""
