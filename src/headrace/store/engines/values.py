"""Values between Python and PostgreSQL, as SQLite gives and takes them: flags are integers, sums too, times of the catalog are text."""

from __future__ import annotations

from typing import Any


def adapt(connection: Any) -> None:
    """Teach one connection."""
    from psycopg.adapt import Dumper, Loader
    from psycopg.types.string import StrDumperUnknown, TextLoader

    class Flag(Dumper):
        """`1` and `0` without a type: what both a boolean and an integer column take."""

        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    class Text(StrDumperUnknown):
        """Of any type that the column has, as psycopg sends it, and without the one character that PostgreSQL can't hold: messages
        of bodies may have it."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\u2400") if "\0" in obj else obj)

    class Whole(Loader):
        """The sum of integers is a numeric."""

        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return float(text) if b"." in text or b"N" in text or b"I" in text else int(text)

    connection.adapters.register_dumper(bool, Flag)
    connection.adapters.register_dumper(str, Text)
    connection.adapters.register_loader("numeric", Whole)
    for name in ("timestamptz", "uuid", "timestamp", "date"):
        connection.adapters.register_loader(name, TextLoader)
