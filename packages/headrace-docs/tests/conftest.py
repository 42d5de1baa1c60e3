"""The shop that several files of tests describe, built once."""

from __future__ import annotations

from pathlib import Path

import pytest
from documented_shop import documented_shop, opened

from headrace_docs.responses.description import Description
from headrace_docs.services.site import described_as


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, which no test changes."""
    return documented_shop(tmp_path_factory.mktemp("documented") / "shop")


@pytest.fixture(scope="session")
def described(shop: Path) -> Description:
    """All of it, as its admin sees it."""
    return described_as(opened(shop), None)
