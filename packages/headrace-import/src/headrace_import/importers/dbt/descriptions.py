"""Descriptions of nodes and columns, with dbt's `doc` blocks written in."""

from __future__ import annotations

import re

from headrace_import.importers.dbt.model_versions import columns_of
from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.project_files import mapped

_DOC = re.compile(r"""\{\{-?\s*doc\(\s*(?:['"][\w.]+['"]\s*,\s*)?['"](\w+)['"]\s*\)\s*-?\}\}""")


def plain_description(outcome: Outcome, text: object) -> str:
    """Return a description with its doc blocks; empty if there is none."""
    if not isinstance(text, str):
        return ""
    return _DOC.sub(lambda match: outcome.nodes.docs.get(match[1], match[0]), text).strip()


def description_of(outcome: Outcome, node: Node) -> str:
    """Return what a node's properties say about it."""
    return plain_description(outcome, node.properties.get("description"))


def column_descriptions(outcome: Outcome, node: Node) -> dict[str, str]:
    """Return column → description, for those that have one."""
    texts = {
        str(mapped(column).get("name")): plain_description(
            outcome, mapped(column).get("description")
        )
        for column in columns_of(node)
    }
    return {name: text for name, text in texts.items() if text}
