"""Reads `checks:` of sources and assets, and inputs, merge, snapshot and code files of assets.

A check is a mapping with its kind as the key: `unique: [flight_id]`,
`range: {column: delay, min: -60}`. `name`, `severity` and `where` are arguments, or keys next to
the kind. `CheckSpec.arguments` by kind:

    unique, not_null    {"columns": [text, …]}  (short: a list, or one name)
    accepted_values     {"column": text, "values": [scalar, …]}
    range               {"column": text, "min": number or text, "max": …}  at least one of the two
    regex               {"column": text, "pattern": text}
    references          {"column": text, "to": "node.column"}
    freshness           {"column": text, "max_age": duration}
    row_count           {"min": whole number, "max": …}  at least one of the two
    sql                 {"query": text}  rows that the query returns break the rule
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from headrace.model.errors import CHECKS, Report, did_you_mean, one_of, shown
from headrace.model.fields import (
    COLUMN_CHARACTERS_MAX,
    Fields,
    Items,
    LocatedMapping,
    kind_of,
    plain,
)
from headrace.model.nodes import (
    ACCUMULATING,
    Asset,
    CheckSpec,
    InputMode,
    InputSpec,
    PartitionSpec,
    Severity,
    Value,
)

# Arguments of each check kind. The checks package turns them into SQL.

ROWS_MAX = 10**15
VALUES_MAX = 10_000
NAME_CHARACTERS_MAX = 120
COMMON_ARGUMENTS = ("name", "severity", "where")


class Shape(Value, kw_only=True):
    """Arguments of a check kind.

    `fields` are the names of its arguments. `read` converts them to `CheckSpec.arguments`, or
    reports problems and returns None. `short` is the only argument in the short form.
    """

    fields: tuple[str, ...]
    read: Callable[[Fields], dict[str, Any] | None]
    short: str | None = None
    example: str


def _columns(fields: Fields) -> dict[str, Any] | None:
    columns = fields.texts("columns")
    if not columns and "columns" not in fields:
        fields.report.error(
            "bad_check",
            fields.block.line,
            f"{fields.what} names no columns",
            "write a list of columns",
        )
    elif not columns:
        fields.refuse(
            "columns",
            f"{fields.what} names no columns",
            "write a list of columns",
            code="bad_check",
        )
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
        fields.report.error(
            "bad_check",
            fields.line("values"),
            f"{fields.what} has no list of `values`",
            "write values: [EWR, JFK]",
        )
        return None
    if len(values) > VALUES_MAX:
        fields.refuse(
            "values",
            f"{len(values):,} values are too many",
            f"at most {VALUES_MAX:,}; use `references` to a table",
            code="bad_check",
        )
        return None
    if any(isinstance(value, (dict, list)) for value in values):
        fields.refuse(
            "values",
            "`values` holds a list or a mapping",
            "texts, numbers, true or false",
            code="bad_check",
        )
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
        fields.report.error(
            "bad_check",
            fields.block.line,
            f"{fields.what} has neither `min` nor `max`",
            "give at least one",
        )
        return None
    if len(bounds) == 2 and not _in_order(fields, bounds["min"], bounds["max"]):
        return None
    return None if column is None else {"column": column, **bounds}


def _in_order(fields: Fields, low: Any, high: Any) -> bool:
    if isinstance(low, str) != isinstance(high, str):
        fields.refuse(
            "max",
            "`min` and `max` are of different types",
            "two numbers, or two texts",
            code="bad_check",
        )
        return False
    if not isinstance(low, str) and low > high:
        fields.refuse(
            "max",
            f"`min` ({low}) is above `max` ({high}): nothing can pass",
            "swap them",
            code="bad_check",
        )
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
        fields.refuse(
            "to",
            f"{shown(to)} names no column of a node",
            "write to: planes.tailnum",
            code="bad_check",
        )
        return None
    return None if column is None else {"column": column, "to": to}


def _freshness(fields: Fields) -> dict[str, Any] | None:
    column, max_age = _column(fields), fields.duration("max_age", "")
    if "max_age" not in fields:
        fields.required("max_age", "write max_age: 2d")
    return {"column": column, "max_age": max_age} if column and max_age else None


def _row_count(fields: Fields) -> dict[str, Any] | None:
    bounds = {
        name: fields.whole(name, minimum=0, maximum=ROWS_MAX)
        for name in ("min", "max")
        if name in fields
    }
    if not bounds:
        fields.report.error(
            "bad_check",
            fields.block.line,
            "`row_count` has neither `min` nor `max`",
            "give at least one",
        )
        return None
    if None in bounds.values() or (
        len(bounds) == 2 and not _in_order(fields, bounds["min"], bounds["max"])
    ):
        return None
    return dict(bounds)


def _sql(fields: Fields) -> dict[str, Any] | None:
    query = fields.required("query", 'write query: "select * from $self where …"')
    return None if query is None else {"query": query}


SHAPES: dict[str, Shape] = {
    "unique": Shape(
        fields=("columns",), read=_columns, short="columns", example="unique: [flight_id]"
    ),
    "not_null": Shape(
        fields=("columns",), read=_columns, short="columns", example="not_null: [carrier]"
    ),
    "accepted_values": Shape(
        fields=("column", "values"),
        read=_accepted_values,
        example="accepted_values: {column: origin, values: [EWR, JFK]}",
    ),
    "range": Shape(
        fields=("column", "min", "max"), read=_range, example="range: {column: distance, min: 0}"
    ),
    "regex": Shape(
        fields=("column", "pattern"),
        read=_regex,
        example="regex: {column: tailnum, pattern: 'N[0-9A-Z]+'}",
    ),
    "references": Shape(
        fields=("column", "to"),
        read=_references,
        example="references: {column: tailnum, to: planes.tailnum}",
    ),
    "freshness": Shape(
        fields=("column", "max_age"),
        read=_freshness,
        example="freshness: {column: time_hour, max_age: 2d}",
    ),
    "row_count": Shape(fields=("min", "max"), read=_row_count, example="row_count: {min: 100}"),
    "sql": Shape(
        fields=("query",),
        read=_sql,
        example='sql: {name: no_negatives, query: "select * from $self where x < 0"}',
    ),
}
_KNOWN = {kind: frozenset((*shape.fields, *COMMON_ARGUMENTS)) for kind, shape in SHAPES.items()}


def read_checks(fields: Fields) -> tuple[CheckSpec, ...]:
    """Return the `checks` of a source or an asset. Invalid checks are reported and left out."""
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
        report.error(
            "bad_check",
            line,
            f"the check {shown(item)} has no arguments",
            f"write {SHAPES[item].example}",
        )
        return None
    if not isinstance(item, LocatedMapping):
        report.error(
            "bad_check",
            line,
            f"a check must be a mapping, not {kind_of(item)}",
            "write for example not_null: [id]",
        )
        return None
    kinds = [name for name in item if name not in COMMON_ARGUMENTS]
    if len(kinds) != 1:
        text = "no kind" if not kinds else f"more than one kind ({', '.join(map(shown, kinds))})"
        report.error(
            "bad_check", line, f"a check has {text}", f"one of {', '.join(SHAPES)} an item"
        )
        return None
    if kinds[0] not in SHAPES:
        elsewhere = CHECKS.get(kinds[0].rpartition(".")[2], "")
        hint = elsewhere or did_you_mean(kinds[0], SHAPES) or f"known checks: {', '.join(SHAPES)}"
        report.error(
            "unknown_check", item.lines[kinds[0]], f"unknown check {shown(kinds[0])}", hint
        )
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
    name, where = (
        fields.text(common) if common in fields else None for common in ("name", "where")
    )
    if name is not None and (len(name) > NAME_CHARACTERS_MAX or not name.isprintable()):
        fields.refuse(
            "name",
            f"{shown(name)} can't name a check",
            f"one line of at most {NAME_CHARACTERS_MAX} characters",
            code="bad_check",
        )
    if kept is None:
        return None
    return CheckSpec(
        kind=kind,
        name=name or "",
        arguments=plain(kept),
        severity=severity,
        where=where,
        place=report.place(line),
    )


def _arguments(
    kind: str, shape: Shape, item: LocatedMapping, report: Report
) -> LocatedMapping | None:
    """Merge the long or short form with `name`, `severity` and `where` next to the kind."""
    line, written = item.lines[kind], item[kind]
    arguments = LocatedMapping(line)
    if isinstance(written, LocatedMapping):
        for name, value in written.items():
            arguments.put(name, value, written.lines[name])
    elif shape.short is not None and written is not None:
        arguments.put(shape.short, written, line)
    else:
        report.error(
            "bad_check",
            line,
            f"the arguments of {shown(kind)} must be a mapping, not {kind_of(written)}",
            f"write {shape.example}",
        )
        return None
    for name in COMMON_ARGUMENTS:
        if name in item and name not in arguments:
            arguments.put(name, item[name], item.lines[name])
    return arguments


def _named(check: CheckSpec, names: dict[str, int], report: Report) -> CheckSpec:
    """Return the check with a unique name: as given or by default, numbered if already taken."""
    wanted = check.name or default_name(check)
    count = names[wanted] = names.get(wanted, 0) + 1
    if count > 1 and check.name:
        report.error(
            "bad_check",
            check.place.line,
            f"two checks are called {shown(wanted)}",
            "give one of them another name",
        )
    return msgspec.structs.replace(check, name=wanted if count == 1 else f"{wanted}_{count}")


def default_name(check: CheckSpec) -> str:
    """Return the name of a check without one, such as `unique_flight_id` or `row_count`."""
    columns = check.arguments.get("columns") or [
        check.arguments[key] for key in ("column",) if key in check.arguments
    ]
    return "_".join([check.kind, *columns])[:NAME_CHARACTERS_MAX]


# `inputs:` of an asset: the nodes that it reads, with their options (SEMANTICS §2).

INPUTS_MAX = 1_000
_INPUT_MODES = tuple(InputMode)
_INPUT_FIELDS = ("lookback", "optional", "mode", "all", "previous", "within")


def read_inputs(fields: Fields) -> tuple[InputSpec, ...]:
    """Return the inputs from a name, a list of names and `{name: options}`, or a mapping of names.

    Duplicates are reported.
    """
    written = fields.raw("inputs")
    specs: dict[str, InputSpec] = {}
    for name, how, line in _written(fields, written):
        spec = _input(fields, name, how, line)
        if name.lower() in specs:
            fields.report.error(
                "duplicate_name", line, f"the input {shown(name)} is here twice", "keep one of them"
            )
        elif spec is not None:
            specs[name.lower()] = spec
    if len(specs) > INPUTS_MAX:
        fields.refuse("inputs", f"{len(specs):,} inputs are too many", f"at most {INPUTS_MAX:,}")
        return ()
    return tuple(specs.values())


def _written(fields: Fields, written: Any) -> list[tuple[str, Any, int]]:
    """(name, how it is read, line) of each input."""
    if isinstance(written, str) and written.strip():
        return [(written, None, fields.line("inputs"))]
    if isinstance(written, LocatedMapping):
        return [(name, how, written.lines[name]) for name, how in written.items()]
    if not isinstance(written, list):
        fields.wrong("inputs", "a list of names", "write inputs: [flights_clean]")
        return []
    results = []
    for index, item in enumerate(written):
        line = written.lines[index] if isinstance(written, Items) else fields.line("inputs")
        if isinstance(item, str):
            results.append((item, None, line))
        elif isinstance(item, LocatedMapping):
            results.extend((name, how, item.lines[name]) for name, how in item.items())
        else:
            fields.report.error(
                "wrong_type",
                line,
                f"an input must be a name, not {kind_of(item)}",
                "write inputs: [flights_clean]",
            )
    return results


def _input(fields: Fields, name: str, how: Any, line: int) -> InputSpec | None:
    place = fields.report.place(line)
    if how is None:
        return InputSpec(node=name, place=place)
    if isinstance(how, str):
        if how in _INPUT_MODES:
            return InputSpec(node=name, mode=InputMode(how), place=place)
        hint = (
            did_you_mean(how, _INPUT_MODES) or f"write {one_of(_INPUT_MODES)}, or {{lookback: 7d}}"
        )
        fields.report.error(
            "wrong_value", line, f"{shown(how)} isn't a way to read the input {shown(name)}", hint
        )
        return None
    if not isinstance(how, LocatedMapping):
        fields.report.error(
            "wrong_type",
            line,
            f"the input {shown(name)} can't be {kind_of(how)}",
            f"write {name}: {{lookback: 7d}}",
        )
        return None
    inner = Fields(how, fields.report, _INPUT_FIELDS, what=f"the input {shown(name)}")
    lookback = inner.duration("lookback", "") or None
    return InputSpec(
        node=name,
        mode=_mode(inner),
        lookback=lookback,
        optional=inner.flag("optional") or False,
        place=place,
    )


def _mode(fields: Fields) -> InputMode:
    named = [mode for mode in ("all", "previous", "within") if mode in fields and fields.flag(mode)]
    if "mode" in fields:
        named.append(fields.choice("mode", _INPUT_MODES, InputMode.REQUIRED))
    if len(set(named)) > 1:
        fields.refuse(
            named[0],
            f"{fields.what} is read in two ways: {one_of(named)}",
            "keep one of them",
            code="conflicting_fields",
        )
    return InputMode(named[0]) if named else InputMode.REQUIRED


# `merge:` and `snapshot:` of an asset: the key columns of a row, and the treatment of changed and
# deleted rows.

ADDED_BY_SNAPSHOT = ("valid_from", "valid_to", "is_current")
"""Columns that `materialize: snapshot` adds to the asset's own."""
KEYS_MAX = 100
DELETES = ("ignore", "close")


