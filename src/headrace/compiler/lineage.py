"""The column lineage of a compiled project, from the cache where its texts are equal."""

from __future__ import annotations

from pathlib import Path

from headrace.compiler.cache import Cache, KeptLineage
from headrace.plan.compiled import Compiled
from headrace.plan.impact import Lineage


def compile_lineage(compiled: Compiled, cache: Path | None = None) -> Lineage:
    """Return the lineage of a compiled project, applied or not.

    It comes from the cache where the texts are equal.
    """
    cached = Cache(cache).load(KeptLineage)
    return Lineage(compiled, cached.lines if cached is not None else {})
