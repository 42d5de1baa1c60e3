"""Enforced contracts of models, and types of seeds, as ODCS documents of the new project.

dbt compares a model's columns and types with its contract before it builds the model, and the
warehouse holds the constraints (https://docs.getdbt.com/reference/resource-configs/contract). It
compares types without their sizes; a database casts to them as it writes a table, not for a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace.model.contracts import duckdb_type
from headrace_import.importers.dbt.descriptions import plain_description
from headrace_import.importers.dbt.model_versions import columns_of
from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.outcome import Model, Outcome
from headrace_import.importers.dbt.project_files import flag, listed, mapped
from headrace_import.importers.dbt.writing import flow, yaml_file

_HOLDS_KEYS = frozenset({"duckdb", "postgres", "sqlite"})
"""Dialects whose databases refuse a second row with the same key."""


_UNLIMITED = frozenset({"bigquery", "postgres", "sqlite"})
"""Dialects whose bare NUMERIC has room for what a column of that type can have."""
_WITHOUT_LENGTHS = frozenset({"duckdb", "sqlite"})
"""Dialects that ignore the length of a text's type."""
_LENGTHS = frozenset({"bigquery", "databricks", "postgres", "snowflake", "spark"})
"""Dialects that refuse a text of more characters than its type has."""
_SAME_NAME = {("snowflake", "real"): "DOUBLE", ("tsql", "float"): "DOUBLE"}
_WHOLE_OF_64_BITS = frozenset({"snowflake", "sqlite"})
"""Dialects all of whose whole numbers have 64 bits or more."""
_TEXTS = exp.DataType.TEXT_TYPES - {exp.DataType.Type.CHAR, exp.DataType.Type.NCHAR}


class NotCarried(Exception):
    """Why a contract can't be written."""


def is_enforced(model: Model) -> bool:
    """Return whether dbt compares the model with a contract."""
    contract = model.config.get("contract")
    return isinstance(contract, Mapping) and flag(contract.get("enforced"), False)


def write_contract(outcome: Outcome, model: Model) -> tuple[str, str]:
    """Write the contract of a model, and return its path and what the item says of it.

    Raise NotCarried if a column has no type that DuckDB knows, or if `validate` refused the
    contract in an earlier pass.
    """
    columns, left_out = _columns(outcome, model)
    path = _write(outcome, model.node.target, list(columns.values()))
    notes = [f"its contract is {path}, which allows more columns than those it names"]
    notes += [f"its constraint {constraint} isn't carried" for constraint in left_out]
    return path, "; ".join(notes)


def write_seed_contract(
    outcome: Outcome,
    seed: Node,
    types: Mapping[str, Any],
    header: Sequence[str],
    inferred: Mapping[str, str],
) -> str:
    """Write the contract with the `column_types` of a seed's columns, and return its path.

    `inferred` are types of DuckDB for columns whose type dbt infers.

    Other columns have no type in it, so that they are learnt from the file. As in dbt, types of
    columns that the file doesn't have are left out; the path is empty if none is left. Raise
    NotCarried as `write_contract` does, and for a type that changes values as dbt writes them; a
    decimal that doesn't fit is held here.
    """
    dialect = outcome.dialect or "duckdb"
    for name in header:
        kind = _built(str(types.get(name)), dialect)
        if kind is not None and not kind.is_type("decimal") and _casts(kind, dialect):
            raise NotCarried(f"dbt writes its column {name} as {types[name]}, which changes values")
    known = {name: _type(name, types[name], outcome.dialect) for name in header if name in types}
    known |= {name: {"physicalType": kind} for name, kind in inferred.items()}
    columns = [{"name": name, **known.get(name, {})} for name in header]
    return _write(outcome, seed.target, columns) if known else ""


def _write(outcome: Outcome, name: str, columns: Sequence[Mapping[str, Any]]) -> str:
    path = f"contracts/{name}.odcs.yaml"
    if path in outcome.refused_files:
        raise NotCarried(outcome.refused_files[path])
    head = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": name, "version": "1.0.0"}
    schema = ["schema:", f"  - name: {flow(name)}", "    properties:"]
    schema += [f"      - {flow(column)}" for column in columns]
    outcome.files[path] = yaml_file({**head, "status": "active"}) + "\n".join(schema) + "\n"
    return path


