"""Models with versions, and what a model declares that the new project has no place for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.importers.dbt.nodes import Node
from headrace.importers.dbt.project_files import listed, mapped

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
    rule = next((entry for entry in entries if "include" in entry or "exclude" in entry), {})
    included = rule.get("include", "*")
    left_out = {*map(str, listed(rule.get("exclude"))), *(str(each["name"]) for each in declared)}
    names = None if included in ("*", "all") else {*map(str, listed(included))}
    inherited = [
        column
        for column in columns
        if (name := str(mapped(column).get("name"))) not in left_out
        and (names is None or name in names)
    ]
    return [*inherited, *declared]


def settings_left_out(node: Node, config: Mapping[str, Any]) -> list[str]:
    """Return what is lost of a model's name and settings, a sentence each."""
    declared = {**node.properties, **version_entry(node)}
    table = str(config.get("alias") or (f"{node.name}_v{node.version}" if node.version else ""))
    notes = []
    if table and table != node.target:
        notes.append(f"dbt's table {table} is named `{node.target}` here")
    access = declared.get("access") or config.get("access")
    places = (config.get("meta"), declared.get("meta"))
    meta = {str(key) for place in places if isinstance(place, Mapping) for key in place}
    lost = {
        "deprecation_date": declared.get("deprecation_date"),
        "access": access if access != "protected" else None,
        "on_schema_change": config.get("on_schema_change"),
        "meta": ", ".join(key for key in sorted(meta) if key not in _OWNER_KEYS),
    }
    if lost["on_schema_change"] == "ignore":
        lost["on_schema_change"] = None
    names = [f"{name} ({value})" for name, value in lost.items() if value]
    return [*notes, *([f"not carried: {'; '.join(names)}"] if names else [])]
