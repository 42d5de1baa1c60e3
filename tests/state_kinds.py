"""Tests of what the state holds run on both databases: the fixture `state_settings` is a project's
settings for each.

`ONLY_SQLITE` and `ONLY_POSTGRESQL` mark tests of what only one of them has. A child process finds
the address in `STORE_URL`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_cluster import Cluster, Database

from headrace.model import Settings
from headrace.store import Store

SQLITE = "sqlite:.headrace/state.db"
ONLY_SQLITE = pytest.mark.parametrize("state_settings", ["sqlite"], indirect=True)
ONLY_POSTGRESQL = pytest.mark.parametrize("state_settings", ["postgresql"], indirect=True)


@pytest.fixture(scope="session")
def migrated(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the tables of the state, which nobody is connected to. To copy it takes a
    third of the time that it takes to make them.
    """
    with cluster.fresh() as database:
        settings = Settings(name="test", store_url=database.url)
        Store.open(tmp_path_factory.mktemp("migrated"), settings, create=True).close()
        yield database


@pytest.fixture
def postgresql_state(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the test's own, with the tables of the state if it isn't marked `no_state`."""
    if request.node.get_closest_marker("no_state"):
        yield request.getfixturevalue("postgresql")
        return
    migrated = request.getfixturevalue("migrated")
    with request.getfixturevalue("cluster").fresh(migrated.name) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def state_settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose state is in a place of the test's own."""
    url = SQLITE if request.param == "sqlite" else request.getfixturevalue("postgresql_state").url
    monkeypatch.setenv("STORE_URL", url)
    return Settings(name="test", store_url=url)
