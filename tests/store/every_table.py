"""Rows for every table of a state, made from its schema: a new table gets rows without a change
here."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from headrace.store import Transaction
from headrace.store.portable import copy_order

ROWS = 5
HOSTILE = (
    "",
    "'; drop table audit; --",
    "\\N",
    "\\.",
    'tab\t"quote"\nline\r\\',
    "Zürich 東京 🚂",
    "{}",
    "NULL",
)
_CHOICES = re.compile(r"\bcheck \((\w+) in\s*\(([^)]*)\)\)")
_SINGLE = re.compile(r"\bcheck \(id = 1\)")


def fill_every_table(tx: Transaction, seed: int) -> dict[str, int]:
    """Add rows to each table of a SQLite state that has none; the number of rows of each table
    afterwards.

    Values are hostile to whoever copies them: text that looks like an escape, all bytes, the ends
    of integers."""
    values = random.Random(seed)
    tx.execute("pragma defer_foreign_keys = on")
    counts = {}
    for name in copy_order(tx):
        (rows,) = tx.execute(f'select count(*) from "{name}"').fetchone()
        if not rows:
            for row in _rows(tx, name, values):
                named = ", ".join(f'"{column}"' for column in row)
                marks = ", ".join("?" for _ in row)
                tx.execute(f'insert into "{name}" ({named}) values ({marks})', list(row.values()))
            (rows,) = tx.execute(f'select count(*) from "{name}"').fetchone()
        counts[name] = int(rows)
    return counts


def all_rows(tx: Transaction) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in an order that both databases agree on; instants and flags as
    SQLite has them."""
    result = {}
    for name in copy_order(tx):
        rows = tx.execute(f'select * from "{name}"').fetchall()
        result[name] = sorted((tuple(_plain(value) for value in row) for row in rows), key=repr)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and (
        at := re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d+))?\+00", value)
    ):
        return f"{at[1]}.{(at[2] or '').ljust(6, '0')}+00"
    return value


def _rows(tx: Transaction, name: str, values: random.Random) -> Iterator[dict[str, Any]]:
    (sql,) = tx.execute("select sql from sqlite_master where name = ?", (name,)).fetchone()
    choices = {result[1]: re.findall(r"'([^']*)'", result[2]) for result in _CHOICES.finditer(sql)}
    columns = tx.execute(
        f"select name, lower(type), \"notnull\", pk from pragma_table_info('{name}')"
    ).fetchall()
    parents = tx.execute(
        f'select "from", "table", "to" from pragma_foreign_key_list(\'{name}\')'
    ).fetchall()
    referred = {column: (table, to) for column, table, to in parents}
    for number in range(1, 2 if _SINGLE.search(sql) else ROWS + 1):
        row: dict[str, Any] = {}
        for column, kind, required, key in columns:
            if column in referred:
                table, to = referred[column]
                row[column] = number if table == name else _some(tx, table, to, values)
                if table == name and number > 1:
                    row[column] = number + 1 if number < ROWS else 1  # refers to a later row
            elif column in choices:
                row[column] = values.choice(choices[column])
            elif not required and not key and number % 3 == 0:
                row[column] = None
            else:
                row[column] = _value(name, column, kind, number, bool(key), values)
        yield row


def _some(tx: Transaction, table: str, column: str, values: random.Random) -> Any:
    rows = tx.execute(f'select "{column}" from "{table}" order by 1').fetchall()
    return values.choice(rows)[0]


def _value(
    table: str, column: str, kind: str, number: int, key: bool, values: random.Random
) -> Any:
    if column in ("snapshot_time", "schedule_start"):
        return f"2026-03-0{number} 04:05:06.{values.choice(['000000', '120000', '000001'])}+00"
    if column.endswith("_uuid"):
        return f"{values.getrandbits(128):032x}"[:8] + f"-0000-4000-8000-{number:012x}"
    if kind == "blob":
        return bytes(range(256)) + values.randbytes(number)
    if kind in ("integer", "bigint", "int"):
        flag = table.startswith("ducklake_") and column in (
            "path_is_relative",
            "nulls_allowed",
            "contains_nan",
            "contains_null",
            "is_partition",
        )
        if flag:
            return values.randrange(2)
        return (
            number
            if key or column in ("id", "seq", "n")
            else values.choice([0, 1, -1, 2**63 - 1, -(2**63), number])
        )
    return f"{HOSTILE[values.randrange(len(HOSTILE))]}{number}"
