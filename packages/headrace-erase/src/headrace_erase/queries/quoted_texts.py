"""Values that texts of the state quote: they are found, and overwritten in place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from headrace.model.texts import BEGIN, END
from headrace.store import Transaction
from headrace.store.portable import columns_by_table
from headrace.store.queries.quoted_values import ENCODED, TEXTS
from headrace.store.queries.scheduling import plain_events, stored_events
from headrace.store.transaction import quoted

_ENCODED = ENCODED | {
    "checkpoint": ("", ("id",), ("content",)),
    "journal": ("", ("seq",), ("events",)),
    "metric": ("node", ("epoch", "n", "partition"), ("vector",)),
}
"""Columns of encoded values in which such a text may be; as many bytes keep them valid."""


def overwrite(tx: Transaction, values: Sequence[str]) -> None:
    """Overwrite the values by as many `*` as they have bytes, wherever the state quotes them."""
    for table, (_, _, columns) in TEXTS.items():
        for column in columns:
            for value in values:
                tx.execute(
                    f"update {table} set {column} = replace({column}, :value, :stars)"
                    f" where {column} like :pattern escape '!'",
                    {
                        "value": value,
                        "stars": _stars(value),
                        "pattern": f"%{_escaped(value)}%",
                    },
                )
    texts = {value.encode(): _stars(value).encode() for value in values}
    pattern = re.compile(b"|".join(map(re.escape, texts)) or b"(?!)")
    _overwrite_encoded(tx, lambda content: pattern.sub(lambda match: texts[match[0]], content))


def _stars(value: str) -> str:
    return "*" * len(value.encode())  # as many bytes keep encoded texts valid


class _Encoded(NamedTuple):
    """An encoded value of the state, and the statement that replaces it."""

    table: str
    content: bytes
    update: str
    key: Sequence[Any]


def _encoded(tx: Transaction) -> Iterator[_Encoded]:
    for table, (_, key, columns) in _ENCODED.items():
        where = " and ".join(f"{name} = ?" for name in key)
        for column in columns:
            update = f"update {table} set {column} = ? where {where}"
            rows = tx.execute(
                f"select {column}, {', '.join(key)} from {table} where {column} is not null"
            )
            for content, *values in rows.fetchall():
                yield _Encoded(table, _plain(table, bytes(content)), update, values)


def _overwrite_encoded(tx: Transaction, cleaned: Callable[[bytes], bytes]) -> None:
    for item in _encoded(tx):
        clean = cleaned(item.content)
        if clean != item.content:
            content = stored_events(clean) if item.table == "journal" else clean
            tx.execute(item.update, (content, *item.key))


_QUOTE = re.compile(rb"\xef\xb7\x90(?:(?!\xef\xb7[\x90\x91]).)*\xef\xb7\x91", re.DOTALL)
"""A value between marks (`headrace.model.texts`), in text or in what is encoded."""


_CUT = re.compile(f"\\A[^{BEGIN}{END}]*{END}|{BEGIN}[^{BEGIN}{END}]*\\Z")
"""A value of which a text has the end only, or the beginning."""


_OF_INCIDENTS = ("incident_event", "incident_said", "notice", "symptom")


_QuotingText = tuple[str, str, Sequence[Any]]
"""Table and column of a text with marks, and its row after incident and text."""


class _Quotes:
    """The values that texts about some names quote."""

    def __init__(self, names: Collection[str], values: Collection[str]) -> None:
        self._names = [name.encode() for name in names]
        self._values = [value.encode() for value in values]
        self._known: set[bytes] = set()
        self._cut: set[bytes] = set()

    def about(self, row: Iterable[object]) -> bool:
        cells = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
        return any(name in cell for cell in cells for name in self._names)

    def collect(self, content: bytes, *, every: bool) -> None:
        for quote in _QUOTE.findall(content):
            if every or any(value in quote for value in self._values):
                self._known.update(_spellings(quote))

    def collect_texts(self, texts: Sequence[_QuotingText]) -> None:
        incidents = {row[0] for table, _, row in texts if table == "incident" and self.about(row)}
        for table, _, row in texts:
            every = self.about(row) or (table in _OF_INCIDENTS and row[0] in incidents)
            self.collect(row[1].encode(), every=every)
            if every and not row[1].startswith(("{", "[")):
                self._cut.update(quote.encode() for quote in _CUT.findall(row[1]))

    def overwritten(self, content: bytes) -> bytes:
        """Return the content with as many `*` in place of the quotes; encodings stay valid."""
        for quote in self._cut:
            content = content.replace(quote, b"*" * len(quote))
        return _QUOTE.sub(
            lambda match: b"*" * len(match[0]) if match[0] in self._known else match[0], content
        )


def _spellings(quote: bytes) -> Iterator[bytes]:
    """Yield a quote as it is in a text, and as it is in one within JSON."""
    yield quote
    with suppress(UnicodeDecodeError, msgspec.DecodeError):
        yield msgspec.json.encode(quote.decode())[1:-1]
        yield msgspec.json.decode(b'"%s"' % quote, type=str).encode()


def overwrite_quotes(tx: Transaction, names: Collection[str], values: Sequence[str]) -> None:
    """Overwrite the values that texts about nodes or consumers quote, and quotes of `values`.

    A text is about the names that its row has, or its incident. Equal quotes are overwritten
    everywhere, so that the state stays as its event log says.
    """
    texts = list(_quoting_texts(tx))
    quotes = _Quotes(names, values)
    quotes.collect_texts(texts)
    for item in _encoded(tx):
        quotes.collect(item.content, every=quotes.about([item.content]))
    for table, column, (_, text, *_) in texts:
        clean = quotes.overwritten(text.encode()).decode()
        if clean != text:
            tx.execute(f"update {table} set {column} = ? where {column} = ?", (clean, text))
    _overwrite_encoded(tx, quotes.overwritten)


def _quoting_texts(tx: Transaction) -> Iterator[_QuotingText]:
    for table, (_, _, columns) in TEXTS.items():
        incident = "incident_id" if table in _OF_INCIDENTS else "id"
        known = incident if table in ("incident", *_OF_INCIDENTS) else "null"
        for column in columns:
            rows = tx.execute(
                f"select {known}, {column}, {table}.* from {table} where {column} like ? or"
                f" {column} like ?",
                (f"%{BEGIN}%", f"%{END}%"),
            )
            yield from ((table, column, row) for row in rows.fetchall())


def tables_with(tx: Transaction, values: Sequence[str]) -> list[str]:
    """Return the tables of state and catalog with one of the values in any column."""
    texts = [value.encode() for value in values]
    return [
        table
        for table in (columns_by_table(tx) if texts else ())
        if any(
            text in content
            for row in tx.stream(
                f"select {'events' if table == 'journal' else '*'} from {quoted(table)}"
            )
            for content in _contents(table, row)
            for text in texts
        )
    ]


def _contents(table: str, row: Sequence[Any]) -> Iterator[bytes]:
    for value in row:
        if isinstance(value, bytes | memoryview):
            yield _plain(table, bytes(value))
        elif value is not None:
            yield str(value).encode()


def _plain(table: str, content: bytes) -> bytes:
    return plain_events(content) if table == "journal" else content


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
