"""The shape of each check's arguments. What a check means in SQL belongs to `headrace.quality`.

A check is a mapping with its kind as the key: `unique: [flight_id]`, `range: {column: delay, min: -60}`. `name`, `severity`
and `where` stand in the arguments or beside the kind. What is kept in `CheckSpec.arguments`, by kind:

    unique, not_null    {"columns": [text, …]}                       (short: a list, or one name)
    accepted_values     {"column": text, "values": [scalar, …]}
    range               {"column": text, "min": number or text, "max": …}      at least one of the two
    regex               {"column": text, "pattern": text}
    references          {"column": text, "to": "node.column"}
    freshness           {"column": text, "max_age": duration}
    row_count           {"min": whole number, "max": …}                        at least one of the two
    sql                 {"query": text}                              rows that the query returns break the rule
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.model.documents import Items, LocatedMapping, kind_of, plain
from headrace.model.fields import Fields
from headrace.model.names import COLUMN_CHARACTERS_MAX
from headrace.model.nodes import CheckSpec, Severity, Value
from headrace.model.other_tools import CHECKS
from headrace.model.reporting import Report, did_you_mean, shown

ROWS_MAX = 10**15
VALUES_MAX = 10_000
NAME_CHARACTERS_MAX = 120
COMMON = ("name", "severity", "where")


class Shape(Value, kw_only=True):
    """What a kind's arguments look like. `fields` are the names of its arguments; `read` turns them into what is kept, or
    None where they can't be used; `short` is the argument that stands alone in the short form."""

    fields: tuple[str, ...]
    read: Callable[[Fields], dict[str, Any] | None]
    short: str | None = None
    example: str


def _columns(fields: Fields) -> dict[str, Any] | None:
    columns = fields.texts("columns")
    if not columns and "columns" not in fields:
        fields.report.error("bad_check", fields.block.line, f"{fields.what} names no columns", "write a list of columns")
    elif not columns:
        fields.refuse("columns", f"{fields.what} names no columns", "write a list of columns", code="bad_check")
    good = [column for column in columns if _is_column(fields, "columns", column)]
    return {"columns": good} if good and len(good) == len(columns) else None


def _is_column(fields: Fields, name: str, column: str) -> bool:
    if len(column) <= COLUMN_CHARACTERS_MAX and column.isprintable():
        return True
    fields.refuse(name, f"{shown(column)} can't be a column's name", "", code="bad_check")
    return False


def _column(fields: Fields) -> str | None:
    column = fields.required("column")
    return column if column is not None and _is_column(fields, "column", column) else None


def _accepted_values(fields: Fields) -> dict[str, Any] | None:
    column, values = _column(fields), fields.raw("values")
    if not isinstance(values, list) or not values:
        fields.report.error("bad_check", fields.line("values"), f"{fields.what} has no list of `values`", "write values: [EWR, JFK]")
        return None
    if len(values) > VALUES_MAX:
        fields.refuse(
            "values", f"{len(values):,} values are too many", f"at most {VALUES_MAX:,}; use `references` to a table", code="bad_check"
        )
        return None
    if any(isinstance(value, (dict, list)) for value in values):
        fields.refuse("values", "`values` holds a list or a mapping", "texts, numbers, true or false", code="bad_check")
        return None
    return None if column is None else {"column": column, "values": list(values)}


def _range(fields: Fields) -> dict[str, Any] | None:
    column = _column(fields)
    bounds = {name: fields.raw(name) for name in ("min", "max") if name in fields}
    for name, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, (int, float, str)):
            fields.wrong(name, "a number, or a date or time as text")
            return None
    if not bounds:
        fields.report.error("bad_check", fields.block.line, f"{fields.what} has neither `min` nor `max`", "give at least one")
        return None
    if len(bounds) == 2 and not _in_order(fields, bounds["min"], bounds["max"]):
        return None
    return None if column is None else {"column": column, **bounds}


