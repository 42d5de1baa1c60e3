"""Adds a contract's quality rules as checks, and its deadline, to its source or asset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from headrace.model.contract_options import ColumnRule, Unenforced, column_statements, quoted
from headrace.model.errors import Report, shown
from headrace.model.fields import LocatedMapping, plain
from headrace.model.nodes import (
    Asset,
    CheckSpec,
    Contract,
    ContractColumn,
    Place,
    Severity,
    Source,
    SqlBody,
)

# A contract's quality rules as checks. Rules use the standard's library of metrics, or SQL with a
# single value to compare. A rule becomes a check kind of Headrace if one fits, and otherwise a
# query that returns a row if the metric breaks the rule. Rules of type `text` are documentation;
# rules for other tools aren't run.

_OPERATORS = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "BETWEEN",
    "mustNotBeBetween": "NOT BETWEEN",
}
_ROW_BOUNDS: dict[str, tuple[tuple[str, int], ...]] = {
    "mustBe": (("min", 0), ("max", 0)),
    "mustBeGreaterThan": (("min", 1),),
    "mustBeGreaterOrEqualTo": (("min", 0),),
    "mustBeLessThan": (("max", -1),),
    "mustBeLessOrEqualTo": (("max", 0),),
    "mustBeBetween": (("min", 0), ("max", 0)),
}
"""Bounds of `row_count` by the standard's comparison, with the number to add to its value."""
_WARNINGS = {"info", "information", "low", "warn", "warning", "minor", "medium"}
_PLACEHOLDER = re.compile(r"\$\{\s*(object|table|property|column|schema)\s*\}")
_NAME_CHARACTERS_MAX = 120
VALUES_MAX = 10_000


def read_rules(
    table: LocatedMapping, columns: Sequence[ContractColumn], report: Report
) -> tuple[tuple[CheckSpec, ...], tuple[Unenforced, ...]]:
    """Return the checks of a contract's table and of its columns, with unique names.

    The second part is what the contract says of quality without a check that covers it.
    """
    name = str(table.get("physicalName") or table.get("name") or "")
    checks = list(_of_items(table, None, name, report))
    unenforced = list(_unenforced_rules(table, "the table"))
    if table.get("relationships"):
        line = table.lines.get("relationships", table.line)
        unenforced.append(Unenforced(line, "`relationships`: a `references` check says it"))
    for column, written in zip(columns, table.get("properties") or (), strict=True):
        checks += _of_items(written, column.name, name, report)
        unenforced += _unenforced_rules(written, shown(column.name))
        for statement in column_statements(written, column):
            if isinstance(statement, Unenforced):
                unenforced.append(statement)
            else:
                checks.append(_option_check(statement, written, column.name, report))
    _report_no_number_of_rows(checks, report)
    return tuple(_named(checks)), tuple(unenforced)


_METRICS = {"rowCount": "rowCount", "duplicateCount": "duplicateValues"}
"""The rules of the standard's version 3.0 that later versions call metrics."""


def name_metrics(block: object) -> None:
    """Write the library rules of version 3.0 below `block` as later versions do, in place.

    A rule that these don't have becomes a text.
    """
    if isinstance(block, LocatedMapping):
        rules = block.get("quality")
        for item in rules if isinstance(rules, list) else ():
            if isinstance(item, LocatedMapping) and isinstance(item.get("rule"), str):
                _name_metric(item)
        block = list(block.values())
    for part in block if isinstance(block, list) else ():
        name_metrics(part)


def _name_metric(item: LocatedMapping) -> None:
    if item.get("type", "library") != "library" or "metric" in item:
        return
    rule, line = item.pop("rule"), item.lines["rule"]
    values = item.pop("validValues", None)
    if rule in _METRICS:
        item.put("metric", _METRICS[rule], line)
    elif rule == "validValues" and not any(name in item for name in _OPERATORS):
        item |= {"metric": "invalidValues", "arguments": {"validValues": values}, "mustBe": 0}
    else:
        item.clear()
        item |= {"type": "text", "description": f"rule {rule}"}


def _unenforced_rules(block: LocatedMapping, of: str) -> Iterator[Unenforced]:
    """Yield the rules for people and for other tools, which nothing runs."""
    for item in block.get("quality") or ():
        if item.get("type") == "custom":
            engine = shown(item.get("engine"))
            yield Unenforced(item.line, f"a rule for {engine} of {of}: `type: sql` says it")
        elif item.get("type") == "text":
            what = " ".join(str(item.get("description") or item.get("name") or "").split())
            yield Unenforced(item.line, f"a text of {of}: {shown(what)}")


