"""A store on disk for each test, closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.model import Settings
from headrace.store import Store


@pytest.fixture
def opened(tmp_path: Path, state_settings: Settings) -> Iterator[Callable[..., Store]]:
    """Opens the store of `tmp_path` (made at the first time), as often as it is called."""
    stores: list[Store] = []

    def open_store(
        root: Path = tmp_path, settings: Settings = state_settings, *, create: bool = True
    ) -> Store:
        stores.append(Store.open(root, settings, create=create))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    return opened()
