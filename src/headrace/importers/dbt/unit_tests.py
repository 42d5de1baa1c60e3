"""Unit tests of dbt as tests of assets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.importers.dbt.context import Rendered
from headrace.importers.dbt.outcome import Model, Outcome
from headrace.importers.dbt.project_files import flag, listed, mapped
from headrace.importers.dbt.templates import NotStatic
from headrace.importers.dbt.unit_test_rows import NotRows, rows_of
from headrace.importers.dbt.values import Relation
from headrace.importers.dbt.writing import flow
from headrace.importers.imported import Verdict
from headrace.model.fields import LocatedMapping


class _NoTest(Exception):
    """A unit test that can't be a test of an asset; the text says why."""


def read_unit_tests(outcome: Outcome) -> None:
    """Write the unit tests of each model to one file, and an item of each test."""
    texts: dict[str, list[str]] = {}
    waiting: list[tuple[str, str, int, str, str]] = []
    for file, line, entry in outcome.nodes.section("unit_tests"):
        model = str(entry.get("model"))
        uid = f"unit_test.{outcome.nodes.files.name}.{model}.{entry.get('name')}"
        try:
            text = _test(outcome, entry, model)
        except (_NoTest, NotRows, NotStatic) as error:
            todo = "write it as a test of the asset (docs/how-to/test-assets.md)"
            outcome.add(
                uid, file, line, Verdict.PERSON, str(error), todo=todo, original=repr(entry)
            )
            continue
        texts.setdefault(model, []).append(text)
        waiting.append((uid, file, line, model, repr(entry)))
    paths = {
        model: outcome.write(f"tests/{model}.yaml", "\n".join(parts))
        for model, parts in texts.items()
    }
    for uid, file, line, model, original in waiting:
        outcome.add(
            uid,
            file,
            line,
            Verdict.CARRIED,
            "a test of the asset with the same rows",
            created=(paths[model],),
            original=original,
        )


def _test(outcome: Outcome, entry: LocatedMapping, model: str) -> str:
    node = outcome.nodes.find_ref(model)
    if node is None or node.uid not in outcome.tables:
        raise _NoTest(f"the model {model} isn't imported as an asset")
    _check_overrides(entry, outcome.models.get(node.uid))
    lines = [f"- test: {flow(_name(entry))}"]
    if isinstance(entry.get("description"), str):
        lines.append(f"  description: {flow(' '.join(entry['description'].split()))}")
    lines += [f"  asset: {node.target}", "  given:"]
    for given in map(mapped, listed(entry.get("given"))):
        relation, _ = outcome.renderer.value("{{ " + str(given.get("input")) + " }}")
        if not isinstance(relation, Relation) or not relation.id:
            raise _NoTest(f"its input {given.get('input')} isn't a node")
        lines += _rows(outcome, f"    {relation.name}", given)
    return "\n".join([*lines, *_rows(outcome, "  expect", mapped(entry.get("expect")))]) + "\n"


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name"))


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
