"""The unique ids that dbt gives generic tests: its artifacts name tests by them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class DbtTest(NamedTuple):
    """What the id of a generic test depends on."""

    kind: str
    column: str
    arguments: dict[str, Any]
    relation: str
    """How dbt refers to the table: `ref('orders')`, `source('shop', 'orders')`."""
    target: str
    """The table's name in ids: `orders`, `orders_v2`, `shop_orders` of a source."""
    package: str = ""
    name: str = ""
    """The declared name of the test, if it has one."""

    def unique_id(self, project: str) -> str:
        """Return the id."""
        arguments = _plain(self.arguments)
        if self.column:
            arguments["column_name"] = self.column
        name = self.name or self._synthetic_name(arguments)
        arguments["model"] = "{{ get_where_subquery(" + self.relation + ") }}"
        metadata = {"kwargs": arguments, "name": self.kind, "namespace": self.package or None}
        text = f"{name}{_hashable(metadata)!r}".encode()
        digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
        return f"test.{project}.{name}.{digest[-10:]}"

    def _synthetic_name(self, arguments: Mapping[str, Any]) -> str:
        """Return the name that dbt makes of a test's kind, table and arguments."""
        kind = f"source_{self.kind}" if self.relation.startswith("source(") else self.kind
        if self.package:
            kind = f"{self.package}_{kind}"
        parts: list[str] = []
        for key in sorted(arguments):
            value = arguments[key]
            if isinstance(value, dict):
                items = list(value.values())
            else:
                items = list(value) if isinstance(value, list | tuple) and value else [value]
            parts += [re.sub(r"[^0-9a-zA-Z_]+", "_", str(item)) for item in items]
        return f"{kind}_{self.target}_{'__'.join(parts)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _hashable(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _hashable(data[key]) for key in sorted(data)}
    return [_hashable(item) for item in data] if isinstance(data, list) else str(data)
