"""One asset computed once, for programs."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.model import Asset, HeadraceError
from headrace.operations import targets
from headrace.operations.bench.bench import Bench, ComputeRequest
from headrace.operations.bench.given import BadRows
from headrace.operations.responses import ErrorRow
from headrace.operations.session import ProjectSession, usable
from headrace.operations.try_asset import error_row


class TableResult(msgspec.Struct, frozen=True):
    """An Arrow table, or why there is none."""

    table: Any
    error: ErrorRow | None
    log: tuple[str, ...]


def one(session: ProjectSession, asset: str, partition: str | None, given: dict[str, Any], parameters: dict[str, Any]) -> TableResult:
    """Computes it. Raises InvalidProject, UsageError, and BadRows for rows that can't be used."""
    compiled = usable(session.declared())
    name, key = targets.target(asset, compiled.project, kinds=(Asset,))
    declared = compiled.project.assets[name]
    if partition is not None:
        key = targets.partition(declared, partition)
    if key is None and not declared.partition.whole:
        raise HeadraceError(f"{name} is partitioned: say which partition is computed", hint="partition='2013-02-08'")
    if parameters:
        changed = msgspec.structs.replace(declared, parameters={**declared.parameters, **parameters})
        project = msgspec.structs.replace(compiled.project, assets={**compiled.project.assets, name: changed})
        compiled = msgspec.structs.replace(compiled, project=project)
    session.close()
    with Bench(compiled, session.root, timezone=session.timezone) as bench:
        _, computed = next(bench.compute([ComputeRequest(name, key or "*", given)]))
        if isinstance(computed, BadRows):
            raise computed
        if computed.outcome is None:
            return TableResult(None, ErrorRow(kind="lost_worker", message=f"the worker {computed.lost}"), computed.log)
        table = bench.arrow(computed.data) if computed.data is not None else None
        return TableResult(table, error_row(computed.outcome), computed.log)
