"""An editor in a small project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edited_shop import edited_shop
from editor import Editor, editing


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    with editing(edited_shop(tmp_path)) as opened:
        yield opened
