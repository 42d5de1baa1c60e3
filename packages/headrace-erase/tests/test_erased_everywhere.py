"""Byte scans after `erase`, of everything that Headrace has written: with the state in SQLite, and in
a real PostgreSQL server."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_cluster import Database
from warm_fork_servers import headrace

KEY, EMAIL, NAME = "C-77310", "canary.ada@example.com", "Ada Canarysdottir"
CANARIES = tuple(text.encode() for text in (KEY, EMAIL, NAME))
DAYS = [(date(2026, 1, 1) + timedelta(days=number)).isoformat() for number in range(4)]
CODE = "/* headrace\nowner: finance\npartition: {by: day, column: day}\n"
SOURCE = "owner: tills\npartition: day\non_anomaly: ignore\nfiles: landing/"
STORE = """
[store]
connection = "state"
schema = "shop"
[connections.state]
url = "postgresql://${STORE_USER}@${STORE_HOST}:${STORE_PORT}/${STORE_DATABASE}"
password = "secret://env/STORE_PASSWORD"
"""
FILES = {
    "owners.yaml": "tills: {kind: vendor}\nfinance: {kind: team}\n",
    "sources/orders.yaml": f"source: orders\n{SOURCE}orders_{{date:%Y-%m-%d}}.csv.gz\n",
    "sources/zipped.yaml": f"source: zipped\n{SOURCE}zipped_{{date:%Y-%m-%d}}.zip\n",
    "sources/odd.yaml": f"source: odd\n{SOURCE}odd_{{date:%Y-%m-%d}}.json\n",
    "assets/clean.sql": f"{CODE}*/\nselect cast(day as date) as day, customer as client, name,"
    " email, cast(amount as decimal(18,2)) as amount from orders\n",
    "assets/copy.sql": f"{CODE}*/\nselect day, client as buyer, email from clean\n",
    "assets/gone.sql": f"{CODE}*/\nselect day, buyer as person, email from copy\n",
    "assets/unzipped.sql": f"{CODE}*/\nselect cast(day as date) as day, customer from zipped\n",
    "assets/latest.sql": "/* headrace\nowner: finance\nmaterialize: snapshot\n"
    "snapshot: {keys: [client]}\n*/\n"
    "select client, max(email) as email from clean group by client\n",
    "assets/failing.sql": f"{CODE}*/\nselect day, cast(client as integer) as client from clean\n",
    "assets/said.py": "from headrace import asset\n\n\n@asset(owner='finance', inputs=['clean'])\n"
    "def said(clean):\n    row = min(clean.to_pylist(), key=lambda row: row['name'])\n"
    "    print({'client': row['client'], 'name': row['name']})\n    print(row['email'])\n"
    "    raise ValueError(f\"no address for {row['name']}\")\n",
    "assets/picky.sql": f"{CODE}checks:\n  - range: {{column: amount, max: 50}}\n"
    "  - unique: [email]\n  - accepted_values: {column: email, values: [bob@example.com]}\n"
    "on_fail: quarantine_rows\n*/\nselect day, client, email, amount from clean\n",
    "consumers.yaml": "- {consumer: report, owner: finance, reads: [clean], max_age: 1d,"
    ' export: {to: "out/clean_{date:%Y-%m-%d}.csv"}}\n'
    "- {consumer: former, owner: finance, reads: [copy], max_age: 1d,"
    ' export: {to: "out/copy_{date:%Y-%m-%d}.parquet"}}\n',
}  # fmt: skip
ERASE = ("--yes", "--reason", "asked", "--json")


class Shop:
    """A project; `database` has its state, or a SQLite file."""

    def __init__(self, root: Path, database: Database | None) -> None:
        self.root, self.database = root, database
        self.environment = dict(os.environ)
        settings = '[project]\nname = "shop"\ntimezone = "UTC"\n[run]\nworkers = 1\n'
        if database is not None:
            settings += STORE
            for name in ("host", "port", "user", "password"):
                self.environment[f"STORE_{name.upper()}"] = str(getattr(database, name))
            self.environment["STORE_DATABASE"] = database.name
        for path, text in {"headrace.toml": settings, **FILES}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / "landing").mkdir()
        for day in DAYS:
            rows = [f"{KEY},{NAME},{EMAIL},60.25,{day}", f"C-2,Bob,bob@example.com,4.75,{day}"]
            text = "\n".join(["customer,name,email,amount,day", *rows]) + "\n"
            (root / f"landing/orders_{day}.csv.gz").write_bytes(gzip.compress(text.encode()))
            if day == DAYS[0]:
                with zipfile.ZipFile(
                    root / f"landing/zipped_{day}.zip", "w", zipfile.ZIP_DEFLATED
                ) as archive:
                    archive.writestr("rows.csv", text)
        (root / f"landing/odd_{DAYS[0]}.json").write_text(f'{{"customer": "{KEY}", broken')
        for path in (root / "landing").iterdir():
            os.utime(path, (1_772_800_000,) * 2)
        self.run("tick", code=None)

    def run(self, *arguments: str, code: int | None = 0) -> str:
        done = headrace(
            [*arguments, "--project", str(self.root)], self.root, self.environment, 300, ""
        )
        assert code is None or done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def traces(self) -> list[str]:
        """Files of the project, and tables of the state, with a canary, whatever encodes it."""
        names = [
            str(path.relative_to(self.root))
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and _has_canary(_contents(path))
        ]
        rows = (
            self._server_rows() if self.database else _sqlite_rows(self.root / ".headrace/state.db")
        )
        names += sorted({table for table, row in rows if _has_canary(_values(row))})
        return names

    def _server_rows(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        assert self.database is not None
        for schema, table in self.database.rows(
            "select table_schema, table_name from information_schema.tables where table_schema in"
            " ('shop', 'shop_lake') and table_type = 'BASE TABLE'"
        ):
            for row in self.database.rows(f'select * from "{schema}"."{table}"'):
                yield f"table {table}", row


def _sqlite_rows(path: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as state:
        for (table,) in state.execute(
            "select name from sqlite_master where type = 'table'"
        ).fetchall():
            for row in state.execute(f'select * from "{table}"').fetchall():
                yield f"table {table}", row


def _values(row: tuple[Any, ...]) -> Iterator[bytes]:
    for value in row:
        content = value if isinstance(value, bytes) else str(value).encode()
        yield content
        with suppress(zlib.error):
            yield zlib.decompress(content)


def _contents(path: Path) -> Iterator[bytes]:
    import duckdb

    content = path.read_bytes()
    yield content
    if content.startswith(b"PAR1"):
        yield repr(duckdb.sql(f"select * from read_parquet('{path}')").fetchall()).encode()
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)


def _has_canary(contents: Iterator[bytes]) -> bool:
    return any(canary in content for content in contents for canary in CANARIES)


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, warm_fork_servers: None) -> Shop:
    del warm_fork_servers
    database = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    return Shop(tmp_path / "p", database)


@pytest.mark.long
def test_no_byte_is_left_of_a_subject(shop: Shop) -> None:
    """Would catch: a value in a table of the state or the catalog, in a stored, exported, held or
    logged file, or in a backup, of what is declared or was, that the certificate doesn't name.
    """
    before = shop.traces()
    kinds = {name.split("/")[1] for name in before if name.startswith(".headrace/")}
    assert kinds >= {"lake", "raw", "quarantine", "backups"}
    assert {"table journal", "table metric", "table profile", "table incident"} < {*before}
    for path in ("copy", "gone", "latest", "failing", "unzipped"):
        (shop.root / f"assets/{path}.sql").unlink()
    (shop.root / "consumers.yaml").unlink()
    (shop.root / "sources/zipped.yaml").unlink()
    shop.edit("assets/clean.sql", "as client", "as person")
    shop.edit("assets/picky.sql", "day, client, email", "day, person, email")
    shop.run("apply", "--yes")
    where = " or ".join(f"{source}.customer = '{KEY}'" for source in ("orders", "zipped", "odd"))
    done = shop.json("erase", "request-1", "--where", where, "--yes", "--reason", "asked")
    kept = [place for place in done["places"] if place["action"] == "kept"]
    named = [place["why"] for place in kept if place["what"] in ("file", "raw", "delivery")]
    left = shop.traces()
    assert [name for name in left if not any(f"/{name} " in why for why in named)] == []
    assert {name.split("/")[0] for name in left} == {"landing", ".headrace"}
    assert [name for name in left if name.startswith(".headrace/") and "/raw/" not in name] == []
    asked = any("vacuum full" in place["why"] for place in kept)
    assert asked == (shop.database is not None)
    assert shop.json("db", "check", "--deep")["ok"]
    assert shop.json("audit", "verify")["ok"]
