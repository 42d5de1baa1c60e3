"""Tests of Headrace that also use sources of packages are skipped where these aren't installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDS_DATABASES = pytest.mark.skipif(
    find_spec("headrace_databases") is None, reason="headrace-databases isn't installed"
)
NEEDS_HTTP = pytest.mark.skipif(
    find_spec("headrace_http") is None, reason="headrace-http isn't installed"
)
