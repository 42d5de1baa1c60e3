"""A project that really runs, for what is written of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clilab import call
from runlab import Lab, end_begun

__all__ = ["call"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path / "p")
    end_begun()
