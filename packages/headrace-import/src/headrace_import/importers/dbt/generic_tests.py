"""Generic tests as dbt declares them, with the unique ids that dbt gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.extension import LocatedMapping
from headrace_import.importers.dbt.model_versions import columns_of, version_entry
from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.project_files import listed, mapped
from headrace_import.importers.dbt.test_ids import DbtTest

CONFIGS = frozenset(
    (
        "severity",
        "tags",
        "enabled",
        "where",
        "limit",
        "warn_if",
        "error_if",
        "fail_calc",
        "store_failures",
        "store_failures_as",
        "sql_header",
        "meta",
        "database",
        "schema",
        "alias",
    )
)
"""Arguments of a test that configure it."""


@dataclass(slots=True)
class DeclaredTest:
    """One generic test of a node or of one of its columns."""

    node: Node
    package: str
    name: str
    column: str
    arguments: dict[str, Any]
    config: dict[str, Any]
    given_name: str
    line: int
    original: str = field(default="")
    notes: tuple[str, ...] = ()
    """On what its check is the same, for the item's `why`."""

    @property
    def full_name(self) -> str:
        """The name with its package: `dbt_utils.accepted_range`."""
        return f"{self.package}.{self.name}" if self.package else self.name


def declared_tests(node: Node) -> Iterator[DeclaredTest]:
    """Yield the generic tests that a node's properties declare."""
    entry = version_entry(node)
    has_tests = isinstance(entry, LocatedMapping) and ("tests" in entry or "data_tests" in entry)
    yield from _tests_of(node, entry if has_tests else node.properties, "")
    for column in columns_of(node):
        if isinstance(column, LocatedMapping):
            yield from _tests_of(node, column, _column_name(column))


def _column_name(column: LocatedMapping) -> str:
    name = str(column.get("name"))
    return f'"{name}"' if column.get("quote") is True else name


def _tests_of(node: Node, holder: Mapping[str, Any], column: str) -> Iterator[DeclaredTest]:
    for key in ("tests", "data_tests"):
        items = holder.get(key)
        lines = getattr(items, "lines", ())
        for index, item in enumerate(listed(items)):
            line = lines[index] if index < len(lines) else getattr(holder, "line", 1)
            test = _test(node, item, column, line)
            if test is not None:
                yield test


def _test(node: Node, item: object, column: str, line: int) -> DeclaredTest | None:
    name, given = _name_and_given(item)
    if not name:
        return None
    inner = given.pop("arguments", None)
    arguments = {**given, **(inner if isinstance(inner, dict) else {})}
    config = dict(mapped(arguments.pop("config", None)))
    for option in CONFIGS:
        if option in arguments:
            config[option] = arguments.pop(option)
    arguments.pop("description", None)
    given_name = arguments.pop("name", "")
    package, _, short = name.rpartition(".")
    return DeclaredTest(
        node, package, short, column, arguments, config, str(given_name or ""), line, repr(item)
    )


def _name_and_given(item: object) -> tuple[str, dict[str, Any]]:
    """Return a test's name and what is declared of it; no name for what isn't a test."""
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, dict):
        return "", {}
    if "test_name" in item:
        return str(item["test_name"]), {k: v for k, v in item.items() if k != "test_name"}
    if len(item) != 1:
        return "", {}
    key, value = next(iter(item.items()))
    return str(key), dict(value) if isinstance(value, dict) else {}


def unique_id(test: DeclaredTest, project: str) -> str:
    """Return the unique id that dbt gives a test."""
    node = test.node
    relation, target = f"ref('{node.name}')", node.name
    if node.kind == "source":
        relation = f"source('{node.source_name}', '{node.name}')"
        target = f"{node.source_name}_{node.name}"
    elif node.version:
        relation = f"ref('{node.name}', version='{node.version}')"
        target = f"{node.name}_v{node.version}"
    return DbtTest(
        test.name, test.column, test.arguments, relation, target, test.package, test.given_name
    ).unique_id(project)
