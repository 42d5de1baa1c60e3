"""The two functions through which names and values from outside enter a statement's text."""

from __future__ import annotations

from headrace.model.errors import LakeError


def quote(name: str) -> str:
    """`name` as an SQL identifier, whatever is in it. Raises `LakeError` for an empty name or one with a NUL, which SQL can't say."""
    if not name or "\0" in name:
        raise LakeError(f"{name!r} can't be a name: it is empty or has a NUL character")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string, whatever is in it. With a NUL, which would end a statement's text, it is written as bytes."""
    if "\0" in text:
        return "decode('" + "".join(f"\\x{byte:02X}" for byte in text.encode()) + "'::BLOB)"
    return "'" + text.replace("'", "''") + "'"
