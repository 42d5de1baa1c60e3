"""A check as it is written in a file: `not_null: [carrier]`."""

from __future__ import annotations

import json
from typing import Any

from headrace.model import CheckSpec

SHORT = ("not_null", "unique")
"""Kinds whose list of columns stands alone."""


def as_mapping(check: CheckSpec) -> dict[str, Any]:
    """The item of `checks`."""
    arguments = check.arguments["columns"] if check.kind in SHORT else check.arguments
    return {check.kind: arguments}


def as_yaml(check: CheckSpec) -> str:
    """The item of `checks` as one line of YAML. Texts are quoted wherever YAML could take them for something else."""
    ((kind, arguments),) = as_mapping(check).items()
    return f"{kind}: {_flow(arguments)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=True).replace("*/", "*\\/")  # it may stand in a comment
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    """Whether YAML, in any of its versions, reads the text as this text."""
    return text.isascii() and text.isidentifier() and text.lower() not in _WORDS


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
