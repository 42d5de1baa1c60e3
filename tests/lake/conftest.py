from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("lakelab", "catalog_contract")

from lakelab import DuckLake, Lake, PostgresqlLake  # noqa: E402
from postgres_cluster import Database  # noqa: E402


@pytest.fixture(scope="session")
def ducklake() -> Iterator[DuckLake]:
    process = DuckLake()
    yield process
    process.close()


@pytest.fixture
def lake(tmp_path: Path, ducklake: DuckLake) -> Iterator[Lake]:
    made = Lake(tmp_path, ducklake)
    yield made
    made.close()


@pytest.fixture
def postgresql_lake(
    tmp_path: Path, ducklake: DuckLake, postgresql: Database
) -> Iterator[PostgresqlLake]:
    made = PostgresqlLake(tmp_path, ducklake, postgresql)
    yield made
    made.close()


@pytest.fixture(params=["lake", "postgresql_lake"])
def any_lake(request: pytest.FixtureRequest) -> Lake:
    """The catalog in SQLite, then in PostgreSQL."""
    result: Lake = request.getfixturevalue(request.param)
    return result
