"""Headrace: the data pipeline orchestrator whose numbers can't lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.library import Session
    from headrace.model.authoring import Context, asset

__version__ = "0.1.0"
__all__ = ["Context", "Session", "__version__", "asset"]


def __getattr__(name: str) -> Any:
    """`asset`, `Context` and `Session`, imported when first asked for: the command line starts without them."""
    if name in ("asset", "Context"):
        from headrace.model import authoring

        return getattr(authoring, name)
    if name == "Session":
        from headrace.library import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
