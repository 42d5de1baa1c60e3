"""The catalog in SQLite."""

from __future__ import annotations

from catalog_contract import CatalogContract


class TestSqliteCatalog(CatalogContract):
    """The contract, with the fixture of `conftest.py`."""
