"""Models with versions, and what a model declares that the new project has no place for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.project_files import listed, mapped
from headrace_import.importers.sql_kinds import kind_of_written_type

_OWNER_KEYS = {"owner", "external_location"}
"""Keys of `meta` that an import reads."""


def version_entry(node: Node) -> Mapping[str, Any]:
    """Return what the properties declare of a node's version; nothing for one without versions."""
    entries = map(mapped, listed(node.properties.get("versions")))
    return next((entry for entry in entries if str(entry.get("v")) == node.version), {})


def columns_of(node: Node) -> list[Any]:
    """Return the declared columns: those of the model that the version includes, and its own.

    https://docs.getdbt.com/reference/resource-properties/versions
    """
    columns = listed(node.properties.get("columns"))
    if not node.version or "columns" not in version_entry(node):
        return columns
    entries = [mapped(entry) for entry in listed(version_entry(node)["columns"])]
    declared = [entry for entry in entries if "name" in entry]
    nothing: Mapping[str, Any] = {}
    rule = next((each for each in entries if "include" in each or "exclude" in each), nothing)
    excluded = {*map(str, listed(rule.get("exclude"))), *(str(each["name"]) for each in declared)}
    inherited = [column for column in columns if _is_included(column, rule, excluded)]
    return [*inherited, *declared]


def known_kinds(node: Node, dialect: str) -> Mapping[str, str]:
    """Return the kinds of a node's columns that its SQL says, or what declares a source or seed."""
    types = {} if node.kind == "model" else dict(mapped(node.config.get("column_types")))
    if node.kind == "source":
        types = {
            str(item.get("name")): item.get("data_type") for item in map(mapped, columns_of(node))
        }
    kinds = {
        name.lower(): kind_of_written_type(str(written or ""), dialect)
        for name, written in types.items()
    }
    return {name: kind for name, kind in kinds.items() if kind} or node.kinds


def _is_included(column: object, rule: Mapping[str, Any], excluded: set[str]) -> bool:
    name, included = str(mapped(column).get("name")), rule.get("include", "*")
    return name not in excluded and (included in ("*", "all") or name in map(str, listed(included)))


def settings_left_out(node: Node, config: Mapping[str, Any]) -> list[str]:
    """Return what is lost of a model's name and settings, a sentence each."""
    table = str(config.get("alias") or (f"{node.name}_v{node.version}" if node.version else ""))
    names = [f"{name} ({value})" for name, value in _lost(node, config).items() if value]
    notes = [f"dbt's table {table} is named `{node.target}` here"]
    return [
        *(notes if table not in ("", node.target) else []),
        *([f"not carried: {'; '.join(names)}"] if names else []),
    ]


def _lost(node: Node, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a model that an asset doesn't have; nothing for dbt's defaults."""
    declared = {**node.properties, **version_entry(node)}
    access = declared.get("access") or config.get("access")
    on_change = config.get("on_schema_change")
    places = (config.get("meta"), declared.get("meta"))
    meta = {str(key) for place in places if isinstance(place, Mapping) for key in place}
    return {
        "deprecation_date": declared.get("deprecation_date"),
        "access": access if access != "protected" else None,
        "on_schema_change": on_change if on_change != "ignore" else None,
        "meta": ", ".join(sorted(meta - _OWNER_KEYS)),
    }
