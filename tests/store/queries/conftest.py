"""PostgreSQL databases that have the tables of the state already: migrating an empty one took three
fifths of the processor time of these tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_cluster import Cluster, Database

from headrace.model import Settings
from headrace.store import Store


@pytest.fixture(scope="session")
def migrated(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the tables of the state, which nobody is connected to."""
    with cluster.fresh() as database:
        root: Path = tmp_path_factory.mktemp("migrated")
        Store.open(root, Settings(name="test", store_url=database.url), create=True).close()
        yield database


@pytest.fixture
def postgresql(cluster: Cluster, migrated: Database) -> Iterator[Database]:
    """A copy of it for each test."""
    with cluster.fresh(migrated.name) as database:
        yield database