def read_accumulation(fields: Fields, materialize: str) -> dict[str, Any]:
    """Return the fields `merge` and `snapshot` as arguments of `Asset`.

    A field that doesn't match `materialize` is reported.
    """
    results: dict[str, Any] = {}
    for kind, reader in (("merge", _merge), ("snapshot", _snapshot)):
        if kind not in fields:
            continue
        read = reader(fields)
        if materialize == kind:
            results |= read
        else:
            message = f"`{kind}` is there, and the asset is materialised as `{materialize}`"
            fields.refuse(
                kind,
                message,
                f"write materialize: {kind}, or take it out",
                code="conflicting_fields",
            )
    if materialize in ACCUMULATING and not results.get("merge_keys"):
        fields.refuse(
            "materialize",
            f"`materialize: {materialize}` needs keys",
            f"add {materialize}: {{keys: [id]}}",
        )
    return results


def _merge(fields: Fields) -> dict[str, Any]:
    inner = _inner(fields, "merge", ("keys", "delete"))
    if inner is None:
        return {}
    keys, delete = _keys(inner, "merge"), inner.text("delete")
    if delete is not None and delete.lower() in (key.lower() for key in keys):
        inner.refuse(
            "delete",
            f"`{delete}` is a key, and says that a row goes as well",
            "name another column",
            code="conflicting_fields",
        )
    return {"merge_keys": keys, "merge_delete": delete}


