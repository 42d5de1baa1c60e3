"""Commands in a process that has more open files than `select()` takes."""

from __future__ import annotations

import os
import resource

import pytest

from headrace.plan.schemas import Prepare
from headrace.project.diagnostics import _Worker

FILES = 1_100
"""Open files in a test: more than the 1,024 of `select()`."""


def test_statements_are_bound_beside_a_thousand_open_files() -> None:
    """Would catch: "filedescriptor out of range in select()" instead of what an asset's
    query says.
    """
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < FILES + 200:
        pytest.skip("fewer files may be open here")
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(FILES)]
    worker = _Worker()
    try:
        assert worker.ask(Prepare({})) is not None
    finally:
        worker.close()
        for item in held:
            os.close(item)
