from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("lakelab", "catalog_contract")

from lakelab import DuckLake, Lake  # noqa: E402


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
