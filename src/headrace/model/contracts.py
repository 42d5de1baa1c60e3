"""Reads `contracts/*.odcs.yaml`: contracts of the Open Data Contract Standard, version 3.

Contracts are validated against the standard's JSON Schema.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Sequence
from importlib import resources
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from headrace.model.contract_checks import LATENCY, name_metrics, read_rules
from headrace.model.contract_options import Unenforced
from headrace.model.errors import Report, did_you_mean, shown
from headrace.model.fields import (
    Fields,
    Items,
    LocatedMapping,
    check_owner,
    kind_of,
    plain,
    refuse_huge_integers,
)
from headrace.model.masks import COLUMN_FIELDS, MASK_PROPERTY, read_column_class
from headrace.model.nodes import ColumnClass, Contract, ContractColumn, ServiceLevel

# Vendors' column names with the dates from which they apply (`headrace.names`). Two columns must
# never have the same name at the same time.


class ColumnNamePeriod(NamedTuple):
    """Period in which a column has a name; `first` is empty if unbounded, `until` None."""

    name: str
    first: str
    until: str | None


def report_names(columns: Sequence[ContractColumn], lines: Sequence[int], report: Report) -> None:
    """Report columns with overlapping names, or with the name of another column at the same time.

    `lines` are the columns' lines.
    """
    if not any(column.names for column in columns):
        return
    by_name: dict[str, list[tuple[int, ColumnNamePeriod]]] = {}
    for index, column in enumerate(columns):
        spans = _periods(column)
        if spans is None:
            report.error(
                "contract_invalid",
                lines[index],
                f"what {shown(column.name)} is called overlaps in time, or ends before it begins",
                "let each entry of headrace.names begin where the one before it ends",
            )
        for span in spans or ():
            by_name.setdefault(span.name, []).append((index, span))
    for name, periods in by_name.items():
        for index, other in _overlapping(periods):
            report.error(
                "contract_invalid",
                lines[max(index, other)],
                f"two columns are called {shown(name)} at a time: {shown(columns[index].name)}"
                f" and {shown(columns[other].name)}",
                "take one of them out, or correct the dates of headrace.names",
            )


def _overlapping(periods: list[tuple[int, ColumnNamePeriod]]) -> Iterator[tuple[int, int]]:
    """Yield the indices of columns that have one name in overlapping periods."""
    periods.sort(key=lambda item: item[1].first)
    for (index, period), (other, following) in pairwise(periods):
        if period.until is None or following.first < period.until:
            yield index, other


def _periods(column: ContractColumn) -> list[ColumnNamePeriod] | None:
    """Return a column's names by period, its own name in the gaps; None if entries overlap."""
    entries = sorted(
        (str(name["from"]), None if name.get("to") is None else str(name["to"]), str(name["name"]))
        for name in column.names
    )
    periods: list[ColumnNamePeriod] = []
    at: str | None = ""  # the end of the last period; None if it is open
    for first, until, name in entries:
        if at is None or first < at or (until is not None and until <= first):
            return None
        if at < first:
            periods.append(ColumnNamePeriod(column.name, at, first))
        periods.append(ColumnNamePeriod(name, first, until))
        at = until
    if at is not None:
        periods.append(ColumnNamePeriod(column.name, at, None))
    return list(_joined_periods(periods))


def _joined_periods(spans: Sequence[ColumnNamePeriod]) -> Iterator[ColumnNamePeriod]:
    """Join adjacent periods of the same name, so that a column never conflicts with itself."""
    last: ColumnNamePeriod | None = None
    for span in spans:
        if last is not None and last.name == span.name and last.until == span.first:
            last = ColumnNamePeriod(last.name, last.first, span.until)
        else:
            if last is not None:
                yield last
            last = span
    if last is not None:
        yield last


SUFFIX = ".odcs.yaml"
NAMES_PROPERTY = "headrace.names"
CONVERT_PROPERTY = "headrace.convert"
BREAKS_PROPERTY = "headrace.breaks"
COLUMNS_MAX = 10_000
_REPORTED_MAX = 50
_UNENFORCED_NAMED_MAX = 5
_LOGICAL = {
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "time": "TIME",
    "number": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
}
_SYNONYMS = {
    "BIGINT": "bigint int8 long",
    "INTEGER": "integer int int4",
    "SMALLINT": "smallint int2",
    "TINYINT": "tinyint",
    "UBIGINT": "ubigint",
    "UINTEGER": "uinteger",
    "USMALLINT": "usmallint",
    "UTINYINT": "utinyint",
    "DOUBLE": "double float8 float",
    "FLOAT": "real float4",
    "BOOLEAN": "boolean bool",
    "DATE": "date",
    "TIME": "time",
    "VARCHAR": "varchar nvarchar char nchar text string",
    "UUID": "uuid",
    "JSON": "json",
    "BLOB": "blob binary bytea",
    "TIMESTAMP": "timestamp datetime",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "INTERVAL": "interval",
}
_PHYSICAL = {name: duckdb for duckdb, names in _SYNONYMS.items() for name in names.split()} | {
    "double precision": "DOUBLE",
    "character varying": "VARCHAR",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}
