"""Amounts of memory: `512MiB`, `2GB`."""

from __future__ import annotations

import re
from decimal import Decimal

from headrace.model.errors import UsageError

MEMORY_BYTES_MIN = 128 * 2**20
"""Python, DuckDB and Arrow take nearly as much before a body has begun."""
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)", re.ASCII)
_UNITS = {"B": 1, **{f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)}, **{f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)}}


def size_in_bytes(text: str) -> int:
    """Bytes, rounded down. Raises UsageError for what is no amount."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text[:40]!r} isn't an amount of memory", hint="write a number and a unit: `512MiB`, `2GB`")
    return int(Decimal(match[1]) * _UNITS[match[2]])


def bytes_as_text(size: int) -> str:
    """`280 MB`, `1.2 kB`, `993 bytes`."""
    if size < 1000:
        return f"{size:,} bytes"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"
    raise AssertionError


def memory_in_bytes(text: str) -> int:
    """What an attempt may use. Raises UsageError for what is no amount, or too little to begin with."""
    size = size_in_bytes(text)
    if size < MEMORY_BYTES_MIN:
        raise UsageError(
            f"{text.strip()} of memory is less than an attempt needs to begin", hint=f"write at least {MEMORY_BYTES_MIN >> 20}MiB"
        )
    return size
