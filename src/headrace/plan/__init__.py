"""The meaning of a project as a whole: graph, column types, lineage, fingerprints, and plans.

Pure apart from reading the project's files and using its cache. `compile_project` loads sqlglot
only for SQL that isn't in the cache.
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
    from headrace.plan.compiling import compile_project
    from headrace.plan.impact import Lineage, compile_lineage

_WHERE = {
    "changes": "comparison",
    "compile_project": "compiling",
    "Lineage": "impact",
    "compile_lineage": "impact",
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
    "compile_lineage",
    "compile_project",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a function on first use, so that reading an applied project stays cheap."""
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"headrace.plan.{_WHERE[name]}"), name)
