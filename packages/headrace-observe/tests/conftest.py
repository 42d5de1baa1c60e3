"""A project that really runs, whose attempts are reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runlab import Lab, end_begun


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path / "p")
    end_begun()
