"""Tests of what the state holds run on both databases: the fixture `state_settings` is a project's
settings for each.

`ONLY_SQLITE` and `ONLY_POSTGRESQL` mark tests of what only one of them has. A child process finds
the address in `STORE_URL`.
"""

from __future__ import annotations

import pytest

from headrace.model import Settings

SQLITE = "sqlite:.headrace/state.db"
ONLY_SQLITE = pytest.mark.parametrize("state_settings", ["sqlite"], indirect=True)
ONLY_POSTGRESQL = pytest.mark.parametrize("state_settings", ["postgresql"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def state_settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose state is in a place of the test's own."""
    url = SQLITE if request.param == "sqlite" else request.getfixturevalue("postgresql").url
    monkeypatch.setenv("STORE_URL", url)
    return Settings(name="test", store_url=url)
