"""Numbers in JSON text that DuckDB's reader would round, since it reads each fraction as a double.

They are quoted before it reads them, so that their digits are a text's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from headrace.lake.byte_search import contains
from headrace.lake.strict_casts import writes_long_fraction

OBJECT_BYTES_MAX = 16 << 20
CHUNK_BYTES = 1 << 20
BIGINT_MAX = 2**63 - 1
BIGINT_DIGITS = len(str(BIGINT_MAX))
LONG_DIGITS = 16
"""A number with at least 16 digits and points in a row may be one that a double doesn't hold.

Each number of at most 15 digits survives a double.
"""
_IN_A_NUMBER = b"0123456789.eE+-"
_DIGITS = bytes(ord("0") if byte in b"0123456789." else ord(" ") for byte in range(256))
_LONG = b"0" * LONG_DIGITS
_STRIDE = 5
_LONG_IN_STRIDES = b"0" * (LONG_DIGITS // _STRIDE)
"""What every fifth byte of a text has at least that contains `_LONG`."""
_EXPONENTS = bytes(
    ord("0") if byte in b"0123456789" else ord("e") if byte in b"eE" else ord(" ")
    for byte in range(256)
)
_EXTREME = b"e000"
"""An exponent of three digits: the number may be too large or too small for a double."""
_LONG_NUMBER = re.compile(f"[0-9.]{{{LONG_DIGITS}}}|[eE][+-]?[0-9]{{3}}")
_NUMBER = f"-?[0-9](?:[0-9.eE+-]{{{LONG_DIGITS - 1},}}|[0-9.]*[eE][+-]?[0-9]{{3,}})"
_NUMBER_BYTES = re.compile(_NUMBER.encode())
_TOKEN = re.compile(rf'"(?:[^"\\]|\\.)*"|{_NUMBER}')


def exact(text: str) -> str:
    """Quote the numbers in JSON text that neither a double nor a BIGINT can hold exactly."""
    return _TOKEN.sub(_quoted, text) if _LONG_NUMBER.search(text) else text


def has_inexact(data: bytes) -> bool:
    """Whether `exact` may change this JSON text: it has such a number, maybe inside of a text."""
    # 30 times as fast as a regular expression, and enough for most files
    is_long = contains(data[::_STRIDE].translate(_DIGITS), _LONG_IN_STRIDES) and contains(
        data.translate(_DIGITS), _LONG
    )
    if not is_long and not contains(data.translate(_EXPONENTS, b"+-"), _EXTREME):
        return False
    return any(not _is_lossless(match[0].decode()) for match in _NUMBER_BYTES.finditer(data))


def file_has_inexact(path: Path) -> bool:
    """Whether `has_inexact` holds for a file; it is read once."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            data = rest + chunk
            whole = data.rstrip(_IN_A_NUMBER)  # a number may go on in the next chunk
            rest = data[len(whole) :]
            if has_inexact(whole) or len(rest) > CHUNK_BYTES:
                return True
    return has_inexact(rest)


def exact_lines(path: Path) -> Iterator[bytes]:
    """Yield a file of JSON lines in chunks, with `exact` applied to each line.

    Lines of more than OBJECT_BYTES_MAX bytes stay as they are; they can't be read anyway.
    """
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            rest += chunk
            end = rest.rfind(b"\n") + 1
            if end:
                yield _exact_lines(rest[:end])
                rest = rest[end:]
            elif len(rest) > OBJECT_BYTES_MAX:
                yield rest
                rest = b""
    yield _exact_lines(rest)


def _exact_lines(data: bytes) -> bytes:
    if not has_inexact(data):
        return data
    # bytes that aren't UTF-8 stay for the check that names them
    lines = data.decode(errors="surrogateescape").split("\n")
    return "\n".join(map(exact, lines)).encode(errors="surrogateescape")


def _quoted(match: re.Match[str]) -> str:
    text = match[0]
    return text if text.startswith('"') or _is_lossless(text) else f'"{text}"'


def _is_lossless(number: str) -> bool:
    """Whether a double or a BIGINT holds a number; also for anything that isn't a long number."""
    # The number alone decides, not its neighbours. Nearly all numbers end in the first two lines.
    if len(number) < BIGINT_DIGITS and number.isdigit():
        return True
    try:
        if repr(double := float(number)) == number or not _LONG_NUMBER.search(number):
            return True
        value = Decimal(number)
        return (
            -BIGINT_MAX - 1 <= value <= BIGINT_MAX
            if number.lstrip("-").isdigit()
            else value == Decimal(repr(double)) or writes_long_fraction(number, double)
        )
    except (ArithmeticError, ValueError):
        return True
