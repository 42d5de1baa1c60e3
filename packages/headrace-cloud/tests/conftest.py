"""A project whose attempts run on a cluster, and declarations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from modellab import parse, write
from runlab import Lab, end_begun

__all__ = ["parse", "write"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path / "p")
    end_begun()
