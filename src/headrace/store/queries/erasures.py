"""Erasures: what was erased, and by what the rows of each subject are recognised."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from headrace.model.erased_rows import ErasedKey, ErasedRows
from headrace.model.texts import BEGIN, END
from headrace.store.portable import columns_by_table
from headrace.store.queries.scheduling import plain_events, stored_events
from headrace.store.transaction import Transaction, quoted

RUNNING, DONE = "running", "done"
_COLUMNS = (
    "id, subject, plan_id, state, actor, reason, progress, unnamed, certificate, started_at,"
    " finished_at"
)


class Erasure(msgspec.Struct, frozen=True):
    """One erasure. `unnamed` are files to be deleted, relative to the data folder."""

    id: int
    subject: str
    plan_id: str
    state: str
    actor: str
    reason: str
    progress: dict[str, dict[str, int]]
    """Node → what was done to it → how often."""
    unnamed: tuple[str, ...]
    certificate: str | None
    started_at: int
    finished_at: int | None


def begin(
    tx: Transaction,
    *,
    subject: str,
    plan_id: str,
    actor: str,
    reason: str,
    keys: Mapping[str, Sequence[ErasedRows]],
    now: int,
) -> Erasure:
    """Store a new erasure with its keys by node, or continue the earlier one of its subject."""
    known = of_subject(tx, subject)
    if known is None:
        tx.execute(
            "insert into erasure (subject, plan_id, state, actor, reason, progress, unnamed,"
            " started_at) values (?, ?, 'running', ?, ?, '{}', '[]', ?)",
            (subject, plan_id, actor, reason, now),
        )
    else:
        tx.execute(
            "update erasure set state = 'running', plan_id = ?, actor = ?, reason = ?,"
            " finished_at = null where id = ?",
            (plan_id, actor, reason, known.id),
        )
    result = of_subject(tx, subject)
    assert result is not None
    tx.execute("delete from erased_key where erasure_id = ?", (result.id,))
    tx.executemany(
        "insert into erased_key (erasure_id, node, alternative, field, tokens) values"
        " (?, ?, ?, ?, ?)",
        [
            (result.id, node, number, key.column, msgspec.json.encode(key.tokens).decode())
            for node, alternatives in keys.items()
            for number, rows in enumerate(alternatives)
            for key in rows.keys
        ],
    )
    return result


def of_subject(tx: Transaction, subject: str) -> Erasure | None:
    """Return the erasure of a subject."""
    row = tx.execute(f"select {_COLUMNS} from erasure where subject = ?", (subject,)).fetchone()
    return None if row is None else _erasure(row)


def get(tx: Transaction, number: int) -> Erasure | None:
    """Return an erasure by its number."""
    row = tx.execute(f"select {_COLUMNS} from erasure where id = ?", (number,)).fetchone()
    return None if row is None else _erasure(row)


def every(tx: Transaction, *, state: str | None = None) -> list[Erasure]:
    """Return all erasures, or those in a state, newest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from erasure where cast(:state as text) is null or state = :state"
        " order by id desc",
        {"state": state},
    )
    return [_erasure(row) for row in rows.fetchall()]


def _erasure(row: Sequence[Any]) -> Erasure:
    values = list(row)
    values[6], values[7] = msgspec.json.decode(values[6]), tuple(msgspec.json.decode(values[7]))
    return Erasure(*values)


def note(
    tx: Transaction, erasure: Erasure, node: str, counts: Mapping[str, int], paths: Sequence[str]
) -> None:
    """Add to what was done to a node, and to the files that are to be deleted."""
    now = get(tx, erasure.id)
    assert now is not None
    done = now.progress.get(node, {})
    total = {name: done.get(name, 0) + counts.get(name, 0) for name in {*done, *counts}}
    tx.execute(
        "update erasure set progress = ?, unnamed = ? where id = ?",
        (
            msgspec.json.encode(now.progress | {node: total}).decode(),
            msgspec.json.encode([*now.unnamed, *paths]).decode(),
            erasure.id,
        ),
    )


def deleted(tx: Transaction, erasure: Erasure, paths: Sequence[str]) -> None:
    """Forget files that were deleted."""
    now = get(tx, erasure.id)
    assert now is not None
    left = [path for path in now.unnamed if path not in set(paths)]
    tx.execute(
        "update erasure set unnamed = ? where id = ?",
        (msgspec.json.encode(left).decode(), erasure.id),
    )


def finish(tx: Transaction, erasure: Erasure, certificate: str, now: int) -> None:
    """Record that an erasure is complete."""
    tx.execute(
        "update erasure set state = 'done', certificate = ?, finished_at = ? where id = ?",
        (certificate, now, erasure.id),
    )


def keys_of(tx: Transaction, node: str) -> tuple[ErasedRows, ...]:
    """Return by what the rows of all erased subjects are recognised in a node."""
    return tuple(
        rows for alternatives in _keys(tx, "node = ?", node).values() for rows in alternatives
    )


