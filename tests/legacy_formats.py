"""Tests of Headrace that also use formats of headrace-legacy are skipped where it isn't installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

NEEDS_LEGACY = pytest.mark.skipif(
    find_spec("headrace_legacy") is None, reason="headrace-legacy isn't installed"
)


def forms(*names: str) -> list[Any]:
    """Return endings as parameters of a test."""
    legacy = ("txt", "xlsx", "xml")
    return [pytest.param(name, marks=NEEDS_LEGACY) if name in legacy else name for name in names]