def _in_order(fields: Fields, low: Any, high: Any) -> bool:
    if isinstance(low, str) != isinstance(high, str):
        fields.refuse("max", "`min` and `max` are of different types", "two numbers, or two texts", code="bad_check")
        return False
    if not isinstance(low, str) and low > high:
        fields.refuse("max", f"`min` ({low}) is above `max` ({high}): nothing can pass", "swap them", code="bad_check")
        return False
    return True


def _regex(fields: Fields) -> dict[str, Any] | None:
    column, pattern = _column(fields), fields.required("pattern")
    return None if column is None or pattern is None else {"column": column, "pattern": pattern}


def _references(fields: Fields) -> dict[str, Any] | None:
    column, to = _column(fields), fields.required("to", "write to: planes.tailnum")
    if to is None:
        return None
    node, _, target = to.partition(".")
    if not node or not target:
        fields.refuse("to", f"{shown(to)} names no column of a node", "write to: planes.tailnum", code="bad_check")
        return None
    return None if column is None else {"column": column, "to": to}


def _freshness(fields: Fields) -> dict[str, Any] | None:
    column, max_age = _column(fields), fields.duration("max_age", "")
    if "max_age" not in fields:
        fields.required("max_age", "write max_age: 2d")
    return {"column": column, "max_age": max_age} if column and max_age else None


def _row_count(fields: Fields) -> dict[str, Any] | None:
    bounds = {name: fields.whole(name, minimum=0, maximum=ROWS_MAX) for name in ("min", "max") if name in fields}
    if not bounds:
        fields.report.error("bad_check", fields.block.line, "`row_count` has neither `min` nor `max`", "give at least one")
        return None
    if None in bounds.values() or (len(bounds) == 2 and not _in_order(fields, bounds["min"], bounds["max"])):
        return None
    return dict(bounds)


def _sql(fields: Fields) -> dict[str, Any] | None:
    query = fields.required("query", 'write query: "select * from $self where …"')
    return None if query is None else {"query": query}


SHAPES: dict[str, Shape] = {
    "unique": Shape(fields=("columns",), read=_columns, short="columns", example="unique: [flight_id]"),
    "not_null": Shape(fields=("columns",), read=_columns, short="columns", example="not_null: [carrier]"),
    "accepted_values": Shape(
        fields=("column", "values"), read=_accepted_values, example="accepted_values: {column: origin, values: [EWR, JFK]}"
    ),
    "range": Shape(fields=("column", "min", "max"), read=_range, example="range: {column: distance, min: 0}"),
    "regex": Shape(fields=("column", "pattern"), read=_regex, example="regex: {column: tailnum, pattern: 'N[0-9A-Z]+'}"),
    "references": Shape(fields=("column", "to"), read=_references, example="references: {column: tailnum, to: planes.tailnum}"),
    "freshness": Shape(fields=("column", "max_age"), read=_freshness, example="freshness: {column: time_hour, max_age: 2d}"),
    "row_count": Shape(fields=("min", "max"), read=_row_count, example="row_count: {min: 100}"),
    "sql": Shape(fields=("query",), read=_sql, example='sql: {name: no_negatives, query: "select * from $self where x < 0"}'),
}
_KNOWN = {kind: frozenset((*shape.fields, *COMMON)) for kind, shape in SHAPES.items()}


def read_checks(fields: Fields) -> tuple[CheckSpec, ...]:
    """The `checks` of a source or an asset. Checks that can't be used are reported and left out."""
    written = fields.raw("checks")
    if written is None and "checks" not in fields:
        return ()
    if not isinstance(written, list):
        fields.wrong("checks", "a list", "write checks: [{not_null: [id]}]")
        return ()
    specs: list[CheckSpec] = []
    names: dict[str, int] = {}
    for index, item in enumerate(written):
        line = written.lines[index] if isinstance(written, Items) else fields.line("checks")
        check = _read(item, line, fields.report)
        if check is not None:
            specs.append(_named(check, names, fields.report))
    return tuple(specs)