def keys_by_node(tx: Transaction, erasure: Erasure) -> dict[str, tuple[ErasedRows, ...]]:
    """Return by what the rows of one erased subject are recognised, by node."""
    results = _keys(tx, "erasure_id = ?", erasure.id)
    return {node: tuple(rows) for (_, node), rows in results.items()}


def _keys(
    tx: Transaction, condition: str, value: object
) -> dict[tuple[int, str], list[ErasedRows]]:
    found: dict[tuple[int, str, int], list[ErasedKey]] = defaultdict(list)
    for erasure, node, number, field, tokens in tx.execute(
        "select erasure_id, node, alternative, field, tokens from erased_key where"
        f" {condition} order by erasure_id, node, alternative, field",
        (value,),
    ).fetchall():
        found[erasure, node, number].append(ErasedKey(field, tuple(msgspec.json.decode(tokens))))
    results: dict[tuple[int, str], list[ErasedRows]] = defaultdict(list)
    for (erasure, node, _), keys in found.items():
        results[erasure, node].append(ErasedRows(tuple(keys)))
    return results


# What the state itself holds of erased rows: profiles, samples, details of checks.

_SCRUBBED = (
    "delete from profile where node = :node and partition = :partition",
    "update quarantine set sample = null where node = :node and partition = :partition",
    (
        "update check_result set detail = '' where node = :node and partition = :partition and"
        " failing > 0"
    ),
)


def scrub(tx: Transaction, node: str, partitions: Sequence[str]) -> None:
    """Delete values of rows from what the state keeps about partitions: profiles and samples."""
    places = [{"node": node, "partition": key} for key in partitions]
    for sql in _SCRUBBED:
        tx.executemany(sql, places)


def profiled(tx: Transaction, node: str) -> list[str]:
    """Return the partitions of which the state has profiles or metrics."""
    rows = tx.execute(
        "select partition from profile where node = :node union select partition from metric where"
        " node = :node",
        {"node": node},
    ).fetchall()
    return [partition for (partition,) in rows]


def vectors_of(tx: Transaction, node: str, partition: str) -> list[tuple[int, int, bytes]]:
    """Return epoch, n and encoded metrics of all attempts at a partition."""
    rows = tx.execute(
        "select epoch, n, vector from metric where node = ? and partition = ?", (node, partition)
    ).fetchall()
    return [(epoch, n, bytes(vector)) for epoch, n, vector in rows]


def set_vector(tx: Transaction, epoch: int, n: int, partition: str, vector: bytes) -> None:
    """Replace the encoded metrics of an attempt at a partition."""
    tx.execute(
        "update metric set vector = ? where epoch = ? and n = ? and partition = ?",
        (vector, epoch, n, partition),
    )


class ShownPublication(NamedTuple):
    """A publication of a partition; `attempt` is `epoch.n`."""

    id: int
    attempt: str
    snapshot: int
    current: bool


def publications_at(tx: Transaction, node: str, partition: str) -> list[ShownPublication]:
    """Return all publications of a partition, oldest first."""
    rows = tx.execute(
        "select id, epoch, n, snapshot, ended_snapshot from publication where node = ? and"
        " partition = ? order by id",
        (node, partition),
    ).fetchall()
    return [
        ShownPublication(number, f"{epoch}.{n}", snapshot, ended is None)
        for number, epoch, n, snapshot, ended in rows
    ]


def lose_rows(tx: Transaction, publication: int, rows: int, content_hash: str | None) -> None:
    """Subtract erased rows from a publication, whose content has another hash now."""
    tx.execute(
        "update publication set rows = rows - ?, content_hash = ? where id = ?",
        (rows, content_hash, publication),
    )


# Where data of a node is kept outside of the lake.


def nodes_with_data(tx: Transaction) -> set[str]:
    """Return the nodes and consumers of which the state knows data, declared or not."""
    rows = tx.execute(
        "select node from publication union select source from delivery union select node from"
        " quarantine union select node from profile union select node from metric"
    ).fetchall()
    return {node for (node,) in rows}


def delivered(tx: Transaction, source: str) -> list[tuple[str, str | None, str | None]]:
    """Return path, parts (JSON) and hash of all deliveries of a source, oldest first."""
    rows = tx.execute(
        "select path, parts, sha256 from delivery where source = ? order by id", (source,)
    ).fetchall()
    return [(path, parts, sha256) for path, parts, sha256 in rows]


def raw_hashes(tx: Transaction) -> set[str]:
    """Return the hashes of all stored deliveries."""
    rows = tx.execute("select distinct sha256 from delivery where sha256 is not null").fetchall()
    return {sha256 for (sha256,) in rows}


