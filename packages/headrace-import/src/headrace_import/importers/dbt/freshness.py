"""The freshness of dbt's source tables as checks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headrace_import.importers.dbt.dialects import NotSelect, condition_in_duckdb
from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.project_files import mapped
from headrace_import.importers.dbt.templates import NotStatic, is_template

WRITE_FRESHNESS = "write a `freshness` check"
_LOADED_AT = "loaded_at_field"
_AGES = ("warn_after", "error_after")
_UNITS = {"minute": "m", "hour": "h", "day": "d"}


def freshness(outcome: Outcome, node: Node) -> tuple[list[dict[str, Any]], str]:
    """Return the checks of a source's freshness, and in words why it has none though dbt has.

    They warn: dbt build doesn't stop for it. A table's own `null` switches its source's rules off.
    """
    parent = mapped(node.config.get("_source"))
    places = (node.properties, mapped(node.properties.get("config")), parent, node.config)
    rules = _rules(places)
    ages = [(name, age) for name in _AGES if (age := mapped(rules.get(name)))]
    column = next((place[_LOADED_AT] for place in places if _LOADED_AT in place), None)
    try:
        checks = [_freshness_check(name, _column(column), age) for name, age in ages]
        where = _filter(outcome, rules)
    except (NotSelect, NotStatic) as error:
        return [], f"; its freshness isn't checked: {error}"
    return [check | where for check in checks if check], ""


def _rules(places: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    rules: dict[str, Any] = {}
    for given in [place["freshness"] for place in reversed(places) if "freshness" in place]:
        rules = {} if given is None else rules | mapped(given)
    return rules


def _column(column: object) -> str:
    if isinstance(column, str) and re.fullmatch(r"\w+", column):
        return column
    named = f"its {_LOADED_AT} `{column}` isn't a column" if column else f"it has no {_LOADED_AT}"
    raise NotSelect(named)


def _filter(outcome: Outcome, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the condition on the rows whose age counts. Raise NotSelect, NotStatic."""
    text = str(rules.get("filter") or "")
    if is_template(text):
        text = outcome.renderer.render(text).text
    return {"where": condition_in_duckdb(text, outcome.dialect)[0]} if text else {}


def _freshness_check(name: str, column: str, age: Mapping[str, Any]) -> dict[str, Any]:
    unit = _UNITS.get(str(age.get("period")))
    if unit is None or not isinstance(age.get("count"), int):
        return {}
    return {
        "freshness": {"column": column, "max_age": f"{age['count']}{unit}"},
        "name": f"freshness_{name}",
        "severity": "warning",
    }
