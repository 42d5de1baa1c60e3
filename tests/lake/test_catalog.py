"""The catalog in SQLite and in PostgreSQL."""

from __future__ import annotations

import pytest
from catalog_contract import CatalogContract
from lakelab import Lake, PostgresqlLake

from headrace.lake import catalog


class TestSqliteCatalog(CatalogContract):
    """The contract, with the fixture of `conftest.py`."""


@pytest.mark.long
class TestPostgresqlCatalog(CatalogContract):
    """The same in a schema of a PostgreSQL database."""

    @pytest.fixture
    def lake(self, postgresql_lake: PostgresqlLake) -> PostgresqlLake:
        return postgresql_lake


def test_a_table_is_looked_up_once(lake: Lake) -> None:
    """Catches look-ups that are repeated: each published partition pays for them."""
    statements: list[str] = []
    lake.publish("known", "k", "SELECT 1 AS a")
    lake.tx.set_trace_callback(statements.append)
    assert catalog.table(lake.tx, "unknown") is None
    assert len(statements) == 1
    statements.clear()
    assert catalog.table(lake.tx, "known") is not None
    assert sum("ducklake_table t" in sql for sql in statements) == 1
    assert len(statements) <= 4
