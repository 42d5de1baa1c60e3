"""Versions of the project's code, as far as they are stored."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from headrace.lake.catalog.reading import names_of
from headrace.plan import Compiled
from headrace.plan.earlier_code import Code, StoredVersions
from headrace.store import Transaction
from headrace.store.queries import applied_versions


def stored_versions(tx: Transaction, cache: Path | None) -> StoredVersions:
    """Return what a transaction reads of versions. `cache` is the folder of compiled lineage."""

    def load(version: int) -> Code | None:
        from headrace.compiler.lineage import compile_lineage

        applied = applied_versions.get(tx, version)
        if applied is None:
            return None
        compiled = msgspec.msgpack.decode(applied.compiled, type=Compiled)
        return Code(compiled, lambda: compile_lineage(compiled, cache))

    return StoredVersions(
        partial(applied_versions.fingerprints, tx),
        load,
        partial(names_of, tx),
        partial(applied_versions.ever_classified, tx),
    )
