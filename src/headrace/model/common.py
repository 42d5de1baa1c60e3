"""The fields that all nodes have."""

from __future__ import annotations

from typing import Any

from headrace.model.fields import Fields
from headrace.model.reporting import shown

COMMON = ("owner", "description", "tags", "domain", "calendar", "timezone")
ON_FAIL = ("reject", "hold", "warn", "quarantine_rows")
ON_ANOMALY = ("hold", "warn", "ignore")
TAG_CHARACTERS_MAX = 100


def read_common(fields: Fields) -> dict[str, Any]:
    """What all nodes say, as keyword arguments of their structs; `owner` is left out where it is missing."""
    found: dict[str, Any] = {}
    owner = fields.required("owner", "add `owner:` with a name from owners.yaml")
    if owner is not None:
        found["owner"] = owner
    for name in ("description", "domain", "calendar"):
        if name in fields and (value := fields.text(name)) is not None:
            found[name] = value
    if "tags" in fields:
        found["tags"] = tags(fields)
    if "timezone" in fields:
        found["timezone"] = fields.timezone("timezone")
    return found


def tags(fields: Fields) -> tuple[str, ...]:
    """Tags: short words, so that `tag:` can select them."""
    found = fields.texts("tags")
    for tag in found:
        if len(tag) > TAG_CHARACTERS_MAX or not tag.isprintable() or any(sign in tag for sign in " ,"):
            fields.refuse("tags", f"{shown(tag)} can't be a tag", f"no blanks or commas, at most {TAG_CHARACTERS_MAX} characters")
    return found
