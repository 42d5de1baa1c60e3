"""What a contract promises of its columns' values, as checks: what is required isn't null, what is a key is unique."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import CheckSpec, ContractColumn, Place


def promised_checks(columns: Sequence[ContractColumn], place: Place) -> tuple[CheckSpec, ...]:
    """Blocking checks for the contract's `required`, `unique` and `primaryKey` (all its columns together), declared at `place`."""
    required = [column.name for column in columns if column.required or column.primary_key]
    keys: list[tuple[str, ...]] = [(column.name,) for column in columns if column.unique]
    primary = tuple(column.name for column in columns if column.primary_key)
    if primary and primary not in keys:
        keys.append(primary)
    checks = [_check("not_null", "contract_required", required, place)] if required else []
    return (*checks, *(_check("unique", f"contract_unique_{'_'.join(key)}", list(key), place) for key in keys))


def _check(kind: str, name: str, columns: list[str], place: Place) -> CheckSpec:
    return CheckSpec(kind=kind, name=name, arguments={"columns": columns}, place=place)