def _option_check(
    rule: ColumnRule, written: LocatedMapping, column: str, report: Report
) -> CheckSpec:
    options = written.get("logicalTypeOptions")
    lines = options.lines if isinstance(options, LocatedMapping) else written.lines
    name = " ".join(f"contract_{rule.option}_{column}".split())[:_NAME_CHARACTERS_MAX]
    return CheckSpec(
        kind=rule.kind,
        name=name,
        arguments=rule.arguments,
        place=report.place(lines.get(rule.option, written.line)),
    )


def _report_no_number_of_rows(checks: Sequence[CheckSpec], report: Report) -> None:
    """Report row count rules that contradict each other, which would reject every delivery."""
    rules = [
        check
        for check in checks
        if check.kind == "row_count" and check.severity is Severity.BLOCKING
    ]
    lower = max(
        (rule for rule in rules if "min" in rule.arguments),
        key=lambda spec: int(spec.arguments["min"]),
        default=None,
    )
    upper = min(
        (rule for rule in rules if "max" in rule.arguments),
        key=lambda spec: int(spec.arguments["max"]),
        default=None,
    )
    if lower is not None and upper is not None and lower.arguments["min"] > upper.arguments["max"]:
        report.error(
            "contract_invalid",
            max(lower.place.line, upper.place.line),
            f"no number of rows is at least {lower.arguments['min']:,} and at most"
            f" {upper.arguments['max']:,}",
            "correct one of the rules",
        )


def _named(checks: Sequence[CheckSpec]) -> Iterator[CheckSpec]:
    counts: dict[str, int] = {}
    for check in checks:
        counts[check.name] = counts.get(check.name, 0) + 1
        number = counts[check.name]
        yield (
            check if number == 1 else msgspec.structs.replace(check, name=f"{check.name}_{number}")
        )


def _of_items(
    block: LocatedMapping, column: str | None, table: str, report: Report
) -> Iterator[CheckSpec]:
    for item in block.get("quality") or ():
        kind = item.get("type") or "library"
        rule = None
        if kind == "sql":
            rule = _of_sql(item, column, table, report)
        elif kind == "library":
            rule = _of_library(item, column, report)
        if rule is not None:
            yield _rule_check(item, *rule, column, report)


def _rule_check(
    item: LocatedMapping, kind: str, arguments: dict[str, Any], column: str | None, report: Report
) -> CheckSpec:
    measure = item.get("metric") or item.get("rule") or kind
    name = item.get("name") or "_".join(filter(None, ("contract", str(measure), column)))
    severity = (
        Severity.WARNING
        if str(item.get("severity") or "").lower() in _WARNINGS
        else Severity.BLOCKING
    )
    message = " ".join(str(name).split())[:_NAME_CHARACTERS_MAX]
    return CheckSpec(
        kind=kind,
        name=message,
        arguments=arguments,
        severity=severity,
        place=report.place(item.line),
    )


KindAndArguments = tuple[str, dict[str, Any]]


def _of_library(
    item: LocatedMapping, column: str | None, report: Report
) -> KindAndArguments | None:
    measure = item.get("metric") or item.get("rule")
    arguments = plain(item.get("arguments") or {})
    listed = [column] if column else arguments.get("properties") or []
    columns = [item for item in listed if isinstance(item, str)]
    if measure == "rowCount":
        return _row_count(item, report)
    if not columns or (measure != "duplicateValues" and len(columns) > 1):
        report.error(
            "contract_invalid",
            item.line,
            f"the rule {shown(measure)} doesn't say of which column",
            "put it under the property",
        )
        return None
    if _requires_none(item) and (result := _of_kind(measure, columns, arguments)) is not None:
        return result
    return _measured(item, _bad_rows(measure, columns, arguments), report)


def _of_kind(
    measure: Any, columns: list[str], arguments: dict[str, Any]
) -> KindAndArguments | None:
    """Return the check kind that requires a metric to be 0, if Headrace has one."""
    if measure == "nullValues":
        return "not_null", {"columns": columns}
    if measure == "duplicateValues":
        return "unique", {"columns": columns}
    values = arguments.get("validValues")
    if (
        measure == "invalidValues"
        and isinstance(values, list)
        and values
        and not arguments.get("pattern")
    ):
        return "accepted_values", {"column": columns[0], "values": values[:VALUES_MAX]}
    if measure == "invalidValues" and isinstance(arguments.get("pattern"), str) and not values:
        return "regex", {"column": columns[0], "pattern": arguments["pattern"]}
    return None


def _bad_rows(measure: Any, columns: list[str], arguments: dict[str, Any]) -> str | None:
    """Return a SQL aggregate for the metric's number of rows; None if it can't be computed."""
    name = quoted(columns[0])
    if measure == "nullValues":
        return f"count(*) FILTER ({name} IS NULL)"
    if measure == "missingValues":
        missing = [
            item
            for item in arguments.get("missingValues") or [None, ""]
            if isinstance(item, str | int | float | None)
        ]
        listed = ", ".join(_literal(str(item)) for item in missing if item is not None) or "NULL"
        return f"count(*) FILTER ({name} IS NULL OR CAST({name} AS VARCHAR) IN ({listed}))"
    if measure == "duplicateValues":
        several = ", ".join(map(quoted, columns))
        return f"count(*) - count(DISTINCT ({several}))"
    if measure == "invalidValues":
        return _invalid(name, arguments)
    return None