_FRACTIONS, _MOMENTS = (
    ("DOUBLE", "FLOAT", "DECIMAL"),
    ("DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "INTERVAL"),
)
_NEVER = {
    "integer": (*_FRACTIONS, *_MOMENTS),
    "number": _MOMENTS,
    "boolean": (*_FRACTIONS, *_MOMENTS),
}
"""Physical types that contradict a logical type."""
_DECIMAL = re.compile(r"(?:decimal|numeric|number)\s*\(\s*(\d{1,2})\s*(?:,\s*(\d{1,2})\s*)?\)")
_SIZED = re.compile(r"([a-z ]+?)\s*\(\s*\d{1,9}\s*\)")


def read_contract(document: object, report: Report) -> tuple[Contract, ...]:
    """Return the contract, named after its file; empty, with problems reported, if invalid."""
    name = report.file.rpartition("/")[2].removesuffix(SUFFIX)
    if not isinstance(document, LocatedMapping):
        report.error(
            "contract_invalid",
            1,
            f"a contract must be a mapping, not {kind_of(document)}",
            "begin with apiVersion: v3.1.0, kind: DataContract",
        )
        return ()
    named = check_owner(name, 1, report)
    if str(document.get("apiVersion")).startswith("v3.0"):
        name_metrics(document.get("schema"))
    if not _is_valid(document, report) or not named:
        return ()
    place = report.place(document.line)
    table = _table(name, document, report)
    columns = () if table is None else _columns(table, report)
    checks, unenforced = read_rules(table, columns, report) if table and columns else ((), ())
    unenforced = (*unenforced, *_unenforced_service(document))
    _report_unenforced(name, unenforced, report)
    contract = Contract(
        name=name,
        version=document["version"],
        status=document.get("status", "active"),
        columns=columns,
        checks=checks,
        unenforced=tuple(statement.text for statement in unenforced),
        service=_service(document),
        breaks=_breaks(document),
        place=place,
    )
    return (contract,)


def _unenforced_service(document: LocatedMapping) -> Iterator[Unenforced]:
    """Yield the service levels that nothing follows; a latency sets when a source is expected."""
    for item in document.get("slaProperties") or ():
        if str(item["property"]).lower() not in LATENCY:
            text = f"`slaProperties`: {item['property']} {item['value']} {item.get('unit') or ''}"
            yield Unenforced(item.line, text.rstrip())


def _report_unenforced(name: str, unenforced: Sequence[Unenforced], report: Report) -> None:
    if not unenforced:
        return
    named = [f"{item.text} (line {item.line})" for item in unenforced[:_UNENFORCED_NAMED_MAX]]
    more = len(unenforced) - len(named)
    report.warning(
        "not_built",
        min(item.line for item in unenforced),
        f"no check covers this of the contract: {'; '.join(named)}"
        + (f"; and {more} more" if more else ""),
        f"declare a check for it where it matters; `headrace contract show` of a node with the"
        f" contract {name} lists all",
    )


def _breaks(document: LocatedMapping) -> tuple[str, ...]:
    """Return the consumers that this version knowingly breaks."""
    values = [
        item.get("value")
        for item in document.get("customProperties") or ()
        if item.get("property") == BREAKS_PROPERTY
    ]
    return tuple(str(name) for value in values if isinstance(value, list) for name in value)


def _service(document: LocatedMapping) -> tuple[ServiceLevel, ...]:
    return tuple(
        ServiceLevel(
            property=str(item["property"]),
            value=str(item["value"]),
            unit=str(item.get("unit") or ""),
        )
        for item in document.get("slaProperties") or ()
    )


@functools.cache
def _validator() -> Any:
    """Return a validator for the standard's JSON Schema, from the package of the standard.

    `jsonschema` takes 0.2 s to import, so only projects with contracts import it.
    """
    import jsonschema

    schema = msgspec.json.decode(
        resources.files("open_data_contract_standard").joinpath("schema.json").read_bytes()
    )
    for rule in schema["$defs"]["SchemaBaseProperty"]["allOf"]:
        _apply_only_where_there_is_a_type(rule)
    return jsonschema.validators.validator_for(schema)(schema)


def _apply_only_where_there_is_a_type(rule: dict[str, Any]) -> None:
    """Restrict a condition on `logicalType` to columns that have a `logicalType`.

    The standard's conditions (3.2.0) don't require the field, so they also apply to columns without
    it: such a column would have to be a map and every other type at once.
    """
    condition = rule.get("if", {})
    for part in (condition, *condition.get("anyOf", ())):
        if "logicalType" in part.get("properties", {}):
            part.setdefault("required", ["logicalType"])


def _is_valid(document: LocatedMapping, report: Report) -> bool:
    version = document.get("apiVersion")
    if isinstance(version, str) and not version.startswith("v3."):
        report.error(
            "contract_invalid",
            document.lines["apiVersion"],
            f"version {shown(version)} of the standard isn't read",
            "write apiVersion: v3.1.0",
        )
        return False
    errors = sorted(
        _validator().iter_errors(_as_of_the_standard(document)),
        key=lambda error: [str(part) for part in error.absolute_path],
    )
    hints: dict[tuple[int, str], str] = {}
    for error in errors[:_REPORTED_MAX]:
        for line, message, hint in _complaint(error, document):
            hints[line, message] = (
                hints.get((line, message)) or hint
            )  # the schema reports some errors twice
    for (line, message), hint in hints.items():
        report.error(
            "contract_invalid",
            line,
            message,
            hint or "see the Open Data Contract Standard, version 3",
        )
    return not errors


def _as_of_the_standard(document: LocatedMapping) -> Any:
    """Return the document without the fields of columns that only Headrace has."""
    values = plain(document)
    tables = values.get("schema")
    for table in tables if isinstance(tables, list) else ():
        columns = table.get("properties") if isinstance(table, dict) else None
        for column in columns if isinstance(columns, list) else ():
            if isinstance(column, dict):
                column.pop("mask", None)
                column.pop("personal", None)
    return values


def _unknown_properties(error: Any, known: Collection[str]) -> list[str]:
    return [name for name in error.instance if name not in known and f"'{name}'" in error.message]


def _complaint(error: Any, document: LocatedMapping) -> Iterator[tuple[int, str, str]]:
    """Translate one error of the validator into line, message and hint for contract authors."""
    from jsonschema.exceptions import best_match

    if error.context:
        error = best_match([error]) or error
    path = list(error.absolute_path)
    where = shown(".".join(str(part) for part in path) or "the contract")
    of_properties = error.validator in ("additionalProperties", "unevaluatedProperties")
    if of_properties and isinstance(error.instance, dict):
        known = _known_properties(error.schema)
        for name in _unknown_properties(error, known):
            yield (
                _line(document, [*path, name]),
                f"unknown field {shown(name)} in {where}",
                did_you_mean(name, known),
            )
        return
    hint = ""
    if error.validator == "enum" and isinstance(error.instance, str):
        hint = did_you_mean(error.instance, error.validator_value)
    message = error.message if len(error.message) <= 160 else error.message[:159] + "…"
    yield (
        _line(document, path),
        f"{where}: {message if message.isprintable() else ascii(message)}",
        hint,
    )


def _known_properties(schema: Any) -> set[str]:
    """Return the properties of a schema, including those of its `$ref` and `allOf`."""
    if not isinstance(schema, dict):
        return set()
    results = set(schema.get("properties", {}))
    definitions = _validator().schema["$defs"]
    for part in (schema, *schema.get("allOf", ())):
        name = str(part.get("$ref", "")).removeprefix("#/$defs/")
        if name in definitions:
            results |= _known_properties(definitions[name])
    return results


def _line(document: LocatedMapping, path: list[Any]) -> int:
    """Return the line of the value at a path, or of the path's last part that exists."""
    line: int = document.line
    value: Any = document
    for part in path:
        if (isinstance(value, LocatedMapping) and part in value) or (
            isinstance(value, Items) and isinstance(part, int) and part < len(value)
        ):
            line = value.lines[part]
        else:
            break
        value = value[part]
    return line


def _table(name: str, document: LocatedMapping, report: Report) -> LocatedMapping | None:
    """Return the contract's table: the one named like the contract, or its only one."""
    tables: list[LocatedMapping] = document.get("schema") or []
    if not tables:
        return None
    mappings = [table for table in tables if name in (table.get("name"), table.get("physicalName"))]
    if len(tables) > 1 and len(mappings) != 1:
        report.error(
            "contract_invalid",
            document.lines["schema"],
            f"the contract describes {len(tables)} tables, none or several of them called"
            f" {shown(name)}",
            f"call one of them {name}",
        )
        return None
    return mappings[0] if mappings else tables[0]


def _columns(table: LocatedMapping, report: Report) -> tuple[ContractColumn, ...]:
    properties = table.get("properties") or []
    if len(properties) > COLUMNS_MAX:
        report.error(
            "contract_invalid",
            table.lines["properties"],
            f"{len(properties):,} columns are too many",
            f"at most {COLUMNS_MAX:,}",
        )
        return ()
    columns = tuple(_column(column, report) for column in properties)
    if isinstance(properties, Items):
        _report_twice(columns, properties, report)
        _report_two_types(properties, report)
        report_names(columns, [properties.lines[index] for index in range(len(columns))], report)
    return columns


def _report_twice(columns: tuple[ContractColumn, ...], properties: Items, report: Report) -> None:
    seen: set[str] = set()
    for index, column in enumerate(columns):
        if column.name.lower() in seen:
            report.error(
                "contract_invalid",
                properties.lines[index],
                f"the column {shown(column.name)} is here twice",
                "keep one of them",
            )
        seen.add(column.name.lower())


def _report_two_types(properties: Items, report: Report) -> None:
    """Report columns whose `logicalType` and `physicalType` exclude each other.

    Text may contain any type, and numbers may contain times. No table has huge integers.
    """
    for index, written in enumerate(properties):
        fields = Fields(written, report, tuple(written), what="a column")
        fields.checked("physicalType", refuse_huge_integers, "contract_invalid")
        known = duckdb_type(written.get("physicalType"), None) or ""
        family = (
            "" if known.endswith(",0)") else known.partition("(")[0]
        )  # DECIMAL(9,0) holds whole numbers
        if family in _NEVER.get(str(written.get("logicalType")), ()):
            text = (
                f"the column {shown(str(written['name']))} is {written['logicalType']} and {known}"
                " at once"
            )
            report.error(
                "contract_invalid",
                properties.lines[index],
                text,
                "let logicalType and physicalType agree",
            )


def _column(written: LocatedMapping, report: Report) -> ContractColumn:
    column_class = _column_class(written, report)
    return ContractColumn(
        name=written.get("physicalName") or written["name"],
        type=duckdb_type(written.get("physicalType"), written.get("logicalType")),
        required=bool(written.get("required", False)) or bool(written.get("primaryKey", False)),
        unique=bool(written.get("unique", False)),
        primary_key=bool(written.get("primaryKey", False)),
        classification=column_class.name if column_class is not None else None,
        mask=column_class.mask if column_class is not None else None,
        names=_dated(written, report, NAMES_PROPERTY, "name", "departure_delay"),
        conversions=_dated(written, report, CONVERT_PROPERTY, "expression", "'amount_cents / 100'"),
        place=report.place(
            written.lines.get("physicalType") or written.lines.get("logicalType") or written.line
        ),
    )


def _column_class(written: LocatedMapping, report: Report) -> ColumnClass | None:
    """Return a column's classification; its mask is a field, or the property `headrace.mask`."""
    declared = LocatedMapping(written.line)
    for name in COLUMN_FIELDS:
        if name in written:
            declared.put(name, written[name], written.lines[name])
    for entry in written.get("customProperties") or ():
        if entry.get("property") == MASK_PROPERTY:
            declared.put("mask", entry.get("value"), entry.lines.get("value", entry.line))
    return read_column_class(declared, str(written["name"]), report)


def _is_dated(item: Any, key: str) -> bool:
    return (
        isinstance(item, LocatedMapping)
        and isinstance(item.get(key), str)
        and isinstance(item.get("from"), str)
    )


def _dated(
    written: LocatedMapping, report: Report, of: str, key: str, example: str
) -> tuple[dict[str, Any], ...]:
    """Return the entries of a custom property that apply from an interval on.

    For example `{property: headrace.names, value: [{name: departure_delay, from: 2013-02-11}]}`;
    entries of `headrace.convert` have an `expression` instead of a `name`.
    """
    results: list[dict[str, Any]] = []
    entries = [item for item in written.get("customProperties") or () if item.get("property") == of]
    for entry in entries:
        value = entry.get("value")
        items = value if isinstance(value, list) else []
        good = [plain(item) for item in items if _is_dated(item, key)]
        if not good or len(good) != len(items):
            report.error(
                "contract_invalid",
                entry.line,
                f"`{of}` must list entries with `{key}` and `from`",
                f"write value: [{{{key}: {example}, from: 2013-02-11}}]",
            )
        results.extend(good)
    return tuple(results)


def duckdb_type(physical: object, logical: object) -> str | None:
    """Return DuckDB's name of the physical type, else of the logical type; None if both unknown."""
    if isinstance(physical, str):
        known = _physical(physical.strip().lower())
        if known is not None:
            return known
    return _LOGICAL.get(logical) if isinstance(logical, str) else None


def _physical(name: str) -> str | None:
    decimal = _DECIMAL.fullmatch(name)
    if decimal is not None:
        width, scale = int(decimal.group(1)), int(decimal.group(2) or 0)
        return f"DECIMAL({width},{scale})" if 1 <= width <= 38 and scale <= width else None
    sized = _SIZED.fullmatch(name)
    return _PHYSICAL.get(sized.group(1) if sized is not None else name)
