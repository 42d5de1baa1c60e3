from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from connect_workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A project with a locked-down session, as a worker has it."""
    with Workbench(tmp_path) as made:
        yield made
