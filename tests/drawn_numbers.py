"""What tests draw at random follows from the code (docs/decisions/0026-tests.md): a failure
comes again, and changed code draws anew.

Begins elsewhere with HEADRACE_SEED.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import settings

import headrace

settings.register_profile("headrace", derandomize="HEADRACE_SEED" not in os.environ)
settings.load_profile("headrace")


@pytest.fixture(autouse=True)
def drawn_numbers(request: pytest.FixtureRequest) -> None:
    """The module `random` begins a test where the code and the test's name say."""
    random.seed(f"{os.environ.get('HEADRACE_SEED') or _code()} {request.node.nodeid}")


@functools.cache
def _code() -> str:
    """Of the content alone, in the order of the files' names."""
    folder = Path(headrace.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py"), key=lambda item: item.relative_to(folder).as_posix()):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
