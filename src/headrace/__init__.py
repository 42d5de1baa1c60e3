"""Headrace: the data pipeline orchestrator whose numbers can't lie."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Context", "Session", "__version__", "asset"]

_HOMES = {
    "asset": "headrace.model.authoring",
    "Context": "headrace.model.authoring",
    "Session": "headrace.library",
}
"""Public name → its module. Named here, and not imported: every room imports this package.
`__init__.pyi` tells type checkers."""


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for: the command line starts without them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
