"""What another mapping of names touches: deliveries of the intervals for which it says another name than before are read again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.model import ContractColumn, Project, Source
from headrace.plan.comparing import without_places
from headrace.quality.drift import conversion_at, in_force
from headrace.store import Transaction
from headrace.store.queries import applying, exceptions


def touched(tx: Transaction, before: Project, after: Project) -> dict[str, list[str]]:
    """Source → the partitions whose files are expected to call a column otherwise than before. What somebody has accepted, and had its
    columns under the names of before, isn't read again for other names: it would be held again."""
    results: dict[str, list[str]] = {}
    for name, source in after.sources.items():
        was = before.sources.get(name)
        if was is None:
            continue
        old, new = _names(before, was), _names(after, source)
        changed = [column for column in {**old, **new} if _mapped(old.get(column)) != _mapped(new.get(column))]
        if not changed:
            continue
        settled = exceptions.of_usual_names(tx, name)
        delivered = applying.delivered_keys(tx, name)
        keys = [key for key in delivered if _differ(old, new, changed, key, values_only=key in settled)]
        if keys:
            results[name] = keys
    return results


def withheld(tx: Transaction, before: Project, after: Project) -> dict[str, list[str]]:
    """Source → its partitions that are held, rejected or failed, where what they are read and checked by is declared otherwise than
    before: they may be right now."""
    results: dict[str, list[str]] = {}
    for name, source in after.sources.items():
        was = before.sources.get(name)
        if was is not None and _judged_by(before, was) != _judged_by(after, source):
            keys = applying.withheld_keys(tx, name)
            if keys:
                results[name] = keys
    return results


def _judged_by(project: Project, source: Source) -> Any:
    """All that is declared of how deliveries of a source are read and checked, but for the names of columns."""
    contract = project.contracts.get(source.contract or source.name)
    columns = () if contract is None else contract.columns
    return without_places(
        [
            source.connector,
            [(column.name, column.type, column.required, column.unique, column.primary_key) for column in columns],
            [] if contract is None else contract.checks,
            (source.checks, source.on_fail, source.on_anomaly, source.on_drift),
            (source.expect.rows_min, source.expect.rows_max, source.expect.unchanged),
        ]
    )


def _names(project: Project, source: Source) -> dict[str, ContractColumn]:
    contract = project.contracts.get(source.contract or source.name)
    return {column.name: column for column in contract.columns} if contract is not None else {}


def _mapped(column: ContractColumn | None) -> tuple[dict[str, Any], ...]:
    return (*column.names, *column.conversions) if column is not None else ()


def _differ(old: dict[str, ContractColumn], new: dict[str, ContractColumn], columns: Iterable[str], key: str, *, values_only: bool) -> bool:
    """Whether files of an interval are expected to call one of the columns otherwise than before, or (`values_only`: whether)
    its values are converted otherwise."""
    pairs = ((_in_force(old, column, key), _in_force(new, column, key)) for column in columns)
    return any(was[1] != now[1] if values_only else was != now for was, now in pairs)


def _in_force(columns: dict[str, ContractColumn], name: str, key: str) -> tuple[str, str | None]:
    """What files of an interval call a column, and how its values are converted."""
    if name not in columns:
        return name, None
    return in_force(columns[name], key), conversion_at(columns[name], key)
