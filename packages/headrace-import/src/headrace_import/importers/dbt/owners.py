"""Owners of the new project, from groups, `meta` and `owner`; and its owners.yaml."""

from __future__ import annotations

import re
from typing import Any

from headrace_import.importers.dbt.nodes import Node, Nodes
from headrace_import.importers.dbt.project_files import listed, mapped
from headrace_import.importers.dbt.writing import flow


class Owners:
    """The owners by name, as nodes ask for them."""

    def __init__(self, nodes: Nodes) -> None:
        self.default = clean_owner(nodes.files.name)
        self.by_name: dict[str, dict[str, Any]] = {}
        self._groups = {
            str(entry.get("name")): mapped(entry.get("owner"))
            for _, _, entry in nodes.section("groups")
        }

    def of(self, node: Node) -> str:
        """Return the name of a node's owner."""
        group = node.config.get("group") or node.properties.get("group")
        if isinstance(group, str) and group in self._groups:
            return self.of_group(group)
        for place in (node.config.get("meta"), node.properties.get("meta")):
            owner = place.get("owner") if isinstance(place, dict) else None
            if owner:
                return self.named(owner)
        return self.add(self.default, "")

    def of_group(self, group: str) -> str:
        """Return the owner's name of a group: the group's, with the contact of its owner."""
        return self.add(clean_owner(group), self._groups[group].get("email"))

    def named(self, owner: object) -> str:
        """Return the owner's name for what `owner:` says: a text, or a mapping with name, email."""
        if isinstance(owner, dict):
            email = owner.get("email")
            return self.add(clean_owner(str(owner.get("name") or email or self.default)), email)
        text = str(listed(owner)[0]) if listed(owner) else self.default
        return self.add(clean_owner(text), text if "@" in text else "")

    def add(self, name: str, email: object) -> str:
        """Remember an owner; the first e-mail address counts."""
        name = next((known for known in self.by_name if known.lower() == name.lower()), name)
        entry = self.by_name.setdefault(name, {"kind": "team"})
        address = str(listed(email)[0]) if listed(email) else ""
        if re.fullmatch(r"[^@\s\"'<>]+@[^@\s\"'<>]+", address):
            entry.setdefault("contact", [f"mailto:{address}"])
        return name

    def text(self) -> str:
        """Return owners.yaml."""
        self.add(self.default, "")
        lines = [f"{name}: {flow(entry)}" for name, entry in sorted(self.by_name.items())]
        return "\n".join(lines) + "\n"


def clean_owner(text: str) -> str:
    """Return a valid name of an owner."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", text.partition("@")[0]).strip("-.")[:60]
    return cleaned or "data-team"
