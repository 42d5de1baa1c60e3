"""The catalog in SQLite and in PostgreSQL."""

from __future__ import annotations

import pytest
from catalog_contract import CatalogContract
from lakelab import PostgresqlLake


class TestSqliteCatalog(CatalogContract):
    """The contract, with the fixture of `conftest.py`."""


class TestPostgresqlCatalog(CatalogContract):
    """The same in a schema of a PostgreSQL database."""

    @pytest.fixture
    def lake(self, postgresql_lake: PostgresqlLake) -> PostgresqlLake:
        return postgresql_lake