def _read(item: Any, line: int, report: Report) -> CheckSpec | None:
    if isinstance(item, str) and item in SHAPES:
        report.error("bad_check", line, f"the check {shown(item)} has no arguments", f"write {SHAPES[item].example}")
        return None
    if not isinstance(item, LocatedMapping):
        report.error("bad_check", line, f"a check must be a mapping, not {kind_of(item)}", "write for example not_null: [id]")
        return None
    kinds = [name for name in item if name not in COMMON]
    if len(kinds) != 1:
        text = "no kind" if not kinds else f"more than one kind ({', '.join(map(shown, kinds))})"
        report.error("bad_check", line, f"a check has {text}", f"one of {', '.join(SHAPES)} an item")
        return None
    if kinds[0] not in SHAPES:
        elsewhere = CHECKS.get(kinds[0].rpartition(".")[2], "")
        hint = elsewhere or did_you_mean(kinds[0], SHAPES) or f"known checks: {', '.join(SHAPES)}"
        report.error("unknown_check", item.lines[kinds[0]], f"unknown check {shown(kinds[0])}", hint)
        return None
    return _of_kind(kinds[0], item, report)


def _of_kind(kind: str, item: LocatedMapping, report: Report) -> CheckSpec | None:
    shape, line = SHAPES[kind], item.lines[kind]
    arguments = _arguments(kind, shape, item, report)
    if arguments is None:
        return None
    fields = Fields(arguments, report, _KNOWN[kind], what=f"the check `{kind}`")
    kept = shape.read(fields)
    severity = Severity(fields.choice("severity", tuple(Severity), Severity.BLOCKING))
    name, where = (fields.text(common) if common in fields else None for common in ("name", "where"))
    if name is not None and (len(name) > NAME_CHARACTERS_MAX or not name.isprintable()):
        fields.refuse(
            "name", f"{shown(name)} can't name a check", f"one line of at most {NAME_CHARACTERS_MAX} characters", code="bad_check"
        )
    if kept is None:
        return None
    return CheckSpec(kind=kind, name=name or "", arguments=plain(kept), severity=severity, where=where, place=report.place(line))


def _arguments(kind: str, shape: Shape, item: LocatedMapping, report: Report) -> LocatedMapping | None:
    """All arguments in one mapping: the long form, or the short one with `name`, `severity` and `where` beside it."""
    line, written = item.lines[kind], item[kind]
    arguments = LocatedMapping(line)
    if isinstance(written, LocatedMapping):
        for name, value in written.items():
            arguments.put(name, value, written.lines[name])
    elif shape.short is not None and written is not None:
        arguments.put(shape.short, written, line)
    else:
        report.error(
            "bad_check", line, f"the arguments of {shown(kind)} must be a mapping, not {kind_of(written)}", f"write {shape.example}"
        )
        return None
    for name in COMMON:
        if name in item and name not in arguments:
            arguments.put(name, item[name], item.lines[name])
    return arguments


def _named(check: CheckSpec, names: dict[str, int], report: Report) -> CheckSpec:
    """A check with a name of its own: what was given, or its kind and columns, numbered where that is taken."""
    wanted = check.name or default_name(check)
    count = names[wanted] = names.get(wanted, 0) + 1
    if count > 1 and check.name:
        report.error("bad_check", check.place.line, f"two checks are called {shown(wanted)}", "give one of them another name")
    return msgspec.structs.replace(check, name=wanted if count == 1 else f"{wanted}_{count}")


def default_name(check: CheckSpec) -> str:
    """`unique_flight_id`, `row_count`: what a check is called that wasn't given a name."""
    columns = check.arguments.get("columns") or [check.arguments[key] for key in ("column",) if key in check.arguments]
    return "_".join([check.kind, *columns])[:NAME_CHARACTERS_MAX]
