"""The fixtures of `clilab`, for every test here, and a store on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clilab import call, filled, new, shop

from headrace.model import Settings
from headrace.store import Store

__all__ = ["call", "filled", "new", "shop"]


@pytest.fixture
def store(tmp_path: Path, state_settings: Settings) -> Iterator[Store]:
    with closing(Store.open(tmp_path, state_settings, create=True)) as opened:
        yield opened
