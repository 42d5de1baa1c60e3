"""How large a value is that the reader computed: each occurrence of a part counts.

Parts are shared in memory, so that a list of a few lines may hold itself a billion times; whoever
goes through such a value never comes to an end.
"""

from __future__ import annotations

from typing import Any

from headrace_import.importers.airflow.values import Text, Value, items_of

SIZE_MAX = 200_000
"""A larger value counts as known only at run time. A unit is an item, or 20 characters."""
CHARACTERS_A_UNIT = 20
BITS_MAX = 4096
"""At most this length of a whole number."""
UNITS_A_STEP, UNITS_LOOKED_AT = 4, 25
"""Units of a computed value, and of any other one, that count as one more step."""
_SCALARS = frozenset({type(None), bool, int, float})
"""Parts that need no look: a long number was refused before it became one."""


def size_of(value: Value) -> int:
    """Return the size of a value, or a number above `SIZE_MAX` as soon as it is too large."""
    size, pending = 0, [value]
    while pending and size <= SIZE_MAX:
        item = pending.pop()
        parts = _parts(item)
        size += 1 + len(parts) + _length(item)
        pending.extend(part for part in parts if type(part) not in _SCALARS)
    return size


def _length(value: Value) -> int:
    """Return the units of a text or a whole number; 0 for anything else."""
    if isinstance(value, str | bytes):
        return len(value) // CHARACTERS_A_UNIT
    is_long = isinstance(value, int) and value.bit_length() > BITS_MAX
    return SIZE_MAX + 1 if is_long else 0


def _parts(value: Any) -> list[Value]:
    if isinstance(value, list):
        return value
    if isinstance(value, Text):
        return list(value.pieces)
    parts = items_of(value)
    return [*parts, *value] if isinstance(value, dict) else parts