def _columns(outcome: Outcome, model: Model) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the contract's columns by name, and constraints that aren't carried."""
    columns = _typed_columns(outcome, model)
    if not columns:
        raise NotCarried("it names no columns")
    left_out = []
    for constraint, names in _constraints(model.node.properties):
        kind = str(constraint.get("type") or "")
        field = _field(kind, names, model, outcome.dialect)
        if field is None or not names or not columns.keys() >= set(names):
            left_out.append(f"{kind} ({', '.join(names)})" if names else kind)
            continue
        for name in names:
            columns[name][field] = True
    return columns, left_out


def _typed_columns(outcome: Outcome, model: Model) -> dict[str, dict[str, Any]]:
    columns: dict[str, dict[str, Any]] = {}
    for item in columns_of(model.node):
        column = mapped(item)
        name = str(column.get("name") or "")
        is_stored = model.fields.get("materialize") != "view"
        columns[name] = {
            "name": name,
            **_type(name, column.get("data_type"), outcome.dialect, limited=is_stored),
        }
        if description := plain_description(outcome, column.get("description")):
            columns[name]["description"] = description
    return columns


def casts_on_writing(outcome: Outcome, model: Model, source: str) -> Iterator[str]:
    """Yield what a database changes as dbt writes the table of a model with a contract.

    `source` is the model's SQL in dbt's dialect. A cast to the same type in it changes it before.
    """
    if not is_enforced(model) or model.fields.get("materialize") == "view":
        return
    dialect = outcome.dialect or "duckdb"
    query = sqlglot.parse_one(source, dialect=dialect)
    for column in map(mapped, columns_of(model.node)):
        name, written = str(column.get("name") or ""), str(column.get("data_type") or "")
        kind = _built(written, dialect)
        if kind is not None and _casts(kind, dialect) and not _is_cast(query, name, kind):
            yield f"dbt writes its column {name} as {written}: cast it to that in its SQL"


def _is_cast(query: exp.Expr, name: str, kind: exp.DataType) -> bool:
    """Whether a query's column is cast to the type, in each part of a UNION."""
    parts = _outputs(query, {cte.alias: cte.this for cte in query.find_all(exp.CTE)})
    names = [column.alias_or_name.lower() for column in parts[0]]
    at = names.index(name.lower()) if name.lower() in names else len(names)
    columns = [part[at].unalias() if at < len(part) else None for part in parts]
    return all(isinstance(column, exp.Cast) and column.to == kind for column in columns)


def _outputs(query: exp.Expr, ctes: Mapping[str, exp.Expr]) -> list[list[exp.Expr]]:
    """Return the columns of each part of a UNION, none where a star isn't that of a CTE alone."""
    if isinstance(query, exp.Subquery):
        return _outputs(query.this, ctes)
    if isinstance(query, exp.SetOperation):
        return _outputs(query.left, ctes) + _outputs(query.right, ctes)
    if not isinstance(query, exp.Select):
        return [[]]
    if not any(each.is_star for each in query.selects):
        return [query.selects]
    origin = query.find(exp.From)
    name = "" if origin is None or query.args.get("joins") else origin.this.name
    inner = {other: each for other, each in ctes.items() if each is not query}
    return _outputs(inner[name], inner) if len(query.selects) == 1 and name in inner else [[]]


def _built(written: str, dialect: str) -> exp.DataType | None:
    try:
        return exp.DataType.build(written, dialect=dialect)
    except (SqlglotError, ValueError):
        return None


def _casts(kind: exp.DataType, dialect: str) -> bool:
    """Whether a value that dbt takes for one of the type may become another one as it is written.

    dbt doesn't compare sizes.
    """
    is_sized = bool(kind.expressions)
    if kind.is_type("char", "nchar", "bpchar"):
        return dialect not in _WITHOUT_LENGTHS
    if kind.this in _TEXTS:
        return is_sized and dialect not in _WITHOUT_LENGTHS | _LENGTHS
    if kind.is_type("decimal"):
        return is_sized or dialect not in _UNLIMITED
    return is_sized and kind.this not in exp.DataType.INTEGER_TYPES


def _type(column: str, written: object, dialect: str, *, limited: bool = True) -> dict[str, Any]:
    """Return the type of a column as a contract says it, with its length if that is a limit.

    Raise NotCarried.
    """
    if not isinstance(written, str) or not written.strip():
        raise NotCarried(f"its column {column} has no data_type")
    kind = _built(written, dialect or "duckdb")
    if kind is None:
        raise NotCarried(f"the type {written!r} of its column {column} is unknown")
    known = _SAME_NAME.get((dialect, written.lower())) or duckdb_type(kind.sql("duckdb"), None)
    if known is None or kind.is_type("bigdecimal"):
        raise NotCarried(f"the type {written!r} of its column {column} has no place in a contract")
    if dialect in _WHOLE_OF_64_BITS and kind.this in exp.DataType.INTEGER_TYPES:
        known = "BIGINT"
    if limited and kind.this in _TEXTS and kind.expressions and dialect in _LENGTHS:
        length = {"maxLength": int(kind.expressions[0].name)}
        return {"logicalType": "string", "physicalType": known, "logicalTypeOptions": length}
    return {"physicalType": known}


def _constraints(
    properties: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
    """Yield the constraints of columns and of the model, each with its columns."""
    for item in listed(properties.get("columns")):
        column = mapped(item)
        for constraint in listed(column.get("constraints")):
            yield mapped(constraint), [str(column.get("name") or "")]
    for constraint in listed(properties.get("constraints")):
        yield mapped(constraint), [str(name) for name in listed(mapped(constraint).get("columns"))]


def _field(kind: str, names: list[str], model: Model, dialect: str) -> str | None:
    """Return the field of ODCS for a constraint; None if the warehouse or ODCS doesn't have it."""
    if model.config.get("materialized", "view") in ("view", "ephemeral"):
        return None  # no database holds constraints of a view
    if kind == "not_null":
        return "required"
    if dialect not in _HOLDS_KEYS:
        return None
    if kind == "primary_key":
        return "primaryKey"
    return "unique" if kind == "unique" and len(names) == 1 else None
