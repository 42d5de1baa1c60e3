"""`erase` and `retain:` with the state in a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_cluster import Database
from warm_fork_servers import headrace

from headrace.faults import FaultPoint

pytestmark = [pytest.mark.timeout(600)]
KEY, EMAIL = "C-77310", "canary.ada@example.com"
CANARIES = (KEY, EMAIL)
OLD, NEW = ((datetime.now(UTC) - timedelta(days=back)).strftime("%Y-%m-%d") for back in (40, 2))
SETTINGS = """
[project]
name = "shop"
timezone = "UTC"
[store]
connection = "state"
schema = "shop"
[connections.state]
url = "postgresql://${STORE_USER}@${STORE_HOST}:${STORE_PORT}/${STORE_DATABASE}"
password = "secret://env/STORE_PASSWORD"
"""
ASSET = "/* headrace\nowner: tills\npartition: {by: day, column: day}\n*/\n"


class Shop:
    """A project whose state and catalog are in a database of the server."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root, self.database = root, database
        self.environment = os.environ | {
            "STORE_HOST": database.host,
            "STORE_PORT": str(database.port),
            "STORE_DATABASE": database.name,
            "STORE_USER": database.user,
            "STORE_PASSWORD": database.password,
        }
        for path, text in {
            "headrace.toml": SETTINGS,
            "owners.yaml": 'tills: {kind: vendor, contact: ["mailto:t@example.com"]}\n',
            "sources/orders.yaml": "source: orders\nowner: tills\npartition: day\n"
            "files: landing/orders_{date:%Y-%m-%d}.csv\non_anomaly: ignore\n",
            "assets/clean.sql": ASSET
            + "select cast(day as date) as day, customer as client, email,"
            " cast(amount as decimal(18,2)) as amount from orders\n",
            "assets/picky.sql": "/* headrace\nowner: tills\npartition: {by: day, column: day}\n"
            "checks:\n  - range: {column: amount, max: 50}\non_fail: quarantine_rows\n*/\n"
            "select * from clean\n",
            "assets/revenue.sql": ASSET
            + "select day, sum(amount) as revenue from clean group by day\n",
        }.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        for day in (OLD, NEW):
            self.deliver(day)
        self.run("tick")

    def deliver(self, day: str) -> None:
        path = self.root / f"landing/orders_{day}.csv"
        path.parent.mkdir(exist_ok=True)
        rows = [f"1,{KEY},{EMAIL},60.25,{day}", f"2,C-2,bob@example.com,4.75,{day}"]
        path.write_text("\n".join(["id,customer,email,amount,day", *rows]) + "\n")
        os.utime(path, (path.stat().st_mtime - 3_600,) * 2)

    def run(self, *arguments: str, fault: str = "", code: int = 0) -> str:
        done = headrace(
            [*arguments, "--project", str(self.root)], self.root, self.environment, 300, fault
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def clients(self) -> set[str]:
        return {row["client"] for row in self.json("read", "clean")["rows"]}

    def erase(self, **how: Any) -> None:
        words = ("erase", "request-17", "--where", f"customer = '{KEY}'", "--reason", "asked")
        self.run(*words, "--yes", **how)

    def traces(self) -> list[str]:
        """Files of the data folder, and rows of both schemas, that have a canary."""
        import duckdb

        names = []
        for path in sorted((self.root / ".headrace").rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            if path.suffix == ".parquet":
                rows = duckdb.sql(f"select * from read_parquet('{path}')").fetchall()
                content += repr(rows).encode()
            if any(canary.encode() in content for canary in CANARIES):
                names.append(str(path.relative_to(self.root)))
        tables = self.database.rows(
            "select table_schema, table_name from information_schema.tables where table_schema in"
            " ('shop', 'shop_lake') and table_type = 'BASE TABLE'"
        )
        for schema, table in tables:
            texts = self.database.rows(f'select t::text from "{schema}"."{table}" t')
            hexed = [canary.encode().hex() for canary in CANARIES]
            if any(word in text for (text,) in texts for word in (*CANARIES, *hexed)):
                names.append(f"{schema}.{table}")
        return names


@pytest.fixture
def shop(tmp_path: Path, postgresql: Database) -> Shop:
    return Shop(tmp_path / "p", postgresql)


@pytest.mark.long
def test_nothing_readable_is_left_in_the_server(shop: Shop) -> None:
    """Would catch: SQL that only SQLite takes, or a row of a table of the server with a value."""
    assert {name.split("/")[1] for name in shop.traces() if "/" in name} >= {"lake", "raw"}
    assert any(name.startswith("shop.") for name in shop.traces())
    plan = shop.json("erase", "request-17", "--where", f"customer = '{KEY}'", "--dry-run")
    assert plan["state"] == "planned"
    shop.erase()
    assert shop.traces() == []
    assert shop.clients() == {"C-2"}
    assert shop.json("audit", "verify")["missing"] == []
    assert shop.json("db", "check", "--deep")["ok"]
    shop.deliver(NEW)
    shop.run("tick")
    assert shop.clients() == {"C-2"}
    assert shop.traces() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        FaultPoint.ERASURE_BEGUN, FaultPoint.ERASURE_REWRITTEN, FaultPoint.ERASURE_REGISTERED,
        FaultPoint.ERASURE_DELETING, FaultPoint.ERASURE_CERTIFIED,
    ],
)  # fmt: skip
def test_a_killed_erasure_is_continued_on_the_server(shop: Shop, point: FaultPoint) -> None:
    """Would catch: a step that is lost or done twice where the state isn't a file."""
    shop.erase(fault=f"{point}=kill", code=-signal.SIGKILL)
    shop.erase()
    assert shop.traces() == []
    assert shop.json("audit", "verify")["missing"] == []
    assert shop.json("db", "check", "--deep")["ok"]


@pytest.mark.slow
def test_a_restored_backup_of_the_server_is_erased_again(shop: Shop, tmp_path: Path) -> None:
    """Would catch: rows that an older backup brings back into the server's tables."""
    shop.run("db", "backup", str(tmp_path / "backup"))
    shop.erase()
    restored = shop.json("db", "restore", str(tmp_path / "backup"), "--force")
    assert len(restored["erased_again"]) == 1
    assert shop.clients() == {"C-2"}
    assert shop.json("audit", "verify")["ok"]
    assert shop.json("db", "check", "--deep")["ok"]


@pytest.mark.long
def test_old_partitions_go_from_the_server(shop: Shop) -> None:
    """Would catch: retention whose statements PostgreSQL refuses, or a plan without its loss."""
    path = shop.root / "sources/orders.yaml"
    path.write_text(path.read_text() + "retain: 30d\n")
    [row] = shop.json("plan")["removes"]
    assert (row["partitions"], row["rows"], row["from"]) == (1, 2, OLD)
    shop.run("apply", "--yes")
    [going] = shop.json("status")["retention"]
    assert (going["partitions"], going["from"], going["next"]) == (1, OLD, NEW)
    shop.run("hold", "orders", "--reason", "case 12")
    shop.run("db", "gc")
    assert len(shop.json("read", "orders")["rows"]) == 4
    shop.run("hold", "release", "orders", "--reason", "closed")
    shop.run("db", "gc")
    assert {row["day"] for row in shop.json("read", "orders")["rows"]} == {NEW}
    assert len(shop.json("read", "revenue")["rows"]) == 2
    shop.run("tick")
    assert shop.json("audit", "verify")["missing"] == []
    assert shop.json("db", "check", "--deep")["ok"]
    assert "data.retired" in shop.run("audit", "show")
