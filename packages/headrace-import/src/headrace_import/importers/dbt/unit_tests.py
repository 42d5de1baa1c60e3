"""Unit tests of dbt as tests of assets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.extension import LocatedMapping
from headrace_import.importers.dbt.context import Rendered
from headrace_import.importers.dbt.models import command_path
from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.outcome import Model, Outcome
from headrace_import.importers.dbt.project_files import flag, listed, mapped
from headrace_import.importers.dbt.templates import NotStatic
from headrace_import.importers.dbt.unit_test_rows import NotRows, rows_of
from headrace_import.importers.dbt.values import Relation
from headrace_import.importers.dbt.writing import flow
from headrace_import.importers.imported import Verdict


class _NoTest(Exception):
    """A unit test that can't be a test of an asset; the text says why."""


def read_unit_tests(outcome: Outcome) -> None:
    """Write the unit tests of each model to one file, and an item of each test."""
    texts: dict[str, list[str]] = {}
    waiting: list[tuple[str, str, int, str, str]] = []
    entries = [
        (uid, file, line, name, node, entry)
        for file, line, entry in outcome.nodes.section("unit_tests")
        for uid, name, node in _subjects(outcome, entry)
    ]
    for uid, file, line, name, node, entry in entries:
        if node is not None and node.uid in outcome.commands:
            _by_dbt(outcome, uid, file, line, node, entry)
            continue
        try:
            text = _test(outcome, entry, name, node)
        except (_NoTest, NotRows, NotStatic) as error:
            todo = "write it as a test of the asset (docs/how-to/test-assets.md)"
            outcome.add(
                uid, file, line, Verdict.PERSON, str(error), todo=todo, original=repr(entry)
            )
            continue
        target = node.target if node is not None else ""
        texts.setdefault(target, []).append(text)
        waiting.append((uid, file, line, target, repr(entry)))
    paths = {
        target: outcome.write(f"tests/{target}.yaml", "\n".join(parts))
        for target, parts in texts.items()
    }
    for uid, file, line, target, original in waiting:
        outcome.add(
            uid,
            file,
            line,
            Verdict.CARRIED,
            "a test of the asset with the same rows",
            created=(paths[target],),
            original=original,
        )


def _subjects(outcome: Outcome, entry: LocatedMapping) -> Iterator[tuple[str, str, Node | None]]:
    """Yield the unique id, name and model of a unit test: one for each version of the model."""
    model, name = str(entry.get("model")), str(entry.get("name"))
    uid = f"unit_test.{outcome.nodes.files.name}.{model}.{name}"
    versions = [node for node in outcome.nodes.by_name.get(model, ()) if node.version]
    rule = mapped(entry.get("versions"))
    included, excluded = rule.get("include"), rule.get("exclude")
    if not versions:
        yield uid, name, outcome.nodes.find_ref(model)
    for node in versions:
        if excluded is not None and node.version in map(str, listed(excluded)):
            continue
        if excluded is None and included and node.version not in map(str, listed(included)):
            continue
        yield f"{uid}_v{node.version}", f"{name}_v{node.version}", node


def _by_dbt(
    outcome: Outcome, uid: str, file: str, line: int, node: Node, entry: LocatedMapping
) -> None:
    """Add the item of a unit test of a model that dbt computes."""
    why = f"dbt computes {node.name} and tests it: its command is dbt build"
    created = (command_path(node),)
    outcome.add(uid, file, line, Verdict.COMMAND, why, created=created, original=repr(entry))


def _test(outcome: Outcome, entry: LocatedMapping, name: str, node: Node | None) -> str:
    if node is None or node.uid not in outcome.tables:
        raise _NoTest(f"the model {entry.get('model')} isn't imported as an asset")
    _check_overrides(entry, outcome.models.get(node.uid))
    lines = [f"- test: {flow(name)}"]
    if isinstance(entry.get("description"), str):
        lines.append(f"  description: {flow(' '.join(entry['description'].split()))}")
    lines += [f"  asset: {node.target}", "  given:"]
    for given in map(mapped, listed(entry.get("given"))):
        relation, _ = outcome.renderer.value("{{ " + str(given.get("input")) + " }}")
        if not isinstance(relation, Relation) or not relation.id:
            raise _NoTest(f"its input {given.get('input')} isn't a node")
        lines += _rows(outcome, f"    {relation.name}", given)
    return "\n".join([*lines, *_rows(outcome, "  expect", mapped(entry.get("expect")))]) + "\n"


def _check_overrides(entry: LocatedMapping, model: Model | None) -> None:
    """Raise _NoTest if the test changes what is written into the asset."""
    overrides = mapped(entry.get("overrides"))
    rendered = model.rendered if model is not None else Rendered()
    written = {**rendered.variables, **rendered.environment}
    given = {**mapped(overrides.get("vars")), **mapped(overrides.get("env_vars"))}
    if given and rendered.by_dbt:
        raise _NoTest("it overrides variables of a model that dbt compiled")
    for name, value in given.items():
        if name in written and str(written[name]) != str(value):
            raise _NoTest(f"it overrides the variable {name}, which is written in here")
    for name, value in mapped(overrides.get("macros")).items():
        if name != "is_incremental" or flag(value):
            raise _NoTest(f"it overrides the macro {name}, which is written out here")


def _rows(outcome: Outcome, key: str, given: Mapping[str, Any]) -> list[str]:
    """Return the lines of given or expected rows. Raise NotRows."""
    indent = " " * (len(key) - len(key.lstrip()) + 2)
    lines = [f"{indent}- {flow(row)}" for row in rows_of(outcome, given)]
    return [f"{key}:", *lines] if lines else [f"{key}: []"]
