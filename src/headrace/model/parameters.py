"""`parameters:`: values that bodies get bound as `$name`. They never become text of a statement."""

from __future__ import annotations

import re
from typing import Any

from headrace.model.documents import kind_of, plain
from headrace.model.fields import Fields
from headrace.model.reporting import shown

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
PARAMETERS_MAX = 1_000
_TAKEN = frozenset({"partition_start", "partition_end", "partition_key", "self"})


def read_parameters(fields: Fields) -> dict[str, Any]:
    """Parameters: texts, numbers, true or false, and lists of those."""
    block = fields.block_of("parameters")
    if block is None:
        return {}
    if len(block) > PARAMETERS_MAX:
        fields.refuse("parameters", f"{len(block):,} parameters are too many", f"at most {PARAMETERS_MAX:,}")
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`parameters`")
    return {name: plain(value) for name, value in block.items() if _is_usable(inner, name, value)}


def _is_usable(fields: Fields, name: str, value: Any) -> bool:
    if not NAME.fullmatch(name):
        fields.refuse(name, f"{shown(name)} can't be a parameter", "letters, digits and `_`, because it is bound as $name", code="bad_name")
    elif name.lower() in _TAKEN:
        fields.refuse(name, f"`${name}` means something already", "choose another name", code="reserved_name")
    elif value is None or isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)):
        fields.refuse(
            name,
            f"the parameter {shown(name)} can't be {kind_of(value)}",
            "a text, a number, true or false, or a list of those",
            code="wrong_type",
        )
    else:
        return True
    return False
