"""The product's waits, shortened for tests: until a file counts as written, until the disk has it.

A test writes its files in one go, and ends processes, never a machine: what it sees is the same
without these waits. What is about them asks for `waits_of_users`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from headrace.connect import files as deliveries
from headrace.lake import files as staged

QUIET_SECONDS, QUIET_LONG_SECONDS = 0.05, 0.25
"""Servers of tests still wait for a file that is being written."""
_OF_USERS = (deliveries.QUIET_SECONDS, deliveries.QUIET_LONG_SECONDS)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Shorten the waits in this process, and in those that are forked from it."""
    _wait(patch, QUIET_SECONDS, QUIET_LONG_SECONDS)
    patch.setattr(staged, "_sync_file_systems", _synced)


def _wait(patch: pytest.MonkeyPatch, quiet: float, quiet_long: float) -> None:
    patch.setattr(deliveries, "QUIET_SECONDS", quiet)
    patch.setattr(deliveries, "QUIET_LONG_SECONDS", quiet_long)


def _synced(files: Sequence[Path]) -> None:
    for path in files:
        path.stat()


@pytest.fixture(scope="session", autouse=True)
def short_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        yield


@pytest.fixture
def waits_of_users() -> Iterator[None]:
    """The waits of the product, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        _wait(patch, *_OF_USERS)
        yield
