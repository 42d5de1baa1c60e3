"""Types as people write them → DuckDB's own names; anything else isn't a type here, and never reaches a statement."""

from __future__ import annotations

import re

from headrace.sql.values import UNKNOWN

_ALIASES = {
    "BIGINT": ("INT8", "LONG", "INT64"),
    "BLOB": ("BYTEA", "BINARY", "VARBINARY"),
    "BOOLEAN": ("BOOL", "LOGICAL"),
    "DATE": (),
    "DOUBLE": ("FLOAT8", "DOUBLE PRECISION"),
    "FLOAT": ("FLOAT4", "REAL"),
    "HUGEINT": ("INT128",),
    "INTEGER": ("INT", "INT4", "INT32", "SIGNED"),
    "INTERVAL": (),
    "JSON": (),
    "SMALLINT": ("INT2", "INT16", "SHORT"),
    "TIME": ("TIME WITHOUT TIME ZONE",),
    "TIME WITH TIME ZONE": ("TIMETZ",),
    "TIMESTAMP": ("DATETIME", "TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP_US"),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ",),
    "TIMESTAMP_MS": (),
    "TIMESTAMP_NS": (),
    "TIMESTAMP_S": (),
    "TINYINT": ("INT1",),
    "UBIGINT": ("UINT64",),
    "UHUGEINT": ("UINT128",),
    "UINTEGER": ("UINT32",),
    "USMALLINT": ("UINT16",),
    "UTINYINT": ("UINT8",),
    "UUID": ("GUID",),
    "VARCHAR": ("TEXT", "STRING", "CHAR", "BPCHAR"),
}
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC)(?: ?\( ?(\d{1,2}) ?(?:, ?(\d{1,2}) ?)?\))?")
_VARCHAR = re.compile(r"(?:VARCHAR|CHAR|TEXT|STRING|BPCHAR) ?\( ?\d+ ?\)")
LISTS_MAX = 4


def canonical(text: str) -> str:
    """DuckDB's name for a scalar type or a list of them, `UNKNOWN` for anything else."""
    name = " ".join(text.upper().split())
    lists = 0
    while name.endswith("[]") and lists < LISTS_MAX:
        name, lists = name[:-2].rstrip(), lists + 1
    return UNKNOWN if (result := _scalar(name)) == UNKNOWN else result + "[]" * lists


def _scalar(name: str) -> str:
    decimal = _DECIMAL.fullmatch(name)
    if decimal:
        width = int(decimal[1] or 18)
        scale = int(decimal[2] or (0 if decimal[1] else 3))
        return f"DECIMAL({width},{scale})" if 1 <= width <= 38 and scale <= width else UNKNOWN
    if _VARCHAR.fullmatch(name):
        return "VARCHAR"
    return _NAMES.get(name, UNKNOWN)