def _invalid(name: str, arguments: dict[str, Any]) -> str | None:
    conditions = []
    values, pattern = arguments.get("validValues"), arguments.get("pattern")
    if isinstance(values, list) and values:
        conditions.append(
            f"CAST({name} AS VARCHAR) NOT IN"
            f" ({', '.join(_literal(str(value)) for value in values[:VALUES_MAX])})"
        )
    if isinstance(pattern, str):
        conditions.append(f"NOT regexp_full_match(CAST({name} AS VARCHAR), {_literal(pattern)})")
    return (
        f"count(*) FILTER ({name} IS NOT NULL AND ({' OR '.join(conditions)}))"
        if conditions
        else None
    )


def _row_count(item: LocatedMapping, report: Report) -> KindAndArguments:
    for name, bounds in _ROW_BOUNDS.items():
        value = plain(item.get(name))
        whole = value if isinstance(value, list) else [value] * len(bounds)
        if name in item and all(
            isinstance(item, int) and not isinstance(item, bool) for item in whole
        ):
            return "row_count", {
                bound: number + more for (bound, more), number in zip(bounds, whole, strict=True)
            }
    return "sql", {
        "query": _query("SELECT count(*) FROM $self", item, report) or "SELECT 1 WHERE false"
    }


def _requires_none(item: LocatedMapping) -> bool:
    """Return whether the rule requires the metric to be 0, in rows or per cent."""
    return any(
        item.get(name) == value for name, value in (("mustBe", 0), ("mustBeLessOrEqualTo", 0))
    ) or (item.get("mustBeLessThan") == 1 and item.get("unit") != "percent")


def _measured(item: LocatedMapping, count: str | None, report: Report) -> KindAndArguments | None:
    if count is None:
        report.error(
            "contract_invalid",
            item.line,
            "the rule doesn't say what is measured",
            "give it validValues or a pattern",
        )
        return None
    share = f"100.0 * ({count}) / greatest(count(*), 1)" if item.get("unit") == "percent" else count
    query = _query(f"SELECT {share} FROM $self", item, report)
    return None if query is None else ("sql", {"query": query})


def _of_sql(
    item: LocatedMapping, column: str | None, table: str, report: Report
) -> KindAndArguments | None:
    written = str(item.get("query") or "").strip().rstrip(";")
    if column is None and re.search(r"\$\{\s*(property|column)\s*\}", written):
        report.error(
            "contract_invalid",
            item.line,
            "the query names a column, and is under none",
            "put it under the property",
        )
        return None
    names = {
        "object": "$self",
        "table": "$self",
        "property": quoted(column or ""),
        "column": quoted(column or ""),
        "schema": "main",
    }
    text = _PLACEHOLDER.sub(lambda match: names[match[1]], written)
    if "$self" not in text and table:  # it names the table: checks read the unpublished rows
        text = (
            f"WITH {quoted(table)} AS (SELECT * FROM $self) {text}"
            if not re.match(r"(?i)with\b", text)
            else text
        )
    query = _query(text, item, report)
    if query is None:
        report.error(
            "contract_invalid",
            item.line,
            "the rule doesn't say what its value must be",
            "write mustBe: 0",
        )
        return None
    return "sql", {"query": query}


def _query(measure: str, item: LocatedMapping, report: Report) -> str | None:
    """Return a query that yields a row if the value of `measure` breaks the rule.

    Returns None for a rule without a comparison.
    """
    for name, operator in _OPERATORS.items():
        if name in item:
            value = plain(item[name])
            if isinstance(value, list) and operator == "BETWEEN" and value[0] > value[1]:
                report.error(
                    "contract_invalid",
                    item.line,
                    f"nothing is between {value[0]} and {value[1]}",
                    "write the smaller one first",
                )
            operand = (
                " AND ".join(map(_literal, value)) if isinstance(value, list) else _literal(value)
            )
            return (
                f"SELECT * FROM ({measure}\n) AS measured(value) WHERE NOT coalesce(value"
                f" {operator} {operand}, false)"
            )
    return None


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


# Sources and assets with their contract's checks and delivery deadline.

_HOURS = {"h", "hr", "hour", "hours"}
_MINUTES = {"m", "min", "minute", "minutes"}
_DAYS = {"d", "day", "days"}
_INTEGER_TYPES = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)
_FRACTION_TYPES = ("DOUBLE", "FLOAT", "DECIMAL")
_TIMESTAMP_TYPES = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
LATENCY = ("latency", "ly")
LATENCY_MAX = 10_000