def quarantined(tx: Transaction, node: str) -> list[tuple[int, str]]:
    """Return number and path of a node's data in quarantine, decided or not."""
    rows = tx.execute(
        "select id, path from quarantine where node = ? and path is not null order by id", (node,)
    ).fetchall()
    return [(number, path) for number, path in rows]


def forget_quarantined(tx: Transaction, numbers: Collection[int]) -> list[str]:
    """Forget the files of quarantined data, and what would publish it as it was.

    Returns their partitions.
    """
    partitions = []
    for number in numbers:
        row = tx.execute("select partition from quarantine where id = ?", (number,)).fetchone()
        partitions.append(str(row[0]))
        tx.execute(
            "delete from withheld where exists (select 1 from quarantine q where q.id = ? and"
            " q.epoch = withheld.epoch and q.n = withheld.n)",
            (number,),
        )
        tx.execute("update quarantine set path = null, sample = null where id = ?", (number,))
    return partitions


def attempts_of(tx: Transaction, node: str) -> list[tuple[int, int]]:
    """Return all attempts of a node, as (epoch, n)."""
    rows = tx.execute("select epoch, n from attempt where node = ?", (node,)).fetchall()
    return [(epoch, n) for epoch, n in rows]


def unschedule(tx: Transaction, paths: Sequence[str]) -> None:
    """Forget files that DuckLake's maintenance would delete: they are deleted now."""
    tx.executemany(
        "delete from ducklake_files_scheduled_for_deletion where path = ?",
        [(path,) for path in paths],
    )


_TEXTS = {
    "attempt": ("reason", "error"),
    "check_result": ("detail",),
    "delivery": ("reason",),
    "drift": ("evidence", "measured"),
    "fact": ("expected", "observed", "detail"),
    "incident": ("detail", "summary", "evidence"),
    "incident_event": ("what",),
    "incident_said": ("summary",),
    "look": ("error",),
    "notice": ("title", "body", "said", "error"),
    "overlay": ("reason", "changed"),
    "partition": ("reason",),
    "quarantine": ("reason", "sample"),
    "request": ("arguments", "document"),
    "source_schema": ("schema",),
    "symptom": ("what",),
}
"""Columns of text in which a check, a failure or a person may have quoted a value."""
_ENCODED = {
    "checkpoint": (("id",), ("content",)),
    "evidence": (("id",), ("content",)),
    "journal": (("seq",), ("events",)),
    "metric": (("epoch", "n", "partition"), ("vector",)),
    "overlay_attempt": (("epoch", "n"), ("outcome",)),
    "plan": (("id",), ("content",)),
    "withheld": (("epoch", "n"), ("outcome",)),
}
"""Key, and columns of encoded values in which such a text may be; as many bytes keep them valid."""


def overwrite(tx: Transaction, values: Sequence[str]) -> None:
    """Overwrite the values by as many `*` as they have bytes, wherever the state quotes them."""
    for table, columns in _TEXTS.items():
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
    for table, (key, columns) in _ENCODED.items():
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
    for table, columns in _TEXTS.items():
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


# Partitions before the first one that is kept.


class OldPartitions(NamedTuple):
    """Visible partitions with rows: how many, their rows, and the first and last of them."""

    partitions: int
    rows: int
    first: str
    last: str


def published_before(tx: Transaction, node: str, key: str) -> OldPartitions | None:
    """Return the visible partitions before a key that have rows; None if there are none."""
    row = tx.execute(
        "select count(*), sum(rows), min(partition), max(partition) from publication where"
        " node = ? and partition < ? and ended_snapshot is null and rows > 0",
        (node, key),
    ).fetchone()
    return OldPartitions(int(row[0]), int(row[1]), row[2], row[3]) if row[0] else None


def published_nodes(tx: Transaction) -> list[str]:
    """Return the nodes with visible rows, in order."""
    rows = tx.execute(
        "select distinct node from publication where ended_snapshot is null and rows > 0 order by"
        " node"
    ).fetchall()
    return [node for (node,) in rows]


def first_published(tx: Transaction, node: str, key: str) -> str | None:
    """Return the first visible partition from a key on that has rows."""
    row = tx.execute(
        "select min(partition) from publication where node = ? and partition >= ? and"
        " ended_snapshot is null and rows > 0",
        (node, key),
    ).fetchone()
    return None if row is None else row[0]


def quarantined_before(tx: Transaction, node: str, key: str) -> list[tuple[int, str]]:
    """Return number and path of quarantined data of partitions before a key."""
    rows = tx.execute(
        "select id, path from quarantine where node = ? and partition < ? and path is not null",
        (node, key),
    ).fetchall()
    return [(number, path) for number, path in rows]


def is_emptied(tx: Transaction, node: str, partition: str) -> bool:
    """Whether readers see a publication of the partition that has no rows."""
    row = tx.execute(
        "select rows from publication where node = ? and partition = ? and ended_snapshot is null",
        (node, partition),
    ).fetchone()
    return row is not None and row[0] == 0
