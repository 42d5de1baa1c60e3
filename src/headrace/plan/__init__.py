"""The meaning of a project as a whole: graph, column types, lineage, fingerprints, and plans.

Pure: `compiler` reads the project's files and keeps results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.plan.compiled import (
    ChangeKind,
    Compilation,
    Compiled,
    CompiledNode,
    NodeChange,
    NodeKind,
)

if TYPE_CHECKING:
    from headrace.plan.comparison import changes
    from headrace.plan.impact import Lineage

_WHERE = {
    "changes": "comparison",
    "Lineage": "impact",
}

__all__ = [
    "ChangeKind",
    "Compilation",
    "Compiled",
    "CompiledNode",
    "Lineage",
    "NodeChange",
    "NodeKind",
    "changes",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a function on first use, so that reading an applied project stays cheap."""
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"headrace.plan.{_WHERE[name]}"), name)
