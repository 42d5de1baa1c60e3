"""Arrow types that say more about values than the storage below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_STRUCTURES = ("pandas.interval",)
_FLAGS = ("arrow.bool8",)
"""Extension types over structures and numbers that DuckDB reads as they are meant."""


def meaning_lost(field: pa.Field, *, parquet: bool = False) -> str:
    """Return what a column has of which only the storage would be read; empty for nothing.

    That is an extension type over numbers or lists, such as pandas's periods: whoever doesn't know
    it takes months for whole numbers. Text and bytes are what they are. In a `parquet` file
    durations are bare numbers as well, without their unit.
    """
    import pyarrow as pa

    stated = (field.metadata or {}).get(b"ARROW:extension:name", b"").decode(errors="replace")
    name = getattr(field.type, "extension_name", stated)
    kind = getattr(field.type, "storage_type", field.type)
    read = _STRUCTURES if parquet else (*_STRUCTURES, *_FLAGS)
    bare = pa.types.is_primitive(kind) or pa.types.is_nested(kind)
    if name and name not in read and bare:
        return f"values of the extension type `{name}`"
    if parquet and pa.types.is_duration(kind):
        return "durations"
    parts = [kind.field(position) for position in range(kind.num_fields)]
    if pa.types.is_dictionary(kind):
        parts = [pa.field("", kind.value_type)]
    return next(filter(None, (meaning_lost(part, parquet=parquet) for part in parts)), "")