def _snapshot(fields: Fields) -> dict[str, Any]:
    inner = _inner(fields, "snapshot", ("keys", "columns", "deletes"))
    if inner is None:
        return {}
    return {
        "merge_keys": _keys(inner, "snapshot"),
        "snapshot_columns": inner.texts("columns"),
        "snapshot_deletes": inner.choice("deletes", DELETES, "ignore"),
    }


def _inner(fields: Fields, name: str, known: tuple[str, ...]) -> Fields | None:
    block = fields.block_of(name)
    return None if block is None else Fields(block, fields.report, known, what=f"`{name}`")


def _keys(inner: Fields, name: str) -> tuple[str, ...]:
    if "keys" not in inner:
        inner.required("keys", f"write {name}: {{keys: [id]}}")
        return ()
    keys = inner.texts("keys")
    if len({key.lower() for key in keys}) < len(keys) or len(keys) > KEYS_MAX:
        inner.refuse(
            "keys",
            "`keys` names a column twice, or too many of them",
            f"each once, at most {KEYS_MAX}",
        )
    return keys


def partition_of(asset: Asset) -> PartitionSpec:
    """Return an asset's partitioning.

    `materialize: append` without `partition:` means one partition per delivery of the input.
    """
    if asset.materialize == "append" and asset.partition.whole:
        return PartitionSpec(by_delivery=True)
    return asset.partition


