"""What a contract adds to the source or asset that it is about: its quality rules as checks, and by when it promises data."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.model.nodes import Asset, CheckSpec, Contract, ContractColumn, Place, Severity, Source, SqlBody

_HOURS = {"h", "hr", "hour", "hours"}
_MINUTES = {"m", "min", "minute", "minutes"}
_DAYS = {"d", "day", "days"}
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")
_NUMBERS = ("DOUBLE", "FLOAT", "DECIMAL")
_MOMENTS = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
LATENCY_MAX = 10_000


def source_by_contract(source: Source, contract: Contract | None) -> Source:
    """With the contract's rules, and its latency where the source doesn't say by when it is expected."""
    if contract is None:
        return source
    expect = source.expect
    if expect.by is None and source.partition.grain is not None and (by := _latency(contract)) is not None:
        expect = msgspec.structs.replace(expect, by=by)
    return msgspec.structs.replace(source, checks=_together(source.checks, contract.checks), expect=expect)


def asset_by_contract(asset: Asset, contract: Contract | None) -> Asset:
    """With the contract's rules, and what it promises of its columns."""
    if contract is None:
        return asset
    promised = promised_of(contract.columns, contract.place)
    if not isinstance(asset.body, SqlBody):  # what SQL gives is known before it runs
        promised += _shape(contract)
    return msgspec.structs.replace(asset, checks=_together(asset.checks, (*promised, *contract.checks)))


def _shape(contract: Contract) -> tuple[CheckSpec, ...]:
    """A check that the contract's columns are there, in types of the kind that it says; a column that isn't is named by its failure."""
    if not contract.columns:
        return ()
    kinds = ", ".join(f"any_value(typeof({_quoted(column.name)})) AS {_quoted(column.name)}" for column in contract.columns)
    wrong = [f"({_quoted(column.name)} NOT SIMILAR TO '{_alike(column.type)}')" for column in contract.columns if column.type]
    query = f"SELECT * FROM (SELECT {kinds} FROM $self) WHERE {' OR '.join(wrong) or 'false'}"
    return (CheckSpec(kind="sql", name="contract_columns", arguments={"query": query}, place=contract.place),)


def _alike(kind: str) -> str:
    """A pattern of the types that are of the same kind: whole numbers of any width, moments with and without zone."""
    plain = kind.upper().partition("(")[0].strip()
    for family in (_WHOLE, _NUMBERS, _MOMENTS):
        if plain in family:
            return "|".join(f"{item}%" for item in family)
    return f"{plain}%"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def promised_of(
    columns: Sequence[ContractColumn],
    place: Place,
    nulls: Severity | None = Severity.BLOCKING,
    keys: Severity | None = Severity.BLOCKING,
) -> tuple[CheckSpec, ...]:
    """Checks for `required`, `unique` and `primaryKey` (all its columns together), declared at `place`; none of those that are None."""
    required = [column.name for column in columns if column.required or column.primary_key]
    several: list[tuple[str, ...]] = [(column.name,) for column in columns if column.unique]
    primary = tuple(column.name for column in columns if column.primary_key)
    if primary and primary not in several:
        several.append(primary)
    specs = [_check("not_null", "contract_required", required, place, nulls)] if required and nulls else []
    if keys is not None:
        specs += [_check("unique", f"contract_unique_{'_'.join(key)}", list(key), place, keys) for key in several]
    return tuple(specs)


def _check(kind: str, name: str, columns: list[str], place: Place, severity: Severity) -> CheckSpec:
    return CheckSpec(kind=kind, name=name, arguments={"columns": columns}, place=place, severity=severity)


def _together(specs: Sequence[CheckSpec], added: Sequence[CheckSpec]) -> tuple[CheckSpec, ...]:
    """Both, the contract's under names that the node's own don't have."""
    taken = {check.name for check in specs}
    check_specs = list(specs)
    for check in added:
        name = check.name if check.name not in taken else f"{check.name} (contract)"
        taken.add(name)
        check_specs.append(msgspec.structs.replace(check, name=name))
    return tuple(check_specs)


def _latency(contract: Contract) -> str | None:
    """`latency` as a moment after the interval: `+5h`."""
    for level in contract.service:
        number = level.value.removesuffix(".0")
        if level.property.lower() not in ("latency", "ly") or not number.isdecimal() or not 0 < int(number) <= LATENCY_MAX:
            continue
        unit = level.unit.lower()
        if unit in _HOURS | _MINUTES:
            return f"+{int(number)}{'h' if unit in _HOURS else 'm'}"
        if unit in _DAYS:
            return f"+{24 * int(number)}h"
    return None
