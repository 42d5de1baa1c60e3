"""Fixtures of the runtime's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runlab import Lab, end_begun


@pytest.fixture(autouse=True)
def ends_what_it_began() -> Iterator[None]:
    """A test that fails blames no other one for the processes and pipes that it leaves."""
    yield
    end_begun()


@pytest.fixture
def sqlite_lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "p")


@pytest.fixture
def lab(sqlite_lab: Lab) -> Lab:
    return sqlite_lab


@pytest.fixture
def postgresql_lab(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Lab:
    database = request.getfixturevalue("postgresql_state")
    monkeypatch.setenv("PG_PASSWORD", database.password)
    return Lab(tmp_path / "p", database)


@pytest.fixture(params=["sqlite_lab", pytest.param("postgresql_lab", marks=pytest.mark.slow)])
def any_lab(request: pytest.FixtureRequest) -> Lab:
    """The state in SQLite, then in PostgreSQL: that is one of the slow tests, since SEMANTICS'
    cases run on both anyway."""
    result: Lab = request.getfixturevalue(request.param)
    return result