# `code_files` and `code_packages`: code that an asset uses and that its imports don't reveal.

PATTERNS_MAX = 100
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def read_code_files(fields: Fields) -> tuple[str, ...] | None:
    """Return patterns relative to the project's folder, without `./`; None if one is invalid."""
    results = []
    for text in fields.texts("code_files"):
        pattern = text.removeprefix("./").rstrip("/")
        parts = pattern.split("/")
        if not pattern or text.startswith("/") or ".." in parts or "\\" in text or "\0" in text:
            message = f"`code_files`: {shown(text)} isn't a path below the project's folder"
            fields.refuse(
                "code_files", message, "write it relative to headrace.toml: models/*.json"
            )
            return None
        if any("**" in part and part != "**" for part in parts) or len(pattern) > 1_000:
            message = f"`code_files`: {shown(text)} isn't a pattern"
            fields.refuse(
                "code_files", message, "`**` stands alone between slashes: models/**/*.json"
            )
            return None
        results.append(pattern)
    if len(results) > PATTERNS_MAX:
        fields.refuse(
            "code_files",
            f"`code_files` has more than {PATTERNS_MAX} patterns",
            "name their folder: models/**",
        )
        return None
    return tuple(dict.fromkeys(results)) or None


def read_code_packages(fields: Fields) -> tuple[str, ...] | None:
    """Return names of distributions as pip writes them; None if one is invalid."""
    names = tuple(dict.fromkeys(fields.texts("code_packages")))
    for name in names:
        if len(name) > 200 or _PACKAGE.fullmatch(name) is None:
            message = f"`code_packages`: {shown(name)} isn't the name of a package"
            fields.refuse(
                "code_packages",
                message,
                "write the name that pip installs, without a version: scikit-learn",
            )
            return None
    return names or None
