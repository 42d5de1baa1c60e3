"""How staged Parquet files are encoded, so that DuckDB writes and other readers read all of them.

The encodings of Parquet's version 2 are smaller and faster than those of version 1, but DuckDB
1.5.5 can't write lists in them, and writes numbers of 32 bits in a way that the specification
forbids if they are too far apart or too great (docs/decisions/0109-parquet-files.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from headrace.lake.sqltext import quote
from headrace.lake.tables import LakeColumn
from headrace.lake.types import parse

DICTIONARY_VALUES_MAX = 12_288
"""The most distinct values of a row group's column that are written as a dictionary.

DuckDB's default is twice as many. Each column is tried as a dictionary up to this limit first,
which takes a tenth of the time for writing.
"""
FORMAT = (
    "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION {}, "
    f"DICTIONARY_SIZE_LIMIT {DICTIONARY_VALUES_MAX}, WRITE_BLOOM_FILTER false"
)
"""Options of COPY, without the version; by bloom filters DuckDB loses rows (#24994)."""
RANGE_MAX = 2**31 - 1
"""Numbers of 32 bits that are further apart, or greater, take more than 32 bits."""


def version_of(columns: Sequence[LakeColumn]) -> str:
    """Return the version of Parquet whose encodings a file with these columns gets at first."""
    return "V1" if any(parse(column.type).fields for column in columns) else "V2"


def is_readable(columns: Sequence[LakeColumn], results: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether every reader can read a file in the encodings of version 2.

    `results` are the statistics that COPY returned, by the column's quoted path.
    """
    return all(
        _is_narrow(column.type, results[quote(column.name)])
        for column in columns
        if column.type in ("INTEGER", "UINTEGER", "DATE")
    )


def _is_narrow(type_name: str, of: Mapping[str, str]) -> bool:
    if of["num_values"] == of["null_count"]:
        return True
    low, high = of.get("min"), of.get("max")
    if low is None or high is None:
        return False
    if type_name == "DATE":
        return _is_plain(low) and _is_plain(high)
    # DuckDB writes the first number of a page as it is, without a sign
    return int(high) - (0 if type_name == "UINTEGER" else int(low)) <= RANGE_MAX


def _is_plain(day: str) -> bool:
    """Whether a date is one of Python's; others are infinite, or millions of years away."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
