"""The fixtures of `tests/connect` and `tests/model`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from connect_workbench import Workbench
from exportlab import Bench
from modellab import load, parse, write

__all__ = ["load", "parse", "write"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A project with a locked-down session, as a worker has it."""
    with Workbench(tmp_path) as made:
        yield made


@pytest.fixture
def export_bench(tmp_path: Path) -> Iterator[Bench]:
    """A worker that exports."""
    bench = Bench(tmp_path / "p")
    yield bench
    bench.close()
