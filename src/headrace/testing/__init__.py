"""Suites that what a package adds to Headrace has to pass: `headrace.testing.contracts`."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("AssetFailed", "check", "run_asset"):
        raise ImportError(
            f"`{name}` is in another package: pip install headrace-testing, and write"
            f" `from headrace_testing import {name}`"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
