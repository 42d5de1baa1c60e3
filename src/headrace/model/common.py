"""The fields that all nodes have."""

from __future__ import annotations

from typing import Any

from headrace.model.documents import LocatedMapping
from headrace.model.fields import Fields
from headrace.model.reporting import shown

COMMON = ("owner", "description", "tags", "domain", "calendar", "timezone")
ON_FAIL = ("reject", "hold", "warn", "quarantine_rows")
ON_ANOMALY = ("hold", "warn", "ignore")
ALL_COLUMNS = "*"
"""In `on_anomaly`: the columns that aren't named, and what is of no column."""
TAG_CHARACTERS_MAX = 100


def read_common(fields: Fields) -> dict[str, Any]:
    """What all nodes say, as keyword arguments of their structs; `owner` is left out where it is missing."""
    results: dict[str, Any] = {}
    owner = fields.required("owner", "add `owner:` with a name from owners.yaml")
    if owner is not None:
        results["owner"] = owner
    for name in ("description", "domain", "calendar"):
        if name in fields and (value := fields.text(name)) is not None:
            results[name] = value
    if "tags" in fields:
        results["tags"] = tags(fields)
    if "timezone" in fields:
        results["timezone"] = fields.timezone("timezone")
    return results


def tags(fields: Fields) -> tuple[str, ...]:
    """Tags: short words, so that `tag:` can select them."""
    results = fields.texts("tags")
    for tag in results:
        if len(tag) > TAG_CHARACTERS_MAX or not tag.isprintable() or any(sign in tag for sign in " ,"):
            fields.refuse("tags", f"{shown(tag)} can't be a tag", f"no blanks or commas, at most {TAG_CHARACTERS_MAX} characters")
    return results


def read_on_anomaly(fields: Fields) -> str | dict[str, str] | None:
    """One word for all, or one for each column that is named."""
    if not isinstance(fields.raw("on_anomaly"), LocatedMapping):
        return fields.choice("on_anomaly", ON_ANOMALY, "") or None
    block = fields.block_of("on_anomaly") or LocatedMapping(0)
    inner = Fields(block, fields.report, tuple(block), what="`on_anomaly`")
    results = {column: inner.choice(column, ON_ANOMALY, "") for column in block}
    return {column: policy for column, policy in results.items() if policy} or None


def anomaly_policies(on_anomaly: str | dict[str, str] | None) -> tuple[str | None, dict[str, str]]:
    """What is done about what is odd, and what about that in single columns."""
    if not isinstance(on_anomaly, dict):
        return on_anomaly, {}
    return on_anomaly.get(ALL_COLUMNS), {column: policy for column, policy in on_anomaly.items() if column != ALL_COLUMNS}
