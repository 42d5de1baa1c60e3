"""Exports to a real PostgreSQL: masked columns, declared ones, missing keys, masks that fail, and
rows that are erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from clilab import Project
from postgres_cluster import Database
from test_masked_exports import CLEAR, DECLARED, FILES

from headrace.security.keys import KeyStore
from headrace.security.masks import hash_function

CONNECTION = """
[project]
name = "bank"
timezone = "UTC"
[run]
workers = 1
[connections.warehouse]
type = "postgresql"
host = "${PG_HOST}"
port = "${PG_PORT}"
database = "${PG_DATABASE}"
user = "${PG_USER}"
password = "secret://env/PG_PASSWORD"
"""
TABLE = "export: {connection: warehouse, table:"
EXPORTS = f"""
- {{consumer: tables, owner: core, reads: [people, clean], max_age: 1d, {TABLE} "{{asset}}"}}}}
- {{consumer: shops, owner: core, reads: [people], max_age: 1d, {TABLE} shops}}}}
- {{consumer: views, owner: core, reads: [seen], max_age: 1d, {TABLE} seen}}}}
- {{consumer: town-list, owner: core, reads: [towns], max_age: 1d, {TABLE} towns}}}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def bank(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch, postgresql: Database
) -> Project:
    """A project that exports classified columns to PostgreSQL; nothing has run."""
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    values = {
        "HOST": postgresql.host, "PORT": str(postgresql.port), "DATABASE": postgresql.name,
        "USER": postgresql.user, "PASSWORD": postgresql.password,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"PG_{name}", value)
    towns = "/* headrace\nowner: core\n*/\nselect city from people\n"
    more = {"consumers.yaml": EXPORTS, "headrace.toml": CONNECTION, "assets/towns.sql": towns}
    for path, text in (FILES | more).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Project(tmp_path, call)


class Warehouse:
    """The database that is exported to."""

    def __init__(self, database: Database) -> None:
        self._parameters: dict[str, Any] = {
            "host": database.host, "port": database.port, "dbname": database.name,
            "user": database.user, "password": database.password,
        }  # fmt: skip

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self._parameters) as connection:
            return connection.execute(sql.encode()).fetchall()

    def tables(self) -> set[str]:
        query = "select tablename from pg_tables where schemaname = 'public'"
        return {name for (name,) in self.rows(query)}

    def columns(self, table: str) -> list[str]:
        query = "select attname from pg_attribute where attrelid = to_regclass('{}') and attnum > 0"
        return [name for (name,) in self.rows(query.format(table))]


def test_tables_have_masked_values_and_an_erasure_reaches_them(
    bank: Project, postgresql: Database
) -> None:
    """Would catch: clear values in a table of PostgreSQL, a column without a mask, a date that
    PostgreSQL reads differently once it is masked, a second pass that writes again; rows and tokens
    of an erased subject, and rows of others that get lost."""
    bank.text("tick")
    warehouse = Warehouse(postgresql)
    key = KeyStore(bank.root / ".headrace", bank.root, {}).data_key("retail", "hash")

    def token(value: str) -> str:
        return hash_function(key)([value.encode()])[0]

    assert warehouse.columns("people") == ["id", "iban", "name", "born", "city", "_interval"]
    people = warehouse.rows("select id, iban, name, cast(born as text) from people order by id")
    assert [tuple(map(str, row)) for row in people] == [
        ("1", token("DE111"), "A***", "1815-01-01"),
        ("2", token("DE222"), "G***", "1906-01-01"),
        ("3", "None", "L***", "1969-01-01"),
    ]
    seen = warehouse.rows("select id, iban from seen order by id")
    assert [tuple(map(str, row)) for row in seen] == [
        ("1", token("DE111")), ("2", token("DE222")),
    ]  # fmt: skip
    for table in warehouse.tables():
        text = str(warehouse.rows(f"select * from {table}"))
        assert not [value for value in CLEAR if value in text], table
    places = "select xmin::text, ctid::text from people order by 2"
    before = warehouse.rows(places)
    bank.text("tick")
    assert warehouse.rows(places) == before

    (bank.root / "consumers.yaml").write_text(
        EXPORTS.replace("{connection: warehouse, table: shops}", table_in_the_clear())
    )
    bank.text("apply", "--yes")
    bank.text("tick")
    assert "likes tea" in str(warehouse.rows("select * from shops"))
    assert "DE111" not in str(warehouse.rows("select * from shops"))

    where = "people.id = 1 or visits.id = 1"
    arguments = ("erase", "request-17", "--where", where, "--reason", "asked", "--yes")
    places = bank.json(*arguments)["places"]
    exports = {row["node"]: row for row in places if row["what"] == "export"}
    assert {name: (row["action"], row["rows"]) for name, row in exports.items()} == {
        "tables": ("erased", 2), "shops": ("erased", 1), "views": ("erased", 1),
    }  # fmt: skip
    for table in ("people", "clean", "shops", "seen"):
        kept = [str(row[0]) for row in warehouse.rows(f"select id from {table} order by id")]
        assert kept == (["2"] if table == "seen" else ["2", "3"]), table
        text = str(warehouse.rows(f"select * from {table}"))
        assert token("DE111") not in text and "likes tea" not in text
    assert bank.json("audit", "verify")["missing"] == []


def table_in_the_clear() -> str:
    return DECLARED.replace("to: out/shops.jsonl", "connection: warehouse, table: shops")


def test_a_missing_key_and_a_failing_mask_write_nothing(
    bank: Project, postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: clear values because a key is missing, a table without rows that looks exported,
    an error of PostgreSQL or of a mask that quotes a value, an export without keys that fails."""
    settings = bank.root / "headrace.toml"
    settings.write_text(settings.read_text() + '[keys]\nroot = "secret://env/BANK_ROOT"\n')
    (bank.root / "assets/seen.sql").write_text(
        "/* headrace\nowner: core\nmaterialize: view\n*/\n"
        "select id, city, cast(note as integer) as n from visits where cast(note as integer) > 0\n"
    )
    monkeypatch.delenv("BANK_ROOT", raising=False)
    bank.call(bank.root, "tick")
    warehouse = Warehouse(postgresql)
    assert warehouse.tables() & {"towns", "people", "clean", "shops", "seen"} == {"towns"}
    said = str([bank.call(bank.root, name, "--json") for name in ("runs", "incidents")])
    assert "BANK_ROOT" in said and "its words are left out" in said and "likes" not in said
    monkeypatch.setenv("BANK_ROOT", "0123456789abcdef" * 4)
    bank.call(bank.root, "run", "tables")
    assert warehouse.rows("select count(*) from people") == [(3,)]


def test_an_error_of_postgresql_names_no_clear_value(bank: Project, postgresql: Database) -> None:
    """Would catch: an existing column of another type whose error quotes the exported value."""
    with psycopg.connect(**Warehouse(postgresql)._parameters) as connection:
        connection.execute("create table shops (id bigint, note integer, _interval text)")
    (bank.root / "consumers.yaml").write_text(
        EXPORTS.replace("{connection: warehouse, table: shops}", table_in_the_clear())
    )
    bank.call(bank.root, "tick")
    said = str([bank.call(bank.root, name, "--json") for name in ("runs", "incidents")])
    assert "its words are left out" in said and "likes" not in said
    assert Warehouse(postgresql).rows("select count(*) from shops") == [(0,)]
