"""Tables of databases, filled by their own drivers."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from value_tables import KINDS
from value_writers import TYPED, Values, Writer, Written, as_text, rows_of

TYPES = {
    "int": "integer",
    "int32": "integer",
    "int53": "bigint",
    "int64": "bigint",
    "uint64": "numeric(20)",
    "bool": "boolean",
    "float": "double precision",
    "whole_float": "double precision",
    "money": "numeric(9,2)",
    "decimal18": "numeric(18,4)",
    "decimal38": "numeric(38,10)",
    "date": "date",
    "edge_date": "date",
    "seconds": "timestamp",
    "micros": "timestamp",
    "instant": "timestamptz",
    "time": "time",
    "uuid": "uuid",
    "bytes": "bytea",
    "list": "integer[]",
    "struct": "jsonb",
}
"""Kind of value → type in PostgreSQL; others are text."""
MARIADB = {
    **{
        kind: TYPES[kind]
        for kind in ("int", "int32", "int53", "int64", "date", "money", "decimal18")
    },
    "float": "double",
    "whole_float": "double",
    "uint64": "bigint unsigned",
    "decimal38": "decimal(38,10)",
    "edge_date": "date",
    "seconds": "datetime",
    "micros": "datetime(6)",
    "time": "time(6)",
    "bytes": "varbinary(20)",
    "uuid": "char(36)",
    "bool": "bool",
}
NESTED = ("list", "struct", *TYPED)
SQLITE = {
    **dict.fromkeys(("int", "int32", "int53", "int64"), "integer"),
    "float": "real",
    "whole_float": "real",
    "bytes": "blob",
}


def statements(
    kinds: dict[str, str], types: dict[str, str], text: str, mark: str
) -> tuple[str, str]:
    """Create the table; insert a row."""
    columns = [f"{mark}{name}{mark} {types.get(kind, text)}" for name, kind in kinds.items()]
    places = ", ".join(["%s"] * len(kinds))
    return (
        f"create table rows_here ({', '.join(columns)})",
        f"insert into rows_here values ({places})",
    )


def sqlite_writer(folder: Path) -> Writer:
    path = folder / "shop.db"

    def write(columns: Values, _: random.Random, kinds: dict[str, str]) -> Written:
        create, insert = statements(kinds, SQLITE, "text", '"')
        values = {
            name: [
                v if isinstance(v, int | float | bytes) or v is None else as_text(v) for v in each
            ]
            for name, each in columns.items()
        }
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("drop table if exists rows_here")
            connection.execute(create)
            connection.executemany(insert.replace("%s", "?"), rows_of(values))
        return b"", values

    kinds = tuple(kind for kind in KINDS if kind not in (*NESTED, "uint64", "bool"))
    return _database("sqlite", kinds, write, {"path": str(path), "type": "sqlite"})


def postgresql_writer(database: Any) -> Writer:
    import psycopg
    from psycopg.types.json import Jsonb

    def write(columns: Values, _: random.Random, kinds: dict[str, str]) -> Written:
        create, insert = statements(kinds, TYPES, "text", '"')
        with psycopg.connect(database.url_of_socket, autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute("drop table if exists rows_here")
            cursor.execute(create.encode())
            rows = [
                [Jsonb(v) if isinstance(v, dict) else v for v in row] for row in rows_of(columns)
            ]
            cursor.executemany(insert.encode(), rows)
        return b"", columns

    kinds = tuple(kind for kind in KINDS if kind not in TYPED)
    return _database("postgresql", kinds, write, {"url": database.url})


def mariadb_writer(database: Any) -> Writer:
    import pymysql

    def write(columns: Values, _: random.Random, kinds: dict[str, str]) -> Written:
        create, insert = statements(kinds, MARIADB, "text character set utf8mb4", "`")
        with closing(
            pymysql.connect(
                host=database.host,
                port=database.port,
                user=database.user,
                password=database.password,
                database=database.name,
                autocommit=True,
                charset="utf8mb4",
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("drop table if exists rows_here")
            cursor.execute(create)
            values = {
                name: [int(v) if isinstance(v, bool) else v for v in each]
                for name, each in columns.items()
            }
            texts = {
                name: [str(v) if kinds[name] == "uuid" and v is not None else v for v in each]
                for name, each in values.items()
            }
            cursor.executemany(insert, rows_of(texts))
        return b"", values

    kinds = tuple(kind for kind in KINDS if kind not in (*NESTED, "instant"))
    options = {"url": database.url, "password": database.password}
    return _database("mariadb", kinds, write, options)


def _database(
    name: str, kinds: tuple[str, ...], write: Callable[..., Written], connection: dict[str, Any]
) -> Writer:
    return Writer(
        name,
        "",
        kinds,
        write,
        lambda _: {"connection": "far", "table": "rows_here"},
        connection=connection,
    )
