"""Headrace: the data pipeline orchestrator whose numbers can't lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.model.authoring import Context, asset

__version__ = "0.1.0"
__all__ = ["Context", "__version__", "asset"]


def __getattr__(name: str) -> Any:
    """`asset` and `Context`, imported when first asked for: the command line starts without them."""
    if name not in ("asset", "Context"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headrace.model import authoring

    return getattr(authoring, name)