def source_by_contract(source: Source, contract: Contract | None) -> Source:
    """Return the source with the contract's checks, and its latency as default of `expect.by`."""
    if contract is None:
        return source
    expect = source.expect
    if (
        expect.by is None
        and source.partition.grain is not None
        and (by := _latency(contract)) is not None
    ):
        expect = msgspec.structs.replace(expect, by=by)
    return msgspec.structs.replace(
        source, checks=_together(source.checks, contract.checks), expect=expect
    )


def asset_by_contract(asset: Asset, contract: Contract | None) -> Asset:
    """Return the asset with the contract's checks and checks of the contract columns."""
    if contract is None:
        return asset
    promised = promised_of(contract.columns, contract.place)
    if not isinstance(asset.body, SqlBody):  # a query's columns are known before it runs
        promised += _shape(contract)
    return msgspec.structs.replace(
        asset, checks=_together(asset.checks, (*promised, *contract.checks))
    )


def _shape(contract: Contract) -> tuple[CheckSpec, ...]:
    """Return a check that the contract columns exist with compatible types.

    If a column is missing, the query fails and its error names the column.
    """
    if not contract.columns:
        return ()
    kinds = ", ".join(
        f"any_value(typeof({quoted(column.name)})) AS {quoted(column.name)}"
        for column in contract.columns
    )
    wrong = [
        f"({quoted(column.name)} NOT SIMILAR TO '{_similar_types(column.type)}')"
        for column in contract.columns
        if column.type
    ]
    query = f"SELECT * FROM (SELECT {kinds} FROM $self) WHERE {' OR '.join(wrong) or 'false'}"
    return (
        CheckSpec(
            kind="sql", name="contract_columns", arguments={"query": query}, place=contract.place
        ),
    )


def _similar_types(kind: str) -> str:
    """Return a pattern of compatible types, such as integers of any width.

    DuckDB's `SIMILAR TO` takes regular expressions, in which `%` is only a character.
    """
    plain = kind.upper().partition("(")[0].strip()
    families = (_INTEGER_TYPES, _FRACTION_TYPES, _TIMESTAMP_TYPES)
    family = next((family for family in families if plain in family), (plain,))
    return "|".join(rf"{item}[^\[]*" for item in family)  # lists of the type are another type


def promised_of(
    columns: Sequence[ContractColumn],
    place: Place,
    nulls: Severity | None = Severity.BLOCKING,
    keys: Severity | None = Severity.BLOCKING,
) -> tuple[CheckSpec, ...]:
    """Return checks for `required`, `unique` and `primaryKey`, declared at `place`.

    All columns of the primary key form one check. `nulls` and `keys` are severities; None omits
    those checks.
    """
    required = [column.name for column in columns if column.required or column.primary_key]
    specs = []
    if required and nulls:
        specs.append(_column_check("not_null", "contract_required", required, place, nulls))
    if keys:
        specs += [
            _column_check("unique", f"contract_unique_{'_'.join(key)}", list(key), place, keys)
            for key in _unique_keys(columns)
        ]
    return tuple(specs)


def _unique_keys(columns: Sequence[ContractColumn]) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = [(column.name,) for column in columns if column.unique]
    primary = tuple(column.name for column in columns if column.primary_key)
    if primary and primary not in keys:
        keys.append(primary)
    return keys


def _column_check(
    kind: str, name: str, columns: list[str], place: Place, severity: Severity
) -> CheckSpec:
    return CheckSpec(
        kind=kind, name=name, arguments={"columns": columns}, place=place, severity=severity
    )


def _together(specs: Sequence[CheckSpec], added: Sequence[CheckSpec]) -> tuple[CheckSpec, ...]:
    """Return the node's checks and the contract's, which are renamed if their name is taken."""
    used_names = {check.name for check in specs}
    check_specs = list(specs)
    for check in added:
        name = check.name if check.name not in used_names else f"{check.name} (contract)"
        used_names.add(name)
        check_specs.append(msgspec.structs.replace(check, name=name))
    return tuple(check_specs)


def _latency(contract: Contract) -> str | None:
    """Return the contract's `latency` as a time after the interval, such as `+5h`."""
    for level in contract.service:
        number = level.value.removesuffix(".0")
        if (
            level.property.lower() not in LATENCY
            or not number.isdecimal()
            or not 0 < int(number) <= LATENCY_MAX
        ):
            continue
        unit = level.unit.lower()
        if unit in _HOURS | _MINUTES:
            return f"+{int(number)}{'h' if unit in _HOURS else 'm'}"
        if unit in _DAYS:
            return f"+{24 * int(number)}h"
    return None
