"""Enforced contracts of models, and types of seeds, as ODCS documents of the new project.

dbt compares a model's columns and types with its contract before it builds the model, and the
warehouse holds the constraints (https://docs.getdbt.com/reference/resource-configs/contract).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
    NotCarried as `write_contract` does.
    """
    known = {name: _type(name, types[name], outcome.dialect) for name in header if name in types}
    known |= inferred
    columns = [
        {"name": name, **({"physicalType": known[name]} if name in known else {})}
        for name in header
    ]
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
        kind = _type(name, column.get("data_type"), outcome.dialect)
        columns[name] = {"name": name, "physicalType": kind}
        if description := plain_description(outcome, column.get("description")):
            columns[name]["description"] = description
    return columns


def _type(column: str, written: object, dialect: str) -> str:
    """Return DuckDB's name of a column's type. Raise NotCarried."""
    if not isinstance(written, str) or not written.strip():
        raise NotCarried(f"its column {column} has no data_type")
    try:
        kind = exp.DataType.build(written, dialect=dialect or "duckdb").sql("duckdb")
    except (SqlglotError, ValueError) as error:
        raise NotCarried(f"the type {written!r} of its column {column} is unknown") from error
    known = duckdb_type(kind, None)
    if known is None:
        raise NotCarried(f"the type {written!r} of its column {column} has no place in a contract")
    return known


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
